"""Numbers with the digits that their 95 % interval justifies."""

from __future__ import annotations

import math


def digits_left(value: float, ci95: tuple[float, float]) -> int:
    """Return the significant digits of a number: two in half its 95 % interval, one at least and three at most.

    Parameters
    ----------
    value : float
        Not zero.
    ci95 : tuple of float
        Low and high end, which differ.
    """
    step = math.floor(math.log10((ci95[1] - ci95[0]) / 2)) - 1
    return min(3, max(1, math.floor(math.log10(abs(value))) - step + 1))


def rounded(value: float, digits: int) -> str:
    """Return a number with ``digits`` significant digits, without an exponent if it is short (3400, 0.012, 1.2e-06)."""
    short = f"{value:.{digits - 1}e}"
    exponent = int(short.partition("e")[2])
    return f"{float(short):.{max(0, digits - 1 - exponent)}f}" if -3 <= exponent < 5 else short


def with_interval(value: float, ci95: tuple[float, float] | None, unit: str) -> str:
    """Return ``3400 mS/cm (95 %: 1830 to 6310)``; the number alone if its interval is unknown."""
    if ci95 is None or not value or not ci95[0] < ci95[1]:
        return f"{rounded(value, 3)} {unit}"
    ends = " to ".join(rounded(end, 3) for end in ci95)
    return f"{rounded(value, digits_left(value, ci95))} {unit} (95 %: {ends})"
