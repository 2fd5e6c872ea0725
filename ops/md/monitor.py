"""Watching a run: has it exploded, has the framework melted or decomposed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ops.md.trajectory import Frame

if TYPE_CHECKING:
    from ase import Atoms

CLOSEST = 0.6  # of the sum of covalent radii; nearer pairs are unphysical
BOND = 1.23  # of the sum of covalent radii: 2.6 A for P-S
MAX_VOLUME_RATIO = 2.0
KEPT_POLYHEDRA = 0.9  # share of the polyhedra of the start that must be left
LINDEMANN = 0.3  # rms displacement of the framework over its nearest-neighbour distance; solids stay below 0.15
DENSE_ATOMS = 256  # below, all pairs are looked at
WINDOW = 10  # checked frames over which the melt criteria are averaged, at least
WINDOW_FS = 300.0  # and time: several periods of the P-S stretching, so that one long bond is no decomposition
MAX_CHECKS = 400  # checks of one run: longer runs are checked every n-th frame
FORMERS = frozenset({"B", "Al", "Ga", "Si", "Ge", "Sn", "P", "As", "Sb"})
LIGANDS = frozenset({"S", "O", "Se"})
MOBILE = frozenset({"Li", "Na", "K"})


def temperature_limit(temperature_K: float) -> float:
    """Return the temperature above which a run at ``temperature_K`` counts as exploded.

    Three times the target and at most 10^4 K (as mlipaudit), but at least 1000 K: a strained cell releases
    some hundred kelvin of potential energy at low targets without being unstable.
    """
    return min(max(3.0 * temperature_K, 1000.0), 1.0e4)


def covalent_sums(symbols: list[str]) -> np.ndarray:
    """Return the sums of covalent radii (Angstrom) of all pairs of atoms' elements, shape (n, n) by element."""
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    return radii[:, None] + radii[None, :]


