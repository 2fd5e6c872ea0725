"""Elements from the names that files give their atoms: one set of rules for all readers, and no guessing.

A type symbol names an element and nothing else (``Li``, ``SN``, ``S2-``). A label is a symbol followed by what tells
the sites apart (``Li1``, ``Cu1A``). Letters in the wrong case are accepted where only one element can be meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_TYPE = re.compile(r"([A-Za-z]{1,2})(?:\d*[+-]|[+-]\d+)?")
_PART = re.compile(r"(\d*\.\d+|\d+)?\s*([A-Z][a-z]?)(?:\d*[+-]|[+-]\d+)?")
_LABEL = re.compile(r"[A-Za-z]+")
ISOTOPES = {"D": "H", "T": "H"}


def element_of_type(text: str) -> str | None:
    """Return the element of a type symbol, None if it is not one; a charge is dropped, ``SN`` and ``sn`` are Sn.

    A single small letter is not accepted, nor anything after the symbol (``Li1``).
    """
    found = _TYPE.fullmatch(text.strip())
    if found is None:
        return None
    letters = found[1]
    symbol = letters.capitalize() if len(letters) == 2 else letters
    return ISOTOPES.get(symbol) or (symbol if _is_element(symbol) else None)


def mixture_of_type(text: str) -> dict[str, float] | None:
    """Return the shares of a type symbol such as ``0.60Cl + 0.40Br``, None if it is not a mixture."""
    parts = [_PART.fullmatch(part.strip()) for part in re.split(r"\s\+\s", text)]
    shares: dict[str, float] = {}
    for part in parts:
        if part is None or part[1] is None or not _is_element(part[2]):
            return None
        shares[part[2]] = shares.get(part[2], 0.0) + float(part[1])
    return shares


def element_of_label(text: str, others: Collection[str] = ()) -> str | None:
    """Return the element that a label starts with, None if that is not certain.

    Parameters
    ----------
    text : str
        Label of a site or kind: ``Li1``, ``S2A``, ``SN1``.
    others : collection of str
        Elements that are known to be in the structure: ``HO1`` is not holmium beside hydrogen and oxygen.
    """
    start = _LABEL.match(text.strip())
    if start is None:
        return None
    letters = start[0]
    proper = re.match(r"[A-Z][a-z]?(?![a-z])", letters)
    first = letters[0].upper()
    if proper is not None and (len(proper[0]) == 2 or len(letters) == 1):
        return element_of_type(proper[0])
    if len(letters) != 2 or not letters.isupper():
        return None
    pair = letters.capitalize()
    if not _is_element(pair):  # SA1 is a sulfur site, OH1 may stand for two atoms
        return first if _is_element(first) and not _is_element(letters[1]) and letters[1] not in ISOTOPES else None
    if {first, letters[1]} <= set(others) or (first == "H" and letters[1] in others):  # HO1 is a hydrogen on O1, too
        return None
    return pair if len(text.strip()) > 2 or not _is_element(first) or not _is_element(letters[1]) else None


def labels_with_elements(labels: Sequence[str]) -> list[str | None]:
    """Return the element of every label of a file, None where it is not certain."""
    plain = {element for label in labels if (element := element_of_label(label)) and len(element) == 1}
    return [element_of_label(label, plain) for label in labels]


def _is_element(symbol: str) -> bool:
    from ase.data import atomic_numbers

    return atomic_numbers.get(symbol, 0) > 0
