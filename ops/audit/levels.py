"""Check that all labels of a data set are of one level of theory, as far as the data record it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.dataset import level_of
from dpa_sse.ops.data.formats import files_of, find_format
from dpa_sse.ops.data.incar import LABEL_TAGS, value_text
from dpa_sse.ops.data.level_of_theory import join_levels
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.results.audit import Finding
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.status import TaskStatus


def levels_of(path: Path, form: str) -> list[tuple[str, LevelOfTheory]]:
    """Return the levels of theory that a source records, each with the name of the file that records it.

    Data sets and labelling tasks of this pipeline record it; a vasprun.xml has tags, cutoff and titles of the
    potentials. Other formats have none.
    """
    if form == "vasprun":
        return [(f"{file.parent.name}/{file.name}", _vasprun_level(file)) for file in files_of(path, find_format(form))]
    status = TaskStatus.read_if_there(path) if path.is_dir() else None
    level = level_of(dataset_of(path)) or (status.level if status is not None else None)
    return [(path.resolve().name, level)] if level is not None else []


def check_levels(levels: Sequence[tuple[str, LevelOfTheory]]) -> tuple[tuple[LevelOfTheory, ...], list[Finding]]:
    """Return the distinct levels, and a finding if they must not be mixed."""
    distinct: list[LevelOfTheory] = []
    findings: list[Finding] = []
    for number, (name, level) in enumerate(levels):
        if level not in distinct:
            distinct.append(level)
        try:
            join_levels(one for _, one in levels[: number + 1])
        except FatalError as error:
            if not findings:
                findings.append(
                    Finding(level="unusable", check="settings", message=f"{error} ({name})", frames=(name,))
                )
    return tuple(distinct), findings


def _vasprun_level(file: Path) -> LevelOfTheory:
    from pymatgen.io.vasp.outputs import Vasprun

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Vasprun(
            str(file), parse_dos=False, parse_eigen=False, parse_projected_eigen=False, parse_potcar_file=False,
            exception_on_bad_xml=False,
        )
    tags = {name: value_text(run.incar[name]) for name in LABEL_TAGS if name in run.incar}
    if "ENMAX" in run.parameters:
        tags["ENCUT"] = f"{float(run.parameters['ENMAX']):g}"
    potentials = {title.split()[1].split("_")[0]: title for title in run.potcar_symbols if len(title.split()) > 1}
    return LevelOfTheory(code="VASP", settings=tags, potentials=potentials)
