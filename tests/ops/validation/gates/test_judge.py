"""Verdicts from numbers and intervals, and from the verdicts of gates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.gates import GateResult, Gates, Verdict
from dpa_sse.ops.validation.gates.base import Measurement, Value
from dpa_sse.ops.validation.gates.judge import GateThresholds, Limits, judge, judge_value, overall
from dpa_sse.ops.validation.gates.registry import MODULES, load_thresholds, measure_of

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


def test_own_ranges_hold_at_every_tier(tmp_path: Path) -> None:
    own = tmp_path / "my.yaml"
    own.write_text("gates: {G4: {metrics: {drift: {pass: 0.02, warn: 0.05}}}}\n")
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
    assert found == expected and bool(reasons) == (expected != "PASS")


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


def test_own_thresholds(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("gates: {G1: {required: false, metrics: {force_mae: {pass: 200, warn: 300}}}}\n")
    found = load_thresholds(own)
    assert not found.gates["G1"].required and found.gates["G1"].metrics["force_mae"].passes == (-200, 200)
    assert found.gates["G2"] == load_thresholds().gates["G2"] and found.sha256 != load_thresholds().sha256


@pytest.mark.parametrize(("text", "message"), [
    ("gates: {G99: {}}", "gates.G99: does not exist"), ("gate: {}", "did you mean 'gates'"),
    ("gates: {G1: {metrics: {force_mse: {pass: 1}}}}", "did you mean 'force_mae'"),
    ("gates: {G1: {metrics: {force_mae: {pass: much}}}}", "force_mae"), ("[1]", "mapping"),
    ("a: [", "cannot be read"),
    ("gates: {G1: {need: 1}}", "need"),
])
def test_wrong_thresholds(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_thresholds(tmp_path / "own.yaml")
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_gates_are_found_by_key() -> None:
    found = Gates(
        model="m", reference="", model_sha256=None, structures=(), tier="smoke", temperature_K=1, verdict="PASS",
        reasons=(), gates=(gate("PASS"),), thresholds_sha256="", deepmd_version="", seconds=0,
    )
    assert found.gate("G0") == gate("PASS") and found.gate("G1") is None
