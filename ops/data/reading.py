"""Labelled data of any known format as blocks: own and foreign data sets, extxyz, outputs of VASP and CP2K."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.account import NOT_CONVERGED, SourceCount
from dpa_sse.ops.data.elements import check_elements
from dpa_sse.ops.data.formats import detect_format, find_format
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.level_of_theory import join_levels, level_notes, mixed_level, with_unstated
from dpa_sse.ops.data.npy import renumber_types
from dpa_sse.ops.data.part import DataPart
from dpa_sse.ops.data.read_extxyz import read_extxyz
from dpa_sse.ops.data.read_outputs import read_output
from dpa_sse.ops.data.read_sets import read_folder, read_hdf5, read_own_dataset
from dpa_sse.ops.data.repeated import copy_notes, drop_repeated_runs
from dpa_sse.ops.data.sources import Source, find_sources
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.status import TaskStatus

MIX_HINT = "; --mix-levels mixes them anyway"


@dataclass
class LabelledData:
    """Blocks with their type map, format, and what a person should know about them.

    Attributes
    ----------
    form : str
        Name of the format; several are joined by a plus sign.
    notes : list of str
        Remarks, among them one line for each source of which something was left out.
    sources : list of SourceCount
        The account of every source.
    levels : list of (str, LevelOfTheory)
        The level of each source that states one.
    level : LevelOfTheory, optional
        Common level of all labels; None if it is not known.
    """

    type_map: list[str]
    blocks: list[SystemData]
    form: str
    notes: list[str] = field(default_factory=list)
    sources: list[SourceCount] = field(default_factory=list)
    levels: list[tuple[str, LevelOfTheory]] = field(default_factory=list)
    level: LevelOfTheory | None = None


def read_data(
    path: Path, form: str | None = None, type_map: Sequence[str] | None = None, *, check_numbers: bool = True,
    mix_levels: bool = False, unnamed: Sequence[str] | None = None,
) -> LabelledData:
    """Return the labelled frames of a file or folder; in a folder, those of everything in and below it.

    Parameters
    ----------
    path : Path
        File or folder in one of `dpa_sse.ops.data.formats.FORMATS`, or the result folder of a step.
    form : str, optional
        Name of the format; recognised if not given. In a folder only data of this format are read.
    type_map : sequence of str, optional
        Elements in their order; by default that of the data, or the order of appearance in files without one.
    check_numbers : bool
        Refuse NaN and cells without volume.
    mix_levels : bool
        Accept labels of different levels of theory.
    unnamed : sequence of str, optional
        Elements of the types of deepmd systems without ``type_map.raw``; by default ``type_map``.

    Raises
    ------
    InputError
        Nothing found, unreadable, wrong shapes, no labels, an element outside ``type_map``, bad numbers, or labels of
        different levels of theory.
    """
    if (path / "dataset" / "dataset.json").is_file():
        path = path / "dataset"
    wanted = find_format(form) if form else None
    notes: list[str] = []
    if path.is_dir():
        sources, notes = find_sources(path, wanted)
    elif wanted is not None and path.exists():
        sources = [Source(wanted.name, path)]
    else:
        sources = [Source(detect_format(path).name, path)]
    parts = _read_parts(sources, path, type_map if unnamed is None else unnamed, notes, check_numbers=check_numbers)
    return _joined(parts, path, type_map, notes, mix_levels=mix_levels)


def _read_parts(
    sources: Sequence[Source], root: Path, type_map: Sequence[str] | None, notes: list[str], *, check_numbers: bool
) -> list[DataPart]:
    """Read all sources; one that cannot be read is left out with a note, unless there is no other."""
    parts: list[DataPart] = []
    problems: list[str] = []
    for source in sources:
        try:
            found = _read_source(source, root, type_map, check_numbers=check_numbers)
            if check_numbers:
                _check_numbers([block for part in found for block in part.blocks], source.path)
            parts += found
        except InputError as error:
            problems += str(error).splitlines()
    if not any(len(block) for part in parts for block in part.blocks):
        problems += [line for part in parts for line in _why_empty(part)]
        raise InputError("\n".join(problems) or f"{root}: no labelled frame in it")
    notes += [f"left out: {line}" for line in problems]
    return parts


def _why_empty(part: DataPart) -> list[str]:
    count = part.count
    if set(count.left_out) == {NOT_CONVERGED}:
        steps = sum(count.left_out.values())
        return [f"{count.path}: no electronically converged step with labels ({steps} not converged)"]
    return count.lines()[:1] or [f"{count.path}: no labelled frame in it"]


def _read_source(
    source: Source, root: Path, type_map: Sequence[str] | None, *, check_numbers: bool
) -> list[DataPart]:
    name = _name(source.path, root)
    if source.form == "dataset":
        return [read_own_dataset(source.path)]
    if source.form in ("npy", "mixed"):
        return [read_folder(source.path, root, type_map, check_numbers=check_numbers)]
    if source.form == "hdf5":
        return [read_hdf5(source.path, type_map, check_numbers=check_numbers)]
    if source.form == "extxyz":
        plain = name.removesuffix(".gz").removesuffix(".extxyz").removesuffix(".xyz")
        parts = read_extxyz(source.path, plain, check_numbers=check_numbers)
        status = TaskStatus.read_if_there(source.path.parent) if any(one.level is None for one in parts) else None
        return [one if status is None or one.level is not None else replace(one, level=status.level) for one in parts]
    return read_output(source, name)


def _name(path: Path, root: Path) -> str:
    """Return the name of a file in a folder of data: its whole relative path, so that no two have the same."""
    return path.name if path == root else path.relative_to(root).as_posix()


def _joined(
    parts: list[DataPart], path: Path, type_map: Sequence[str] | None, notes: list[str], *, mix_levels: bool
) -> LabelledData:
    """Bring all parts to one type map and one level of theory."""
    parts = drop_repeated_runs(parts)
    used_parts = [part for part in parts if part.count.taken]
    elements = list(type_map or dict.fromkeys(name for part in used_parts for name in part.type_map))
    blocks = []
    for part in parts:
        for block in part.blocks:
            used = [part.type_map[kind] for kind in np.unique(block.types)]
            check_elements(used, part.count.path, "; name the elements in type_map.raw")
            blocks.append(
                replace(block, types=renumber_types(block.types, part.type_map, elements, part.count.path))
            )
    named = [(_name(Path(part.count.path), path), part.level) for part in used_parts]
    levels = [(name, level) for name, level in named if level is not None]
    level, remarks = common_level(named, mix_levels=mix_levels)
    remarks += copy_notes(parts) if len(parts) > 1 else []
    lines = [line for part in parts for line in part.count.lines()]
    counts = [part.count for part in parts]
    form = "+".join(dict.fromkeys("npy" if one.form == "dataset" else one.form for one in counts))
    return LabelledData(elements, blocks, form, notes + lines + remarks, counts, levels, level)


def common_level(
    sources: Sequence[tuple[str, LevelOfTheory | None]], *, mix_levels: bool, kind: str = "sources"
) -> tuple[LevelOfTheory | None, list[str]]:
    """Return the level of all labels, and notes.

    Parameters
    ----------
    sources : sequence of tuple
        Name of each source, and its level; None if it does not state one.
    mix_levels : bool
        Accept different levels.
    kind : str
        What they are called in a note.

    Raises
    ------
    InputError
        They differ, and were not to be mixed.
    """
    levels = [(name, level) for name, level in sources if level is not None]
    silent = len(sources) - len(levels)
    notes = [f"{silent} of {len(sources)} {kind} do not state their level of theory"] if levels and silent else []
    joined: LevelOfTheory | None = None
    for name, level in levels:
        try:
            joined = join_levels([joined, level])
        except FatalError as error:
            if not mix_levels:
                raise InputError(f"{error} ({levels[0][0]} and {name}){MIX_HINT}") from error
            mixed = mixed_level(one for _, one in levels)
            return with_unstated(mixed, [one for _, one in sources]), [
                f"mixed on request: {error} ({levels[0][0]} and {name})", *notes
            ]
    return with_unstated(joined, [one for _, one in sources]), [*level_notes(one for _, one in levels), *notes]


def _check_numbers(blocks: Iterable[SystemData], path: Path) -> None:
    for block in blocks:
        for name, values in block.arrays().items():
            if not np.isfinite(values).all():
                raise InputError(f"{path}: {block.system}: {name} contains NaN or infinite numbers")
        if np.any(np.abs(np.linalg.det(block.box)) < 1e-3):
            raise InputError(f"{path}: {block.system}: a cell without volume")
