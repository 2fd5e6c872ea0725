"""Elements from the labels of trajectory files: read where they are certain, refused otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

_LABEL = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])")
_ISOTOPES = {"D": "H", "T": "H"}


def is_element(name: str) -> bool:
    """Return whether a name is the symbol of an element."""
    from ase.data import atomic_numbers

    return atomic_numbers.get(name, 0) > 0


def element_of(label: str) -> str | None:
    """Return the element of a label such as ``Li``, ``Li_sv``, ``Li+``, ``Li1`` or ``Li/a1b2``; None if unclear.

    Letters right after the symbol make a label unclear, and so does another case: ``SN`` may be tin or sulfur.
    """
    match = _LABEL.match(label)
    if match is None:
        return None
    name = _ISOTOPES.get(match.group(1), match.group(1))
    return name if is_element(name) else None


def elements_of(labels: Sequence[str], options: SourceOptions, path: Path, notes: list[str]) -> list[str]:
    """Return the element of each label; numbers are atom types, which need the ``elements`` option.

    Raises
    ------
    InputError
        A label is not an element, or types come without elements.
    """
    kinds = list(dict.fromkeys(labels))
    if kinds and all(re.fullmatch(r"\d+(\.0*)?", kind) for kind in kinds):
        return map_types([int(float(label)) for label in labels], options, path)
    found = {kind: element_of(kind) for kind in kinds}
    unclear = [kind for kind in kinds if found[kind] is None]
    if unclear:
        shown = ", ".join(f"`{kind[:20]}`" for kind in unclear[:5])
        raise InputError(f"{path}: {shown}: not the symbol of an element; rename it in the file")
    isotopes = [kind for kind in kinds if _LABEL.match(kind) and _LABEL.match(kind)[1] in _ISOTOPES]  # type: ignore[index]
    if isotopes:
        notes.append(f"{', '.join(isotopes)} read as hydrogen")
    return [found[label] or label for label in labels]


def map_types(types: Sequence[int], options: SourceOptions, path: Path) -> list[str]:
    """Return elements of atom types by the ``elements`` option."""
    elements = options.elements or []
    if not elements:
        raise InputError(f"{path}: atom types without elements; give them, e.g. --elements Li,P,S")
    wrong = [name for name in elements if not is_element(name)]
    if wrong:
        raise InputError(f"{path}: --elements: '{wrong[0]}' is not an element")
    if min(types) < 1 or max(types) > len(elements):
        shown = max(types) if max(types) > len(elements) else min(types)
        raise InputError(f"{path}: atom type {shown}, but only {len(elements)} elements are given")
    return [elements[kind - 1] for kind in types]
