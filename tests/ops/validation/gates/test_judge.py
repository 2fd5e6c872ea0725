"""Verdicts from numbers and intervals, and from the verdicts of gates."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.gates import GateResult, Gates, Verdict
from dpa_sse.ops.validation.gates.base import Measurement, Value
from dpa_sse.ops.validation.gates.judge import GateThresholds, Limits, judge, judge_value, overall
from dpa_sse.ops.validation.gates.registry import MODULES, faults, load_thresholds, measure_of

NAN, INF = float("nan"), float("inf")
METRIC = {"pass": 1, "warn": 2, "unit": "eV", "why": "w", "source": "s", "mend": "Do this."}


@pytest.mark.parametrize(("value", "ci", "limits", "expected"), [
    (0.5, None, (1, 2), "PASS"), (1.5, None, (1, 2), "WARN"), (2.5, None, (1, 2), "FAIL"), (-2.5, None, (1, 2), "FAIL"),
    (0.5, (0.1, 0.9), (1, 2), "PASS"), (0.5, (-0.5, 1.9), (1, 2), "PASS"), (1.2, (0.6, 1.9), (1, 2), "WARN"),
    (0.5, (-2.5, 3.5), (1, 2), "INCONCLUSIVE"), (2.5, (1.5, 3.5), (1, 2), "INCONCLUSIVE"),
    (2.5, (2.1, 2.9), (1, 2), "FAIL"), (-2.5, (-2.9, -2.1), (1, 2), "FAIL"),
    (6, None, ([5, INF], [2, INF]), "PASS"), (3, None, ([5, INF], [2, INF]), "WARN"),
    (1, None, ([5, INF], [2, INF]), "FAIL"), (0, None, ([0, 0], [0, 0]), "PASS"),
    (1, None, ([0, 0], [0, 0]), "FAIL"), (NAN, None, (1, 2), "FAIL"), (0.5, (NAN, 1), (1, 2), "FAIL"),
])
def test_numbers(value: float, ci: tuple[float, float] | None, limits: tuple[Any, Any], expected: Verdict) -> None:
    found = judge_value(Value(value, ci), Limits.model_validate({"pass": limits[0], "warn": limits[1]}))
    assert found == expected


def entry(**metrics: Any) -> GateThresholds:
    return GateThresholds.model_validate({"name": "test", "about": "a", "metrics": metrics or {"x": METRIC}})


def test_reasons_name_the_number_its_interval_and_what_would_help() -> None:
    result = judge("G0", Measurement({"x": Value(2.5, (2.1, 2.9), where="Li-S")}), entry(), "smoke")
    assert (result.verdict, result.mend) == ("FAIL", "Do this.")
    assert result.reason == "x 2.5 eV (95 %: 2.1 to 2.9) at Li-S; allowed is at most 2 eV"
    result = judge("G0", Measurement({"x": Value(1.5, (0.5, 2.5), more="12 ps more")}), entry(), "smoke")
    assert result.verdict == "INCONCLUSIVE" and result.reason.endswith("cannot be told from at most 2 eV: 12 ps more")
    assert judge("G0", Measurement({"x": Value(0.1)}), entry(), "smoke").mend == ""


def test_the_worst_metric_decides() -> None:
    two = entry(x=METRIC, y=METRIC)
    found = {name: judge("G0", Measurement({"x": Value(0), "y": Value(other)}), two, "smoke").verdict
             for name, other in (("PASS", 0.5), ("WARN", 1.5), ("FAIL", 3.0))}
    assert found == {"PASS": "PASS", "WARN": "WARN", "FAIL": "FAIL"}


def test_what_could_not_be_measured() -> None:
    missing = Measurement({"x": Value(0)}, {"y": "there is no stress"})
    assert judge("G0", missing, entry(x=METRIC, y=METRIC), "smoke").verdict == "INCONCLUSIVE"
    lenient = judge("G0", missing, entry(x=METRIC, y={**METRIC, "optional": True}), "smoke")
    assert lenient.verdict == "PASS" and lenient.metrics[1].verdict == "NOT_RUN"
    assert "there is no stress" in lenient.metrics[1].reason
    assert judge("G0", Measurement(not_run="no reference"), entry(), "smoke").reason == "no reference"
    assert judge("G0", Measurement(), entry(), "smoke").verdict == "NOT_RUN"
    only = judge("G0", Measurement(missing={"y": "no MPI"}), entry(y={**METRIC, "optional": True}), "smoke")
    assert (only.verdict, only.reason) == ("NOT_RUN", "no MPI")


def test_a_nan_of_an_optional_metric_fails_the_gate() -> None:
    entry = GateThresholds.model_validate({
        "name": "x", "about": "a", "metrics": {"needed": METRIC, "extra": {**METRIC, "optional": True}},
    })
    found = judge("G0", Measurement(values={"needed": Value(0.5), "extra": Value(NAN)}), entry, "smoke")
    assert found.verdict == "FAIL"
    missing = judge("G0", Measurement(values={"needed": Value(0.5)}, missing={"extra": "no LAMMPS"}), entry, "smoke")
    assert missing.verdict == "PASS"


def test_own_ranges_hold_at_every_tier() -> None:
    own = {"gates": {"G4": {"metrics": {"drift": {"pass": 0.02, "warn": 0.05}}}}}
    assert load_thresholds(own).gates["G4"].metrics["drift"].at("smoke").warns == (-0.05, 0.05)
    assert load_thresholds().gates["G4"].metrics["drift"].at("smoke").warns != (-0.05, 0.05)


def test_tiers_have_their_own_ranges() -> None:
    wide = entry(x={**METRIC, "tiers": {"smoke": {"pass": 5, "warn": 6}}})
    assert [judge("G0", Measurement({"x": Value(3)}), wide, tier).verdict for tier in ("smoke", "standard")] == [
        "PASS", "FAIL",
    ]


def gate(verdict: Verdict, *, required: bool = True) -> GateResult:
    return GateResult(
        key="G0", name="test", tier="smoke", required=required, verdict=verdict, reason="why", mend="", metrics=(),
        notes=(), table=None, seconds=0.0,
    )


@pytest.mark.parametrize(("gates", "expected"), [
    ([gate("PASS")], "PASS"), ([gate("PASS"), gate("WARN")], "WARN"),
    ([gate("INCONCLUSIVE"), gate("WARN")], "INCONCLUSIVE"),
    ([gate("NOT_RUN")], "FAIL"), ([gate("FAIL"), gate("PASS")], "FAIL"), ([gate("FAIL", required=False)], "WARN"),
    ([gate("PASS"), gate("NOT_RUN", required=False)], "PASS"), ([gate("INCONCLUSIVE", required=False)], "PASS"),
    ([], "FAIL"),
])
def test_verdict_on_a_model(gates: list[GateResult], expected: Verdict) -> None:
    found, reasons = overall(gates)
    open_ends = any(one.verdict == "INCONCLUSIVE" for one in gates)  # said, though it does not keep from PASS
    assert found == expected and bool(reasons) == (expected != "PASS" or open_ends)


def test_runs_that_are_all_outside_fail_whatever_their_interval() -> None:
    """Three runs, each 2.7 to 3.4 times worse: their interval with so few is wide, but none says otherwise."""
    limits = entry(x={**METRIC, "pass": [0, 1.2], "warn": [0, 1.5]})
    verdicts = [
        judge("G0", Measurement({"x": Value(3.0, (-2.8, 8.8), 3, spread=spread)}), limits, "smoke").verdict
        for spread in ((2.7, 3.4), (1.4, 3.4), None)
    ]
    assert verdicts == ["FAIL", "INCONCLUSIVE", "INCONCLUSIVE"]


def test_a_required_gate_that_was_not_run_says_so() -> None:
    assert overall([gate("NOT_RUN")])[1] == ("G0 test was not run: why",)


def test_thresholds_of_the_package() -> None:
    found = load_thresholds()
    assert list(found.gates) == list(MODULES)
    for key, one in found.gates.items():
        assert callable(measure_of(key))
        for metric in one.metrics.values():
            for limits in (metric, *metric.tiers.values()):
                assert limits.warns[0] <= limits.passes[0] <= limits.passes[1] <= limits.warns[1], key


def test_own_thresholds() -> None:
    own = {"gates": {"G1": {"required": False, "metrics": {"force_mae": {"pass": 200, "warn": 300}}}}}
    found = load_thresholds(own)
    assert not found.gates["G1"].required and found.gates["G1"].metrics["force_mae"].passes == (-200, 200)
    assert found.gates["G2"] == load_thresholds().gates["G2"] and found.sha256 != load_thresholds().sha256


@pytest.mark.parametrize(("given", "path", "message"), [
    ({"gates": {"G99": {}}}, "gates.G99", "does not exist"), ({"gate": {}}, "gate", "did you mean 'gates'"),
    ({"gates": {"G1": {"metrics": {"force_mse": {"pass": 1}}}}}, "gates.G1.metrics.force_mse", "mean 'force_mae'"),
    ({"gates": {"G1": {"metrics": {"force_mae": {"pas": 1}}}}}, "gates.G1.metrics.force_mae.pas", "mean 'pass'"),
    ({"gates": {"G1": {"metrics": {"force_mae": {"pass": "much"}}}}}, "gates.G1.metrics.force_mae.pass", "must be"),
    ({"gates": {"G1": {"metrics": {"force_mae": {"pass": [1]}}}}}, "gates.G1.metrics.force_mae.pass", "required"),
    ({"gates": {"G1": {"need": 1}}}, "gates.G1.need", "does not exist"),
    ({"gates": {"G1": {"requird": True}}}, "gates.G1.requird", "did you mean 'required'"),
    ({"gates": {"G1": {"protocol": {"smoke": {"frame": 3}}}}}, "gates.G1.protocol.smoke.frame", "mean 'frames'"),
    ({"gates": {"G1": {"protocol": {"smok": {"frames": 3}}}}}, "gates.G1.protocol.smok", "did you mean 'smoke'"),
    ({"gates": {"G1": {"protocol": {"smoke": {"frames": "x"}}}}}, "gates.G1.protocol.smoke.frames", "number"),
    ({"md": {"smoke": {"copy": 3}}}, "md.smoke.copy", "did you mean 'copies'"),
    ({"md": {"smoke": {"copies": "three"}}}, "md.smoke.copies", "must be a number"),
    ({"gates": {"G4": {"metrics": {"drift": {"tiers": {"smoke": {"pass": 1, "wran": 2}}}}}}},
     "gates.G4.metrics.drift.tiers.smoke.wran", "did you mean 'warn'"),
    ({"gates": [1]}, "gates", "must be a section"),
    ({"md": {"smoke": {"copies": 0}}}, "md.smoke.copies", "must be a positive number"),
    ({"gates": {"G1": {"protocol": {"smoke": {"frames": -3}}}}}, "gates.G1.protocol.smoke.frames", "positive"),
    ({"gates": {"G1": {"metrics": {"force_mae": {"pass": 200}}}}}, "gates.G1.metrics.force_mae", "inside that of"),
    ({"gates": {"G6": {"metrics": {"hole_height": {"pass": [9, 3]}}}}}, "gates.G6.metrics.hole_height", "[low, high]"),
])
def test_wrong_thresholds(given: dict[str, Any], path: str, message: str) -> None:
    found = list(faults(given))
    assert [".".join(where) for where, _ in found] == [path] and message in found[0][1]
    with pytest.raises(InputError, match=re.escape(path)):
        load_thresholds(given)


def test_all_wrong_keys_are_found_at_once() -> None:
    assert len(list(faults({"gate": {}, "gates": {"G99": {}, "G1": {"x": 1}}, "md": {"smoke": {"y": 1}}}))) == 4
    assert list(faults({"gates": None, "md": {"smoke": None}})) == []
    assert load_thresholds({"gates": None}).sha256 == load_thresholds().sha256


def test_a_sample_without_an_interval_does_not_pass() -> None:
    def judged(value: float, spread: tuple[float, float]) -> tuple[Verdict, str]:
        found = Value(value, None, 2, lacking="2 held-out trajectories: label more", spread=spread)
        result = judge("G0", Measurement({"x": found}), entry(), "smoke")
        return result.verdict, result.reason

    reason = "x 0.1 eV: no interval from 2 held-out trajectories: label more"
    assert judged(0.1, (0.05, 0.15)) == ("INCONCLUSIVE", reason)
    assert judged(2.5, (1.5, 3.5))[0] == "INCONCLUSIVE"  # one of the runs is within the limit
    assert judged(2.5, (2.2, 2.8))[0] == "FAIL"  # none is
    assert judged(NAN, (NAN, NAN))[0] == "FAIL"


def test_what_breaks_because_of_the_model_fails() -> None:
    lenient = entry(x=METRIC, y={**METRIC, "optional": True})
    found = judge("G0", Measurement({"x": Value(0)}, broken={"y": "LAMMPS crashed: ERROR"}), lenient, "smoke")
    assert found.verdict == "FAIL" and found.reason == "y not measured: LAMMPS crashed: ERROR"
    assert found.metrics[1].value is None and found.mend == "Do this."


def test_gates_are_found_by_key() -> None:
    found = Gates(
        model="m", reference="", model_sha256=None, structures=(), tier="smoke", temperature_K=1, verdict="PASS",
        reasons=(), gates=(gate("PASS"),), thresholds_sha256="", deepmd_version="", seconds=0,
    )
    assert found.gate("G0") == gate("PASS") and found.gate("G1") is None
