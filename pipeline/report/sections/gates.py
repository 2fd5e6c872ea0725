"""Section on the gates: the verdict on the student before the production MD, one line for each gate."""

from __future__ import annotations

from dpa_sse.ops.results.gates import GateResult, Gates, JudgedMetric, Verdict
from dpa_sse.ops.validation.gates.judge import words_of
from dpa_sse.pipeline.report.assessment import Assessment
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import (
    Cell,
    DetailsBlock,
    Level,
    PageSection,
    TableBlock,
    count,
    duration,
    interval,
    kelvin,
    listed,
    show,
)
from dpa_sse.pipeline.report.plots.gates import plot_gates

LEVEL: dict[Verdict, Level] = {
    "PASS": "good", "WARN": "warn", "INCONCLUSIVE": "warn", "NOT_RUN": "warn", "FAIL": "bad",
}


def gates(data: ReportData, book: FigureBook, title: str = "Gates: the verdict on the student") -> PageSection:
    """Return the section on the gates: a line and, where there is one, a figure for each."""
    section = PageSection("gates", title)
    found = data.gates
    if found is None:
        section.absent = "no gate was run (validate.gates)"
        return section
    section.text(
        f"{found.verdict}: {found.model} against {found.reference or 'no reference'}, for MD up to "
        f"{kelvin(found.temperature_K)} K; {listed(found.structures) or 'no structure'}; tier {found.tier}, "
        f"{duration(found.seconds)}. {_words(found, data.state)}",
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
    section.figures(plot_gates(book, found.gates, data.gate_tables))
    section.blocks.append(DetailsBlock("All numbers", blocks=[TableBlock(
        ("gate", "number", "value", "95 % interval", "unit", "n", "PASS", "WARN", "verdict", "why these limits"),
        [_number_row(gate, metric) for gate in found.gates for metric in gate.metrics], "",
        ("gate", "number", "unit", "PASS", "WARN", "verdict", "why these limits"),
    )]))
    notes = [f"{gate.key}: {note}" for gate in found.gates for note in gate.notes]
    if notes:
        section.blocks.append(DetailsBlock("Notes of the gates", pre="\n".join(notes)))
    return section


def gates_assessment(found: Gates | None) -> Assessment:
    """Return the box at the top of the page of a verdict."""
    if found is None:
        return Assessment("bad", "There is no gates.json")
    named = {
        verdict: [f"{gate.key} {gate.name}: {gate.reason}" for gate in found.gates if gate.verdict in verdict.split()]
        for verdict in ("PASS", "FAIL", "WARN INCONCLUSIVE NOT_RUN")
    }
    return Assessment(
        LEVEL[found.verdict], f"{found.verdict}: {found.model}", good=named["PASS"], bad=named["FAIL"],
        unsure=named["WARN INCONCLUSIVE NOT_RUN"],
        next=[f"{gate.key}: {gate.mend}" for gate in found.gates if gate.mend],
    )


def _number_row(gate: GateResult, metric: JudgedMetric) -> list[str | Cell]:
    return [
        gate.key, words_of(metric.name), show(metric.value), interval(metric.ci95), metric.unit, count(metric.n),
        _range(metric.passes), _range(metric.warns), Cell(metric.verdict, LEVEL[metric.verdict]),
        f"{metric.why} ({metric.source})",
    ]


def _range(ends: tuple[float | None, float | None]) -> str:
    low, high = ends
    if low is None or high is None:
        return f"from {show(low)}" if low is not None else f"up to {show(high)}" if high is not None else "any"
    return f"up to {show(high)}" if low == -high else f"{show(low)} to {show(high)}"


def _words(found: Gates, state: str) -> str:
    if found.verdict == "PASS":
        return "All required gates passed."
    if state == "refused":
        return "It ended the run (validate.on_fail: stop)."
    return "The production MD ran all the same (validate.on_fail: warn)." if found.verdict == "FAIL" else ""


def _row(gate: GateResult) -> list[str | Cell]:
    key = gate.key if gate.required else f"({gate.key})"
    return [key, gate.name, Cell(gate.verdict, LEVEL[gate.verdict]), gate.reason, gate.mend, duration(gate.seconds)]
