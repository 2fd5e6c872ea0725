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


def shared_elements(project: Project, cells: Mapping[str, Atoms]) -> Iterator[tuple[KeyPath, str]]:
    """Yield targets that share a student although their elements differ."""
    first: tuple[int, set[str]] | None = None
    for index, target in enumerate(project.targets):
        if target.student != "shared" or any(one.name not in cells for one in target.systems):
            continue
        here = {symbol for one in target.systems for symbol in cells[one.name].get_chemical_symbols()}
        first = first or (index, here)
        if here != first[1]:
            yield ("targets", index, "student"), (
                f"cannot be shared with targets.{first[0]}: its elements are {', '.join(sorted(here))}, those of "
                f"targets.{first[0]} {', '.join(sorted(first[1]))}; a student of both would never have seen the "
                "elements of one beside those of the other, and is good at neither"
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


def unseen_by_model(project: Project, base_dir: Path, cells: Mapping[str, Atoms]) -> Iterator[tuple[KeyPath, str]]:
    """Yield elements of simulated systems of which the training data of a model of the user had none.

    A remark only: a model that was fine-tuned may have lost what its file says about the data before.
    """
    from dpa_sse.ops.potential.describe import describe_model

    own = project.md.own_model if project.md else None
    model = own or (project.pretrain.model if project.pretrain else None)
    where: KeyPath = ("md", "model") if own else ("pretrain", "model")
    if not model or is_remote(model) or not (base_dir / Path(model).expanduser()).is_file() or project.finetune:
        return
    try:
        described = describe_model(base_dir / Path(model).expanduser())
    except InputError:
        return  # reported elsewhere
    branch = project.pretrain.branch if project.pretrain and not own else ""
    seen = described.used_branch(branch).elements_with_data
    if seen is None:
        return
    tuned = {one.name for target in project.targets if target.finetune for one in target.systems}
    here = {
        symbol for one in project.target_systems if one.name in cells and one.name not in tuned
        for symbol in cells[one.name].get_chemical_symbols()
    }
    if missing := sorted(here - set(seen)):
        yield where, (
            f"the training data of this model had no {', '.join(missing)}, as far as its file says, but the simulated "
            "systems have: expect runs that are wrong or explode"
        )
