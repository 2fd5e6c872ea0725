"""Reader of CIF and magnetic CIF: sites, occupancies and symmetry, every row accounted for.

Ordered and partly occupied files are read by the same rules: one orbit for each crystallographic site, rows at one
place are one site, and an atom within rounding of a special position is moved onto it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from dpa_sse.ops.structures.cif_symmetry import Operations, find_operations
from dpa_sse.ops.structures.elements import element_of_label, element_of_type, labels_with_elements, mixture_of_type
from dpa_sse.ops.structures.formats import plain_text

if TYPE_CHECKING:
    import gemmi

SAME_SITE_A, FARTHEST_SNAP_A = 0.05, 0.3
MOST_OCCUPIED = 1.01  # sums of rounded occupancies are a little above 1
ABSENT = ("", "?", ".")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(\(\d+\))?")


@dataclass(frozen=True)
class CifRow:
    """One row of the list of sites: shares of the elements, fractional position, decimals of both."""

    label: str
    shares: dict[str, float]
    position: np.ndarray
    decimals: int
    share_decimals: int


@dataclass
class CifCell:
    """The cell of a CIF with all images of its sites.

    ``positions`` (n, 3) in Angstrom; ``orbit`` (n) is the number of the site in ``shares`` and ``labels``.
    """

    cell: np.ndarray
    positions: np.ndarray
    orbit: np.ndarray
    shares: list[dict[str, float]]
    labels: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def partial(self) -> str:
        """Return a short text on the partly occupied and mixed sites; empty if there are none."""
        found = {
            " + ".join(f"{element} {share:.3g}" for element, share in sorted(site.items()))
            for site in self.shares
            if len(site) > 1 or any(abs(share - 1.0) > 1e-3 for share in site.values())
        }
        return ", ".join(sorted(found))


def read_cif(path: Path) -> CifCell:
    """Return the cell of the one structure in a CIF.

    Raises
    ------
    ValueError
        Not a CIF, not one structure, or something in it is missing, ambiguous or contradictory; one line.
    """
    values = _structure_block(path)
    cell = _cell(values)
    operations = find_operations(values, cell)
    notes = list(operations.notes)
    rows = _rows(values, notes)
    result = _expand(cell, operations, rows, notes)
    notes += _formula_note(values, result)
    return result


def _structure_block(path: Path) -> dict[str, list[str]]:
    """Return the values of each tag of the block with sites; tags in small letters, dots as underscores."""
    from gemmi import cif

    text = plain_text(path)
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char in "\n\t" else " " for char in text)
    try:
        document = cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        line = re.search(r"(?:string|:)[^:]*?:(\d+)", str(error))
        reason = str(error).strip().rsplit(": ", 1)[-1].splitlines()[0]
        raise ValueError(f"line {line[1]}: {reason}" if line else reason) from error
    blocks = [_values(block) for block in document]
    with_sites = [one for one in blocks if "_atom_site_fract_x" in one]
    if not with_sites:
        cartesian = any("_atom_site_cartn_x" in one for one in blocks)
        raise ValueError("Cartesian coordinates without fractional ones" if cartesian else "no list of atom sites")
    if len(with_sites) > 1:
        raise ValueError(f"holds {len(with_sites)} structures; exactly one is needed")
    modulation = with_sites[0].get("_cell_modulation_dimension", ["0"])[0]
    if modulation not in (*ABSENT, "0"):
        raise ValueError("a modulated structure: give a commensurate approximant")
    return with_sites[0]


def _values(block: gemmi.cif.Block) -> dict[str, list[str]]:
    from gemmi import cif

    found: dict[str, list[str]] = {}
    for item in block:
        if item.pair is not None:
            tag, value = cast("list[str]", item.pair)
            columns = {tag: [value]}
        elif item.loop is not None:
            width = item.loop.width()
            columns = {tag: item.loop.values[k::width] for k, tag in enumerate(item.loop.tags)}
        else:
            continue
        for tag, column in columns.items():
            found[tag.lower().replace(".", "_")] = [cif.as_string(one) if one not in ABSENT else one for one in column]
    return found


def _number(text: str, what: str) -> float:
    """Return a number without its standard uncertainty."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{what} is {text!r}, not a number")
    number = float(found[1] + (found[2] or "")) * (-1 if text.strip().startswith("-") else 1)
    if not math.isfinite(number):
        raise ValueError(f"{what} is {text!r}, which is too large")
    return number


