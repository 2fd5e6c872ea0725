"""Molecular dynamics by VASP, in segments: an interrupted run resumes from its last step."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.data.incar import Value
from dpa_sse.ops.labelers.base import AimdResult, AimdRun
from dpa_sse.ops.labelers.settings import VaspSettings
from dpa_sse.ops.labelers.vasp.job import VaspOutcome, last_words, run_vasp, species_order, tidy, write_inputs
from dpa_sse.ops.labelers.vasp.potcar import Potcar
from dpa_sse.ops.labelers.vasp.results import IonicStep, label_of, read_steps
from dpa_sse.ops.results.status import DroppedStep

if TYPE_CHECKING:
    from ase import Atoms

STRAY_A = 2.0
"""A CONTCAR whose atoms are further than this from the last step is from another run."""
KEPT_CORRECTIONS = ("ALGO", "ISEARCH", "AMIX", "BMIX", "AMIN", "NELMDL", "NCORE", "NPAR", "KPAR", "NSIM", "TIME")
"""Corrections of custodian that change how the electrons converge, not the result: the next segment keeps them."""


@dataclass
class _Progress:
    """Steps of all segments so far, by number, and the corrections of the INCAR."""

    steps: dict[int, IonicStep] = field(default_factory=dict)
    corrections: dict[str, Value] = field(default_factory=dict)
    segments: int = 0
    problem: str = ""

    @property
    def following(self) -> int:
        """The first step that is missing."""
        return max(self.steps) + 1 if self.steps else 0


def run_dynamics(
    run: AimdRun, work: Path, settings: VaspSettings, tags: Mapping[str, Value], potcars: Sequence[Potcar]
) -> AimdResult:
    """Run one trajectory and return its labelled frames.

    Parameters
    ----------
    run : AimdRun
        Start, ensemble, number of steps.
    work : Path
        Receives one folder per segment; existing ones of an interrupted run are read first.
    settings : VaspSettings
        Command, limits.
    tags : mapping
        INCAR of a single point, so that labels agree with those of single points.
    potcars : sequence of Potcar
        In the order of the POSCAR.
    """
    progress = _read_progress(run, work, tags)
    reason, fruitless = "", 0
    while not reason and progress.following <= run.settings.steps:
        before = progress.following
        folder = work / f"segment.{progress.segments:02d}"
        _prepare(folder, run, work, progress, tags, potcars)
        try:
            outcome = run_vasp(folder, settings, dynamics=True)
            _read_segment(folder, run, tags, progress)
        finally:
            tidy(folder)
        fruitless = fruitless + 1 if progress.following == before else 0
        reason = _end(run, folder, settings, outcome, progress, fruitless)
    frames, dropped = _frames(run, progress.steps)
    return AimdResult(frames, reason, tuple(dropped))


def frames_so_far(run: AimdRun, work: Path, tags: Mapping[str, Value]) -> list[Atoms]:
    """Return the labelled frames of the finished steps of an interrupted run."""
    return _frames(run, _read_progress(run, work, tags).steps)[0]


def _end(
    run: AimdRun, folder: Path, settings: VaspSettings, outcome: VaspOutcome, progress: _Progress, fruitless: int
) -> str:
    """Return why the run ends before its last step; empty if it is complete, or another segment may continue it."""
    if progress.following > run.settings.steps:
        return ""
    done = progress.following
    at = f"after step {done - 1} of {run.settings.steps}" if done else "before its first step"
    if progress.problem:
        return f"{progress.problem} ({at})"
    if outcome.stopped:
        return f"stopped at its wall time of {settings.wall_time_min:g} min {at}"
    limit = settings.attempts if outcome.killed_by else settings.max_corrections + 1
    if fruitless < limit and (outcome.killed_by or outcome.corrected or not fruitless):
        return ""
    how = f"was killed by {outcome.killed_by}" if outcome.killed_by else f"ended with code {outcome.code}"
    handled = f"; errors handled by custodian: {', '.join(outcome.corrected)}" if outcome.corrected else ""
    return f"VASP {how} {at}: {last_words(folder)}{handled}"


def _read_progress(run: AimdRun, work: Path, tags: Mapping[str, Value]) -> _Progress:
    progress = _Progress()
    for folder in sorted(work.glob("segment.*")):
        if (folder / "segment.json").is_file():
            _read_segment(folder, run, tags, progress)
            tidy(folder)
        progress.segments = int(folder.name.rpartition(".")[2]) + 1
    progress.problem = ""
    return progress


def _read_segment(folder: Path, run: AimdRun, tags: Mapping[str, Value], progress: _Progress) -> None:
    """Add the complete steps of a segment."""
    _, order = species_order(run.atoms)
    symbols = [run.atoms.get_chemical_symbols()[k] for k in order]
    reading = read_steps(folder, symbols, tags)
    first = int(read_json(folder / "segment.json")["first_step"])
    progress.segments = int(folder.name.rpartition(".")[2]) + 1
    progress.problem = reading.problem if reading.other_settings else ""
    for number, step in enumerate(reading.steps if reading.usable else []):
        progress.steps.setdefault(first + number, step)
    progress.corrections |= _corrections(folder, tags)


def _corrections(folder: Path, tags: Mapping[str, Value]) -> dict[str, Value]:
    from dpa_sse.ops.data.incar import read_incar

    text = (folder / "INCAR").read_text(encoding="utf-8") if (folder / "INCAR").is_file() else ""
    return {tag.name: tag.value for tag in read_incar(text) if tag.name in KEPT_CORRECTIONS and tag.name not in tags}


def _prepare(
    folder: Path, run: AimdRun, work: Path, progress: _Progress, tags: Mapping[str, Value], potcars: Sequence[Potcar]
) -> None:
    """Write the inputs of the next segment."""
    shutil.rmtree(folder, ignore_errors=True)
    first, contcar = progress.following, None
    atoms, velocities = run.atoms, start_velocities(run)
    if progress.steps:
        last = progress.steps[first - 1]
        atoms = _atoms_of(run, last)
        contcar, ahead = _usable_contcar(work, run, last, progress.segments)
        if contcar is None or not ahead:
            first -= 1  # computed again; the step counts once
        if contcar is None and first - 1 in progress.steps:
            velocities = _difference(run, progress.steps[first - 1], last)
    dynamics = dynamics_tags(run, first)
    write_inputs(folder, atoms, {**tags, **dynamics, **progress.corrections}, potcars, velocities)
    if contcar is not None:
        shutil.copyfile(contcar, folder / "POSCAR")
    write_json(folder / "segment.json", {"first_step": first})


def start_velocities(run: AimdRun) -> NDArray[np.float64]:
    """Return Maxwell-Boltzmann velocities without drift, A/fs, shape (n, 3), from the seed of the run."""
    from ase import units
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

    atoms = run.atoms.copy()
    MaxwellBoltzmannDistribution(atoms, temperature_K=run.temperature_K, rng=np.random.default_rng(run.seed))
    Stationary(atoms)
    return np.array(atoms.get_velocities() * units.fs)


def dynamics_tags(run: AimdRun, first: int) -> dict[str, Value]:
    """Return the tags of molecular dynamics from step ``first`` on.

    VASP computes NSW configurations, including the initial one. Langevin: friction in 1/ps for each species; cell
    with VASP's default mass (VASP wiki, LANGEVIN_GAMMA, LANGEVIN_GAMMA_L, PMASS). Nose-Hoover: SMASS from the period,
    ``2 N_f k T (period / 2 pi)^2 / L^2`` in amu, L the length of the first lattice vector (Nose, J. Chem. Phys. 81,
    511 (1984)). The charge mixer keeps 40 steps of history (MAXMIX), every step is written (NBLOCK).
    """
    settings = run.settings
    species, _ = species_order(run.atoms)
    tags: dict[str, Value] = {
        "IBRION": 0, "NSW": settings.steps + 1 - first, "ISIF": 3 if settings.ensemble == "npt" else 2, "ISYM": 0,
        "POTIM": settings.timestep_fs, "TEBEG": run.temperature_at(first), "TEEND": run.end_temperature_K,
        "NBLOCK": 1, "MAXMIX": 40, "RANDOM_SEED": f"{(run.seed + first) % 90000} 0 0",
    }
    if settings.thermostat == "nose-hoover":
        return {**tags, "MDALGO": 2, "SMASS": nose_mass(run)}
    friction = f"{1000 / settings.damping_fs:g}"
    tags |= {"MDALGO": 3, "LANGEVIN_GAMMA": " ".join([friction] * len(species))}
    if settings.ensemble == "npt":
        tags |= {"LANGEVIN_GAMMA_L": 1000 / settings.pressure_damping_fs, "PMASS": 1000.0}
    return tags


def nose_mass(run: AimdRun) -> float:
    """Return SMASS, amu in units of the first lattice vector, for the period ``damping_fs``."""
    from ase import units

    period = run.settings.damping_fs * units.fs / (2 * np.pi)
    freedom = 3 * len(run.atoms) - 3
    length = float(np.linalg.norm(run.atoms.cell.array[0]))
    return float(2 * freedom * units.kB * run.temperature_K * period**2 / length**2)


def _usable_contcar(work: Path, run: AimdRun, last: IonicStep, segments: int) -> tuple[Path | None, bool]:
    """Return the last valid CONTCAR of the segments, and whether it is a step ahead of ``last``."""
    import warnings

    from pymatgen.io.vasp.inputs import Poscar

    for number in reversed(range(segments)):
        path = work / f"segment.{number:02d}" / "CONTCAR"
        if not path.is_file():
            continue
        with warnings.catch_warnings(), contextlib.suppress(Exception):  # it may be truncated
            warnings.simplefilter("ignore")
            poscar = Poscar.from_file(path, check_for_potcar=False)
            velocities = np.array(poscar.velocities, float)
            shift = np.array(poscar.structure.frac_coords) - last.fractional
            break
    else:
        return None, False
    moved = np.linalg.norm((shift - np.round(shift)) @ last.cell, axis=1).max()
    if velocities.shape == (len(run.atoms), 3) and np.isfinite(velocities).all() and moved < STRAY_A:
        return path, bool(moved > 1e-5)
    return None, False


def _difference(run: AimdRun, earlier: IonicStep, later: IonicStep) -> NDArray[np.float64]:
    """Return velocities, A/fs, in the order of the atoms, from two consecutive steps."""
    _, order = species_order(run.atoms)
    shift = later.fractional - earlier.fractional
    velocities = np.empty_like(shift)
    velocities[order] = (shift - np.round(shift)) @ later.cell / run.settings.timestep_fs
    return velocities


def _atoms_of(run: AimdRun, step: IonicStep) -> Atoms:
    """Return the cell of a step, atoms in the order of the run."""
    _, order = species_order(run.atoms)
    atoms = run.atoms.copy()
    atoms.set_cell(step.cell)
    fractional = np.empty_like(step.fractional)
    fractional[order] = step.fractional
    atoms.set_scaled_positions(fractional)
    return atoms


def _frames(run: AimdRun, steps: Mapping[int, IonicStep]) -> tuple[list[Atoms], list[DroppedStep]]:
    """Return every ``sample_every``-th frame with its label, and the sampled steps without one."""
    _, order = species_order(run.atoms)
    frames: list[Atoms] = []
    dropped: list[DroppedStep] = []
    for number in range(0, run.settings.steps + 1, run.settings.sample_every):
        if number not in steps:
            break
        step = steps[number]
        if step.status != "ok":
            dropped.append(DroppedStep(step=number, status=step.status, reason=step.reason))
            continue
        result = label_of(run.atoms, order, step) if number == 0 else None
        if result is not None and result.atoms is None:
            dropped.append(DroppedStep(step=number, status=result.status, reason=result.reason))
            continue
        frame = result.atoms if result is not None and result.atoms is not None else _labelled(run, order, step)
        frame.info["step"] = number
        frames.append(frame)
    return frames, dropped


def _labelled(run: AimdRun, order: NDArray[np.int_], step: IonicStep) -> Atoms:
    forces = np.empty_like(step.forces)
    forces[order] = step.forces
    return with_results(_atoms_of(run, step), step.energy, forces, step.stress)
