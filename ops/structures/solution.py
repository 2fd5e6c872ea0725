"""Solid solutions: find a parent with mixed sites for a composition such as Li10Ge0.5Sn0.25Si0.25P2S12.

A composition is compared with the argyrodites Li(6-x)PS(5-x)X(1+x), then with library entries, with entries in which
elements are replaced by others of the same valence, and with the Li10GeP2S12 family, where lithium compensates the
charge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.disorder import DisorderedCell, from_atoms, from_entry
from dpa_sse.ops.structures.library import Entry, cell_from_entry, expand_site, load_entry, names

CLASSES = (("Li",), ("Si", "Ge", "Sn"), ("P",), ("B", "Al", "Ga"), ("As", "Sb"), ("O",), ("S",), ("Cl", "Br", "I"))
HALIDES = CLASSES[-1]
TETRAVALENT = CLASSES[1]
_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?|\.\d+)?")


@dataclass(frozen=True)
class Solution:
    """A parent with mixed sites, and the requested composition (atoms per formula unit)."""

    parent: DisorderedCell
    system: str
    target: Mapping[str, float]


def parse_formula(text: str) -> dict[str, float]:
    """Return the amounts in a formula; zero amounts are left out.

    Raises
    ------
    InputError
        Not a formula, an unknown element, or a repeated element.
    """
    from ase.data import atomic_numbers

    parts = _PART.findall(text)
    if not parts or "".join(element + amount for element, amount in parts) != text:
        raise InputError(f"{text!r} is not a composition: write it like Li10Ge0.5Sn0.5P2S12, with element symbols")
    amounts: dict[str, float] = {}
    for element, amount in parts:
        if element not in atomic_numbers:
            raise InputError(f"{text}: {element!r} is not an element")
        if element in amounts:
            raise InputError(f"{text}: duplicate element {element}")
        amounts[element] = float(amount or 1)
    return {element: amount for element, amount in amounts.items() if amount > 0}


def check_charge(amounts: Mapping[str, float], text: str) -> None:
    """Refuse a composition that is not neutral with formal charges (As and Sb may be +3 or +5)."""
    from dpa_sse.ops.structures.disorder import oxidation_states

    oxidation_states(amounts, text)


def find_solution(text: str, site_disorder: float | None = None) -> Solution:
    """Return the parent for a composition.

    Parameters
    ----------
    text : str
        Composition, for example ``Li5.5PS4.5Cl1.5``.
    site_disorder : float, optional
        Argyrodites: share of the 4c sites that hold halide.

    Raises
    ------
    InputError
        Not a composition, not neutral, or no family of the library matches; the message lists the families.
    """
    target = parse_formula(text)
    entries = [load_entry(name) for name in names()]
    check_charge(target, text)
    argyrodite = argyrodite_solution(target, site_disorder)
    if argyrodite is not None:
        return argyrodite
    if site_disorder is not None:
        raise InputError(f"site_disorder needs an argyrodite Li(6-x)PS(5-x)X(1+x), not {text}")
    for attempt in (_same, _isovalent, _lgps):
        found = attempt(target, entries)
        if found is not None:
            return found
    raise InputError(
        f"{text}: no structure of the library fits this composition (supported: isovalent mixtures of library entries, "
        "argyrodites Li(6-x)PS(5-x)X(1+x), and the Li10GeP2S12 family Li-(Si,Ge,Sn)-P-S-X)"
    )


def _same(target: Mapping[str, float], entries: list[Entry]) -> Solution | None:
    """Return the primary entry with exactly this composition."""
    for entry in entries:
        if entry.primary and _is_multiple(target, _entry_amounts(entry)) and not _family(entry):
            return Solution(from_atoms(cell_from_entry(entry), {}, entry.name), entry.system, target)
    return None


def _isovalent(target: Mapping[str, float], entries: list[Entry]) -> Solution | None:
    """Return the primary entry of which the target is a mixture on sites of equal valence."""
    best: tuple[float, Entry] | None = None
    for entry in entries:
        if not entry.primary or _family(entry):
            continue
        own = _entry_amounts(entry)
        if any(sum(element in group for element in own) > 1 for group in CLASSES):
            continue
        if not _is_multiple(_by_class(target), _by_class(own)):
            continue
        scale = sum(target.values()) / sum(own.values())
        kept = sum(min(amount, scale * own.get(element, 0.0)) for element, amount in target.items())
        if best is None or kept > best[0] + 1e-9:
            best = (kept, entry)
    if best is None:
        return None
    entry = best[1]
    replaced = {element: _mixture(target, _class_of(element)) for element in _entry_amounts(entry)}
    parent = from_atoms(cell_from_entry(entry), replaced, f"{entry.name} mixed")
    return Solution(_scaled(parent, entry, replaced, entries), entry.system, target)


def argyrodite_solution(target: Mapping[str, float], site_disorder: float | None) -> Solution | None:
    """Return the argyrodite with this composition, or None: Li on 48h, halide and free S on 4a and 4c.

    Parameters
    ----------
    target : mapping
        Composition; Li(6-x)PS(5-x)X(1+x).
    site_disorder : float or None
        Share of the 4c sites that hold halide; None lets halide and sulfur mix over 4a and 4c.

    Raises
    ------
    InputError
        The share is not compatible with the amount of halide.
    """
    halides = {element: target[element] / target.get("P", 1) for element in HALIDES if element in target}
    if set(target) - {"Li", "P", "S", *HALIDES} or not halides or not {"Li", "P", "S"} <= set(target):
        return None
    amount = sum(halides.values())
    if abs(amount + target["S"] / target["P"] - 6) > 0.02 or not 0 < amount <= 2:
        return None
    on_4c = amount / 2 if site_disorder is None else site_disorder
    if not -1e-9 <= amount - on_4c <= 1 + 1e-9:
        raise InputError(f"site_disorder {on_4c:g} is not compatible with {amount:g} halide atoms on two sites")
    templates = {element: load_entry(f"Li6PS5{element}_disordered") for element in HALIDES}
    main = max(halides, key=lambda element: (halides[element], element))
    cell = from_entry(templates[main])
    kinds = list(dict.fromkeys((site.position, site.wyckoff) for site in templates[main].sites))
    occupancy = []
    for (_, wyckoff), one in zip(kinds, cell.occupancy, strict=True):
        if wyckoff == "48h":
            occupancy.append({"Li": target["Li"] / target["P"] / 12})
        elif wyckoff in ("4a", "4c"):
            filled = on_4c if wyckoff == "4c" else amount - on_4c
            shares = {element: filled * part / amount for element, part in halides.items()} | {"S": 1 - filled}
            occupancy.append({element: share for element, share in shares.items() if share > 1e-9})
        else:
            occupancy.append(dict(one))
    edge = sum(part * templates[element].lattice[0] for element, part in halides.items()) / amount
    stretch = edge / templates[main].lattice[0]
    name = "argyrodite solid solution"
    parent = DisorderedCell(cell.cell * stretch, cell.positions * stretch, cell.orbit, tuple(occupancy), name)
    if site_disorder is None:
        parent = parent.join([k for k, (_, wyckoff) in enumerate(kinds) if wyckoff in ("4a", "4c")])
    return Solution(parent, f"Li6PS5{main}", target)


def _lgps(target: Mapping[str, float], entries: list[Entry]) -> Solution | None:
    """Return the Li10GeP2S12 structure with mixed tetrahedra and anions; lithium follows from the charge."""
    metals = {element: target[element] for element in TETRAVALENT if element in target}
    anions = {element: target[element] for element in ("S", "O", *HALIDES) if element in target}
    if set(target) - set(metals) - set(anions) - {"Li", "P"} or not metals or "P" not in target:
        return None
    per_twelve = 12 / sum(anions.values())
    tetrahedra = (sum(metals.values()) + target["P"]) * per_twelve
    if not 2.8 <= tetrahedra <= 3.2 or target["P"] * per_twelve < 0.9:
        return None
    # per formula unit the 4d sites hold two tetrahedra, 2b one that is always PS4
    factor = 3 / (sum(metals.values()) + target["P"])
    mixed = {element: amount * factor / 2 for element, amount in metals.items()}
    mixed["P"] = 1 - sum(mixed.values())
    anion_shares = {element: amount / sum(anions.values()) for element, amount in anions.items()}
    charge = 24 * anion_shares.get("S", 0) + 24 * anion_shares.get("O", 0)
    charge += 12 * sum(anion_shares.get(element, 0) for element in HALIDES)
    lithium = charge - 15 + 2 * sum(share for element, share in mixed.items() if element != "P")
    if not 6 < lithium < 14:
        return None
    cell = _with_fourth_lithium(load_entry("Li10GeP2S12_disordered"))
    occupancy = []
    for shares in cell.occupancy:
        if "Ge" in shares:
            occupancy.append(mixed)
        elif "S" in shares:
            occupancy.append(anion_shares)
        elif set(shares) == {"Li"} and shares["Li"] < 1:
            occupancy.append({"Li": min(1.0, (2 * lithium - 4) / 28)})  # 16h, 8f and 4c together
        else:
            occupancy.append(dict(shares))
    replaced = {"Ge": {element: amount / sum(metals.values()) for element, amount in metals.items()}}
    parent = DisorderedCell(cell.cell, cell.positions, cell.orbit, tuple(occupancy), "Li10GeP2S12 solid solution")
    # merge the three kinds of anion sites: small amounts would be lost by rounding on each
    parent = parent.join([k for k, shares in enumerate(occupancy) if "S" in shares])
    return Solution(_scaled(parent, load_entry("Li10GeP2S12"), replaced, entries), "Li10GeP2S12", target)


def _with_fourth_lithium(entry: Entry) -> DisorderedCell:
    """Return the three-site model plus the fourth lithium site, 4c at (0, 0, 1/4) (Kuhn et al. 2013).

    Without it, more than 10 lithium atoms per formula unit would occupy sites only 1.7 A apart.
    """
    cell = from_entry(entry)
    images = expand_site((0.0, 0.0, 0.25), entry.hall_number, cell.cell) @ cell.cell
    orbit = np.concatenate([cell.orbit, np.full(len(images), len(cell.occupancy))])
    return DisorderedCell(
        cell.cell, np.concatenate([cell.positions, images]), orbit, (*cell.occupancy, {"Li": 0.5}), cell.name
    )


def _scaled(
    parent: DisorderedCell, entry: Entry, replaced: Mapping[str, Mapping[str, float]], entries: list[Entry]
) -> DisorderedCell:
    """Scale the parent to the volume interpolated between pure end members of the library (Vegard's law)."""
    own = cell_from_entry(entry).get_volume()
    ratio = 1.0
    for element, shares in replaced.items():
        for other, share in shares.items():
            if other == element:
                continue
            member = _end_member(entry, element, other, entries)
            if member is not None:
                ratio += share * (cell_from_entry(member).get_volume() / own - 1)
    stretch = ratio ** (1 / 3)
    return replace(parent, cell=parent.cell * stretch, positions=parent.positions * stretch)


def _end_member(entry: Entry, element: str, other: str, entries: list[Entry]) -> Entry | None:
    """Return the entry of the same structure type in which ``other`` replaces ``element``."""
    wanted = {other if one == element else one: amount for one, amount in _entry_amounts(entry).items()}
    for candidate in entries:
        same_type = candidate.hall_number == entry.hall_number and len(candidate.sites) == len(entry.sites)
        if candidate.primary and same_type and _is_multiple(wanted, _entry_amounts(candidate)):
            return candidate
    return None


def _family(entry: Entry) -> bool:
    """Return whether an entry belongs to the argyrodites, whose 24g cells are saddle points and not used as parents."""
    return entry.system.startswith("Li6PS5")


def _entry_amounts(entry: Entry) -> dict[str, float]:
    return parse_formula(entry.formula)


def _class_of(element: str) -> tuple[str, ...]:
    return next((group for group in CLASSES if element in group), (element,))


def _by_class(amounts: Mapping[str, float]) -> dict[str, float]:
    result: dict[str, float] = {}
    for element, amount in amounts.items():
        result[_class_of(element)[0]] = result.get(_class_of(element)[0], 0.0) + amount
    return result


def _mixture(target: Mapping[str, float], group: tuple[str, ...]) -> dict[str, float]:
    inside = {element: target[element] for element in group if element in target}
    return {element: amount / sum(inside.values()) for element, amount in inside.items()}


def _is_multiple(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    if set(first) != set(second):
        return False
    ratios = [first[element] / second[element] for element in first]
    return max(ratios) - min(ratios) < 1e-3 * max(ratios)
