"""What a person names on the command line: a model, a reference, structures; found, checked, opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.models.names import names_version
from dpa_sse.ops.models.where import open_registry
from dpa_sse.ops.potential.describe import choose_branch, describe_model
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.results.model_file import ModelFile
from dpa_sse.ops.validation.gates.base import ModelFiles, Potential, Reference

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.data.frames import SystemData

MODEL_NAMES = ("model_compressed.pth", "model.pth", "model.pt2", "model.pt")
SUFFIXES = (".pt", ".pth", ".pt2")
TEST, MOST_STRUCTURES = "test", 3


@dataclass(frozen=True)
class FoundModel:
    """A model of the command line: the file under test, its description, and the other files of its folder."""

    path: Path
    description: ModelFile
    files: ModelFiles

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements of the branch."""
        return self.description.used_branch(self.files.branch).type_map


def find_model(place: Path, branch: str = "", option: str = "--branch") -> FoundModel:
    """Return the model of a file, of a model folder, or of the registry (``name@version``).

    What is deployed is under test, the other files are compared. ``option`` names the branch on the command line.

    Raises
    ------
    InputError
        There is no model, it cannot be read, or a branch is missing or unknown.
    """
    if names_version(str(place)) and not place.exists():
        place = open_registry().open(str(place)).folder
    path = place
    if place.is_dir():
        found = [place / name for name in MODEL_NAMES if (place / name).is_file()]
        if not found:
            raise InputError(f"{place}: no model in this folder ({', '.join(MODEL_NAMES)})")
        path = found[0]
    description = describe_model(path)
    if description.kind == "checkpoint" and path.suffix != ".pt":
        raise InputError(f"{path}: is a checkpoint, whose name must end in .pt; rename it")
    if description.kind == "frozen" and path.suffix != ".pth":
        raise InputError(f"{path}: is a frozen model, whose name must end in .pth; rename it")
    if not next(use.possible for use in description.uses if use.use == "LAMMPS"):
        raise InputError(f"{path}: {description.uses[0].how}")
    recorded = ModelInfo.read_if_there(place if place.is_dir() else place.parent) if not branch else None
    named = branch or (recorded.branch if recorded else None) or ""
    # a frozen file has one branch: the name is that of the checkpoint beside it
    chosen = _chosen(description, "" if place.is_dir() and not description.multi_task else named, path, option)
    precision = description.used_branch(chosen).precision or "float64"
    if not place.is_dir():
        name = {"checkpoint": "checkpoint", "frozen": "frozen", "package": "frozen"}[description.kind]
        return FoundModel(path, description, ModelFiles(**{name: path}, branch=chosen, precision=precision))
    files = {
        key: place / name for key, name in (
            ("checkpoint", "model.pt"), ("frozen", "model.pt2"), ("frozen", "model.pth"),
            ("compressed", "model_compressed.pth"),
        ) if (place / name).is_file()
    }
    if "checkpoint" in files and path != files["checkpoint"]:
        chosen = _chosen(describe_model(files["checkpoint"]), named, files["checkpoint"], option)
    return FoundModel(path, description, ModelFiles(**files, branch=chosen, precision=precision))


def _chosen(description: ModelFile, wanted: str, path: Path, option: str) -> str:
    try:
        return choose_branch(description, wanted)
    except InputError as error:
        raise InputError(f"{path}: {error}{'' if wanted else f' ({option} NAME)'}") from error


def open_found(found: FoundModel) -> Potential:
    """Open the file under test."""
    from dpa_sse.ops.validation.gates.potentials import DeepPotential

    branch = found.files.branch if found.description.kind == "checkpoint" else ""
    return DeepPotential(found.path, branch)


NO_STRUCTURE = (
    "--structure NAME: name the material to test (a library name or a structure file); without it, the reference must "
    "be labelled data"
)


def has_structures(reference: str) -> bool:
    """Return whether a reference is labelled data, which hold cells; nothing is opened."""
    path = Path(reference)  # a model of the registry is not there
    return bool(reference) and path.exists() and path.suffix not in (".yaml", ".yml") and not _is_model(path)


def _is_model(path: Path) -> bool:
    return path.suffix in SUFFIXES or (path.is_dir() and any((path / name).is_file() for name in MODEL_NAMES))


