"""The formats of labelled data: their names, and how they are detected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.data.plain_text import head_of, plain_name

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
OTHER_SUFFIXES = (".npy", ".json", ".yaml", ".yml", ".py", ".png", ".pdf", ".inp", ".cif", ".vasp", ".pt", ".pth")


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
    """Detect the format of an existing file from its name and first lines.

    Raises
    ------
    InputError
        It does not exist, is empty, or has an unknown format.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    name = "cp2k-md" if is_cp2k_part(path) else format_of_file(path, name_alone=True)
    if name is None:
        raise InputError(f"{path}: unknown format; specify it (known: {all_names()})")
    return find_format(name)


def format_of_target(path: Path) -> DataFormat:
    """Return the format implied by the name of an output file; a name without suffix is a folder of npy."""
    suffix = path.suffix.lower()
    if suffix in EXTXYZ_SUFFIXES:
        return find_format("extxyz")
    if suffix in HDF5_SUFFIXES:
        return find_format("hdf5")
    return find_format("npy")


def is_cp2k_part(file: Path) -> bool:
    """Return whether a file is one of the trajectories that CP2K's molecular dynamics writes."""
    return plain_name(file).endswith(".xyz") and any(part in file.name for part in ("-pos-", "-frc-", "-vel-"))


def format_of_file(path: Path, *, name_alone: bool = False) -> str | None:
    """Return the name of the format of a file; None if it is not known to hold labels.

    Parameters
    ----------
    path : Path
        The file, compressed or not.
    name_alone : bool
        A suffix of extxyz is enough: the user has named the file. In a folder its content must be extxyz, too.
    """
    name = plain_name(path)
    suffix = Path(name).suffix.lower()
    if "vasprun" in name and ".xml" in name:
        return "vasprun"
    if name.startswith("OUTCAR") or name.endswith("OUTCAR"):
        return "outcar"
    if suffix in HDF5_SUFFIXES:
        return "hdf5"
    if suffix in EXTXYZ_SUFFIXES and name_alone:
        return "extxyz"
    if not name_alone and suffix in OTHER_SUFFIXES:
        return None
    return _of_content(head_of(path, HEAD_BYTES))


def _of_content(head: bytes) -> str | None:
    if b"CP2K|" in head or b" DBCSR|" in head:
        return "cp2k"
    starts = {b"\x89HDF\r\n": "hdf5", b"<?xml": "vasprun", b"<modeling>": "vasprun", b"vasp.": "outcar"}
    found = next((name for start, name in starts.items() if head.lstrip().startswith(start)), None)
    first, _, rest = head.partition(b"\n")
    comment = rest.partition(b"\n")[0]
    if found is None and first.strip().isdigit() and (b"Lattice=" in comment or b"Properties=" in comment):
        return "extxyz"
    return found


def all_names() -> str:
    """Return the names of all formats, for messages."""
    return ", ".join(form.name for form in FORMATS)