def _decimals(text: str) -> int:
    fraction = re.match(r"[+-]?\d*\.?(\d*)", text.strip())
    return len(fraction[1]) if fraction else 0


def _cell(values: Mapping[str, Sequence[str]]) -> np.ndarray:
    from ase.geometry.cell import cellpar_to_cell

    kinds = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    tags = [f"_cell_{kind}" for kind in kinds]
    missing = [tag for tag in tags if values.get(tag, ["?"])[0] in ABSENT]
    if missing:
        raise ValueError(f"{', '.join(missing)} missing")
    numbers = [_number(values[tag][0], tag) for tag in tags]
    if min(numbers[:3]) <= 0 or not all(0 < angle < 180 for angle in numbers[3:]):
        raise ValueError("the lengths of the cell must be positive and its angles between 0 and 180 degrees")
    cosines = np.cos(np.radians(numbers[3:]))
    if 1 - cosines @ cosines + 2 * cosines.prod() < 1e-6:
        raise ValueError("no cell has the stated angles")
    return np.asarray(cellpar_to_cell(numbers))


def _rows(values: Mapping[str, Sequence[str]], notes: list[str]) -> list[CifRow]:
    """Return the rows of the list of sites."""
    axes = [values.get(f"_atom_site_fract_{axis}", ()) for axis in "xyz"]
    count = len(axes[0])
    if not count or {len(axis) for axis in axes} != {count}:
        raise ValueError("the list of sites is empty or lacks coordinates")
    labels = _column(values, "_atom_site_label", count) or [f"row {k + 1}" for k in range(count)]
    types = _column(values, "_atom_site_type_symbol", count) or ["?"] * count
    shares, named = _occupancies(values, count, notes)
    dummies = _column(values, "_atom_site_calc_flag", count) or ["."] * count
    elements = _elements(labels, types, [flag.lower() == "dum" for flag in dummies], notes)
    left_out = [label for label, flag in zip(labels, dummies, strict=True) if flag.lower() == "dum"]
    notes += [f"dummy sites left out: {', '.join(left_out)}"] if left_out else []
    rows = []
    for k, (label, own) in enumerate(zip(labels, elements, strict=True)):
        if own is None:
            continue
        texts = [axis[k] for axis in axes]
        unknown = [text for text in texts if text in ABSENT]
        if unknown:
            raise ValueError(f"site {label} has no coordinates ({' '.join(texts)}): add them or remove the row")
        position = np.array([_number(text, f"a coordinate of site {label}") for text in texts])
        share = 1.0 if shares[k] in ABSENT else _number(shares[k], f"{named} of site {label}")
        if share < 0:
            listed = " + ".join(f"{element} {share * part:.3g}" for element, part in own.items())
            raise ValueError(
                f"site {label}: the occupancies of a site must add up to between 0 and 1, found {listed}"
            )
        if share == 0:
            notes.append(f"site {label} left out: occupancy 0")
            continue
        digits = 6 if shares[k] in ABSENT else _decimals(shares[k])
        rows.append(CifRow(label, {element: share * part for element, part in own.items()}, position,
                           min(_decimals(text) for text in texts if not _is_simple(text)) if
                           not all(map(_is_simple, texts)) else 6, digits))
    if not rows:
        raise ValueError("no site is occupied")
    return rows


def _is_simple(text: str) -> bool:
    """Return whether a coordinate is exact as written: a multiple of 1/8."""
    value = _number(text, "a coordinate") * 8
    return abs(value - round(value)) < 1e-9


