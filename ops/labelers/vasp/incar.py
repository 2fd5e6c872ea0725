"""INCAR: written from settings, or the user's own, read with the line of every tag."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dpa_sse.ops.errors import InputError
from dpa_sse.ops.labelers.settings import VaspLabeler

Value = bool | int | float | str

GGA = {"PBEsol": "PS", "PBE": "PE"}
SINGLE_POINT: dict[str, Value] = {
    "PREC": "Accurate", "ENCUT": 600.0, "GGA": "PS", "ISYM": 0, "EDIFF": 1e-6, "LREAL": False, "NELM": 120, "NELMIN": 4,
    "ISIF": 2, "ISMEAR": 0, "SIGMA": 0.05, "IBRION": -1, "NSW": 0, "LWAVE": False, "LCHARG": False, "KSPACING": 0.3,
    "KGAMMA": True, "LASPH": True, "ISPIN": 1,
}
"""Set-up of the DPA-SSE paper (PBEsol, ENCUT 600, KSPACING 0.3) with the tighter of the usual choices elsewhere."""

LABEL_TAGS = (
    "GGA", "METAGGA", "ENCUT", "ENAUG", "PREC", "ISMEAR", "SIGMA", "LREAL", "LASPH", "ISPIN", "IVDW", "LUSE_VDW",
    "LDAU", "LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ", "ADDGRID", "NELECT", "KSPACING", "KGAMMA", "LHFCALC", "AEXX",
    "HFSCREEN", "LSORBIT", "LMAXMIX", "EDIFF", "NGX", "NGY", "NGZ", "PSTRESS",
)
"""Tags that decide what the labels are: two frames that differ in one of them do not belong into one data set."""

_WORDS = ("GGA", "METAGGA", "PREC")
"""Tags whose values are names: the T of ``TPSS`` is no truth value."""
_CUT_WORDS = ("PREC", "LREAL")
"""Tags of which VASP looks at the first letters, and of which vasprun.xml keeps some letters only."""

_DYNAMICS = (
    "POTIM", "TEBEG", "TEEND", "SMASS", "MDALGO", "LANGEVIN_GAMMA", "LANGEVIN_GAMMA_L", "PMASS", "NBLOCK", "KBLOCK",
    "ANDERSEN_PROB", "RANDOM_SEED",
)


@dataclass(frozen=True)
class Tag:
    """One tag of a user's INCAR."""

    name: str
    value: str
    line: int


def read_incar(text: str) -> list[Tag]:
    """Return the tags of an INCAR in the order of the file: ``TAG = value``, several per line with ``;``.

    Raises
    ------
    InputError
        A line is no assignment; the message begins with the number of the line.
    """
    tags = []
    for number, line in _logical_lines(text):
        for part in line.split(";"):
            if not part.strip():
                continue
            name, equals, value = part.partition("=")
            if not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name.strip()) or not value.strip():
                raise InputError(f"{number}: not of the form TAG = value: {part.strip()}")
            tags.append(Tag(name.strip().upper(), value.strip(), number))
    return tags


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, comments removed, lines that end with a backslash joined."""
    pending, first = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.split(r"[#!]", raw, maxsplit=1)[0].rstrip()
        first = first or number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        if (pending + line).strip():
            yield first, pending + line
        pending, first = "", 0
    if pending.strip():
        yield first, pending


def incar_problems(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of everything in a user's INCAR that breaks labelling."""
    try:
        tags = read_incar(text)
    except InputError as error:
        line, _, message = str(error).partition(": ")
        yield int(line), message
        return
    seen: dict[str, Tag] = {}
    for tag in tags:
        if tag.name in seen:
            yield tag.line, f"{tag.name} is set in line {seen[tag.name].line} already"
        seen.setdefault(tag.name, tag)
        message = _problem_of(tag)
        if message:
            yield tag.line, message
    last = max(1, len(text.splitlines()))
    for name, why in (
        ("ENCUT", "without it VASP takes the largest ENMAX of the elements present: another cutoff for each system"),
        ("KSPACING", "the k-mesh of every cell is made from it"),
    ):
        if name not in seen:
            yield last, f"{name} is missing: {why}"


def _problem_of(tag: Tag) -> str:
    """Return what is wrong with one tag (empty: nothing)."""
    name, value = tag.name, tag.value
    if name in _DYNAMICS:
        return f"{name} belongs to molecular dynamics: the section `aimd` sets it; remove it"
    wanted = _WANTED.get(name)
    if wanted is None:
        close = _meant(name)
        return f"unknown tag {name} - did you mean {close}?" if close else ""
    kind, allowed, why = wanted
    number = value_number(value, kind)
    if number is None:
        return f"{name} = {value} is no {'truth value' if kind is bool else 'number'}"
    return "" if allowed(number) else f"{name} = {value}: {why}"