def find_reference(
    text: str, branch: str, elements: Sequence[str], work: Path, type_map: Sequence[str],
    tell: Callable[[str], None] | None = None,
) -> Reference:
    """Return the reference of the command line: a model, a labeler, or labelled data.

    Parameters
    ----------
    text : str
        Model file or folder; ``chgnet`` or ``module:Class``; YAML file with a section ``labeler``; labelled data.
    branch : str
        Of a multi-task model.
    elements : sequence of str
        Of the structures.
    work : Path
        Folder for the files of a labeler.
    type_map : sequence of str
        Elements of the model under test.
    tell : callable, optional
        Gets a line about MD of a model that was kept; without it, none is.

    Raises
    ------
    InputError
        It is not one of these, or cannot be read.
    """
    path = Path(text)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _labeler(_labeler_section(path), str(path), elements, work, path.parent)
    if names_version(text) and not path.exists():
        path = open_registry().open(text).folder
    if not path.exists():
        if ":" in text or text.isidentifier():
            return _labeler({"kind": "ase", "calculator": text}, text, elements, work, Path())
        raise InputError(f"--reference {text}: no such model, data or labeler")
    if _is_model(path):
        potential = _other_model("--reference", path, branch, elements)
        if tell is not None:
            keep_md(find_model(path, branch), potential, tell)
        return Reference(text, potential)
    return Reference(str(path), None, *_data(path, type_map))


def keep_md(found: FoundModel, potential: Potential, tell: Callable[[str], None]) -> None:
    """Keep the MD of a reference model beside it, and reuse what is there; ``tell`` gets a line about either."""
    from dpa_sse.ops.core.files import sha256_file
    from dpa_sse.ops.training.train import deepmd_version
    from dpa_sse.ops.validation.gates.stored_md import StoredMd, place_for

    potential.stored = StoredMd(
        place_for(found.path), sha256_file(found.path), found.files.branch, deepmd_version(), tell
    )


def _other_model(option: str, place: Path, branch: str, elements: Sequence[str]) -> Potential:
    """Return a model that the one under test is compared with; it must know some elements.

    Raises
    ------
    InputError
        It cannot be read, its branch is missing, or it does not know an element.
    """
    try:
        found = find_model(place, branch, f"{option}-branch")
    except InputError as error:
        raise InputError(f"{option} {place}: {str(error).removeprefix(f'{place}: ')}") from error
    if missing := sorted(set(elements) - set(found.elements)):
        raise InputError(f"{option} {place}: does not know {', '.join(missing)} of the structures")
    return open_found(found)


@dataclass(frozen=True)
class Comparisons:
    """What else of the command line a model is compared with; None or empty where nothing is given.

    Attributes
    ----------
    training : Path or None
        Data that it was trained on.
    before, from_scratch : Path or None
        The model before its fine-tuning; a model that was trained on the same labels from scratch.
    before_branch : str
        Branch of ``before``.
    base : Path or None
        Labelled frames of the systems of ``before``.
    phases : sequence of Atoms
        Competing phases.
    """

    training: Path | None = None
    before: Path | None = None
    before_branch: str = ""
    base: Path | None = None
    from_scratch: Path | None = None
    phases: Sequence[Atoms] = ()


def with_comparisons(reference: Reference, given: Comparisons, elements: Sequence[str]) -> Reference:
    """Return a reference that also knows what some gates compare with.

    Parameters
    ----------
    reference : Reference
    given : Comparisons
    elements : sequence of str
        Of the structures.

    Raises
    ------
    InputError
        Something is not there, or cannot be read.
    """
    found = reference
    if given.training is not None:
        found = with_training(found, given.training)
    if given.before is not None:
        found = replace(found, before=_other_model("--before", given.before, given.before_branch, ()))
    if given.base is not None:
        if given.before is None:
            raise InputError("--base DATA: needs the model before the fine-tuning, --before MODEL")
        blocks, type_map = _blocks_of("--base", given.base, TEST)
        found = replace(found, base=blocks, base_type_map=type_map)
    if given.from_scratch is not None:
        found = replace(found, from_scratch=_other_model("--from-scratch", given.from_scratch, "", elements))
    return replace(found, phases=given.phases)


def _blocks_of(option: str, path: Path, split: str) -> tuple[list[SystemData], list[str]]:
    """Return labelled frames of a split where there is one, else all."""
    from dpa_sse.ops.data.reading import read_data

    if not path.exists():
        raise InputError(f"{option} {path}: no such data")
    found = read_data(path)
    blocks = [block for block in found.blocks if block.split == split] or found.blocks
    return [one for one in blocks if len(one)], found.type_map


