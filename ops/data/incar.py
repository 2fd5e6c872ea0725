"""The tags of an INCAR: reading them, and when two values are the same to VASP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dpa_sse.ops.core.errors import InputError

Value = bool | int | float | str

LABEL_TAGS = (
    "GGA", "METAGGA", "ENCUT", "ENAUG", "PREC", "ISMEAR", "SIGMA", "LREAL", "LASPH", "ISPIN", "IVDW", "LUSE_VDW",
    "LDAU", "LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ", "ADDGRID", "NELECT", "KSPACING", "KGAMMA", "LHFCALC", "AEXX",
    "HFSCREEN", "LSORBIT", "LMAXMIX", "EDIFF", "NGX", "NGY", "NGZ", "PSTRESS",
)
"""Tags that decide what the labels are: frames that differ in one of them must not be in one data set."""

_WORDS = ("GGA", "METAGGA", "PREC")
"""Tags whose values are names: the T of ``TPSS`` is not a boolean."""

_CUT_WORDS = ("PREC", "LREAL")
"""Tags of which VASP reads the first letters only, and of which vasprun.xml keeps some letters."""


@dataclass(frozen=True)
class Tag:
    """One tag of a user's INCAR."""

    name: str
    value: str
    line: int


def read_incar(text: str) -> list[Tag]:
    """Return the tags of an INCAR in the order of the file: ``TAG = value``, several per line with ``;``.

    Lines without ``=`` are titles, unless they look like a tag.

    Raises
    ------
    InputError
        A line is neither an assignment nor a title; the message starts with the line number.
    """
    tags = []
    for number, line in _logical_lines(text):
        for part in line.split(";"):
            if not part.strip():
                continue
            name, equals, value = part.partition("=")
            if not equals and not _is_forgotten(part):
                continue  # a title, which VASP skips as well
            if not equals or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name.strip()) or not value.strip():
                raise InputError(f"{number}: not of the form TAG = value: {part.strip()}")
            tags.append(Tag(name.strip().upper(), value.strip(), number))
    return tags


def _is_forgotten(part: str) -> bool:
    """Return whether a line without ``=`` was meant to set a tag (``ENCUT 520``): VASP would skip it silently."""
    words = part.split()
    tag = re.fullmatch(r"[A-Z][A-Z0-9_]*", words[0])
    value = re.fullmatch(r"\.?(TRUE|FALSE|T|F)\.?|[-+]?\d[\d.eE+-]*", words[1]) if len(words) > 1 else None
    return bool(tag) and (words[0] in LABEL_TAGS or value is not None)


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


def value_number(value: Value, kind: type) -> float | None:
    """Return the value of a tag as a number (a boolean as 0 or 1), None if it is not of that kind."""
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
    """Return whether two values of a tag are the same to VASP (``.TRUE.`` and ``T``, ``Accurate`` and ``accura``)."""
    for kind in (float,) if name in _WORDS else (float, bool):
        first, second = (value_number(value, kind) for value in (one, other))
        if first is not None and second is not None:
            return abs(first - second) <= 1e-6 * max(1e-6, abs(first))
    texts = sorted((str(one).strip().lower(), str(other).strip().lower()), key=len)
    if name in _CUT_WORDS:
        return bool(texts[0]) and texts[1].startswith(texts[0])
    return texts[0].split() == texts[1].split()


def tag_number(tags: Mapping[str, Value], name: str, default: float) -> float:
    """Return a tag as a number."""
    number = value_number(tags.get(name, default), float)
    return default if number is None else number


def tag_boolean(tags: Mapping[str, Value], name: str, *, default: bool) -> bool:
    """Return a tag as a boolean."""
    return bool(value_number(tags.get(name, default), bool))


def incar_text(tags: Mapping[str, Value]) -> str:
    """Return tags as the text of an INCAR, one per line."""
    return "".join(f"{name} = {value_text(value)}\n" for name, value in tags.items())


def value_text(value: Value) -> str:
    """Return a value as VASP reads it."""
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    return f"{value:.10g}".replace("e-0", "E-").replace("e", "E") if isinstance(value, float) else str(value)
