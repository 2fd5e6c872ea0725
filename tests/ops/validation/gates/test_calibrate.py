"""The table of a calibration: what was caught by which gate, and the file that holds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import dpa_sse
from dpa_sse.ops.results.gates import GateResult, Gates, JudgedMetric, Verdict
from dpa_sse.ops.validation.gates import calibrate
from dpa_sse.ops.validation.gates.base import GateSettings, ModelFiles
from dpa_sse.ops.validation.gates.calibrate import KINDS, Trial, rows, table
from dpa_sse.ops.validation.gates.run import Candidate

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


def test_an_interrupted_calibration_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts that there are by the same thresholds are not made again."""
    from dpa_sse.ops.data.dataset import write_dataset
    from tests.ops.validation.gates.analytic import THRESHOLDS, Pairs, crystal
    from tests.ops.validation.gates.test_gates import ALL, data

    write_dataset(tmp_path / "data", ALL, data().data)
    setup = calibrate.Setup(
        tmp_path, tmp_path / "data", Pairs(), [crystal()], GateSettings(temperature_K=300.0), THRESHOLDS
    )
    made: list[str] = []
    sound = trial("good", {"G6": "PASS"}).verdict.model_copy(
        update={"temperature_K": 300.0, "thresholds_sha256": THRESHOLDS.sha256}
    )

    def run_gates(candidate: Candidate, *_: object) -> Gates:
        made.append(candidate.model.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return sound

    kinds = [("good", Pairs(name="a"), ModelFiles()), ("5 % of the data", Pairs(name="b"), ModelFiles()),
             ("hole", Pairs(name="c"), ModelFiles())]
    monkeypatch.setattr(calibrate, "_models", lambda *_: iter(kinds))
    monkeypatch.setattr(calibrate, "run_gates", run_gates)
    with pytest.raises(KeyboardInterrupt):
        calibrate.calibrate(setup, 1, tmp_path / "out", lambda _: None)
    trials = calibrate.calibrate(setup, 1, tmp_path / "out", lambda _: None)
    assert made == ["a", "b", "c", "c"] and [one.verdict for one in trials] == [sound] * 3
    other = replace(setup, settings=replace(setup.settings, temperature_K=400.0))
    calibrate.calibrate(other, 1, tmp_path / "out", lambda _: None)
    assert made[4:] == ["a", "b", "c"]


def test_the_calibration_of_the_package_separates() -> None:
    """Each bad model was caught by a required gate in all of its trials.

    The good model did not fail, but where its training made a bad one: such a trial is named, with what else shows it.
    """
    found = yaml.safe_load(CALIBRATION.read_text(encoding="utf-8"))
    assert found["command"].startswith("dpa-sse gates calibrate")
    kinds = [one["model"] for one in found["trials"]]
    assert set(kinds) == set(KINDS)
    spoiled = {(one["model"], one["seed"]) for one in found["exceptions"]}
    assert all(model == "good" and seed for model, seed in spoiled)  # seed 0 is the student itself
    assert all(len(one["why"].split()) > 10 for one in found["exceptions"])
    assert kinds.count("good") >= 2 * len(spoiled) + 1
    for one in found["trials"]:
        failed = one["model"] != "good" or (one["model"], one["seed"]) in spoiled
        assert (one["verdict"] == "FAIL") == failed, one
        assert bool(one["failed"]) == failed, one


def test_a_spoiled_training_shows_in_more_than_one_number() -> None:
    """A good model that failed: with a hole in its wall, and with atoms that fuse in cells that relax by themselves."""
    found = yaml.safe_load(CALIBRATION.read_text(encoding="utf-8"))
    named = [(one["model"], one["seed"]) for one in found["exceptions"]]
    for one in found["trials"]:
        sound = one["model"] == "good" and (one["model"], one["seed"]) not in named
        if (one["model"], one["seed"]) in named:
            assert one["numbers"]["G6.hole_height"] < 2.5 and one["numbers"]["G6.fused_cells"] > 0
        elif sound:
            assert one["numbers"]["G6.hole_height"] > 2.5 and one["numbers"]["G6.fused_cells"] == 0
