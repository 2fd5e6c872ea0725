"""Numbers as people write them."""

from __future__ import annotations

import pytest

from dpa_sse.ops.conductivity.arrhenius import analyse_arrhenius
from dpa_sse.ops.conductivity.digits import rounded, with_interval
from dpa_sse.ops.conductivity.terminal import result_lines
from dpa_sse.ops.results.conductivity import ConductivityResult, PooledTransport


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(3396.0, 2, "3400"), (0.01234, 2, "0.012"), (9.996, 3, "10.0"), (123456.0, 3, "1.23e+05"), (1.2e-6, 2, "1.2e-06")],
)
def test_rounded(value, digits, text):
    assert rounded(value, digits) == text


@pytest.mark.parametrize(
    ("value", "ends", "text"),
    [
        (3396.2, (1828.4, 6308.1), "3400 mS/cm (95 %: 1830 to 6310)"),
        (12.345, (12.3, 12.4), "12.3 mS/cm (95 %: 12.3 to 12.4)"),
        (3.14159, None, "3.14 mS/cm"),
    ],
)
def test_a_number_has_the_digits_that_its_interval_leaves(value, ends, text):
    assert with_interval(value, ends, "mS/cm") == text


def test_lines_of_a_result_give_the_interval_and_say_things_once():
    entry = PooledTransport(
        system="LPS", temperature_K=700.0, n_runs=1, verdict="diffusive", D_cm2_s=1e-4, D_ci95_cm2_s=(5e-5, 2e-4),
        sigma_NE_mS_cm=3396.2, sigma_NE_ci95_mS_cm=(1828.4, 6308.1),
    )
    line = analyse_arrhenius([], [300.0])
    result = ConductivityResult(
        runs=(), temperatures=(entry,), arrhenius=line, arrhenius_by_system={"LPS": line}
    )
    lines = result_lines(result)
    assert lines == [
        "LPS 700 K: diffusive, D = 1.00e-04 cm2/s (95 %: 5.00e-05 to 2.00e-04), "
        "sigma(NE) = 3400 mS/cm (95 %: 1830 to 6310)",
        "LPS: no Arrhenius line (fewer than two diffusive temperatures)",
    ]
