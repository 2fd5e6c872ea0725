"""Section on the gates: the verdict on the student before the production MD, one line for each gate."""

from __future__ import annotations

from dpa_sse.ops.results.gates import GateResult, Gates, Verdict
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import Cell, Level, PageSection, duration, kelvin, listed

LEVEL: dict[Verdict, Level] = {
    "PASS": "good", "WARN": "warn", "INCONCLUSIVE": "warn", "NOT_RUN": "warn", "FAIL": "bad",
}


def gates(data: ReportData) -> PageSection:
    """Return the section on the gates."""
    section = PageSection("gates", "Gates: the verdict on the student")
    found = data.gates
    if found is None:
        section.absent = "no gate was run (validate.gates)"
        return section
    section.text(
        f"{found.verdict}: {found.model} against {found.reference or 'no reference'}, for MD up to "
        f"{kelvin(found.temperature_K)} K; {listed(found.structures) or 'no structure'}; tier {found.tier}, "
        f"{duration(found.seconds)}. {_words(found)}",
        LEVEL[found.verdict],
    )
    section.table(
        ("gate", "", "verdict", "why", "what would mend it", "time"), [_row(gate) for gate in found.gates],
        "INCONCLUSIVE: the interval is wider than the tolerance, or the runs are too short to measure the number. "
        "A gate in parentheses is not required. `dpa-sse gates show KEY` explains thresholds and sources; gates.json "
        "holds all numbers.",
        "gate||verdict|why|what would mend it",
        "what would mend it",
    )
    return section


def _words(found: Gates) -> str:
    if found.verdict == "PASS":
        return "All required gates passed."
    return "The production MD ran all the same (validate.on_fail: warn)." if found.verdict == "FAIL" else ""


def _row(gate: GateResult) -> list[str | Cell]:
    key = gate.key if gate.required else f"({gate.key})"
    return [key, gate.name, Cell(gate.verdict, LEVEL[gate.verdict]), gate.reason, gate.mend, duration(gate.seconds)]
