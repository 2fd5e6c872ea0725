"""Elements of simulated systems that no training data has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.config.data_check import data_systems
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.config.schema import Project

if TYPE_CHECKING:
    from ase import Atoms

MOST_FOLDERS = 200
"""Of data with more folders, some may have the element: nothing is said."""


def untrained_elements(
    project: Project, base_dir: Path, cells: Mapping[str, Atoms]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield systems with elements that the pre-trained model has not seen, and that no fine-tuning adds.

    Parameters
    ----------
    project : Project
    base_dir : Path
    cells : mapping
        Cells of the systems that could be built, by name.
    """
    if project.pretrain is None or project.pretrain.model is not None or project.simulates_only:
        return
    known = _trained_on(project, base_dir, cells)
    if known is None:
        return
    places: list[tuple[KeyPath, str]] = []
    if not project.finetune:
        places = [(("simulate", index), one.name) for index, one in enumerate(project.simulate)]
    for index, target in enumerate(project.targets):
        if not target.finetune:
            places += [(("targets", index, "systems", k), one.name) for k, one in enumerate(target.systems)]
    for where, name in places:
        here = set(cells[name].get_chemical_symbols()) if name in cells else set()
        if found := sorted(here & set(project.type_map) - known):
            them = "it" if len(found) == 1 else "them"
            yield (*where, "structure"), (
                f"no training data has {', '.join(found)}, so the pre-trained model knows nothing about {them}: add a "
                f"compound of {them} to `systems` or `data`, or fine-tune for this one"
            )


def _trained_on(project: Project, base_dir: Path, cells: Mapping[str, Atoms]) -> set[str] | None:
    """Return the elements of the training data; None where they are not all known here."""
    from dpa_sse.ops.data.npy import elements_of

    if any(one.name not in cells for one in project.systems) or any(map(is_remote, project.data)):
        return None
    found = {symbol for one in project.systems for symbol in cells[one.name].get_chemical_symbols()}
    for name in project.data:
        folders = list(islice(data_systems(base_dir / Path(name).expanduser()), MOST_FOLDERS + 1))
        if len(folders) > MOST_FOLDERS:
            return None
        try:
            found |= {element for folder in folders for element in elements_of(folder)}
        except (InputError, OSError, ValueError):
            return None  # reported elsewhere
    return found
