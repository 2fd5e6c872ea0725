"""Numbers as people write them."""

from __future__ import annotations

import pytest

from dpa_sse.ops.conductivity.analyse import plain_verdict
from dpa_sse.ops.conductivity.arrhenius import summarise
from dpa_sse.ops.conductivity.digits import rounded, with_interval


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


def test_plain_verdict_gives_the_interval_and_says_things_once():
    entry = {
        "system": "LPS", "temperature_K": 700.0, "verdict": "diffusive", "D_cm2_s": 1e-4, "D_ci95_cm2_s": (5e-5, 2e-4),
        "sigma_NE_mS_cm": 3396.2, "sigma_NE_ci95_mS_cm": (1828.4, 6308.1),
    }
    lines = plain_verdict({"temperatures": [entry], "arrhenius_by_system": {"LPS": summarise([], [300.0])[0]}})
    assert lines == [
        "LPS 700 K: diffusive, D = 1.00e-04 cm2/s (95 %: 5.00e-05 to 2.00e-04), "
        "sigma(NE) = 3400 mS/cm (95 %: 1830 to 6310)",
        "LPS: no Arrhenius line (fewer than two diffusive temperatures)",
    ]
