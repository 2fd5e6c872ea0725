"""The labelled data of a folder: every calculation and data set in it, links followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.formats import EXTXYZ_SUFFIXES, DataFormat, all_names, format_of_file, is_cp2k_part
from dpa_sse.ops.data.plain_text import plain_name

NO_LABELS = frozenset((
    "INCAR", "KPOINTS", "POSCAR", "POTCAR", "CONTCAR", "XDATCAR", "WAVECAR", "CHGCAR", "CHG", "OSZICAR", "DOSCAR",
    "EIGENVAL", "PROCAR", "IBZKPT", "PCDAT", "REPORT", "LOCPOT", "ELFCAR", "AECCAR0", "AECCAR1", "AECCAR2", "STOPCAR",
    "ML_LOGFILE", "ML_AB", "ML_ABN", "ML_FFN", "ML_FF",
))


@dataclass
class Source:
    """One calculation or data set.

    Attributes
    ----------
    form : str
        Name of the format.
    path : Path
        File or folder.
    others : list of Path
        Further files of it: the OUTCAR beside a vasprun.xml, the outputs beside a trajectory of CP2K.
    """

    form: str
    path: Path
    others: list[Path] = field(default_factory=list)


@dataclass
class _Folder:
    path: Path
    vasprun: dict[str, Path] = field(default_factory=dict)
    outcar: dict[str, Path] = field(default_factory=dict)
    cp2k: list[Path] = field(default_factory=list)
    positions: list[Path] = field(default_factory=list)
    others: list[Source] = field(default_factory=list)


def find_sources(path: Path, form: DataFormat | None = None) -> tuple[list[Source], list[str]]:
    """Return all labelled data in a folder and below it, and notes.

    Parameters
    ----------
    path : Path
        The folder.
    form : DataFormat, optional
        Only data of this format.

    Raises
    ------
    InputError
        There is none.
    """
    notes: list[str] = []
    found: list[Source] = []
    if not any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise InputError(f"{path}: the folder is empty")
    for folder in _walk(path, notes):
        found += _sources_of(folder, form)
    if not found:
        if form is not None:
            what = "deepmd system (no type.raw in or below it)" if form.name in ("npy", "mixed") else (
                form.title.split(",")[0])
            raise InputError(f"{path}: holds no {what}")
        raise InputError(f"{path}: no labelled data in a known format (known: {all_names()})")
    return found, notes


def _walk(root: Path, notes: list[str]) -> Iterator[_Folder]:
    """Yield every folder with the data in it; a data set is not entered, a folder that is linked twice is read once."""
    seen: dict[str, Path] = {}
    stack = [root]
    while stack:
        here = stack.pop()
        real = os.path.realpath(here)
        if real in seen:
            notes.append(f"{here}: the same folder as {seen[real]}, read once")
            continue
        seen[real] = here
        try:
            entries = sorted((entry for entry in here.iterdir() if not entry.name.startswith(".")), reverse=True)
        except OSError as error:
            notes.append(f"{here}: left out: {error.strerror}")
            continue
        names = {entry.name for entry in entries}
        if "dataset.json" in names:
            yield _Folder(here, others=[Source("dataset", here)])
            continue
        if "type.raw" in names:
            yield _Folder(here, others=[Source("npy", here)])
            continue
        stack += [entry for entry in entries if entry.is_dir()]
        dead = [entry for entry in entries if entry.is_symlink() and not entry.exists()]
        notes += [f"{entry}: left out: the link leads nowhere" for entry in dead]
        yield _files_of(here, [entry for entry in reversed(entries) if entry.is_file()])


def _files_of(here: Path, files: list[Path]) -> _Folder:
    folder = _Folder(here)
    for file in files:
        name = plain_name(file)
        if name in NO_LABELS or file.stat().st_size == 0:
            continue
        if is_cp2k_part(file):
            if "-pos-" in name:
                folder.positions.append(file)
            continue
        form = format_of_file(file)
        if form == "vasprun":
            folder.vasprun.setdefault(name.replace("vasprun", "").replace(".xml", ""), file)
        elif form == "outcar":
            folder.outcar.setdefault(name.replace("OUTCAR", ""), file)
        elif form == "cp2k":
            folder.cp2k.append(file)
        elif form in ("extxyz", "hdf5"):
            folder.others.append(Source(form, file))
        elif Path(name).suffix.lower() in EXTXYZ_SUFFIXES:
            folder.others.append(Source("unknown", file))
    return folder


def cp2k_outputs(folder: Path) -> list[Path]:
    """Return the outputs of CP2K in a folder, sorted by name."""
    return _files_of(folder, sorted(file for file in folder.iterdir() if file.is_file())).cp2k


def _sources_of(folder: _Folder, form: DataFormat | None) -> list[Source]:
    """Return the calculations of a folder."""
    wanted = None if form is None else form.name
    found: list[Source] = []
    for key in sorted({*folder.vasprun, *folder.outcar}):
        both = [(name, files[key]) for name, files in (("vasprun", folder.vasprun), ("outcar", folder.outcar))
                if key in files and wanted in (None, name)]
        if both:
            found.append(Source(both[0][0], both[0][1], [file for _, file in both[1:]]))
    if folder.positions:
        if wanted in (None, "cp2k-md"):
            found += [Source("cp2k-md", file, folder.cp2k) for file in folder.positions]
    elif wanted in (None, "cp2k"):
        found += [Source("cp2k", file) for file in folder.cp2k]
    names = {None: (), "npy": ("npy", "dataset"), "mixed": ("npy", "dataset")}.get(wanted, (wanted,))
    return found + [one for one in folder.others if wanted is None or one.form in names]
