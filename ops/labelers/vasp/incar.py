"""INCAR: written from settings, or the user's own, checked line by line."""

from __future__ import annotations

from collections.abc import Iterator

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import closest, question
from dpa_sse.ops.data.incar import Tag, Value, incar_text, read_incar, value_number
from dpa_sse.ops.labelers.settings import VaspSettings

GGA = {"PBEsol": "PS", "PBE": "PE"}
SINGLE_POINT: dict[str, Value] = {
    "PREC": "Accurate", "ENCUT": 600.0, "GGA": "PS", "ISYM": 0, "EDIFF": 1e-6, "LREAL": False, "NELM": 120, "NELMIN": 4,
    "ISIF": 2, "ISMEAR": 0, "SIGMA": 0.05, "IBRION": -1, "NSW": 0, "LWAVE": False, "LCHARG": False, "KSPACING": 0.3,
    "KGAMMA": True, "LASPH": True, "ISPIN": 1,
}
"""Set-up of the DPA-SSE paper (PBEsol, ENCUT 600, KSPACING 0.3) with the tighter of the usual choices elsewhere."""

_DYNAMICS = (
    "POTIM", "TEBEG", "TEEND", "SMASS", "MDALGO", "LANGEVIN_GAMMA", "LANGEVIN_GAMMA_L", "PMASS", "NBLOCK", "KBLOCK",
    "ANDERSEN_PROB", "RANDOM_SEED",
)


def incar_problems(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of everything in a user's INCAR that would spoil labels."""
    try:
        tags = read_incar(text)
    except InputError as error:
        line, _, message = str(error).partition(": ")
        yield int(line), message
        return
    seen: dict[str, Tag] = {}
    for tag in tags:
        if tag.name in seen:
            yield tag.line, f"{tag.name} is already set in line {seen[tag.name].line}"
        seen.setdefault(tag.name, tag)
        message = _problem_of(tag)
        if message:
            yield tag.line, message
    last = max(1, len(text.splitlines()))
    for name, why in (
        ("ENCUT", "without it VASP takes the largest ENMAX of the elements present: another cutoff for each system"),
        ("KSPACING", "the k-mesh of every cell is derived from it"),
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
        return f"unknown tag {name}{question(close)}" if close else ""
    kind, allowed, why = wanted
    number = value_number(value, kind)
    if number is None:
        return f"{name} = {value} is not a {'boolean' if kind is bool else 'number'}"
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
    """Return the known tag closest to an unknown one; empty for known tags, and if none is close."""
    known = known_tags()
    if name in known:
        return ""
    return closest(name, known, cutoff=0.8) or ""


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


def single_point_tags(settings: VaspSettings) -> dict[str, Value]:
    """Return the tags of a single point, from the settings or from the text of the user's INCAR."""
    if settings.incar is not None:
        return {tag.name: tag.value for tag in read_incar(settings.incar)}
    given: dict[str, Value] = {
        "ENCUT": settings.encut_eV, "GGA": GGA[settings.functional], "KSPACING": settings.kspacing,
    }
    return {**SINGLE_POINT, **given, **{name.upper(): value for name, value in settings.tags.items()}}


def label_incar(settings: VaspSettings) -> str:
    """Return the INCAR of a single point: the user's own unchanged, or written from the settings."""
    return settings.incar if settings.incar is not None else incar_text(single_point_tags(settings))
