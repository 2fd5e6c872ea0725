"""POTCAR from the user's own library; the text stays where VASP runs, only titles and hashes are recorded."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import gunzip, regular
from dpa_sse.ops.labelers.programs import named_folder

VARIANTS = {"Ga": "Ga_d", "Ge": "Ge_d", "Sn": "Sn_d"}
"""Usual choice for elements whose plain data set is not the recommended one."""
SUBFOLDERS = ("potpaw_PBE*", "POT_GGA_PAW_PBE*", "PBE*")


@dataclass(frozen=True)
class Potcar:
    """One PAW data set.

    Attributes
    ----------
    symbol : str
        Name of the data set, e.g. Ga_d.
    titel : str
        Its title line, e.g. ``PAW_PBE Ga_d 06Jul2010``.
    sha256 : str
        Of its text.
    enmax : float
        Recommended cutoff, eV.
    lexch : str
        Functional it was made with, e.g. PE.
    mass : float
        POMASS, amu.
    text : str
        The licensed content; written where VASP runs and removed afterwards.
    """

    symbol: str
    titel: str
    sha256: str
    enmax: float
    lexch: str
    mass: float
    text: str


def potcar_folder(name: str | None) -> Path:
    """Return the folder of the user's data sets: ``name``, else the environment variable VASP_POTCAR_DIR.

    Raises
    ------
    InputError
        Neither is given, or there is no such folder.
    """
    return named_folder(name, "potcar_dir", "VASP_POTCAR_DIR", "PAW data sets")


def find_potcar(folder: Path, element: str, variants: Mapping[str, str]) -> Potcar:
    """Read the data set of an element.

    Raises
    ------
    InputError
        It is missing, invalid, truncated, or belongs to another element.
    """
    symbol = variants.get(element) or VARIANTS.get(element, element)
    places = _places(folder, symbol)
    if not places:
        for pattern in SUBFOLDERS:
            places += [place for below in sorted(folder.glob(pattern)) for place in _places(below, symbol)]
    if not places:
        raise InputError(f"no POTCAR of {element}: neither {symbol}/POTCAR nor POTCAR.{symbol} in {folder}"
                         + _others(folder, element))
    if len(places) > 1:
        listed = ", ".join(str(place.relative_to(folder)) for place in places)
        raise InputError(f"several POTCARs of {element} in {folder} ({listed}): name the folder of one set")
    return _read(places[0], element, symbol)


def _places(folder: Path, symbol: str) -> list[Path]:
    names = (f"{symbol}/POTCAR", f"{symbol}/POTCAR.gz", f"POTCAR.{symbol}", f"POTCAR.{symbol}.gz")
    return [folder / name for name in names if (folder / name).is_file()][:1]


def _others(folder: Path, element: str) -> str:
    """Return what the folder holds for the element instead, as the end of a message."""
    pattern = re.compile(rf"(?:POTCAR\.)?({element}(?:_\w+)?)(?:\.gz)?$")
    below = [folder, *(one for place in SUBFOLDERS for one in folder.glob(place))]
    found = sorted({match[1] for one in below for path in one.iterdir() if (match := pattern.fullmatch(path.name))})
    return f"; there is {', '.join(found)}: choose with potcars: {{{element}: {found[0]}}}" if found else ""


def _read(path: Path, element: str, symbol: str) -> Potcar:
    try:
        raw = regular(path).read_bytes()
        text = (gunzip(raw, MAX_POTCAR_BYTES) if path.suffix == ".gz" else raw).decode("latin-1")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    fields = {name: match[1].strip() for name, pattern in _FIELDS.items() if (match := re.search(pattern, text))}
    missing = sorted(set(_FIELDS) - set(fields))
    if missing:
        raise InputError(f"{path} is not a POTCAR: it has no {', '.join(missing)}")
    if "End of Dataset" not in text[-200:]:
        raise InputError(f"{path} is truncated: it does not end with 'End of Dataset'")
    if text.count("End of Dataset") > 1:
        raise InputError(f"{path} holds several data sets; a library needs one file for each element")
    words = fields["TITEL"].split()
    if len(words) < 2 or words[1].split("_")[0] != element:
        raise InputError(f"{path} is the data set of another element: {fields['TITEL']}")
    if words[1] not in (symbol, symbol.removesuffix("_new")):  # a few old folders have a suffix that their title lacks
        raise InputError(f"{path} is another data set than its name says: {fields['TITEL']}, not {symbol}")
    return Potcar(
        symbol, fields["TITEL"], hashlib.sha256(text.encode("latin-1")).hexdigest(), float(fields["ENMAX"]),
        fields["LEXCH"], float(fields["POMASS"]), text if text.endswith("\n") else text + "\n",
    )


MAX_POTCAR_BYTES = 50_000_000
_FIELDS = {
    "TITEL": r"TITEL\s*=\s*([^\n]+)", "LEXCH": r"LEXCH\s*=\s*(\S+)", "ENMAX": r"ENMAX\s*=\s*([\d.]+)",
    "POMASS": r"POMASS\s*=\s*([\d.]+)",
}


def family_problems(potcars: Sequence[Potcar], encut: float) -> list[str]:
    """Return why data sets must not be combined, or not used with a cutoff (eV)."""
    problems = []
    families = {one.titel.split()[0] for one in potcars}
    if len(families) > 1:
        problems.append("PAW data sets of different families: " + ", ".join(one.titel for one in potcars))
    made_with = {one.lexch for one in potcars}
    if len(made_with) > 1 or not made_with <= {"PE"}:
        named = ", ".join(f"{one.symbol}: {one.lexch}" for one in potcars)
        problems.append(f"PAW data sets must be made with PBE (LEXCH = PE), here {named}")
    hardest = max(potcars, key=lambda one: one.enmax, default=None)
    if hardest is not None and encut < hardest.enmax:
        problems.append(f"ENCUT = {encut:g} eV is below ENMAX = {hardest.enmax:g} eV of {hardest.symbol}")
    return problems


def write_potcar(path: Path, potcars: Sequence[Potcar]) -> None:
    """Write the POTCAR of one calculation, readable by its owner only."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="latin-1") as stream:
        stream.write("".join(one.text for one in potcars))
