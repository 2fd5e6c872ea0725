"""Labelled data of any known format as blocks: own and foreign data sets, extxyz, outputs of VASP and CP2K."""

from __future__ import annotations

import contextlib
import gzip
import io
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.data.convert import frames_to_blocks, same_virial, virial_of_stress
from dpa_sse.ops.data.dataset import level_of, read_dataset
from dpa_sse.ops.data.formats import DataFormat, detect_format, files_of, find_format
from dpa_sse.ops.data.frames import SystemData, merge_blocks
from dpa_sse.ops.data.npy import (
    GroupStore,
    Store,
    folder_stores,
    load_system,
    own_type_map,
    renumber_types,
    walk_groups,
)
from dpa_sse.ops.results.dataset import SPLITS, Split
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.structures.extxyz import read_frames

if TYPE_CHECKING:
    from ase import Atoms

DPDATA_NAMES = {
    "vasprun": "vasp/xml", "outcar": "vasp/outcar", "cp2k": "cp2kdata/e_f", "cp2k-md": "cp2kdata/md",
}
FOREIGN_KEYS = ("REF_", "ref_", "dft_", "DFT_")  # prefixes of labels in extxyz files of other programs
STRESS_AGREES = 1e-3  # relative, between stress and virial of one frame


@dataclass
class LabelledData:
    """Blocks with their type map, format, notes for the user, and level of theory."""

    type_map: list[str]
    blocks: list[SystemData]
    form: str
    notes: list[str] = field(default_factory=list)
    level: LevelOfTheory | None = None


def read_data(
    path: Path, form: str | None = None, type_map: Sequence[str] | None = None, *, check_numbers: bool = True
) -> LabelledData:
    """Return the labelled frames of a file or folder.

    Parameters
    ----------
    path : Path
        File or folder in one of `dpa_sse.ops.data.formats.FORMATS`, or the result folder of a step.
    form : str, optional
        Name of the format; recognised if not given.
    type_map : sequence of str, optional
        Elements in their order; by default that of the data, or the order of appearance in files without one.
    check_numbers : bool
        Refuse NaN and cells without volume.

    Raises
    ------
    InputError
        Nothing found, unreadable, wrong shapes, no labels, an element outside ``type_map``, or bad numbers.
    """
    if (path / "dataset" / "dataset.json").is_file():
        path = path / "dataset"
    found = find_format(form) if form else detect_format(path)
    if found.name in ("npy", "mixed"):
        data = _read_folders(path, found, type_map, check_numbers=check_numbers)
    elif found.name == "hdf5":
        data = _read_hdf5(files_of(path, found), type_map, check_numbers=check_numbers)
    elif found.name == "extxyz":
        data = _read_extxyz(files_of(path, found), type_map)
    else:
        data = _read_dft(path, found, type_map)
    if not any(len(block) for block in data.blocks):
        raise InputError(f"{path}: no labelled frame in it")
    if check_numbers:
        _check_numbers(data.blocks, path)
    return data


def _read_folders(
    path: Path, form: DataFormat, type_map: Sequence[str] | None, *, check_numbers: bool
) -> LabelledData:
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if (path / "dataset.json").is_file():
        try:
            own, blocks = read_dataset(path)
        except (PipelineError, ValueError, OSError) as error:
            raise InputError(f"{path}: dataset.json and the npy files do not match: {error}") from error
        for block in blocks:
            block.types = renumber_types(block.types, own, type_map or own, str(path))
        return LabelledData(list(type_map or own), blocks, "npy", level=level_of(path))
    return _from_stores(folder_stores(path), path, form.name, type_map, check_numbers=check_numbers)


def _read_hdf5(files: Sequence[Path], type_map: Sequence[str] | None, *, check_numbers: bool) -> LabelledData:
    import h5py

    with contextlib.ExitStack() as stack:
        stores: list[Store] = []
        for file in files:
            try:
                root = stack.enter_context(h5py.File(file, "r"))
            except OSError as error:
                raise InputError(f"{file}: not readable as HDF5: {str(error).splitlines()[0]}") from error
            stores += [GroupStore(file, group) for group in walk_groups(root)]
        return _from_stores(stores, files[0], "hdf5", type_map, check_numbers=check_numbers)