class Geometry:
    """Distances of one composition: closest pairs and coordination polyhedra.

    Parameters
    ----------
    symbols : list of str
        Elements of the atoms, in the order of the frames.
    """

    def __init__(self, symbols: list[str]) -> None:
        self.symbols = symbols
        elements = sorted(set(symbols))
        self._kind = np.array([elements.index(symbol) for symbol in symbols])
        self._sums = covalent_sums(elements)
        self._former = np.array([symbol in FORMERS for symbol in symbols])
        self._ligand = np.array([symbol in LIGANDS for symbol in symbols])
        self.formers = np.flatnonzero(self._former)

    def measure(self, cell: np.ndarray, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the closest approach and the coordination numbers of the network formers.

        Parameters
        ----------
        cell : ndarray, shape (3, 3)
        positions : ndarray, shape (n_atoms, 3)

        Returns
        -------
        closest : float
            Smallest distance over the sum of covalent radii of its pair; infinite when no pair is near.
        coordination : ndarray of int, shape (n_formers,)
            S, O or Se atoms within 1.23 times the sum of covalent radii.
        """
        if not (np.isfinite(cell).all() and np.isfinite(positions).all()):
            return 0.0, np.zeros(len(self.formers), dtype=int)
        cutoff = BOND * float(self._sums.max()) if len(self.formers) else CLOSEST * float(self._sums.max())
        i, j, d = near_pairs(cell, positions, cutoff)
        ratio = d / self._sums[self._kind[i], self._kind[j]]
        closest = float(ratio.min()) if len(ratio) else float("inf")
        bonds = (ratio < BOND) & self._former[i] & self._ligand[j]
        coordination = np.bincount(i[bonds], minlength=len(self.symbols))[self.formers]
        return closest, coordination

    def framework(self) -> np.ndarray:
        """Return the atoms that must not diffuse: the network formers, else everything but the mobile ions."""
        if len(self.formers):
            return self.formers
        return np.flatnonzero([symbol not in MOBILE for symbol in self.symbols])


def near_pairs(cell: np.ndarray, positions: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indices i, j and distances of all pairs within ``cutoff`` (each pair twice, periodic images included).

    Small cells that are thick enough for one image of each pair are done by a plain product, 20 times faster than
    a neighbour list: the watching must not slow down the run.
    """
    inverse = np.linalg.inv(cell)
    thickness = 1.0 / np.linalg.norm(inverse, axis=0)  # distances of opposite faces
    if len(positions) > DENSE_ATOMS or thickness.min() <= 2 * cutoff:
        from ase.neighborlist import primitive_neighbor_list

        found: tuple[np.ndarray, np.ndarray, np.ndarray] = primitive_neighbor_list(
            "ijd", (True, True, True), cell, positions, cutoff
        )
        return found
    fractional = positions @ inverse
    shift = fractional[:, None] - fractional[None]
    squares = np.square((shift - np.rint(shift)) @ cell).sum(axis=-1)
    np.fill_diagonal(squares, np.inf)
    i, j = np.nonzero(squares < cutoff * cutoff)
    return i, j, np.sqrt(squares[i, j])


@dataclass(frozen=True)
class Problem:
    """Why a run ends: the first frame that must not be used, and a sentence."""

    status: Literal["exploded", "melted"]
    step: int
    reason: str


class Monitor:
    """Looks at frames in their order and tells the first problem; equal frames give equal verdicts.

    Parameters
    ----------
    start : ase.Atoms
        The cell from which the whole run started; its polyhedra are the reference.
    n_frames : int
        Frames expected, for the choice of the checking interval.
    melt : bool
        Also look for melting and decomposition.
    frame_fs : float
        Time between frames.
    """

    def __init__(self, start: Atoms, n_frames: int, *, melt: bool, frame_fs: float = WINDOW_FS) -> None:
        self._geometry = Geometry(start.get_chemical_symbols())
        self._volume = abs(start.get_volume())
        self._every = max(1, n_frames // MAX_CHECKS)
        self._melt = melt
        self._count = 0
        self._first: np.ndarray | None = None
        _, self._reference = self._geometry.measure(start.cell.array, start.positions)
        self._window = max(WINDOW, round(WINDOW_FS / (frame_fs * self._every)))
        self._intact: deque[float] = deque(maxlen=self._window)
        self._moved: deque[float] = deque(maxlen=self._window)
        self._elements = np.array(start.get_chemical_symbols())
        self._rms: dict[str, float] = {}
        self._spacing = _spacing(start, self._geometry.framework()) if melt else None
        self.problem: Problem | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """Polyhedra kept and rms displacement of the framework (Angstrom), mean of the last checks; rms by element."""
        return {
            "polyhedra_kept": float(np.mean(self._intact)) if self._intact else None,
            "framework_rms_A": float(np.mean(self._moved)) if self._moved else None,
            "rms_by_element_A": self._rms or None,
        }

    def check(self, frame: Frame) -> Problem | None:
        """Look at the next frame; return the problem when there is one."""
        number, self._count = self._count, self._count + 1
        if self.problem is not None or number % self._every:
            return self.problem
        ratio = abs(np.linalg.det(frame.cell)) / self._volume
        closest, coordination = self._geometry.measure(frame.cell, frame.positions)
        if not np.isfinite(frame.positions).all():
            self._stop("exploded", frame, "positions are not numbers")
        elif closest < CLOSEST:
            self._stop("exploded", frame, f"atoms came as near as {closest:.2f} times the sum of their covalent radii")
        elif not 1.0 / MAX_VOLUME_RATIO < ratio < MAX_VOLUME_RATIO:
            self._stop("exploded", frame, f"the volume changed by a factor of {ratio:.2f}")
        elif self._melt:
            self._check_melt(frame, coordination)
        return self.problem

    def _check_melt(self, frame: Frame, coordination: np.ndarray) -> None:
        if len(self._reference):
            self._intact.append(float(np.mean(coordination == self._reference)))
        atoms = self._geometry.framework()
        if self._first is None:
            self._first = frame.positions
        if len(atoms) > 1:
            shift = frame.positions - self._first
            squares = ((shift - shift[atoms].mean(axis=0)) ** 2).sum(axis=1)
            self._moved.append(float(np.sqrt(squares[atoms].mean())))
            self._rms = {
                str(element): float(np.sqrt(squares[self._elements == element].mean()))
                for element in np.unique(self._elements)
            }
        if len(self._intact) == self._window and np.mean(self._intact) < KEPT_POLYHEDRA:
            share = 100 * float(np.mean(self._intact))
            self._stop("melted", frame, f"only {share:.0f} % of the coordination polyhedra of the start are left")
        elif self._spacing and len(self._moved) == self._window and np.mean(self._moved) > LINDEMANN * self._spacing:
            moved = float(np.mean(self._moved))
            text = f"the framework diffuses: rms displacement {moved:.1f} A, neighbours at {self._spacing:.1f} A"
            self._stop("melted", frame, text)

    def _stop(self, status: Literal["exploded", "melted"], frame: Frame, reason: str) -> None:
        self.problem = Problem(status, frame.step, f"step {frame.step}: {reason}")


def _spacing(start: Atoms, atoms: np.ndarray) -> float | None:
    """Return the mean nearest-neighbour distance of the framework in the starting cell, Angstrom."""
    nearest = np.full(len(atoms), np.inf)
    if len(atoms) > 1:
        i, _, d = near_pairs(start.cell.array, start.positions[atoms], 9.0)
        np.minimum.at(nearest, i, d)
    nearest = nearest[np.isfinite(nearest)]
    return float(nearest.mean()) if len(nearest) else None
