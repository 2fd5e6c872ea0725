"""The table of a calibration: what was caught by which gate, and the file that holds it."""

from __future__ import annotations

from pathlib import Path

import yaml

import dpa_sse
from dpa_sse.ops.results.gates import GateResult, Gates, JudgedMetric, Verdict
from dpa_sse.ops.validation.gates.calibrate import KINDS, Trial, rows, table

CALIBRATION = Path(dpa_sse.__file__).parent / "configs" / "gates" / "calibration.yaml"


def trial(kind: str, verdicts: dict[str, Verdict]) -> Trial:
    metric = JudgedMetric(
        name="x", unit="", value=1.0, ci95=(0.5, 1.5), n=1, passes=(0, 1), warns=(0, 2), verdict="PASS", reason="",
        why="", source="",
    )
    gates = tuple(
        GateResult(key=key, name=key, tier="smoke", required=key != "G8", verdict=one, reason="", mend="",
                   metrics=(metric,), notes=(), table=None, seconds=0)
        for key, one in verdicts.items()
    )
    found: Verdict = "FAIL" if "FAIL" in [one.verdict for one in gates if one.required] else "PASS"
    return Trial(kind, 0, Gates(
        model=kind, reference="", model_sha256=None, structures=(), tier="smoke", temperature_K=900, verdict=found,
        reasons=(), gates=gates, thresholds_sha256="", deepmd_version="", seconds=0,
    ))


def test_only_required_gates_catch() -> None:
    found = trial("hole", {"G6": "FAIL", "G8": "FAIL", "G1": "PASS"})
    assert found.caught_by == ["G6"]
    assert trial("good", {"G8": "FAIL"}).caught_by == []
    assert [row["gate"] for row in rows([found])] == ["G6", "G8", "G1"]


def test_table_of_trials() -> None:
    made = table([trial("good", {"G6": "PASS"}), trial("hole", {"G6": "FAIL"})], "the command")
    assert made["command"] == "the command"
    assert [(one["model"], one["verdict"], one["failed"]) for one in made["trials"]] == [
        ("good", "PASS", ""), ("hole", "FAIL", "G6"),
    ]
    assert made["trials"][0]["numbers"] == {"G6.x": 1.0}


def test_the_calibration_of_the_package_separates() -> None:
    """The good model did not fail in any trial, and each kind of bad one was caught in all of its trials."""
    found = yaml.safe_load(CALIBRATION.read_text(encoding="utf-8"))
    assert found["command"].startswith("dpa-sse gates calibrate")
    kinds = {one["model"] for one in found["trials"]}
    assert kinds == set(KINDS)
    for one in found["trials"]:
        assert (one["verdict"] == "FAIL") == (one["model"] != "good"), one
        assert bool(one["failed"]) == (one["model"] != "good"), one
