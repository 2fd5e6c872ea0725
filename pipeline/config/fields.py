"""The tree of sections and keys: which keys a section may hold, and which one an unknown key was meant to be."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dpa_sse.ops.core.suggest import closest, question
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.sections import ProjectSections

Keys = dict[str, FieldInfo]

UNITS = {
    "K": ("temperature", {"K": 1.0, "kelvin": 1.0}),
    "fs": ("time", {"fs": 1.0, "ps": 1e3, "ns": 1e6, "s": 1e15}),
    "ps": ("time", {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}),
    "min": ("time", {"s": 1 / 60, "min": 1.0, "h": 60.0}),
    "s": ("time", {"s": 1.0, "ms": 1e-3, "min": 60.0}),
    "GPa": ("pressure", {"GPa": 1.0, "bar": 1e-4, "kbar": 0.1, "MPa": 1e-3, "Pa": 1e-9, "atm": 1.01325e-4}),
    "A": ("length", {"A": 1.0, "nm": 10.0, "pm": 0.01, "bohr": 0.529177}),
    "eV_A": ("force", {"eV_A": 1.0, "meV_A": 1e-3}),
    "eV_atom": ("energy per atom", {"eV_atom": 1.0, "meV_atom": 1e-3}),
}
"""For each unit of a key: the quantity, and the size of other units in it."""
OTHER_UNITS = {"C", "F", "celsius", "angstrom", "ang", "steps", "hours", "seconds", "femtoseconds", "picoseconds"}
SYNONYMS = {
    "temperature": "temperatures", "temp": "temperatures", "temps": "temperatures", "pressure": "pressures",
    "dt": "timestep", "time_step": "timestep", "nsteps": "steps", "n_steps": "steps", "numb_steps": "steps",
    "elements": "type_map", "species": "type_map", "random_seed": "seed", "title": "name", "structures": "systems",
    "trust_lo": "force_lo", "trust_hi": "force_hi", "f_trust_lo": "force_lo", "f_trust_hi": "force_hi",
    "number": "count", "n_models": "models", "numb_models": "models", "seeds": "replicas", "replica": "replicas",
    "dump_every": "dump_every", "dump_freq": "dump_every", "production": "production", "file": "structure",
    "cif": "structure", "poscar": "structure", "fine_tune": "finetune", "labeller": "labeler", "code": "labeler",
    "batch": "batch_size", "lr": "start_lr", "learning_rate": "start_lr", "time": "production",
    "nvt_ps": "production_ps", "npt_ps": "equilibration_ps", "length": "production", "type": "kind",
    "validate": "validation", "training": "train", "distillation": "distill",
}


LENGTHS = ("steps", "nsteps", "n_steps", "numb_steps", "run", "nvt_steps")
"""Keys by which people give the length of a production run."""


def section_keys(path: KeyPath, data: Any, root: type[BaseModel] = ProjectSections) -> Keys | None:
    """Return the keys that the section at ``path`` may hold; None if any key is allowed or there is no section."""
    merged: Keys = {}
    for model in section_models(path, data, root):
        merged.update(model.model_fields)
    return merged or None


def section_models(
    path: KeyPath, data: Any, root: type[BaseModel] = ProjectSections
) -> list[type[BaseModel]]:
    """Return the classes that the section at ``path`` of ``root`` may be: one, or one for each ``kind``."""
    annotation: Any = root
    for index, part in enumerate(path):
        models = list(_models(annotation, _at(data, path[:index])))
        if isinstance(part, str) and models:
            if part not in models[0].model_fields:
                return []
            annotation = models[0].model_fields[part].rebuild_annotation()
        else:
            annotation = _element(annotation)
    return list(_models(annotation, _at(data, path)))


def is_free_mapping(path: KeyPath, data: Any) -> bool:
    """Return whether the section at ``path`` may hold any key (deepmd overrides, calculator arguments, charges)."""
    keys = section_keys(path[:-1], data)
    if not keys or path[-1] not in keys:
        return False
    parts = _alternatives(keys[str(path[-1])].rebuild_annotation())
    return any(get_origin(part) is dict and not list(_models(get_args(part)[1], None)) for part in parts)


def suggestion(path: KeyPath, data: Any, root: type[BaseModel] = ProjectSections) -> str:
    """Return what to write instead of the unknown key at the end of ``path`` (empty: unknown)."""
    key, keys = str(path[-1]), section_keys(path[:-1], data, root)
    if keys is None:
        return ""
    if advice := _length_of_runs(key, keys) or _wrong_unit(key, keys, _at(data, path)):
        return advice
    names = {name.lower(): name for name in keys}
    plain = key.lower().replace("-", "_")
    meant = names.get(plain) or _same_base(SYNONYMS.get(_split(plain)[0], _split(plain)[0]), keys)
    at_top = root is ProjectSections and not path[:-1]
    if meant is None and at_top and (place := _at_another_place(key, plain, keys)):
        return place
    if meant := meant or closest(plain, keys):
        return f"did you mean '{meant}'?"
    known = key_homes().get(key, []) if root is ProjectSections else []
    homes = [place for place in known if place != ".".join(map(str, path[:-1]))]
    if homes:
        return f"it belongs to {' or '.join(homes[:3])}" + (" ..." if len(homes) > 3 else "")
    return "possible keys: " + ", ".join(keys)


def _length_of_runs(key: str, keys: Keys) -> str:
    known = _split(key.lower())[0] in LENGTHS and "production_ps" in keys
    return "the length of the runs is 'production_ps', of the equilibration 'equilibration_ps'" if known else ""


def _at_another_place(key: str, plain: str, keys: Keys) -> str:
    """Return where a key at the top level belongs, unless it is nearly one of that level."""
    if key in key_homes():
        return "" if closest(plain, keys, cutoff=0.9) else f"it belongs to {' or '.join(key_homes()[key][:3])}"
    places = _elsewhere(plain)
    return question(*places[:3]).removeprefix(" - ") if places and closest(plain, keys, cutoff=0.85) is None else ""


def _elsewhere(key: str) -> list[str]:
    """Return the keys below the top level that have this name but for their unit, as ``md.temperatures_K``."""
    base = SYNONYMS.get(_split(key)[0], _split(key)[0]).rstrip("s")
    found = [
        f"{place}.{name}" for name, places in key_homes().items() if _split(name)[0].rstrip("s") == base
        for place in places if "." not in place and " " not in place
    ]
    return sorted(found, key=lambda place: not place.startswith("md."))


@functools.cache
def key_homes() -> dict[str, list[str]]:
    """Return the sections that have each key (``the top level of the file`` for the sections themselves)."""
    homes: dict[str, list[str]] = {}

    def collect(annotation: Any, place: str) -> None:
        for model in _models(annotation, None):
            for name, field in model.model_fields.items():
                found = homes.setdefault(name, [])
                if (here := place or "the top level of the file") not in found:  # one section, or a list of them
                    found.append(here)
                inner = field.rebuild_annotation()
                element = _element(inner)
                below = f"{place}.{name}" if place else name
                collect(inner, below)
                if element is not None:
                    collect(element, below)

    collect(ProjectSections, "")
    return homes


def unit_of(key: str) -> str | None:
    """Return the unit in the name of a key as it is usually written (``steps_fs``: fs, ``force_lo_eV_A``: eV/A)."""
    unit = _split(key)[1]
    return unit.replace("eV_", "eV/") if unit in UNITS else None


def _split(key: str) -> tuple[str, str | None]:
    """Return a key without its unit, and the unit."""
    known = {unit for _, others in UNITS.values() for unit in others} | OTHER_UNITS | set(UNITS)
    lower = {unit.lower(): unit for unit in sorted(known)}
    for length in (2, 1):
        parts = key.rsplit("_", length)
        if len(parts) == length + 1 and parts[0]:
            unit = "_".join(parts[1:])
            if unit in known or unit.lower() in lower:
                return parts[0], unit if unit in known else lower[unit.lower()]
    return key, None


def _same_base(base: str, keys: Keys) -> str | None:
    """Return the key that equals ``base`` except for its unit and a plural s."""
    for name in keys:
        if _split(name)[0].rstrip("s") == base.rstrip("s") or name == base:
            return name
    return None


def _wrong_unit(key: str, keys: Keys, value: Any) -> str:
    base, given = _split(key)
    base = SYNONYMS.get(base.lower(), base)
    meant = _same_base(base, keys)
    if given is None or meant is None:
        return ""
    wanted = _split(meant)[1]
    if wanted is None or wanted == given:
        return f"did you mean '{meant}'?"
    factor = UNITS[wanted][1].get(given) if wanted in UNITS else None
    example = ""
    if factor is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
        example = f" ({value:g} {given} = {value * factor:g} {wanted})"
    return f"the unit here is {wanted.replace('eV_', 'eV/')}, write '{meant}'{example}"


def _at(data: Any, path: KeyPath) -> Any:
    """Return the value at ``path``, None if there is none."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the members of an optional or union type, without annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _models(annotation: Any, value: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that an annotation allows; only the one of the value's ``kind`` if that is given."""
    models = [part for part in _alternatives(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    kind = value.get("kind") if isinstance(value, dict) else None
    if len(models) > 1 and isinstance(kind, str):
        chosen = [model for model in models if model.model_fields["kind"].default == kind]
        models = chosen or models
    yield from models


def _element(annotation: Any) -> Any:
    """Return the type of the items of a list, or of the values of a mapping; None for other types."""
    for part in _alternatives(annotation):
        if get_origin(part) in (list, tuple):
            return get_args(part)[0]
        if get_origin(part) is dict:
            return get_args(part)[1]
    return None