def _from_stores(
    stores: Sequence[Store], path: Path, form: str, type_map: Sequence[str] | None, *, check_numbers: bool
) -> LabelledData:
    if not stores:
        raise InputError(f"{path}: no deepmd system found (no type.raw in or below it)")
    elements = list(type_map or own_type_map(stores))
    name = path.resolve().stem if form == "hdf5" else path.resolve().name
    blocks, problems = [], []
    for store in stores:
        try:
            blocks += load_system(store, elements, name, check_numbers=check_numbers)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return LabelledData(elements, blocks, form)


def _read_extxyz(files: Sequence[Path], type_map: Sequence[str] | None) -> LabelledData:
    frames: list[Atoms] = []
    notes = []
    for file in files:
        own = read_frames(file)
        if file.stat().st_size and not _ends_with_newline(file):
            notes.append(f"{file}: the last line is not terminated; the file may be truncated")
        for number, atoms in enumerate(own):
            _prepare(atoms, file, number)
        frames += own
    elements = list(type_map or _named_elements(frames))
    groups: dict[Split, list[Atoms]] = {}
    for atoms in frames:
        given = str(atoms.info.get("split", SPLITS[0]))
        split = next((one for one in SPLITS if one == given), None)
        if split is None:
            raise InputError(f"{files[0]}: split {given} of a frame is not one of {', '.join(SPLITS)}")
        groups.setdefault(split, []).append(atoms)
    blocks = [block for split, own in groups.items() for block in frames_to_blocks(own, elements, split)]
    return LabelledData(elements, blocks, "extxyz", notes)


def _prepare(atoms: Atoms, file: Path, number: int) -> None:
    """Bring a frame of a foreign file into our form, or report what is missing."""
    from ase.calculators.singlepoint import SinglePointCalculator

    where = f"{file}: frame {number}"
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    for prefix in FOREIGN_KEYS:
        for name, place in (("energy", atoms.info), ("stress", atoms.info), ("forces", atoms.arrays)):
            if name not in results and f"{prefix}{name}" in place:
                results[name] = place[f"{prefix}{name}"]
        if "virial" not in atoms.info and f"{prefix}virial" in atoms.info:
            atoms.info["virial"] = np.reshape(atoms.info[f"{prefix}virial"], (3, 3))
    missing = [name for name in ("energy", "forces") if name not in results]
    if missing:
        has = ", ".join(sorted({*atoms.info, *atoms.arrays} - {"positions", "numbers"})) or "nothing"
        raise InputError(f"{where}: no {' and no '.join(missing)} (it has: {has})")
    if np.shape(results["forces"]) != (len(atoms), 3) or np.size(results["energy"]) != 1:
        raise InputError(f"{where}: energy or forces have the wrong shape")
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError(f"{where}: not periodic in three directions")
    atoms.calc = SinglePointCalculator(atoms)
    atoms.calc.results = {key: results[key] for key in ("energy", "forces", "stress") if key in results}
    atoms.calc.results["energy"] = float(np.reshape(results["energy"], ())[()])
    given = atoms.info.get("virial")
    if given is not None and np.size(given) != 9:
        raise InputError(f"{where}: the virial holds {np.size(given)} numbers, not 9")
    if given is not None and "stress" in results:
        expected = virial_of_stress(np.asarray(results["stress"], float), atoms.get_volume())
        if not same_virial(np.reshape(given, (3, 3)), expected, STRESS_AGREES):
            raise InputError(f"{where}: stress and virial contradict each other (virial = -stress * volume)")
    atoms.info.setdefault("system", atoms.get_chemical_formula("metal", empirical=True))
    atoms.info.setdefault("trajectory", file.stem)


