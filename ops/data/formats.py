"""The formats of labelled data: their names, and how they are detected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import find_files
from dpa_sse.ops.core.suggest import did_you_mean

HEAD_BYTES = 4000


@dataclass(frozen=True)
class DataFormat:
    """A format: name, aliases (those of dpdata), description, and whether it can be written."""

    name: str
    aliases: tuple[str, ...]
    title: str
    writable: bool = False


FORMATS = (
    DataFormat("npy", ("deepmd/npy", "deepmd", "dataset"), "folder of deepmd/npy systems", writable=True),
    DataFormat("mixed", ("deepmd/npy/mixed",), "folder of deepmd/npy systems of mixed type", writable=True),
    DataFormat("hdf5", ("deepmd/hdf5", "h5"), "deepmd/hdf5 file", writable=True),
    DataFormat("extxyz", ("xyz", "quip/gap/xyz"), "extended XYZ, one file or a folder of them", writable=True),
    DataFormat("vasprun", ("vasp/xml", "xml"), "VASP's vasprun.xml, or a folder with some in or below it"),
    DataFormat("outcar", ("vasp/outcar",), "VASP's OUTCAR, or a folder with some in or below it"),
    DataFormat("cp2k", ("cp2k/output", "cp2kdata/e_f"), "output of a CP2K single point, or a folder with some"),
    DataFormat("cp2k-md", ("cp2k/aimd_output", "cp2kdata/md"), "folder of a CP2K molecular dynamics run"),
)
_BY_NAME = {name: form for form in FORMATS for name in (form.name, *form.aliases)}
EXTXYZ_SUFFIXES = (".extxyz", ".xyz")
HDF5_SUFFIXES = (".h5", ".hdf5")


def find_format(name: str, *, writable: bool = False) -> DataFormat:
    """Return the format of this name.

    Raises
    ------
    InputError
        The name is unknown, or the format cannot be written.
    """
    known = [form.name for form in FORMATS if form.writable or not writable]
    form = _BY_NAME.get(name.lower())
    if form is None:
        raise InputError(f"unknown format {name!r}{did_you_mean(name, _BY_NAME)} (known: {', '.join(known)})")
    if writable and not form.writable:
        raise InputError(f"format {form.name} can be read, but not written (writable: {', '.join(known)})")
    return form


def detect_format(path: Path) -> DataFormat:
    """Detect the format of an existing file or folder from names and first lines.

    Raises
    ------
    InputError
        It does not exist, is empty, or has an unknown format.
    """
    if path.is_dir():
        return _of_folder(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    name = _of_file(path)
    if name is None:
        raise InputError(f"{path}: unknown format; specify it (known: {_all_names()})")
    return find_format(name)


def format_of_target(path: Path) -> DataFormat:
    """Return the format implied by the name of an output file; a name without suffix is a folder of npy."""
    suffix = path.suffix.lower()
    if suffix in EXTXYZ_SUFFIXES:
        return find_format("extxyz")
    if suffix in HDF5_SUFFIXES:
        return find_format("hdf5")
    return find_format("npy")


def files_of(path: Path, form: DataFormat) -> list[Path]:
    """Return the files of one format: the path itself, or the matching files in a folder (VASP, CP2K: or below).

    Raises
    ------
    InputError
        The folder holds none.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        return [path]
    deep = form.name in ("vasprun", "outcar", "cp2k")
    candidates = sorted(path.rglob("*") if deep else path.iterdir())
    found = [file for file in candidates if file.is_file() and _is(file, form.name)]
    if not found:
        raise InputError(f"{path}: holds no {form.title.split(',')[0]}")
    return found


def _of_folder(path: Path) -> DataFormat:
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    if not entries:
        raise InputError(f"{path}: the folder is empty")
    if (path / "dataset.json").is_file():
        return find_format("npy")
    if find_files(path, "type.raw"):
        mixed = bool(find_files(path, "real_atom_types.npy"))
        return find_format("mixed" if mixed else "npy")
    if any(entry.is_file() and entry.name.endswith(EXTXYZ_SUFFIXES) and not _is_cp2k_part(entry) for entry in entries):
        return find_format("extxyz")
    if any(entry.is_file() and entry.suffix in HDF5_SUFFIXES for entry in entries):
        return find_format("hdf5")
    if any(_is_cp2k_part(entry) for entry in entries):
        return find_format("cp2k-md")
    for name in ("vasprun", "outcar", "cp2k"):
        if any(file.is_file() and _is(file, name) for file in path.rglob("*")):
            return find_format(name)
    raise InputError(f"{path}: no labelled data in a known format (known: {_all_names()})")


def _is_cp2k_part(file: Path) -> bool:
    """Return whether a file is one of the trajectories that CP2K's molecular dynamics writes."""
    return file.suffix == ".xyz" and any(part in file.name for part in ("-pos-", "-frc-", "-vel-"))


def _is(file: Path, name: str) -> bool:
    if name == "vasprun":
        return file.name.startswith("vasprun") and ".xml" in file.suffixes
    if name == "outcar":
        return file.name.startswith("OUTCAR")
    if name == "extxyz":
        return file.suffix in EXTXYZ_SUFFIXES and not _is_cp2k_part(file)
    if name == "hdf5":
        return file.suffix in HDF5_SUFFIXES
    return file.suffix in (".out", ".log", "") and _of_file(file) == "cp2k"


def _of_file(path: Path) -> str | None:
    for name in ("vasprun", "outcar", "extxyz", "hdf5"):
        if _is(path, name):
            return name
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if b"CP2K|" in head or b" DBCSR|" in head:
        return "cp2k"
    starts = {b"\x89HDF\r\n": "hdf5", b"<?xml": "vasprun", b"<modeling>": "vasprun", b"vasp.": "outcar"}
    found = next((name for start, name in starts.items() if head.lstrip().startswith(start)), None)
    first, _, rest = head.partition(b"\n")
    if found is None and first.strip().isdigit() and b"Lattice=" in rest.partition(b"\n")[0]:
        return "extxyz"
    return found


def _all_names() -> str:
    return ", ".join(form.name for form in FORMATS)
