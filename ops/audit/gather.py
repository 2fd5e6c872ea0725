"""What an audit looks at: any data, several folders as one set, or each data set of a run by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dpa_sse.ops.audit.settings import levels_of
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.dataset import SystemData
from dpa_sse.ops.data.level_of_theory import Level
from dpa_sse.ops.data.reading import read_data

RUN_FILE = "config.resolved.yaml"


@dataclass
class DataGroup:
    """Data that is judged as one set: blocks with one type map, and where each block comes from."""

    title: str
    type_map: list[str]
    blocks: list[SystemData]
    sources: list[str]
    forms: list[str]
    notes: list[str] = field(default_factory=list)
    levels: list[tuple[str, Level]] = field(default_factory=list)


def gather_groups(
    paths: Sequence[Path], form: str | None = None, type_map: Sequence[str] | None = None
) -> list[DataGroup]:
    """Read data for an audit.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders in any known format are one set; of a run folder each data set is one of its own (they
        differ in their labels on purpose: reference, downstream, teacher).
    form : str, optional
        Format of the files and folders.
    type_map : sequence of str, optional
        The elements that the data may hold; an element outside is a finding, not an error.

    Raises
    ------
    InputError
        Everything that can not be read, a line each.
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
                groups.append(_group(f"{path.resolve().name}/{folder.name}", [folder], None))
            except InputError as error:
                problems.append(str(error))
    if plain:
        try:
            groups.insert(0, _group(", ".join(path.resolve().name for path in plain), plain, form))
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return groups


def _group(title: str, paths: Sequence[Path], form: str | None) -> DataGroup:
    """Read several sources and bring them to one type map."""
    loaded, problems = [], []
    for path in paths:
        try:
            loaded.append((path, read_data(path, form, check_numbers=False)))
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
        group.levels += levels_of(path, data.form)
    return group
