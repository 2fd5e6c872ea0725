"""Structure of the production runs: frames, radial distribution functions, density and lattice beside measurement."""

from __future__ import annotations

import mmap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.md.trajectory import Frame, parse_frame
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.structures.density import density_g_cm3
from dpa_sse.ops.structures.neighbour_list import face_distances
from dpa_sse.ops.structures.rdf import RadialDistribution, Snapshot, radial_distributions
from dpa_sse.pipeline.report.inputs import ProductionRun, ReportData
from dpa_sse.pipeline.report.measured import MeasuredCell

ANIONS = ("N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I")
CUTOFF_A = 8.0
ATOMS_READ = 20_000
"""Atoms, over all frames, that a radial distribution function is averaged over."""
MIN_FRAMES, MAX_FRAMES = 5, 200
SAME_EDGE, SAME_ANGLE = 0.08, 3.0
"""Largest relative difference of a cell edge from a multiple of the measured one, and of an angle (degrees)."""
Pair = tuple[str, str]


@dataclass(frozen=True)
class Roles:
    """Elements of a system by what they do: mobile ions, other cations, anions."""

    mobile: tuple[str, ...]
    cations: tuple[str, ...]
    anions: tuple[str, ...]

    @property
    def pairs(self) -> list[Pair]:
        """Pairs of elements whose distances are shown: mobile ion to anion, framework, mobile ions among themselves."""
        found = [(one, anion) for one in self.mobile for anion in self.anions]
        found += [(cation, self.anions[0]) for cation in self.cations if self.anions]
        found += [(one, one) for one in self.mobile]
        return found + [(cation, anion) for cation in self.cations for anion in self.anions[1:]]


@dataclass(frozen=True)
class StructureAt:
    """Radial distribution functions at one temperature.

    Attributes
    ----------
    frames, runs : int
        That they are averaged over.
    reach_A : float
        Half the smallest width of the cell, or less.
    """

    system: str
    temperature_K: float
    frames: int
    runs: int
    reach_A: float
    pairs: Mapping[Pair, RadialDistribution]


@dataclass(frozen=True)
class CellAt:
    """Density and, where the cell is a multiple of the measured one, lattice constants at one temperature.

    Attributes
    ----------
    density_g_cm3 : float
        Mean over the runs; ``spread`` is half the range over them, None for one run.
    lattice_A : tuple of float or None
        a, b, c of the measured unit cell, from the edges of the simulated cell.
    measured : MeasuredCell or None
    measured_density_g_cm3 : float or None
    """

    system: str
    temperature_K: float
    pressure_GPa: float
    runs: int
    density_g_cm3: float
    spread: float | None
    lattice_A: tuple[float, float, float] | None
    measured: MeasuredCell | None
    measured_density_g_cm3: float | None

    @property
    def excess(self) -> float | None:
        """Relative difference of the volume from the measured one."""
        known = self.measured_density_g_cm3
        return None if known is None else known / self.density_g_cm3 - 1


def roles(composition: Mapping[str, int], mobile: Sequence[str]) -> Roles:
    """Sort the elements of a system, the most frequent first; a mobile element is not also a cation or an anion."""
    elements = sorted(composition, key=lambda one: -composition[one])
    others = [one for one in elements if one not in mobile]
    return Roles(
        tuple(one for one in elements if one in mobile),
        tuple(one for one in others if one not in ANIONS),
        tuple(one for one in others if one in ANIONS),
    )


def usable_runs(data: ReportData) -> dict[tuple[str, float], list[ProductionRun]]:
    """Return the runs that reached their end, by system and temperature."""
    groups: dict[tuple[str, float], list[ProductionRun]] = defaultdict(list)
    for run in data.md:
        if run.info.status == "ok":
            groups[run.info.system, run.info.temperature_K].append(run)
    return dict(groups)


def sampled_frames(path: Path, count: int) -> Iterator[Frame]:
    """Yield about ``count`` complete frames of a dump, evenly spaced; the rest of the file is not read.

    Raises
    ------
    FatalError
        Not a LAMMPS dump of the pipeline.
    """
    mark = b"ITEM: TIMESTEP\n"
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if text[: len(mark)] != mark:
            raise FatalError(f"{path.name}: not a LAMMPS dump")
        last = -1
        for k in range(count):
            start = text.find(mark, round(k * size / count))
            if start in (-1, last):
                continue
            end = text.find(mark, start + 1)
            last = start
            try:
                yield parse_frame(text[start : end if end != -1 else size])
            except ValueError:
                if end != -1:
                    raise  # else: the last frame, which is not complete


