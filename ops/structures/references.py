"""The compounds of the library into which a composition can decompose, with their amounts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.library import load_entry, names
from dpa_sse.ops.structures.solution import parse_formula

TIERS = ("binary", "metal", "ternary")


def references(formula: str, tiers: tuple[str, ...] = ("binary", "metal")) -> dict[str, float]:
    """Return amounts of library compounds that add up to a composition.

    Parameters
    ----------
    formula : str
        Composition, for example ``Li6PS5Cl``; the compound itself is never among the references.
    tiers : tuple of str
        Allowed parts of the library: binary, metal, ternary.

    Returns
    -------
    dict
        Entry name to formula units for each formula unit of ``formula``, e.g. Li6PS5Cl: 2.5 Li2S, 0.5 P2S5, 1 LiCl.
        One solution with non-negative amounts; there may be others. Which compounds are stable depends on their
        energies and is not considered here.

    Raises
    ------
    InputError
        The allowed compounds do not add up to the composition.
    """
    from scipy.optimize import nnls

    target = parse_formula(formula)
    elements = sorted(target)
    candidates = [entry for entry in map(load_entry, names()) if entry.primary and entry.tier in tiers]
    amounts = [(entry.name, parse_formula(entry.formula)) for entry in candidates]
    usable = [(name, own) for name, own in amounts if set(own) <= set(elements) and not _same(own, target)]
    wanted = np.array([target[element] for element in elements])
    if usable:
        matrix = np.array([[own.get(element, 0.0) for _, own in usable] for element in elements])
        shares, residual = nnls(matrix, wanted)
        if residual < 1e-6 * np.linalg.norm(wanted):
            return {name: round(float(x), 6) for (name, _), x in zip(usable, shares, strict=True) if x > 1e-6}
    raise InputError(f"{formula}: the {' and '.join(tiers)} compounds of the library do not add up to it")


def _same(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    if set(first) != set(second):
        return False
    ratios = [first[element] / second[element] for element in first]
    return max(ratios) - min(ratios) < 1e-6 * max(ratios)
