"""Whether all labels of a data set are of one level of theory, as far as the data says."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.audit.frames import Finding
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.data.formats import files_of, find_format
from dpa_sse.ops.data.incar import LABEL_TAGS, value_text
from dpa_sse.ops.data.level_of_theory import Level, join_levels
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.results.status import TaskStatus


def levels_of(path: Path, form: str) -> list[tuple[str, Level]]:
    """Return what a source says about the level of its labels, with a name for each statement.

    Data sets and labelling tasks of this pipeline record it; a vasprun.xml holds tags, cutoff and titles of the
    potentials. Other formats say nothing.
    """
    if form == "vasprun":
        return [(f"{file.parent.name}/{file.name}", _vasprun_level(file)) for file in files_of(path, find_format(form))]
    file = dataset_of(path) / "dataset.json"
    status = TaskStatus.read_if_there(path)
    level: Level | None = read_json(file).get("level") if file.is_file() else None
    if level is None and status is not None:
        level = status.level
    return [(path.resolve().name, level)] if level is not None else []


def check_levels(levels: Sequence[tuple[str, Level]]) -> tuple[list[Level], list[Finding]]:
    """Return the distinct levels, and a finding when they can not be mixed."""
    distinct: list[Level] = []
    findings: list[Finding] = []
    for number, (name, level) in enumerate(levels):
        if level not in distinct:
            distinct.append(level)
        try:
            join_levels(one for _, one in levels[: number + 1])
        except FatalError as error:
            if not findings:
                findings.append(Finding("unusable", "settings", f"{error} ({name})", [name]))
    return distinct, findings


def _vasprun_level(file: Path) -> Level:
    from pymatgen.io.vasp.outputs import Vasprun

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Vasprun(
            str(file), parse_dos=False, parse_eigen=False, parse_projected_eigen=False, parse_potcar_file=False,
            exception_on_bad_xml=False,
        )
    tags: dict[str, Any] = {name: value_text(run.incar[name]) for name in LABEL_TAGS if name in run.incar}
    if "ENMAX" in run.parameters:
        tags["ENCUT"] = f"{float(run.parameters['ENMAX']):g}"
    potentials = {title.split()[1].split("_")[0]: title for title in run.potcar_symbols if len(title.split()) > 1}
    return {"code": "VASP", "settings": tags, "potentials": potentials}