_WANTED = {
    "NSW": (int, lambda n: n == 0, "labels are single points, write NSW = 0"),
    "IBRION": (int, lambda n: n == -1, "labels are single points, write IBRION = -1"),
    "ISIF": (int, lambda n: n in (2, 3), "the stress is not computed; write ISIF = 2"),
    "ICHARG": (int, lambda n: n in (0, 2), "the charge density would not be self-consistent; remove it"),
    "ISTART": (int, lambda n: n == 0, "there is no WAVECAR to start from; remove it"),
    "PSTRESS": (float, lambda p: p == 0, "it is added to energies and stresses; remove it"),
    "NELM": (int, lambda n: n >= 10, "too few steps to converge"),
    "ENCUT": (float, lambda e: 50 <= e <= 5000, "a cutoff is some hundred eV"),
    "KSPACING": (float, lambda k: 0 < k <= 2, "must be above 0 and at most 2 (1/Angstrom)"),
    "EDIFF": (float, lambda e: 0 < e <= 1e-4, "the forces would be too noisy for labels; 1E-6 is usual"),
    "SIGMA": (float, lambda s: 0 < s <= 1, "must be above 0 and at most 1 eV"),
    "ML_LMLFF": (bool, lambda m: not m, "labels would come from VASP's own force field"),
    "LHFCALC": (bool, lambda _: True, ""),
    "KGAMMA": (bool, lambda _: True, ""),
    "NWRITE": (int, lambda n: n >= 1, "forces would not be written"),
}


def _meant(name: str) -> str:
    """Return the tag that an unknown one was meant to be; empty for known ones, and for those like no other."""
    import difflib

    known = known_tags()
    if name in known:
        return ""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return close[0] if close else ""


def known_tags() -> frozenset[str]:
    """Return the tags that pymatgen knows, read from its table (importing pymatgen takes seconds)."""
    import json
    from importlib.machinery import PathFinder
    from pathlib import Path

    spec = PathFinder.find_spec("pymatgen")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        table = Path(folder) / "io" / "vasp" / "incar_parameters.json"
        if table.is_file():
            return frozenset(json.loads(table.read_text(encoding="utf-8"))) | set(_DYNAMICS) | set(_WANTED)
    return frozenset(_DYNAMICS) | set(_WANTED)


def value_number(value: Value, kind: type) -> float | None:
    """Return the value of a tag as a number (of a truth value 0 or 1), None where it is none of that kind."""
    if isinstance(value, bool):
        return float(value) if kind is bool else None
    text = str(value)
    if kind is bool:
        match = re.fullmatch(r"\.?([TtFf])[A-Za-z]*\.?", text)
        return None if match is None else float(match[1] in "Tt")
    try:
        number = float(re.sub("[dD]", "e", text))
    except ValueError:
        return None
    return None if kind is int and number != int(number) else number


def same_value(name: str, one: Value, other: Value) -> bool:
    """Return whether two values of a tag mean the same to VASP (``.TRUE.`` and ``T``, ``Accurate`` and ``accura``)."""
    for kind in (float,) if name in _WORDS else (float, bool):
        first, second = (value_number(value, kind) for value in (one, other))
        if first is not None and second is not None:
            return abs(first - second) <= 1e-6 * max(1e-6, abs(first))
    texts = sorted((str(one).strip().lower(), str(other).strip().lower()), key=len)
    if name in _CUT_WORDS:
        return bool(texts[0]) and texts[1].startswith(texts[0])
    return texts[0].split() == texts[1].split()


def single_point_tags(settings: VaspLabeler) -> dict[str, Value]:
    """Return the tags of a single point, from the settings or from the user's INCAR (as text)."""
    if settings.incar is not None:
        return {tag.name: tag.value for tag in read_incar(settings.incar)}
    given: dict[str, Value] = {
        "ENCUT": settings.encut_eV, "GGA": GGA[settings.functional], "KSPACING": settings.kspacing,
    }
    return {**SINGLE_POINT, **given, **{name.upper(): value for name, value in settings.tags.items()}}


def label_incar(settings: VaspLabeler) -> str:
    """Return the INCAR of a single point: the user's own as it is, or written from the settings."""
    return settings.incar if settings.incar is not None else incar_text(single_point_tags(settings))


def tag_number(tags: Mapping[str, Value], name: str, default: float) -> float:
    """Return a tag as a number."""
    number = value_number(tags.get(name, default), float)
    return default if number is None else number


def tag_truth(tags: Mapping[str, Value], name: str, *, default: bool) -> bool:
    """Return a tag as a truth value."""
    return bool(value_number(tags.get(name, default), bool))


def incar_text(tags: Mapping[str, Value]) -> str:
    """Return tags as the text of an INCAR, one per line."""
    return "".join(f"{name} = {value_text(value)}\n" for name, value in tags.items())


def value_text(value: Value) -> str:
    """Return a value as VASP reads it."""
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    return f"{value:.10g}".replace("e-0", "E-").replace("e", "E") if isinstance(value, float) else str(value)
