"""``conductivity.json``: what is written is read back, and what is not a number becomes null."""

from __future__ import annotations

import json
import math

import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.conductivity import (
    DIFFUSIVE,
    MELTED,
    NOT_DIFFUSIVE,
    ArrheniusResult,
    ConductivityResult,
    Extrapolation,
    PooledTransport,
    RunTransport,
    is_usable,
    too_short,
    unreliable,
)


def result(**numbers):
    run = RunTransport(source="a", system="LPS", temperature_K=700.0, verdict=DIFFUSIVE, **numbers)
    pooled = PooledTransport(system="LPS", temperature_K=700.0, n_runs=1, sources=["a"], verdict=DIFFUSIVE, **numbers)
    line = ArrheniusResult(exponent_m=-1.0)
    return ConductivityResult(runs=(run,), temperatures=(pooled,), arrhenius=line, arrhenius_by_system={"LPS": line})


def test_a_result_is_read_back(tmp_path):
    written = result(D_cm2_s=1e-5, D_ci95_cm2_s=(5e-6, 2e-5), onsager_mS_cm={"Li-Li": 3.0})
    written.write(tmp_path)
    assert ConductivityResult.read(tmp_path) == written
    assert written.has_values


def test_numbers_that_are_not_finite_are_null(tmp_path):
    written = result(D_cm2_s=math.nan, D_ci95_cm2_s=(math.nan, 1.0), n_hops=math.inf, onsager_mS_cm={"Li-Li": math.nan})
    assert written.runs[0].D_cm2_s is written.runs[0].D_ci95_cm2_s is written.runs[0].n_hops is None
    assert not written.has_values
    written.write(tmp_path)
    assert ConductivityResult.read(tmp_path) == written


def test_a_key_that_is_not_declared_is_refused(tmp_path):
    result().write(tmp_path)
    content = json.loads((tmp_path / "conductivity.json").read_text())
    content["runs"][0]["D"] = 1.0
    (tmp_path / "conductivity.json").write_text(json.dumps(content))
    with pytest.raises(FatalError, match=r"conductivity\.json: runs\.0\.D"):
        ConductivityResult.read(tmp_path)


@pytest.mark.parametrize(
    ("verdict", "usable", "limited"),
    [
        (DIFFUSIVE, True, False), (NOT_DIFFUSIVE, True, True), (too_short(12.0), True, True), (MELTED, False, False),
        (unreliable("exploded"), False, False),
    ],
)
def test_verdicts(verdict, usable, limited):
    entry = RunTransport(source="a", system="LPS", verdict=verdict)
    assert is_usable(verdict) is usable
    assert entry.limited is limited
    assert entry.diffusive is (verdict == DIFFUSIVE)


def test_extrapolations_are_found_by_temperature():
    cold = Extrapolation(temperature_K=300.0, D_cm2_s=1e-8, D_ci95_cm2_s=(5e-9, 2e-8))
    line = ArrheniusResult(exponent_m=-1.0, extrapolated=(cold,))
    assert line.at(300.0) == cold
    assert line.at(350.0) is None


def test_only_a_run_that_could_not_be_read_is_bad_input():
    assert not result().unreadable
    run = RunTransport(source="a", system="LPS", verdict=unreliable("damaged"), bad_input=True)
    assert result().model_copy(update={"runs": (run,)}).unreadable
    assert not result().model_copy(update={"runs": ()}).unreadable