def _column(values: Mapping[str, Sequence[str]], tag: str, count: int) -> list[str]:
    column = list(values.get(tag, ()))
    if column and len(column) != count:
        raise ValueError(f"{tag} has {len(column)} values for {count} sites")
    return column


def _occupancies(values: Mapping[str, Sequence[str]], count: int, notes: list[str]) -> tuple[list[str], str]:
    """Return the column of occupancies; one with a slightly wrong name is used, and said."""
    tag = "_atom_site_occupancy"
    if tag not in values:
        other = [one for one in values if one.startswith("_atom_site_occ")]
        if len(other) > 1:
            raise ValueError(f"several columns of occupancies: {', '.join(other)}")
        if not other:
            return ["."] * count, tag
        notes.append(f"{other[0]} taken as {tag}")
        tag = other[0]
    return _column(values, tag, count), tag


def _elements(
    labels: Sequence[str], types: Sequence[str], skipped: Sequence[bool], notes: list[str]
) -> list[dict[str, float] | None]:
    """Return the shares of elements of every row: of its type symbol, else of its label; None for skipped rows."""
    of_labels = labels_with_elements(labels)
    result: list[dict[str, float] | None] = []
    unknown, swapped, isotopes = [], [], []
    for label, text, own, skip in zip(labels, types, of_labels, skipped, strict=True):
        found = {one: 1.0} if (one := element_of_type(text)) else mixture_of_type(text)
        if not found and text in ABSENT and own:
            found = {own: 1.0}
        elif not found and own and own == element_of_label(text):  # columns exchanged, or labels in both
            found = {own: 1.0}
            swapped.append(text)
        if not found and not skip:
            unknown.append(f"{label} ({text})" if text not in ABSENT else label)
        if re.fullmatch(r"[DT]\d*[+-]?", text if text not in ABSENT else label):
            isotopes.append(label)
        result.append(None if skip else found)
    if unknown:
        raise ValueError(
            f"the element of {', '.join(unknown[:6])}{', ...' if len(unknown) > 6 else ''} is not certain: add "
            "_atom_site_type_symbol"
        )
    notes += [f"type symbols {', '.join(sorted(set(swapped))[:4])} read as labels"] if swapped else []
    notes += [f"isotopes of hydrogen taken as H: {', '.join(isotopes[:4])}"] if isotopes else []
    return result


def _expand(cell: np.ndarray, operations: Operations, rows: Sequence[CifRow], notes: list[str]) -> CifCell:
    """Return all images of the sites; rows at one place are one site."""
    groups: list[np.ndarray] = []
    farthest = 0.0
    for row in rows:
        unit = 0.5 * 10.0**-row.decimals * float(np.linalg.norm(cell, axis=1).max())
        images, moved = _images(row.position, operations, cell, min(max(SAME_SITE_A, 4 * unit), FARTHEST_SNAP_A))
        groups.append(images)
        farthest = max(farthest, moved)
    if farthest > SAME_SITE_A:
        notes.append(f"rounded coordinates: atoms moved by up to {farthest:.2f} Angstrom onto special positions")
    member = _same_places(cell, groups)
    kept: list[int] = sorted(set(member))
    shares = [_site([row for row, own in zip(rows, member, strict=True) if own == first]) for first in kept]
    labels = [" + ".join(row.label for row, own in zip(rows, member, strict=True) if own == first) for first in kept]
    everything = [groups[first] for first in kept]
    orbit = np.repeat(np.arange(len(kept)), [len(group) for group in everything])
    return CifCell(cell, np.concatenate(everything) @ cell, orbit, shares, labels, notes)


