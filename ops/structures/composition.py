"""Whole numbers of atoms for partly occupied sites: the nearest neutral composition, and how many atoms fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.disorder import DisorderedCell, oxidation_states

FULL = 0.999
MOBILE = "Li"
ROUNDING_E = 0.1  # a smaller charge of the requested amounts comes from rounded occupancies
LARGEST, SUM, SITES, FIRST = 100.0, 1.0, 0.01, 1e-6  # weights: largest error, their sum, site by site, earlier sites
CAPACITY_SECONDS = 20.0


def integer_counts(
    cell: DisorderedCell, most: Mapping[tuple[int, str], int] | None = None
) -> tuple[dict[str, int], ...]:
    """Return the number of atoms of each element on each orbit: the neutral composition nearest to the occupancies.

    All sites are rounded together. The largest difference between requested and actual number of atoms of an element
    counts first, then the sum of these differences, then the occupancies of the single sites. Where the requested
    amounts are not neutral, the request for lithium is changed first.

    Parameters
    ----------
    cell : DisorderedCell
        Supercell with its occupancies.
    most : mapping, optional
        Upper limits by orbit and element, where fewer atoms fit than there are sites.

    Raises
    ------
    InputError
        An element has no known oxidation state, or no neutral composition fits the sites.
    """
    states = oxidation_states(cell.amounts(), cell.name)
    sites = np.bincount(cell.orbit, minlength=len(cell.occupancy))
    counts: list[dict[str, int]] = [{} for _ in cell.occupancy]
    variables: list[tuple[int, str, float]] = []  # orbit, element ('' is empty), ideal number
    for k, shares in enumerate(cell.occupancy):
        empty = 1.0 - sum(shares.values())
        if not shares or not sites[k]:
            continue
        if len(shares) == 1 and empty < 1 - FULL:
            counts[k] = {next(iter(shares)): int(sites[k])}
            continue
        parts = {**shares, **({"": empty} if empty >= 1 - FULL else {})}
        variables += [(k, element, share * sites[k]) for element, share in sorted(parts.items())]
    if variables:
        numbers = _nearest(cell, states, counts, variables, most or {})
        for (k, element, _), number in zip(variables, numbers, strict=True):
            if element:
                counts[k][element] = number
    elif charge := sum(states[element] * number for one in counts for element, number in one.items()):
        raise InputError(f"{cell.name}: charge {charge:+d}, and every site is fully occupied")
    return tuple(counts)


def _nearest(
    cell: DisorderedCell, states: Mapping[str, int], fixed: list[dict[str, int]],
    variables: list[tuple[int, str, float]], most: Mapping[tuple[int, str], int],
) -> list[int]:
    """Return the value of every variable, by mixed-integer linear programming."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    wanted = cell.amounts()
    charge = sum(amount * states[element] for element, amount in wanted.items())
    if abs(charge) > ROUNDING_E and any(element == MOBILE for _, element, _ in variables):
        wanted[MOBILE] -= charge  # the least certain occupancies of a refinement
    elements = sorted(wanted)
    n, m = len(variables), len(elements)
    width = n + m + 1 + n  # numbers, error of each element, largest error, error of each number
    sites = np.bincount(cell.orbit, minlength=len(cell.occupancy))
    rows, low, high = [], [], []

    def add(row: np.ndarray, lower: float, upper: float) -> None:
        rows.append(row)
        low.append(lower)
        high.append(upper)

    for k in sorted({orbit for orbit, _, _ in variables}):
        add(np.array([float(i < n and variables[i][0] == k) for i in range(width)]), sites[k], sites[k])
    charge = sum(states[element] * number for one in fixed for element, number in one.items())
    add(np.array([states.get(variables[i][1], 0) if i < n else 0 for i in range(width)], float), -charge, -charge)
    for j, element in enumerate(elements):
        own = np.array([float(i < n and variables[i][1] == element) for i in range(width)])
        already = sum(one.get(element, 0) for one in fixed)
        if own.any() and wanted[element] >= 0.5:
            add(own, 1 - already, np.inf)  # no element is lost
        for sign in (1.0, -1.0):
            row = sign * own
            row[n + j] = -1.0
            add(row, -np.inf, sign * (wanted[element] - already))
        row = np.zeros(width)
        row[n + j], row[n + m] = 1.0, -1.0
        add(row, -np.inf, 0.0)
    for i, (_, _, ideal) in enumerate(variables):
        for sign in (1.0, -1.0):
            row = np.zeros(width)
            row[i], row[n + m + 1 + i] = sign, -1.0
            add(row, -np.inf, sign * ideal)
    cost = np.concatenate([FIRST * np.arange(n), np.full(m, SUM), [LARGEST], np.full(n, SITES)])
    upper = np.full(width, np.inf)
    upper[:n] = [min(sites[k], most.get((k, element), sites[k])) for k, element, _ in variables]
    result = milp(
        cost, constraints=LinearConstraint(np.array(rows), low, high), bounds=Bounds(np.zeros(width), upper),
        integrality=(np.arange(width) < n).astype(int), options={"mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise InputError(
            f"{cell.name}: no neutral composition fits the partly occupied sites; use a larger supercell or another "
            "fraction"
        )
    return [round(float(value)) for value in result.x[:n]]


def capacity(contacts: np.ndarray) -> int:
    """Return an upper limit of the number of sites that can be occupied without a contact.

    Parameters
    ----------
    contacts : ndarray, shape (n, n)
        Nonzero where two sites are too close. The limit is exact unless the search takes more than 20 seconds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    i, j = np.nonzero(np.triu(contacts, 1))
    n = len(contacts)
    if not len(i):
        return n
    edges = np.arange(len(i))
    matrix = coo_array((np.ones(2 * len(i)), (np.concatenate([edges, edges]), np.concatenate([i, j]))), (len(i), n))
    result: Any = milp(
        -np.ones(n), constraints=LinearConstraint(matrix.tocsr(), -np.inf, 1.0), bounds=Bounds(0, 1),
        integrality=np.ones(n), options={"time_limit": CAPACITY_SECONDS},
    )
    bound = result.mip_dual_bound if result.mip_dual_bound is not None else -n
    return int(np.floor(-float(bound) + 1e-6))
