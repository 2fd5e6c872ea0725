"""Elements from names that other programs give to kinds of atoms."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dpa_sse.ops.core.errors import InputError


def unknown_elements(names: Iterable[str]) -> list[str]:
    """Return the names that are not symbols of elements."""
    from ase.data import chemical_symbols

    return sorted({name for name in names if name not in chemical_symbols[1:]})


def check_elements(names: Iterable[str], where: str, hint: str = "") -> None:
    """Refuse names that are not symbols of elements.

    Raises
    ------
    InputError
        One is not.
    """
    if unknown := unknown_elements(names):
        raise InputError(f"{where}: not an element: {', '.join(unknown)}{hint}")


def element_of_titel(titel: str) -> str:
    """Return the name in the title of a POTCAR: Li of ``PAW_PBE Li_sv 10Sep2004``, H1.25 of ``PAW_PBE H1.25 ...``."""
    words = titel.split()
    name = words[1] if len(words) > 1 else (words[0] if words else "")
    return re.split(r"_", name)[0]
