"""The configuration that a run folder holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.limits import read_small
from dpa_sse.pipeline.runs.folder import CONFIG, Run

if TYPE_CHECKING:
    from dpa_sse.pipeline.config import Located
    from dpa_sse.pipeline.config.schema import Project


def load_run_config(run: Run) -> Located:
    """Load the configuration of a run folder; its relative paths mean the same files as at the first start."""
    from dpa_sse.pipeline.config import load_located

    located = load_located(run.folder / CONFIG)
    return dataclasses.replace(located, path=run.base_dir / CONFIG)


def require_same_project(run: Run, project: Project) -> None:
    """Refuse a run folder that another project has: no common system, or elements of which neither has all others.

    A system or an element more, or another length of MD, is the same project.

    Raises
    ------
    InputError
        It names what differs, and the ways out.
    """
    before = _plain(run)
    elements, systems = set(map(str, before.get("type_map") or ())), _systems(before.get("systems"))
    own = {(system.name, Path(system.structure).name) for system in project.systems}
    new = set(project.type_map)
    differences = []
    if elements and not (elements <= new or new <= elements):
        differences.append(f"elements {', '.join(sorted(elements))}")
    if systems and own and not systems & own:
        differences.append(f"systems {', '.join(sorted(name for name, _ in systems)[:5])}")
    if differences:
        raise InputError(printable(
            f"{run.folder} is the run folder of another project ({'; '.join(differences)}): give this one another name "
            "(--name), or take the folder over with --other-project"
        ))


def _plain(run: Run) -> dict[str, Any]:  # foreign: a configuration of any version
    """Return the configuration in a run folder as it is written; empty if there is none that can be read."""
    import yaml

    try:
        found = yaml.safe_load(read_small(run.folder / CONFIG))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _systems(found: object) -> set[tuple[str, str]]:
    """Return name and structure (of a file, its name) of the systems of a configuration."""
    if not isinstance(found, list):
        return set()
    return {(str(one.get("name")), Path(str(one.get("structure"))).name) for one in found if isinstance(one, dict)}