def first_frame(run: ProductionRun) -> Frame | None:
    """Return the first frame of a run, None if it has none that can be read."""
    if run.trajectory is None:
        return None
    try:
        return next(sampled_frames(run.trajectory, 1), None)
    except (OSError, ValueError, FatalError):
        return None


def structure_at(data: ReportData, runs: Sequence[ProductionRun], pairs: Sequence[Pair]) -> StructureAt | None:
    """Return g(r) of the runs of one temperature; None if no trajectory can be read, which is noted."""
    info = runs[0].info
    count = max(MIN_FRAMES, min(MAX_FRAMES, ATOMS_READ // max(1, info.n_atoms)))
    frames: list[Snapshot] = []
    read = 0
    for run in runs:
        if run.trajectory is None:
            continue
        try:
            own = [
                Snapshot(frame.cell, frame.symbols, frame.positions)
                for frame in sampled_frames(run.trajectory, max(MIN_FRAMES, count // len(runs)))
            ]
        except (OSError, ValueError, FatalError) as error:
            data.notes.append(f"{run.name}/{run.trajectory.name}: damaged ({type(error).__name__})")
            continue
        frames += own
        read += bool(own)
    if not frames:
        return None
    # just below half: then one image of each pair is within reach, which is the fast case
    reach = min(CUTOFF_A, 0.499 * float(min(face_distances(frame.cell).min() for frame in frames)))
    found = radial_distributions(frames, pairs, reach)
    return StructureAt(info.system, info.temperature_K, len(frames), read, reach, found)


def cell_at(runs: Sequence[ProductionRun], known: MeasuredCell | None) -> CellAt | None:
    """Return density and lattice of the runs of one temperature; None if no volume is recorded."""
    densities = [density for run in runs if (density := run_density_g_cm3(run.info)) is not None]
    if not densities:
        return None
    info, mean = runs[0].info, float(np.mean(densities))
    frame = None if known is None else first_frame(runs[0])
    return CellAt(
        system=info.system, temperature_K=info.temperature_K, pressure_GPa=info.pressure_GPa, runs=len(densities),
        density_g_cm3=mean, spread=(max(densities) - min(densities)) / 2 if len(densities) > 1 else None,
        lattice_A=None if frame is None or known is None else unit_lattice(frame.cell, known, info.mean_volume_A3),
        measured=known,
        measured_density_g_cm3=None if known is None
        else density_g_cm3(info.composition, info.n_atoms * known.volume_A3_atom),
    )


def run_density_g_cm3(info: MdRun) -> float | None:
    """Return the density at the mean volume of a run; None without rows of thermodynamic data."""
    if not info.mean_volume_A3 or not info.composition:
        return None
    return density_g_cm3(info.composition, info.mean_volume_A3)


def unit_lattice(cell: np.ndarray, known: MeasuredCell, volume_A3: float | None) -> tuple[float, float, float] | None:
    """Return a, b, c of the unit cell that a simulated cell repeats along its edges; None if it is another one.

    Parameters
    ----------
    cell : ndarray, shape (3, 3)
        Rows are the vectors of a frame, Angstrom.
    known : MeasuredCell
    volume_A3 : float or None
        Mean volume of the run, if the frame is not representative.
    """
    from ase.geometry import cell_to_cellpar

    parameters = cell_to_cellpar(cell)
    scale = 1.0 if not volume_A3 else float((volume_A3 / abs(np.linalg.det(cell))) ** (1 / 3))
    lengths = []
    for k in range(3):
        edge, unit = scale * float(parameters[k]), known.parameters[k]
        repeats = max(1, round(edge / unit))
        if abs(edge / repeats / unit - 1) > SAME_EDGE or abs(parameters[3 + k] - known.parameters[3 + k]) > SAME_ANGLE:
            return None
        lengths.append(edge / repeats)
    return lengths[0], lengths[1], lengths[2]