def _named_elements(frames: Sequence[Atoms]) -> list[str]:
    """Return the type map named in the frames, completed by further elements in order of appearance."""
    named = next((str(atoms.info["type_map"]).split() for atoms in frames if "type_map" in atoms.info), [])
    return list(dict.fromkeys([*named, *(symbol for atoms in frames for symbol in atoms.get_chemical_symbols())]))


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as stream:
        stream.seek(-1, io.SEEK_END)
        return stream.read(1) in b"\n\r"


def _read_dft(path: Path, form: DataFormat, type_map: Sequence[str] | None) -> LabelledData:
    files = [path] if form.name == "cp2k-md" else files_of(path, form)
    systems, problems, notes = [], [], []
    for file in files:
        try:
            system, remarks = _load_dft(file, form.name)
        except InputError as error:
            problems.append(str(error))
            continue
        notes += [f"{file}: {line}" for line in remarks]
        if "virials" not in system.data:
            notes.append(f"{file}: no virials: the run printed no stress, or not where it is expected")
        systems.append((file, system))
    if problems:
        raise InputError("\n".join(problems))
    elements = list(type_map or dict.fromkeys(name for _, system in systems for name in system["atom_names"]))
    blocks = [_block_of(system, elements, file, len(files) > 1) for file, system in systems]
    return LabelledData(elements, merge_blocks(blocks), form.name, notes)


def _load_dft(file: Path, form: str) -> tuple[Any, list[str]]:
    """Read one output with dpdata; return the system and the warnings of dpdata."""
    import dpdata

    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            with _unpacked(file) as plain:
                more: dict[str, Any] = {"cp2k_output_name": _log_of(plain).name} if form == "cp2k-md" else {}
                system = dpdata.LabeledSystem(str(plain), fmt=DPDATA_NAMES[form], **more)
        except (Exception, SystemExit) as error:  # the readers raise whatever the parsing hits; cp2kdata exits
            text = str(error).strip().splitlines()
            raise InputError(
                f"{file}: not readable as {form}, or truncated: {type(error).__name__}{': ' + text[0] if text else ''}"
            ) from error
    remarks = [str(one.message).splitlines()[0] for one in caught if "unconverged" in str(one.message)]
    if "coords" not in system.data or not len(system):
        raise InputError(f"{file}: no electronically converged step with labels")
    if "forces" not in system.data or len(system.data["forces"]) != len(system):
        raise InputError(f"{file}: not every step has forces")
    return system, remarks


def _log_of(folder: Path) -> Path:
    """Return the output of the CP2K run in a folder, the last if there are several."""
    return files_of(folder, find_format("cp2k"))[-1]


@contextlib.contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    """Yield the file itself, or a temporary uncompressed copy of a gzip file."""
    if file.suffix != ".gz":
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / file.stem
        with gzip.open(file, "rb") as packed, plain.open("wb") as stream:
            shutil.copyfileobj(packed, stream)
        yield plain


def _block_of(system: Any, elements: Sequence[str], file: Path, several: bool) -> SystemData:
    data = system.data
    count = len(system)
    counts = zip(data["atom_names"], data["atom_numbs"], strict=True)
    name = _empirical_name({element: int(number) for element, number in counts if number})
    trajectory = f"{file.parent.name}-{file.name}" if several else file.name
    virial = data.get("virials")
    return SystemData(
        name, SPLITS[0], renumber_types(np.asarray(data["atom_types"]), data["atom_names"], elements, str(file)),
        np.asarray(data["coords"], float), np.asarray(data["cells"], float), np.asarray(data["energies"], float),
        np.asarray(data["forces"], float),
        np.asarray(virial, float) if virial is not None and len(virial) == count else None, [trajectory] * count,
    )


def _empirical_name(counts: dict[str, int]) -> str:
    from ase.formula import Formula

    return str(Formula.from_dict(counts).reduce()[0].format("metal"))


def _check_numbers(blocks: Iterable[SystemData], path: Path) -> None:
    for block in blocks:
        for name, values in block.arrays().items():
            if not np.isfinite(values).all():
                raise InputError(f"{path}: {block.system}: {name} contains NaN or infinite numbers")
        if np.any(np.abs(np.linalg.det(block.box)) < 1e-3):
            raise InputError(f"{path}: {block.system}: a cell without volume")
