"""Templates of LAMMPS inputs: whether they can be read, and have what the pipeline needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpa_sse.ops.core.limits import read_small, regular
from dpa_sse.ops.md.template import TemplateUse, motion_fixes, template_faults
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.schema import Project

MOST_FAULTS = 20


def template_findings(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is wrong with the templates of a project, each with the line in the template."""
    learning, md = project.concurrent_learning, project.md
    if learning and learning.lammps_template:
        moves = {stage.ensemble != "nvt" for stage in learning.stages}
        pressures = {pressure for stage in learning.stages for pressure in stage.pressures_GPa}
        use = TemplateUse(moves.pop() if len(moves) == 1 else None, pressures=len(pressures) > 1)
        yield from _findings(("concurrent_learning", "lammps_template"), learning.lammps_template, base_dir, use)
    if md and md.lammps_template:
        yield from _findings(("md", "lammps_template"), md.lammps_template, base_dir, TemplateUse(moves_cell=False))


def template_remarks(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield fixes of the production runs with which conductivities are not those of the model alone."""
    value = project.md.lammps_template if project.md else None
    if value is None or project.md is None:
        return
    text = project.md.with_texts(base_dir).lammps_template or ""  # it was checked before
    name = "line" if "\n" in value else value
    for line, style in motion_fixes(text):
        yield ("md", "lammps_template"), (
            f"{name}:{line}: fix {style} acts on the motion of the atoms; diffusion "
            "and conductivity are those with it, not those of the model alone"
        )


def _findings(where: KeyPath, value: str, base_dir: Path, use: TemplateUse) -> Iterator[tuple[KeyPath, str]]:
    name, text = "line", value
    if "\n" not in value:
        name = value
        try:
            text = read_small(regular(base_dir / Path(value).expanduser()))
        except (OSError, ValueError) as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            yield where, f"{value}: {reason}"
            return
    for line, fault in template_faults(text, use)[:MOST_FAULTS]:
        yield where, f"{name}:{line}: {fault}"
