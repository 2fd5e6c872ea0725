"""The data of an audit: files and folders as one set, each data set of a run separately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import SourceCount
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.reading import read_data
from dpa_sse.ops.results.level import LevelOfTheory

RUN_FILE = "config.resolved.yaml"


@dataclass
class DataGroup:
    """Data that are audited as one set: blocks with one type map, and the origin of each block."""

    title: str
    type_map: list[str]
    blocks: list[SystemData]
    sources: list[str]
    forms: list[str]
    notes: list[str] = field(default_factory=list)
    levels: list[tuple[str, LevelOfTheory]] = field(default_factory=list)
    counts: list[SourceCount] = field(default_factory=list)


def gather_groups(
    paths: Sequence[Path], form: str | None = None, type_map: Sequence[str] | None = None
) -> list[DataGroup]:
    """Read data for an audit.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders in any known format form one set; the data sets of a run folder stay separate, since their
        labels differ on purpose (reference, downstream, teacher).
    form : str, optional
        Format of the files and folders.
    type_map : sequence of str, optional
        Elements of the types of systems that do not name them.

    Raises
    ------
    InputError
        One line for everything that cannot be read.
    """
    groups, problems, plain = [], [], []
    for path in paths:
        if not (path / RUN_FILE).is_file():
            plain.append(path)
            continue
        sets = [folder for folder in sorted((path / "data").glob("*")) if folder.is_dir()]
        if not sets:
            problems.append(f"{path}: this run has no data set yet")
        for folder in sets:
            try:
                groups.append(_group(f"{path.resolve().name}/{folder.name}", [folder], None, type_map))
            except InputError as error:
                problems.append(str(error))
    if plain:
        try:
            groups.insert(0, _group(", ".join(path.resolve().name for path in plain), plain, form, type_map))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return groups


def _group(title: str, paths: Sequence[Path], form: str | None, type_map: Sequence[str] | None) -> DataGroup:
    """Read several sources and bring them to one type map."""
    loaded, problems = [], []
    for path in paths:
        try:
            loaded.append((path, read_data(path, form, check_numbers=False, mix_levels=True, unnamed=type_map)))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    elements = list(dict.fromkeys(name for _, data in loaded for name in data.type_map))
    group = DataGroup(title, elements, [], [], [data.form for _, data in loaded])
    for path, data in loaded:
        index = np.array([elements.index(name) for name in data.type_map])
        for block in data.blocks:
            block.types = index[block.types]
            group.blocks.append(block)
            group.sources.append(path.resolve().name)
        group.notes += data.notes
        group.levels += data.levels
        group.counts += data.sources
    return group
