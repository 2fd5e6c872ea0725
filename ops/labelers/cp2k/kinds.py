"""Basis sets and pseudopotentials: found in the files that come with CP2K."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import regular
from dpa_sse.ops.labelers.settings import Cp2kSettings

POTENTIAL_FILE = "GTH_POTENTIALS"
BASIS_FILES = ("BASIS_MOLOPT", "BASIS_MOLOPT_UCL", "BASIS_MOLOPT_UZH")
FAMILIES = {
    "DZVP": ("DZVP-MOLOPT-SR-GTH",),
    "TZVP": ("TZVP-MOLOPT-SR-GTH", "TZVP-MOLOPT-GTH"),
    "TZV2P": ("TZV2P-MOLOPT-PBE-GTH", "TZV2P-MOLOPT-SR-GTH", "TZV2P-MOLOPT-GTH"),
}
"""Names without the number of valence electrons; the first one available for an element is used. There is no MOLOPT
basis for PBEsol; those for PBE are used with it, as are the GTH potentials (GTH-PBESol exists for boron only)."""


@dataclass(frozen=True)
class Kind:
    """Basis set and potential of an element, and the file of the basis set."""

    element: str
    basis: str
    basis_file: str
    potential: str


def choose_kinds(settings: Cp2kSettings, elements: Sequence[str], data: Path) -> list[Kind]:
    """Return the kind of each element.

    Raises
    ------
    InputError
        An element has no basis set or no potential in the data files; the message lists all of them.
    """
    kinds, errors = [], []
    for element in elements:
        try:
            kinds.append(_choose(settings, element, data))
        except InputError as error:
            errors.append(str(error))
    if errors:
        raise InputError("; ".join(errors))
    return kinds


def _choose(settings: Cp2kSettings, element: str, data: Path) -> Kind:
    own = settings.kinds.get(element)
    potentials = _entries(data / POTENTIAL_FILE).get(element, {})
    bases = list(_bases(element, data))
    if own and own.basis:
        bases = [entry for entry in bases if own.basis in entry[1]]
        wanted = own.basis
    else:
        families = FAMILIES[settings.basis]
        wanted = families[0]
        ranked = [
            (families.index(name), file, aliases) for file, aliases in bases
            for name in {re.sub(r"-q\d+$", "", alias) for alias in aliases} if name in families
        ]
        bases = [(file, aliases) for rank, file, aliases in ranked if rank == min(entry[0] for entry in ranked)]
    if not bases:
        raise InputError(f"no basis set {wanted} for {element} in {', '.join(BASIS_FILES)}")
    # The potential must leave as many electrons as the basis set was made for: the name of both ends in -q<number>.
    pairs = [
        (electrons, Kind(element, own.basis if own and own.basis else _longest(aliases), file, potential))
        for file, aliases in bases
        for potential, electrons in _potentials(potentials, own.potential if own else None, aliases)
    ]
    if not pairs:
        name = own.potential if own and own.potential else "GTH-PBE"
        raise InputError(f"no potential {name} for {element} in {POTENTIAL_FILE} that fits the basis set {wanted}")
    return max(pairs, key=lambda pair: pair[0])[1]


def _bases(element: str, data: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for file in BASIS_FILES:
        for aliases in set(_entries(data / file).get(element, {}).values()):
            yield file, aliases


def _potentials(
    found: dict[str, tuple[str, ...]], wanted: str | None, basis_aliases: tuple[str, ...]
) -> Iterator[tuple[str, int]]:
    electrons = {int(match[1]) for alias in basis_aliases if (match := re.search(r"-q(\d+)$", alias))}
    for alias in {alias for aliases in set(found.values()) for alias in aliases}:
        match = re.search(r"-q(\d+)$", alias)
        count = int(match[1]) if match else 0
        usual = match is not None and alias == f"GTH-PBE-q{count}" and (count in electrons or not electrons)
        if alias == wanted or (wanted is None and usual):
            yield alias, count


def _longest(aliases: tuple[str, ...]) -> str:
    """Return the most specific name: the one with the number of electrons."""
    return max(aliases, key=len)


@functools.cache
def _entries(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return all names in a data file: element, name, and all names of the same entry."""
    from ase.data import chemical_symbols

    symbols = set(chemical_symbols)
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    try:
        lines = regular(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read in {path.parent} ({error.strerror})") from error
    for line in lines:
        words = line.split("#")[0].split()
        if len(words) > 1 and words[0] in symbols and re.match(r"[A-Za-z]", words[1]):
            names = tuple(words[1:])
            for name in names:
                found.setdefault(words[0], {}).setdefault(name, names)
    return found
