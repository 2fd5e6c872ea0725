"""Symmetry operations of a CIF: those it lists, else those of its Hall symbol, its Hermann-Mauguin symbol, its number.

A symbol or number that stands for several settings (origins, axes, cells) is used only if the lattice decides.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import gemmi

LISTED = (
    "_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_space_group_symop_magn_operation_xyz",
)
CENTRED = "_space_group_symop_magn_centering_xyz"
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NAMES = (
    "_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
CODES = ("_space_group_it_coordinate_system_code", "_symmetry_cell_setting_code")
LATTICE_FITS, LATTICE_CONTRADICTS = 1e-3, 0.05  # largest relative change of the metric by an operation
_CODES = {"s": "1", "z": "2"}


@dataclass(frozen=True)
class Operations:
    """Rotations (n, 3, 3) and translations (n, 3) in fractional coordinates, and where they are from."""

    rotations: np.ndarray
    translations: np.ndarray
    origin: str
    notes: tuple[str, ...] = ()


def find_operations(values: Mapping[str, Sequence[str]], cell: np.ndarray) -> Operations:
    """Return the symmetry operations that a CIF states.

    Parameters
    ----------
    values : mapping
        Values of every tag (small letters, dots replaced by underscores); ``?`` and ``.`` are absent.
    cell : ndarray, shape (3, 3)
        Lattice vectors, Angstrom.

    Raises
    ------
    ValueError
        The operations are not a group, do not fit the lattice, or what is stated is unknown, ambiguous or
        contradictory.
    """
    listed = _listed(values)
    number = _number(values)
    names = [_first(values, (tag,)) for tag in NAMES]
    name = next((one for one in names if one), "")
    if listed:
        found, origin, notes = listed, "operations", _differences(listed, name, number)
    elif hall := _first(values, HALL):
        found, origin, notes = _of_hall(hall, name, number), f"Hall symbol {hall!r}", ()
    elif name or number:
        found, origin = _of_setting(name, number, _first(values, CODES), cell)
        notes = ()
    else:
        import gemmi

        found, origin = [gemmi.Op()], "none"
        notes = ("no symmetry is stated, so the listed atoms are taken as the whole cell (P 1)",)
    rotations = np.array([np.array(op.rot) for op in found], float) / found[0].DEN
    translations = np.array([op.tran for op in found], float) / found[0].DEN
    misfit = _misfit(rotations, cell)
    if misfit > LATTICE_CONTRADICTS:
        raise ValueError(f"the lattice does not have the symmetry of the file ({origin}): lengths or angles differ")
    return Operations(rotations, translations, origin, tuple(notes))


def _first(values: Mapping[str, Sequence[str]], tags: Sequence[str]) -> str:
    return next((one.strip() for tag in tags for one in values.get(tag, ()) if one.strip() not in ("", "?", ".")), "")


def _number(values: Mapping[str, Sequence[str]]) -> int:
    text = _first(values, NUMBERS)
    if not text:
        return 0
    if not text.isdigit() or not 1 <= int(text) <= 230:
        raise ValueError(f"the space group number {text!r} is not between 1 and 230")
    return int(text)


def _listed(values: Mapping[str, Sequence[str]]) -> list[gemmi.Op]:
    """Return the listed operations; they must form a group, or the list is cut or damaged."""
    import gemmi

    texts = next(
        (kept for tag in LISTED if (kept := [one for one in values.get(tag, ()) if one.strip() not in ("", "?", ".")])),
        [],
    )
    if not texts:
        return []
    centring = [one for one in values.get(CENTRED, ()) if one.strip() not in ("", "?", ".")]
    found: dict[str, gemmi.Op] = {}
    for text in texts:
        for shift in centring or ["x,y,z"]:
            op = (_operation(shift) * _operation(text)).wrap()
            found.setdefault(op.triplet(), op)
    group = gemmi.GroupOps(list(found.values()))
    group.add_missing_elements()
    if len({op.wrap().triplet() for op in group}) != len(found):
        raise ValueError(f"the {len(found)} listed symmetry operations do not form a group: the list is incomplete")
    return list(found.values())


def _operation(text: str) -> gemmi.Op:
    import gemmi

    parts = re.sub(r"\s", "", text.strip("'\"")).split(",")
    if len(parts) == 4 and parts[3] in ("+1", "-1", "1", "m", "-m", "+m"):  # time reversal: not used by the nuclei
        parts.pop()
    try:
        op = gemmi.Op(",".join(parts))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{text!r} is not a symmetry operation") from error
    if abs(round(float(np.linalg.det(np.array(op.rot) / op.DEN)), 6)) != 1:
        raise ValueError(f"{text!r} is not a symmetry operation")
    return op


def _differences(listed: list[gemmi.Op], name: str, number: int) -> tuple[str, ...]:
    """Return a note if the listed operations are those of another group than the stated one."""
    import gemmi

    group = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(listed))
    wanted = number or next((one.number for one in _named(name)[0]), 0)
    if not wanted or (group is not None and group.number == wanted):
        return ()
    own = f"No. {group.number}" if group is not None else "a setting without a number"
    if group is None and len(listed) == len(list(_entries(wanted)[0].operations())):
        return ()
    return (f"the {len(listed)} listed operations are used: {own}, although space group No. {wanted} is stated",)


def _of_hall(hall: str, name: str, number: int) -> list[gemmi.Op]:
    import gemmi

    try:
        group = gemmi.symops_from_hall(hall.replace("_", " "))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{hall!r} is not a Hall symbol") from error
    own = gemmi.find_spacegroup_by_ops(group)
    named, code = _named(name)
    named = _with_code(named, code)
    if own is not None and number and own.number != number:
        raise ValueError(f"the Hall symbol {hall!r} is of space group No. {own.number}, the stated number is {number}")
    if named and _key(group) not in {_key(one.operations()) for one in named}:
        raise ValueError(f"the Hall symbol {hall!r} and the symbol {name!r} are different settings")
    return list(group)


def _of_setting(name: str, number: int, code: str, cell: np.ndarray) -> tuple[list[gemmi.Op], str]:
    """Return the operations of a Hermann-Mauguin symbol or number that leaves one setting."""
    named, own_code = _named(name)
    if named and number and not any(one.number == number for one in named):
        raise ValueError(f"the symbol {name!r} is of space group No. {named[0].number}, the stated number is {number}")
    if not named and not number:
        raise ValueError(f"unknown space group {name!r}, and neither operations nor a number are given")
    candidates = [one for one in named if not number or one.number == number] or _entries(number)
    stated = repr(name) if named else f"No. {number}"
    code = (own_code or code).lower()
    if code:
        candidates = _with_code(candidates, code)
        if not candidates:
            raise ValueError(f"space group {stated} has no setting {code!r}")
    candidates = [one for one in candidates if _misfit(_rotations(one), cell) < LATTICE_FITS]
    distinct = {_key(one.operations()): one for one in reversed(candidates)}
    if not distinct:
        raise ValueError(f"the lattice does not fit space group {stated} in any of its settings")
    if len(distinct) > 1:
        some = ", ".join(sorted(one.xhm() for one in distinct.values())[:4])
        raise ValueError(
            f"space group {stated} has several settings ({some}{', ...' if len(distinct) > 4 else ''}): give the "
            "full symbol with its setting, the Hall symbol, or the operations"
        )
    one = next(iter(distinct.values()))
    return list(one.operations()), f"space group {one.xhm()}"


def _named(name: str) -> tuple[list[gemmi.SpaceGroup], str]:
    """Return the settings that a Hermann-Mauguin symbol can stand for, and the code of the setting after it."""
    import gemmi

    text = re.sub(r"\((\d)\)", r"\1", name.strip("'\" ").replace("_", " ")).strip()
    text, _, code = (part.strip() for part in text.partition(":"))
    words = text.split()
    if not code and len(words) > 1 and words[-1] in ("S", "Z", "H", "R"):
        text, code = " ".join(words[:-1]), words[-1]
    code = _CODES.get(code.lower(), code.lower())
    if not text:
        return [], code
    spaced, full, short = _tables()
    plain = re.sub(r"\s", "", text).lower()
    found = spaced.get(" ".join(text.lower().split())) or full.get(plain) or short.get(plain)
    if not found:
        other = gemmi.find_spacegroup_by_name(text)
        found = spaced[other.hm.lower()] if other is not None else []
        code = code or ("h" if plain.startswith("h") and other is not None else "")
    return found, code


@functools.cache
def _tables() -> tuple[dict[str, list[gemmi.SpaceGroup]], ...]:
    """Return the settings by symbol: with spaces, without, and without the axes of monoclinic groups."""
    import gemmi

    spaced: dict[str, list[gemmi.SpaceGroup]] = {}
    full: dict[str, list[gemmi.SpaceGroup]] = {}
    short: dict[str, list[gemmi.SpaceGroup]] = {}
    for one in gemmi.spacegroup_table():
        words = one.hm.lower().split()
        spaced.setdefault(" ".join(words), []).append(one)
        full.setdefault("".join(words), []).append(one)
        if 3 <= one.number <= 15:
            short.setdefault("".join(word for word in words if word != "1"), []).append(one)
    return spaced, full, short


def _entries(number: int) -> list[gemmi.SpaceGroup]:
    import gemmi

    return [one for one in gemmi.spacegroup_table() if one.number == number]


def _with_code(candidates: list[gemmi.SpaceGroup], code: str) -> list[gemmi.SpaceGroup]:
    """Return the settings with an origin, axes or cell choice (1, 2, h, r, b1, cab, ...)."""
    if not code:
        return candidates
    return [one for one in candidates if code in (one.ext.strip("\0").lower(), one.qualifier.lower())]


def _key(group: gemmi.GroupOps) -> frozenset[str]:
    return frozenset(op.wrap().triplet() for op in group)


def _rotations(one: gemmi.SpaceGroup) -> np.ndarray:
    operations = one.operations().sym_ops
    return np.array([np.array(op.rot) for op in operations], float) / operations[0].DEN


def _misfit(rotations: np.ndarray, cell: np.ndarray) -> float:
    """Return by how much operations change lengths and angles of the lattice, relative to its lengths."""
    metric = cell @ cell.T
    lengths = np.sqrt(np.diag(metric))
    turned = np.transpose(rotations, (0, 2, 1)) @ metric @ rotations
    return float(np.abs((turned - metric) / np.outer(lengths, lengths)).max())
