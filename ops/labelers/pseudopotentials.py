"""Pseudopotentials in UPF format: found in a folder by element and functional, checked by their headers."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import regular
from dpa_sse.ops.labelers.programs import named_folder
from dpa_sse.ops.labelers.settings import PlaneWaveSettings
from dpa_sse.ops.results.level import PotentialFile

FUNCTIONALS = {
    "PBESOL": "PBEsol", "SLAPWPSXPSC": "PBEsol", "PBE": "PBE", "SLAPWPBXPBC": "PBE", "SLAPWPBEPBE": "PBE",
}
"""Functional by its name in UPF files, without spaces, dashes and plus signs."""
NORM_CONSERVING = ("NC", "SL")
_OLD_FIELDS = {
    "element": r"^\s*(\w+)\s+Element\s*$", "pseudo_type": r"^\s*(\w+)\s+(?:Norm - Conserving|Ultrasoft)\b.*$",
    "functional": r"^\s*(\S+(?:\s+\S+){3,4}?|\S+)\s+(?:\S+\s+)?Exchange-Correlation functional\s*$",
    "z_valence": r"^\s*([\d.]+(?:[EeDd][+-]?\d+)?)\s+Z valence\s*$",
}


@dataclass(frozen=True)
class Pseudopotential:
    """The header of one UPF file.

    Attributes
    ----------
    path : Path
        The file.
    element : str
        Its element.
    functional : str
        PBEsol, PBE, or the name in the file if it is neither.
    norm_conserving : bool
        False for ultrasoft and PAW potentials.
    valence : float
        Number of valence electrons.
    ecutwfc_Ry, ecutrho_Ry : float
        Smallest cutoffs that the file suggests; 0 if it suggests none.
    sha256 : str
        Hash of the file.
    """

    path: Path
    element: str
    functional: str
    norm_conserving: bool
    valence: float
    ecutwfc_Ry: float
    ecutrho_Ry: float
    sha256: str


def library_folder(settings: PlaneWaveSettings, variable: str) -> Path:
    """Return the folder of pseudopotentials: ``pseudo_dir``, else that of an environment variable.

    Raises
    ------
    InputError
        It is not named, does not exist, or is relative: each task runs in its own folder.
    """
    folder = named_folder(settings.pseudo_dir, "pseudo_dir", variable, "pseudopotentials")
    if not folder.is_absolute():
        name = "pseudo_dir" if settings.pseudo_dir else variable
        raise InputError(f"{name}: {folder} must be an absolute path, since tasks run in their own folders")
    return folder


def find_pseudos(
    folder: Path, elements: Sequence[str], settings: PlaneWaveSettings
) -> dict[str, Pseudopotential]:
    """Return the pseudopotential of each element, as :func:`find_pseudo` does; the first problem is raised."""
    return {element: find_pseudo(folder, element, settings) for element in dict.fromkeys(elements)}


def find_pseudo(folder: Path, element: str, settings: PlaneWaveSettings) -> Pseudopotential:
    """Return the pseudopotential of an element.

    Raises
    ------
    InputError
        None fits, several do, or the one that is named is not readable or was made for something else.
    """
    wanted = settings.pseudo_functional or settings.functional
    named = settings.pseudos.get(element)
    if named:
        found = read_pseudo(folder / named)
        if found.element != element:
            raise InputError(f"{found.path} is a pseudopotential of {found.element}, not of {element}")
        if found.functional != wanted:
            raise InputError(
                f"{found.path} was made with {found.functional}, not with {wanted}"
                + (f" (pseudo_functional: {found.functional}, if that is meant)" if _known(found) else "")
            )
        return found
    candidates, unreadable = [], []
    for path in _files_of(folder, element):
        try:
            candidates.append(read_pseudo(path))
        except InputError as error:
            unreadable.append(str(error))
    candidates = [one for one in candidates if one.element == element]
    fitting = [one for one in candidates if one.functional == wanted]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(one.path.name for one in fitting)
        raise InputError(
            f"{len(fitting)} pseudopotentials of {element} for {wanted} in {folder} ({names}): choose with pseudos: "
            f"{{{element}: {fitting[0].path.name}}}"
        )
    there = [f"{one.path.name} ({one.functional})" for one in candidates] + unreadable
    others = f"; there is {', '.join(there)}" if there else ""
    raise InputError(f"no pseudopotential of {element} for {wanted} in {folder}{others}")


def _known(found: Pseudopotential) -> bool:
    return found.functional in FUNCTIONALS.values()


def _files_of(folder: Path, element: str) -> list[Path]:
    """Return the files whose names begin with an element, in either case of the letters."""
    pattern = re.compile(rf"{element}([._-].*)?\.upf", re.IGNORECASE)
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))


def read_pseudo(path: Path) -> Pseudopotential:
    """Return the header of a UPF file, version 1 or 2.

    Raises
    ------
    InputError
        It cannot be read, or is not a UPF file.
    """
    try:
        stat = regular(path).stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=256)
def _read(path: Path, _changed: int, _size: int) -> Pseudopotential:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    fields = _header(raw.decode("utf-8", "replace"))
    missing = [name for name in ("element", "pseudo_type", "functional", "z_valence") if not fields.get(name)]
    if missing:
        raise InputError(f"{path} is not a UPF file: its header has no {', '.join(missing)}")
    if b"</UPF>" not in raw[-2000:] and b"</PP_" not in raw[-2000:]:
        raise InputError(f"{path} is truncated")
    word = re.sub(r"[\s+-]", "", fields["functional"]).upper()
    norm_conserving = fields["pseudo_type"].strip().upper() in NORM_CONSERVING
    density = 0.0 if norm_conserving else _cutoff(fields.get("rho_cutoff"))
    return Pseudopotential(
        path, fields["element"].strip(), FUNCTIONALS.get(word, " ".join(fields["functional"].split())), norm_conserving,
        valence=_number(fields["z_valence"]), ecutwfc_Ry=_cutoff(fields.get("wfc_cutoff")),
        ecutrho_Ry=density, sha256=hashlib.sha256(raw).hexdigest(),
    )


def _header(text: str) -> dict[str, str]:
    match = re.search(r"<PP_HEADER\b([^>]*)>", text)
    if match is None:
        return {}
    if "=" in match[1]:
        return dict(re.findall(r"(\w+)\s*=\s*\"([^\"]*)\"", match[1]))
    part = text[match.end(): text.find("</PP_HEADER>", match.end())]
    found = {name: re.search(pattern, part, re.MULTILINE) for name, pattern in _OLD_FIELDS.items()}
    return {name: one[1] for name, one in found.items() if one}


def _number(word: str) -> float:
    try:
        return float(word.replace("D", "E").replace("d", "e"))
    except ValueError:
        return 0.0


ROUNDED_RY = 0.5
"""Files suggest 78.2 Ry in one place, and 78 in another."""


def _cutoff(word: str | None) -> float:
    """Return a suggested cutoff, Ry; a radius or zero, which some generators write, suggests none."""
    value = _number(word or "0")
    return value if value > 5 else 0.0


def recorded(found: Mapping[str, Pseudopotential]) -> dict[str, PotentialFile]:
    """Return names and hashes of pseudopotentials by element, for the level of theory."""
    return {element: PotentialFile(titel=one.path.name, sha256=one.sha256) for element, one in found.items()}


def pseudo_problems(
    settings: PlaneWaveSettings, type_map: Sequence[str], folder: Path, cutoffs: Mapping[str, tuple[str, float]]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield key path and message of what is wrong with the pseudopotentials of a project.

    Parameters
    ----------
    settings : PlaneWaveSettings
        Names, functional.
    type_map : sequence of str
        Elements of the project.
    folder : Path
        Where the files are.
    cutoffs : mapping
        Key of the settings and value, Ry, for ``ecutwfc_Ry`` and ``ecutrho_Ry`` of a pseudopotential.
    """
    for key in ("pseudos", "magnetization"):
        for element in getattr(settings, key):
            if element not in type_map:
                yield (key, element), f"'{element}' is not in type_map ({', '.join(type_map)})"
    for element in type_map:
        try:
            found = find_pseudo(folder, element, settings)
        except InputError as error:
            yield ("pseudos", element) if element in settings.pseudos else ("pseudo_dir",), str(error)
            continue
        for name, (key, value) in cutoffs.items():
            suggested, what = float(getattr(found, name)), "density" if "rho" in name else "wave functions"
            if value < suggested - ROUNDED_RY:
                wanted = f"the {suggested:.0f} Ry that {found.path.name} suggests"
                yield (key,), f"{value:g} Ry for the {what} is below {wanted}"
