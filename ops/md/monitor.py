"""Stability monitors of a run: explosion, melting and decomposition of the host framework."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpa_sse.ops.md.trajectory import Frame
from dpa_sse.ops.results.md import HostSummary, SublatticeMotion
from dpa_sse.ops.structures.host_lattice import (
    FORMERS,
    LIGANDS,
    Framework,
    Motion,
    covalent_sums,
    drift_of,
    find_framework,
    judge_motion,
)
from dpa_sse.ops.structures.neighbour_list import near_pairs

if TYPE_CHECKING:
    from ase import Atoms

CLOSEST = 0.6  # of the sum of covalent radii; closer pairs are unphysical
BOND = 1.23  # of the sum of covalent radii: 2.6 A for P-S
MAX_VOLUME_RATIO = 2.0
KEPT_POLYHEDRA = 0.9  # share of the initial polyhedra that must remain
WINDOW = 10  # checked frames over which the melt criteria are averaged, at least
BOND_FS = 300.0  # minimum averaging time: several periods of the P-S stretching mode, longer than one stretched bond
PLACE_FS = 1000.0  # polyhedra swing against the halides at about 1 THz, which a shorter average takes for diffusion
MAX_CHECKS = 400  # per run; in longer runs only every n-th frame is checked


class Geometry:
    """Closest pairs and coordination polyhedra of one composition.

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
        """Return the closest approach, and the coordination numbers of the network formers.

        Parameters
        ----------
        cell : ndarray, shape (3, 3)
        positions : ndarray, shape (n_atoms, 3)

        Returns
        -------
        closest : float
            Smallest ratio of a distance to the sum of the covalent radii of the pair; infinite if no pair is close.
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


@dataclass(frozen=True)
class Instability:
    """Why a run is stopped: the first frame that must not be used, and a sentence."""

    status: Literal["exploded", "melted"]
    step: int
    reason: str


class Monitor:
    """Checks frames in order and keeps the first instability; equal frames give equal results.

    Parameters
    ----------
    start : ase.Atoms
        Initial cell of the whole run; its polyhedra are the reference.
    n_frames : int
        Expected number of frames; determines the checking interval.
    melt : bool
        Also detect melting and decomposition.
    frame_fs : float
        Time between frames.
    """

    def __init__(self, start: Atoms, n_frames: int, *, melt: bool, frame_fs: float = BOND_FS) -> None:
        self._geometry = Geometry(start.get_chemical_symbols())
        self._volume = abs(start.get_volume())
        self._every = max(1, n_frames // MAX_CHECKS)
        self._count = 0
        _, self._reference = self._geometry.measure(start.cell.array, start.positions)
        bonds, self._window = (max(WINDOW, round(time / (frame_fs * self._every))) for time in (BOND_FS, PLACE_FS))
        self._intact: deque[float] = deque(maxlen=bonds)
        self._recent: deque[np.ndarray] = deque(maxlen=self._window)
        self._first: list[np.ndarray] = []
        self._elements = np.array(start.get_chemical_symbols())
        self._framework = (
            find_framework(start.get_chemical_symbols(), start.cell.array, start.positions) if melt else None
        )
        self._rms: dict[str, float] = {}
        self._motion = Motion()
        self.problem: Instability | None = None

    @property
    def summary(self) -> HostSummary:
        """State of the host framework so far."""
        moved = {name: SublatticeMotion(**one) for name, one in self._motion.sublattices.items()}
        return HostSummary(
            polyhedra_kept=float(np.mean(self._intact)) if self._intact else None,
            rms_by_element_A=self._rms or None,
            sublattices=moved or None,
            exchanged=self._motion.exchanged or None,
        )

    def check(self, frame: Frame) -> Instability | None:
        """Check the next frame; return the instability, if there is one."""
        number, self._count = self._count, self._count + 1
        if self.problem is not None or number % self._every:
            return self.problem
        ratio = abs(np.linalg.det(frame.cell)) / self._volume
        closest, coordination = self._geometry.measure(frame.cell, frame.positions)
        if not np.isfinite(frame.positions).all():
            self._stop("exploded", frame, "positions are not numbers")
        elif closest < CLOSEST:
            self._stop("exploded", frame, f"atoms came as close as {closest:.2f} times the sum of their covalent radii")
        elif not 1.0 / MAX_VOLUME_RATIO < ratio < MAX_VOLUME_RATIO:
            self._stop("exploded", frame, f"the volume changed by a factor of {ratio:.2f}")
        else:
            self._check_melt(frame, coordination)
        return self.problem

    def _check_melt(self, frame: Frame, coordination: np.ndarray) -> None:
        if self._framework is None:
            return
        reduced = frame.positions @ np.linalg.inv(frame.cell)  # a solid moves with a breathing cell
        if len(self._reference):
            self._intact.append(float(np.mean(coordination == self._reference)))
        if len(self._first) < self._window:
            self._first.append(reduced)
        self._recent.append(reduced)
        sites = self._framework.sites
        self._measure(reduced, frame.cell, self._framework)
        if len(self._intact) == self._intact.maxlen and np.mean(self._intact) < KEPT_POLYHEDRA:
            share = 100 * float(np.mean(self._intact))
            self._stop("melted", frame, f"only {share:.0f} % of the initial coordination polyhedra remain")
        elif len(self._recent) == self._window:
            shift = np.mean(self._recent, axis=0) - np.mean(self._first, axis=0)
            self._motion = judge_motion(self._framework, shift[sites] @ frame.cell)
            if self._motion.melted:
                self._stop("melted", frame, "; ".join(self._motion.melted))

    def _measure(self, reduced: np.ndarray, cell: np.ndarray, framework: Framework) -> None:
        """Store the rms displacement of each element since the first frame, for the record of the run."""
        shift = (reduced - self._first[0]) @ cell
        if len(framework.sites):
            shift -= drift_of(framework, shift[framework.sites])
        squares = (shift**2).sum(axis=1)
        self._rms = {
            str(element): float(np.sqrt(squares[self._elements == element].mean()))
            for element in np.unique(self._elements)
        }

    def _stop(self, status: Literal["exploded", "melted"], frame: Frame, reason: str) -> None:
        self.problem = Instability(status, frame.step, f"step {frame.step}: {reason}")