def _images(
    position: np.ndarray, operations: Operations, cell: np.ndarray, tolerance_A: float
) -> tuple[np.ndarray, float]:
    """Return all images of a site (fractional), and how far it was moved onto a special position (Angstrom)."""
    moved = operations.rotations @ position + operations.translations
    shift = moved - position
    shift -= np.rint(shift)
    own = np.linalg.norm(shift @ cell, axis=1) < tolerance_A
    exact = position + shift[own].mean(axis=0)
    images = (operations.rotations @ exact + operations.translations) % 1.0
    images[np.isclose(images, 1.0, atol=1e-9)] = 0.0
    if own.sum() == len(own) or len(images) == 1:
        return images[:1], float(np.linalg.norm((exact - position) @ cell))
    difference = images[:, None] - images[None]
    difference -= np.rint(difference)
    same = np.linalg.norm(difference @ cell, axis=-1) < 0.5 * SAME_SITE_A
    first = np.argmax(same, axis=1) == np.arange(len(images))
    return images[first], float(np.linalg.norm((exact - position) @ cell))


def _same_places(cell: np.ndarray, groups: Sequence[np.ndarray]) -> list[int]:
    """Return for every row the first row with the same images (itself if there is no earlier one)."""
    from scipy.spatial import cKDTree

    everything = np.concatenate(groups) % 1.0
    row = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    tree = cKDTree(np.minimum(everything, np.nextafter(1.0, 0)), boxsize=1.0)
    member = list(range(len(groups)))
    reach = SAME_SITE_A / float(np.linalg.svd(cell, compute_uv=False).min())  # fractional
    for i, j in sorted(tree.query_pairs(min(reach, 0.49))):
        a, b = sorted((int(row[i]), int(row[j])))
        difference = everything[i] - everything[j]
        difference -= np.rint(difference)
        if a != b and len(groups[a]) == len(groups[b]) and np.linalg.norm(difference @ cell) < SAME_SITE_A:
            member[b] = min(member[b], member[a])
    return member


def _site(rows: Sequence[CifRow]) -> dict[str, float]:
    """Return the shares of the elements on a site; rounded shares of a full site add up to 1."""
    parts = [(element, share) for row in rows for element, share in row.shares.items()]
    total = math.fsum(share for _, share in parts)
    rounding = sum(0.5 * 10.0**-row.share_decimals * len(row.shares) for row in rows) if len(parts) > 1 else 0.0
    if total > max(MOST_OCCUPIED, 1 + rounding) + 1e-9:
        listed = " + ".join(f"{element} {share:.3g}" for element, share in parts)
        named = ", ".join(row.label for row in rows)
        raise ValueError(
            f"site {named}: the occupancies of a site must add up to between 0 and 1, found {listed}, which add up to "
            "more than 1"
        )
    shares: dict[str, float] = {}
    for element, share in parts:
        shares[element] = shares.get(element, 0.0) + share
    if total > 1 or 1 - total <= rounding + 1e-9:
        shares = {element: share / total for element, share in shares.items()}
    return shares


def _formula_note(values: Mapping[str, Sequence[str]], found: CifCell) -> list[str]:
    """Return a note if the sites do not add up to the formula that the file states."""
    text = values.get("_chemical_formula_sum", ["?"])[0]
    parts = re.findall(r"([A-Z][a-z]?)\s*(\d*\.?\d*)", text)
    stated: dict[str, float] = {}
    for element, amount in parts:
        name = "H" if element == "D" else element
        stated[name] = stated.get(name, 0.0) + (float(amount) if amount.strip(".") else 1.0)
    if text in ABSENT or not stated or sum(stated.values()) == 0:
        return []
    own: dict[str, float] = {}
    for k, shares in enumerate(found.shares):
        for element, share in shares.items():
            own[element] = own.get(element, 0.0) + share * int((found.orbit == k).sum())
    total, whole = sum(own.values()), sum(stated.values())
    off = max(abs(own.get(one, 0.0) / total - stated.get(one, 0.0) / whole) for one in {*own, *stated})
    if off < 0.02:
        return []
    amounts = " ".join(f"{element}{amount:.4g}" for element, amount in sorted(own.items()))
    return [f"the sites give {amounts}, the formula of the file is {text!r}"]
