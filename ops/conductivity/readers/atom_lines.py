"""Compiled parser of the atom lines of a LAMMPS text dump. Import it inside functions: numba loads slowly."""

from __future__ import annotations

import numpy as np

from dpa_sse.ops.conductivity.kernels import compiled


@compiled()
def _number(buffer, position, end):  # noqa: ANN001, ANN202, PLR0912
    """Parse one decimal number; return (value, new position). A malformed field gives NaN."""
    negative = False
    if position < end and (buffer[position] == 45 or buffer[position] == 43):
        negative = buffer[position] == 45
        position += 1
    mantissa, scale, digits = 0, 0, 0
    seen_point = False
    start = position
    while position < end:
        c = buffer[position]
        if 48 <= c <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + (c - 48)
                if mantissa > 0:
                    digits += 1
                if seen_point:
                    scale -= 1
            elif not seen_point:
                scale += 1
        elif c == 46 and not seen_point:
            seen_point = True
        else:
            break
        position += 1
    if position - start <= seen_point:  # a sign or a point alone
        return np.nan, position
    if position < end and (buffer[position] == 101 or buffer[position] == 69):
        position += 1
        exponent_negative = False
        if position < end and (buffer[position] == 45 or buffer[position] == 43):
            exponent_negative = buffer[position] == 45
            position += 1
        exponent, first = 0, position
        while position < end and 48 <= buffer[position] <= 57:
            exponent = exponent * 10 + (buffer[position] - 48)
            position += 1
        if position == first:
            return np.nan, position
        scale += -exponent if exponent_negative else exponent
    value = float(mantissa)
    if scale < 0:
        value = value / 10.0 ** (-scale) if scale < -22 else value / POWERS[-scale]
    elif scale > 0:
        value = value * 10.0**scale
    if position < end and buffer[position] > 32:
        return np.nan, position
    return (-value if negative else value), position


POWERS = np.array([10.0**k for k in range(23)])


@compiled()
def parse_atoms(buffer, start, end, n_atoms, roles, output):  # noqa: ANN001, ANN201
    """Parse the atom lines of one LAMMPS frame.

    Parameters
    ----------
    buffer : (n,) uint8
    start, end : int, part of the buffer to read
    n_atoms : int
    roles : (columns,) int64, index into ``output`` for each column or -1 to skip it
    output : (n_atoms, values) float64, written in file order

    Returns
    -------
    int
        Position after the last line; -1 if the buffer ends before it; -2 for a line with too few columns.
    """
    position = start
    for i in range(n_atoms):
        for column in range(roles.shape[0]):
            while position < end and (buffer[position] == 32 or buffer[position] == 9):
                position += 1
            if position >= end:
                return -1
            if buffer[position] == 10 or buffer[position] == 13:
                return -2
            if roles[column] >= 0:
                value, position = _number(buffer, position, end)
                output[i, roles[column]] = value
            while position < end and buffer[position] > 32:
                position += 1
        while position < end and buffer[position] != 10:
            position += 1
        if position >= end:
            return -1
        position += 1
    return position