def _data(path: Path, type_map: Sequence[str]) -> tuple[list[SystemData], list[str]]:
    """Return labelled frames: the test set where there is one, else all."""
    from dpa_sse.ops.data.reading import read_data

    found = read_data(path)
    blocks = [block for block in found.blocks if block.split == TEST] or found.blocks
    known = set(type_map)
    usable = [block for block in blocks if {found.type_map[k] for k in block.types} <= known and len(block)]
    if not usable:
        names = sorted({found.type_map[k] for block in blocks for k in block.types} - known)
        raise InputError(f"--reference {path}: the model does not know {', '.join(names)}, which all frames have")
    return usable, found.type_map


def with_training(reference: Reference, path: Path) -> Reference:
    """Return a reference that also knows the frames that the model was trained on: the training set, or all."""
    blocks, type_map = _blocks_of("--training", path, "train")
    return replace(reference, training=blocks, training_type_map=type_map)


def _labeler_section(path: Path) -> dict[str, Any]:
    from dpa_sse.ops.core.limits import read_small_yaml

    try:
        data = read_small_yaml(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--reference {path}: cannot be read: {error}") from error
    section = data.get("labeler", data) if isinstance(data, dict) else None
    if not isinstance(section, dict) or "kind" not in section:
        raise InputError(f"--reference {path}: has no section `labeler` with a `kind`")
    return section


def _labeler(
    section: dict[str, Any], name: str, elements: Sequence[str], work: Path, base_dir: Path
) -> Reference:
    from pydantic import ValidationError

    from dpa_sse.ops.labelers.registry import labeler_problems, make_labeler, parse_labeler, with_model
    from dpa_sse.ops.validation.gates.potentials import LabelerPotential

    try:
        settings = parse_labeler(section)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"--reference {name}: labeler.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for key, message in labeler_problems(settings, list(elements), base_dir):
        raise InputError(f"--reference {name}: {'.'.join(('labeler', *key))}: {message}")
    if settings.model_file:
        settings = with_model(settings, base_dir / Path(getattr(settings, settings.model_file)).expanduser())
    return Reference(
        name, LabelerPotential(make_labeler(settings.with_texts(base_dir)), name, elements, work)
    )


def find_structures(names: Sequence[str], base_dir: Path, seed: int, data: Reference | None = None) -> list[Atoms]:
    """Return the cells to test: library names or files, else one cell of each composition of the data.

    Raises
    ------
    InputError
        A structure cannot be built, or none is named and there are no data.
    """
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.settings import SystemSettings

    cells = []
    for name in names:
        system = SystemSettings(name=_plain(name), structure=name)
        cells.append(build_cell(system, base_dir, seed))
        cells[-1].info.setdefault("system", system.name)
    if not cells and data is not None and data.data:
        cells = _cells_of_data(data)
    if not cells:
        raise InputError(NO_STRUCTURE)
    return cells


def _plain(name: str) -> str:
    kept = "".join(letter if letter.isalnum() or letter in "._+-" else "-" for letter in Path(name).stem or name)
    return (kept.strip("-.") or "cell")[:60]


def _cells_of_data(data: Reference) -> list[Atoms]:
    """Return the frame with the smallest forces of each composition, at most a few."""
    import numpy as np
    from ase import Atoms

    best: dict[str, tuple[float, Atoms]] = {}
    for block in data.data:
        symbols = [data.type_map[k] for k in block.types]
        size = np.abs(block.force).max(axis=(1, 2))
        k = int(np.argmin(size))
        atoms = Atoms(symbols, positions=block.coord[k], cell=block.box[k], pbc=True, info={"system": block.system})
        name = atoms.get_chemical_formula()
        if name not in best or size[k] < best[name][0]:
            best[name] = (float(size[k]), atoms)
    return [atoms for _, atoms in list(best.values())[:MOST_STRUCTURES]]


def untrained(found: FoundModel, structures: Sequence[Atoms]) -> list[str]:
    """Return the elements of structures of which the training data of a model had none, as far as the file says."""
    seen = found.description.used_branch(found.files.branch).elements_with_data
    here = {symbol for atoms in structures for symbol in atoms.get_chemical_symbols()}
    return [] if seen is None else sorted(here & set(found.elements) - set(seen))


def check_elements(found: FoundModel, structures: Sequence[Atoms]) -> None:
    """Refuse structures with elements that the model does not know.

    Raises
    ------
    InputError
    """
    for atoms in structures:
        if missing := sorted(set(atoms.get_chemical_symbols()) - set(found.elements)):
            known = " ".join(found.elements) if len(found.elements) <= 20 else f"{len(found.elements)} elements"
            raise InputError(
                f"{found.path}: does not know {', '.join(missing)} of {atoms.info.get('system', 'the structure')}; "
                f"it knows {known}"
            )
