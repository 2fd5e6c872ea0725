"""The host of the mobile ions: which atoms belong to it, and whether it has melted.

Every atom that is not mobile counts. The atoms are divided into sites that stay where they are in a solid:

* network formers (P, Ge, ...), each with the anions bonded to it. The centre is the site; bonded anions are judged by
  their polyhedron, since a PS4 group that rotates moves its S by 3 A without melting;
* everything else individually: halides, S that is not bonded to a former, other cations.

A sublattice (the sites of one element) has melted when its mean squared displacement exceeds that of Lindemann's
criterion, (0.3 d)^2, and, unless it is one of formers, which have no partner to change places with, when its squared
displacements add up to more than some exchanges of neighbours, three d^2; d is the nearest-neighbour distance of the
anions outside of a polyhedron (3.6-4.2 A in thiophosphates). Displacements are those of positions averaged over several
vibrations, after removal of the drift (see ``drift_of``), so that thermal motion, 0.5 A at 1200 K before the
averaging, does not count. A single halide hop contributes one d^2; it is reported but not treated as melting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dpa_sse.ops.structures.neighbour_list import near_pairs

FORMERS = frozenset({"B", "Al", "Ga", "Si", "Ge", "Sn", "P", "As", "Sb"})
LIGANDS = frozenset({"S", "O", "Se"})
MOBILE = frozenset({"Li", "Na", "K"})
BONDED = 1.35  # of the sum of covalent radii: 2.9 A for P-S; free S is 4 A away
LINDEMANN = 0.3  # rms displacement over the nearest-neighbour distance
EXCHANGES = 3.0  # squared neighbour distances, all sites of an element together
_NEAR_A = 4.6


def covalent_sums(symbols: list[str]) -> np.ndarray:
    """Return the sums of covalent radii (Angstrom) of all pairs of atoms' elements, shape (n, n) by element."""
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    return radii[:, None] + radii[None, :]


@dataclass
class Framework:
    """The sites of a host and the length that displacements are compared with.

    Attributes
    ----------
    sites : numpy.ndarray of int
        (n_sites,), atoms: network formers, and all atoms that are neither mobile nor bonded to a former.
    names : numpy.ndarray of str
        (n_sites,), element of each.
    bonded : numpy.ndarray of int
        Anions bonded to a former.
    spacing_A : float or None
        Nearest-neighbour distance of the anions outside of a polyhedron, mean over the anions; of all sites in a host
        without anions. None for a host of one atom.
    """

    sites: np.ndarray
    names: np.ndarray
    bonded: np.ndarray
    spacing_A: float | None


def find_framework(
    symbols: Sequence[str], cell: np.ndarray, positions: np.ndarray, mobile: Sequence[str] | frozenset[str] = MOBILE
) -> Framework:
    """Return the host in a configuration that is still a solid.

    Parameters
    ----------
    symbols : sequence of str
    cell : numpy.ndarray, shape (3, 3)
        Angstrom.
    positions : numpy.ndarray, shape (n_atoms, 3)
        Angstrom.
    mobile : sequence of str
        Species that may diffuse.
    """
    names = np.array(symbols)
    host = np.flatnonzero([symbol not in mobile for symbol in symbols])
    former = np.array([symbol in FORMERS for symbol in names[host]], dtype=bool)
    anions = ~former if not former.all() else former
    elements, kind = np.unique(names[host], return_inverse=True)
    for cutoff in (_NEAR_A, 3 * _NEAR_A):
        i, j, d = near_pairs(cell, positions[host], cutoff)
        bond = former[i] & ~former[j] & (d < BONDED * covalent_sums(elements.tolist())[kind[i], kind[j]])
        unit = np.arange(len(host))  # the former to which an anion is bonded, else itself
        unit[j[bond]] = i[bond]
        outside = anions[i] & anions[j] & ((unit[i] != unit[j]) | (i == j))  # i == j: an image of itself
        nearest = np.full(len(host), np.inf)
        np.minimum.at(nearest, i[outside], d[outside])
        if np.isfinite(nearest[anions]).all():
            break
    sites = host[former | (unit == np.arange(len(host)))]
    nearest = nearest[np.isfinite(nearest)]
    return Framework(
        sites, names[sites], host[~former & (unit != np.arange(len(host)))],
        float(nearest.mean()) if len(nearest) and len(sites) > 1 else None,
    )


def drift_of(framework: Framework, shift: np.ndarray) -> np.ndarray:
    """Return the common displacement (..., 3) of the sites (..., n_sites, 3), which is not a motion of the host.

    The median over formers where there are three or more, since they are the last to leave their places, else over all
    sites.
    """
    former = np.isin(framework.names, sorted(FORMERS))
    return np.asarray(np.median(shift[..., former, :] if former.sum() > 2 else shift, axis=-2))


@dataclass
class Motion:
    """How far the sites of a host are from where they were.

    Attributes
    ----------
    sublattices : dict
        Element -> ``sites``, ``displaced`` (by more than half of the spacing), ``rms_A``, ``largest_A``.
    melted : list of str
        A sentence for each sublattice that has melted.
    """

    sublattices: dict[str, dict[str, Any]] = field(default_factory=dict)
    melted: list[str] = field(default_factory=list)

    @property
    def exchanged(self) -> str:
        """A sentence about sites that changed place in a sublattice that has not melted; empty when none did."""
        moved = [
            f"{one['displaced']} of {one['sites']} {name} sites (by {one['largest_A']:.1f} A at most)"
            for name, one in self.sublattices.items() if one["displaced"]
        ]
        return f"changed place: {', '.join(moved)}" if moved else ""


def judge_motion(framework: Framework, shift: np.ndarray) -> Motion:
    """Compare displacements of the sites with the criteria above.

    Parameters
    ----------
    framework : Framework
    shift : numpy.ndarray, shape (n_sites, 3)
        Displacement of the time-averaged positions of the sites, Angstrom; a common drift is taken off here.
    """
    motion = Motion()
    spacing = framework.spacing_A
    if spacing is None:
        return motion
    squares = ((shift - drift_of(framework, shift)) ** 2).sum(axis=1)
    for name in sorted(set(framework.names.tolist())):
        own = squares[framework.names == name]
        rms, displaced = float(np.sqrt(own.mean())), int((own > (spacing / 2) ** 2).sum())
        motion.sublattices[name] = {
            "sites": len(own), "displaced": displaced, "rms_A": rms, "largest_A": float(np.sqrt(own.max())),
        }
        allowed = 0.0 if name in FORMERS else EXCHANGES
        if rms > LINDEMANN * spacing and own.sum() > allowed * spacing**2:
            motion.melted.append(
                f"the {name} sublattice diffuses: rms displacement {rms:.1f} A, {displaced} of {len(own)} sites left "
                f"their place; neighbours are {spacing:.1f} A apart"
            )
    return motion
