"""Labelled frames of an extxyz file as blocks, with an account."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import Account
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.extxyz_labels import NoLabelsError, labels_of
from dpa_sse.ops.data.part import DataPart
from dpa_sse.ops.data.plain_text import SUFFIXES, read_text
from dpa_sse.ops.results.dataset import SPLITS, Split
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.structures.extxyz import read_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

LEVEL_KEY = "level_of_theory"
_COMMENT = re.compile(r"\b(Lattice|Properties)\s*=", re.IGNORECASE)


def read_extxyz(path: Path, trajectory: str, *, check_numbers: bool = True) -> list[DataPart]:
    """Read the labelled frames of an extxyz file, those of each level of theory as a part.

    Parameters
    ----------
    path : Path
        The file, compressed or not.
    trajectory : str
        Name of the trajectory for frames that name none.
    check_numbers : bool
        Leave out frames with numbers that are not finite.

    Raises
    ------
    InputError
        Not extxyz, no labelled frame, or labels that cannot be told apart.
    """
    account = Account(path, "extxyz")
    frames = _frames(path, account)
    whole = "cut off" in account.left_out or path.suffix in SUFFIXES or _ends_with_newline(path)
    if frames and not whole:
        frames.pop()
        account.leave_out("cut off")
        account.note("the last line is not terminated; the file may be truncated (if not, add a line feed at its end)")
    taken: list[Atoms] = []
    families: dict[str, int] = {}
    problem = ""
    for number, atoms in enumerate(frames):
        where = f"{path}: frame {number}"
        if not atoms.pbc.all() or atoms.cell.rank < 3:
            account.leave_out("not periodic")
            problem = problem or f"{where}: not periodic in three directions"
            continue
        try:
            family, unread = _prepare(atoms, where)
        except NoLabelsError as error:
            account.leave_out("without labels")
            problem = problem or f"{where}: {error}"
            continue
        if check_numbers and not _finite(atoms):
            account.leave_out("with numbers that are not finite")
            problem = problem or f"{where}: contains NaN or infinite numbers"
            continue
        families.setdefault(family, number)
        if unread:
            account.note(f"not read: {', '.join(unread)}")
        atoms.info.setdefault("system", atoms.get_chemical_formula("metal", empirical=True))
        atoms.info.setdefault("trajectory", trajectory)
        taken.append(atoms)
    account.taken = len(taken)
    if len(families) > 1:
        words = " and ".join(f"{name or 'plain'} keys (frame {number})" for name, number in list(families.items())[:2])
        raise InputError(f"{path}: frames with labels of two methods: {words}; keep one of them")
    if not taken:
        raise InputError(problem or f"{path}: no complete frame in it")
    if problem:
        account.note(problem.removeprefix(f"{path}: "))
    levels: dict[str, list[Atoms]] = {}
    for atoms in taken:
        levels.setdefault(str(atoms.info.get(LEVEL_KEY)), []).append(atoms)
    account.taken = 0
    parts = []
    for own in levels.values():
        account.taken += len(own)
        parts.append(_part(own, path, account))
        account = Account(path, "extxyz")  # what was left out counts once
    return parts


def _part(taken: list[Atoms], path: Path, account: Account) -> DataPart:
    """Return frames of one level of theory as blocks."""
    elements = _named_elements(taken)
    groups: dict[Split, list[Atoms]] = {}
    for atoms in taken:
        groups.setdefault(_split_of(atoms, path), []).append(atoms)
    blocks = [block for split, own in groups.items() for block in frames_to_blocks(own, elements, split)]
    return DataPart(elements, blocks, account.result(), _level_of(taken[0]))


def _frames(path: Path, account: Account) -> list[Atoms]:
    """Return all frames; of a file with broken ones, those that are sound."""
    try:
        return read_frames(path)
    except InputError as error:
        lines = read_text(path)[0].splitlines(keepends=True)
        starts = [k for k in range(len(lines) - 1) if lines[k].strip().isdigit() and _COMMENT.search(lines[k + 1])]
        found = []
        for start, stop in pairwise([*starts, len(lines)]):
            try:
                found.append(_frame("".join(lines[start:stop])))
            except Exception as broken:  # ASE's readers raise anything
                last = stop == len(lines)
                account.leave_out("cut off" if last else "broken")
                why = next(iter(str(broken).splitlines()), type(broken).__name__)
                account.note(f"the frame at line {start + 1} is {'incomplete' if last else 'broken'}: {why[:80]}")
        if not found:
            raise error
        return found


def _frame(text: str) -> Atoms:
    """Return the one frame of a text.

    Raises
    ------
    Exception
        It is damaged; whatever ASE raises.
    """
    from ase.io import read

    count = int(text.split("\n", 1)[0])
    if len(text.splitlines()) != count + 2:
        raise ValueError(f"{len(text.splitlines()) - 2} lines for {count} atoms")
    one = read(io.StringIO(text), index=0, format="extxyz")
    assert not isinstance(one, list)  # noqa: S101  (for the type checker)
    return one


def _finite(atoms: Atoms) -> bool:
    """Return whether cell, positions and labels of a frame are finite."""
    results = atoms.calc.results if atoms.calc is not None else {}
    values = [atoms.cell.array, atoms.positions, *results.values(), atoms.info.get("virial", 0.0)]
    return all(np.isfinite(np.asarray(one, float)).all() for one in values)


def _prepare(atoms: Atoms, where: str) -> tuple[str, list[str]]:
    """Bring a frame into our form; return the family of its keys, and the keys that were not read."""
    from ase.calculators.singlepoint import SinglePointCalculator

    labels = labels_of(atoms, where)
    atoms.calc = SinglePointCalculator(atoms)
    atoms.calc.results = {"energy": labels.energy, "forces": labels.forces}
    atoms.info.pop("virial", None)
    if labels.virial is not None:
        atoms.info["virial"] = labels.virial
    return labels.family, labels.unread


def _level_of(atoms: Atoms) -> LevelOfTheory | None:
    given = atoms.info.get(LEVEL_KEY)
    try:
        return None if given is None else LevelOfTheory.model_validate(
            given if isinstance(given, dict) else json.loads(str(given))
        )
    except (ValidationError, ValueError):
        return None


def _split_of(atoms: Atoms, path: Path) -> Split:
    given = str(atoms.info.get("split", SPLITS[0]))
    split = next((one for one in SPLITS if one == given), None)
    if split is None:
        raise InputError(f"{path}: split {given} of a frame is not one of {', '.join(SPLITS)}")
    return split


def _named_elements(frames: Sequence[Atoms]) -> list[str]:
    """Return the type map named in the frames, completed by further elements in order of appearance."""
    named = next((str(atoms.info["type_map"]).split() for atoms in frames if "type_map" in atoms.info), [])
    return list(dict.fromkeys([*named, *(symbol for atoms in frames for symbol in atoms.get_chemical_symbols())]))


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, io.SEEK_END)
        return stream.read(1) in b"\n\r"

