"""LAMMPS runs with stability monitors, which survive a kill and yield the same trajectory either way.

LAMMPS rebuilds its neighbour lists at every restart step; the inputs set up the integrator again there and warm up the
model, so a run resumed from a restart file reproduces the uninterrupted one bit for bit (CPU, one thread).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.tools import available_threads, die_with_parent, tail, thread_environment
from dpa_sse.ops.md import segments as parts
from dpa_sse.ops.md.data_file import write_lammps_data
from dpa_sse.ops.md.equilibration import judge_equilibration
from dpa_sse.ops.md.lammps import (
    WARM_UP,
    FreshStart,
    PotentialLines,
    Restart,
    Simulation,
    deepmd_lines,
    input_text,
)
from dpa_sse.ops.md.monitor import Instability, Monitor
from dpa_sse.ops.md.program import lammps_command
from dpa_sse.ops.md.trajectory import DumpReader, Frame, last_error, loop_speed
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.results.md import (
    NO_ROWS,
    NOT_MONITORED,
    ExplorationTask,
    HostSummary,
    MdTask,
    RunStatus,
    ThermoSummary,
)
from dpa_sse.ops.results.status import TaskStatus

if TYPE_CHECKING:
    from ase import Atoms

POLL_S = 0.5
UNSTABLE = (  # LAMMPS errors of a model that drives the system apart
    "Lost atoms", "Non-numeric", "NaN", "Out of range atoms", "Too many neighbor bins", "Neighbor list overflow",
    "skew", "Invalid box", "box bounds are invalid",
)


@dataclass(frozen=True)
class Job:
    """What a run needs: cell, model files (the first one drives the run) and parameters.

    Attributes
    ----------
    atoms : ase.Atoms
    models : sequence of Path
        Model files or model folders.
    type_map : sequence of str
    simulation : Simulation
    equilibration_steps : int
        Steps of NPT before the run.
    melt : bool
        Also stop when the host framework melts.
    potential : callable
        Yields the LAMMPS lines that define the interaction; a Deep Potential by default.
    template : str, optional
        Input of the user's own.
    """

    atoms: Atoms
    models: Sequence[Path]
    type_map: Sequence[str]
    simulation: Simulation
    equilibration_steps: int = 0
    melt: bool = False
    potential: PotentialLines = deepmd_lines
    template: str | None = None

    @property
    def steps_of_frames(self) -> list[int]:
        """Steps at which an undisturbed run writes a frame."""
        return list(range(0, self.simulation.steps + 1, self.simulation.dump_every))


@dataclass
class RunOutcome:
    """How a run ended; the files contain only what may be used.

    Attributes
    ----------
    status : {"ok", "exploded", "melted", "failed"}
    reason : str
    phase : {"equilibration", "run"}
        In which the run ended.
    end : float
        First step of the phase that must not be used.
    n_frames : int
    steps_per_s : float, optional
        Speed of the last LAMMPS process.
    seconds : float
        Wall time.
    threads : int
    thermo : ThermoSummary
    host : HostSummary
    """

    status: RunStatus
    reason: str = ""
    phase: Literal["equilibration", "run"] = "run"
    end: float = parts.NEVER
    n_frames: int = 0
    steps_per_s: float | None = None
    seconds: float = 0.0
    threads: int = 1
    thermo: ThermoSummary = NO_ROWS
    host: HostSummary = NOT_MONITORED


def run_lammps(job: Job, out: Path) -> RunOutcome:
    """Run LAMMPS in ``out/work`` and write the joined results to ``out``.

    Called again after a kill, it resumes from the last complete restart file. Results: ``traj.lammpstrj``,
    ``thermo.csv``, ``equilibration.csv``, ``model_devi.csv``, ``in.lammps``, ``log.lammps``, ``cell.data``.

    Raises
    ------
    TransientError
        LAMMPS was killed by a signal.
    FatalError
        LAMMPS or a model is missing.
    """
    return run_lammps_all([(job, out)], threads=available_threads())[0]


def run_lammps_all(runs: Sequence[tuple[Job, Path]], threads: int = 1) -> list[RunOutcome]:
    """Do several runs, in parallel as far as the threads of this task allow, and return their outcomes in order.

    Parameters
    ----------
    runs : sequence of (Job, Path)
        Each with its own output folder.
    threads : int
        Threads of each LAMMPS process.
    """
    places = max(1, available_threads() // threads)
    waiting = list(enumerate(runs))
    active: dict[int, LammpsRun] = {}
    outcomes: dict[int, RunOutcome] = {}
    try:
        while waiting or active:
            while waiting and len(active) < places:
                index, (job, out) = waiting.pop(0)
                active[index] = LammpsRun(job, out, threads)
            for index, run in list(active.items()):
                outcome = run.poll(POLL_S / len(active))
                if outcome is not None:
                    outcomes[index] = outcome
                    del active[index]
    finally:
        for run in active.values():
            run.stop()
    return [outcomes[index] for index in range(len(runs))]


class LammpsRun:
    """A running LAMMPS process with its stability monitors."""

    def __init__(self, job: Job, out: Path, threads: int) -> None:
        self.job, self.out, self.work, self.threads = job, out, out / "work", threads
        self._start = time.monotonic()
        self.part = _prepare(job, self.work)
        names = parts.part_names(self.part)
        every = job.simulation.dump_every
        frame_fs = every * job.simulation.timestep_fs
        self._equilibration = Monitor(
            job.atoms, job.equilibration_steps // every + 1, melt=job.melt, frame_fs=frame_fs
        )
        self._monitor = Monitor(job.atoms, len(job.steps_of_frames), melt=job.melt, frame_fs=frame_fs)
        self._trajectory = parts.GrowingTrajectory(self.work, self.part)
        self._phases: list[tuple[Monitor, Callable[[], Iterator[Frame]]]] = [
            (self._equilibration, DumpReader(self.work / names.equilibration).frames),
            (self._monitor, self._trajectory.frames),
        ]
        self._log = parts.part_file(self.work, self.part, "log")
        self._child = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        argv, environment = lammps_command()
        script = parts.part_file(self.work, self.part, "in").name
        command = [*argv, "-in", script, "-log", self._log.name, "-screen", "none", "-nocite"]
        with (self.work / "output.txt").open("ab") as stream:
            return subprocess.Popen(
                command, cwd=self.work, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                env={**os.environ, **thread_environment(self.threads), **environment},
                preexec_fn=die_with_parent,  # noqa: PLW1509 (this process starts no threads)
            )

    def poll(self, patience_s: float) -> RunOutcome | None:
        """Check the new frames; return the outcome if the run has ended, else wait and return None."""
        running = self._child.poll() is None  # before checking, so that the last frames are not missed
        self._trajectory.ended = not running
        problem = self._check_frames()
        if problem is None and running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience_s)
            return None
        self.stop()
        outcome = self._outcome(problem)
        self._collect(outcome)
        return outcome

    def stop(self) -> None:
        """Kill LAMMPS if it is still running."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()

    def _check_frames(self) -> Instability | None:
        for monitor, frames in self._phases:
            for frame in frames():
                if monitor.check(frame) is not None:
                    return monitor.problem
        return None

    def _outcome(self, problem: Instability | None) -> RunOutcome:
        if problem is not None:
            early = problem is self._equilibration.problem
            reason = f"equilibration, {problem.reason}" if early else problem.reason
            return RunOutcome(problem.status, reason, "equilibration" if early else "run", problem.step)
        code = self._child.returncode
        if code < 0:
            text = f"LAMMPS was killed by signal {-code}; log: {self._log}\n{tail(self._log)}"
            raise TransientError(text)
        return RunOutcome("ok") if code == 0 else self._failure(code)

    def _failure(self, code: int) -> RunOutcome:
        """Return the outcome that the output of LAMMPS states."""
        error = last_error(self._log) or tail(self.work / "output.txt", 3) or f"exit code {code}"
        started = (self.work / parts.part_names(self.part).trajectory).exists()
        early = bool(self.job.equilibration_steps) and self.part == 0 and not started
        halt = re.search(r"Fix halt condition .* on step (\d+)", error)
        if halt:
            limit = self.job.simulation.max_temperature_K
            error = f"step {halt[1]}: the temperature exceeded {limit:g} K, or was not a number"
        status: RunStatus = "exploded" if halt or any(sign in error for sign in UNSTABLE) else "failed"
        reason = ("equilibration, " if early else "") + (error if halt else f"LAMMPS: {error}")
        end = int(halt[1]) if halt else parts.NEVER
        return RunOutcome(status, reason, "equilibration" if early else "run", end)

    def _collect(self, outcome: RunOutcome) -> None:
        """Join the parts, discard what must not be used, write the files."""
        job, in_run = self.job, outcome.phase == "run"
        end = outcome.end if in_run else 0.0
        steps = parts.write_trajectory(self.out, self.work, self.part if in_run else -1, end)
        outcome.n_frames = len(steps)
        if outcome.status == "ok" and steps != job.steps_of_frames:
            outcome.status = "failed"
            outcome.reason = f"the trajectory is incomplete: {len(steps)} of {len(job.steps_of_frames)} frames"
        equilibration_end = (parts.NEVER if in_run else outcome.end) if job.equilibration_steps else None
        rows = parts.write_thermo(
            self.out, self.work, self.part, every=job.simulation.thermo_every, equilibration_end=equilibration_end,
            end=end,
        )
        if len(job.models) > 1:
            parts.write_deviations(self.out, self.work, self.part, end)
        parts.write_logs(self.out, self.work, self.part)
        if job.template is not None:
            parts.keep_own(self.out, self.work)
        skip = WARM_UP if self.part else int(job.equilibration_steps > 0)
        outcome.steps_per_s = loop_speed(self._log, skip=skip)
        outcome.seconds = time.monotonic() - self._start
        outcome.threads = self.threads
        outcome.thermo, outcome.host = _averages(rows), self._monitor.summary


def _averages(rows: Sequence[dict[str, float]]) -> ThermoSummary:
    if not rows:
        return NO_ROWS
    temperatures = [row["temperature_K"] for row in rows]
    return ThermoSummary(
        mean_temperature_K=sum(temperatures) / len(rows),
        max_temperature_K=max(temperatures),
        mean_volume_A3=sum(row["volume_A3"] for row in rows) / len(rows),
    )


def _prepare(job: Job, work: Path) -> int:
    """Write the input of the next part and return its number; without a restart file the run starts from scratch."""
    state = parts.latest_state(work)
    if state is None and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    part = parts.next_part(work)
    for name, model in zip(_links(job), job.models, strict=True):
        (work / name).unlink(missing_ok=True)
        (work / name).symlink_to(model_file(Path(model)).resolve())
    start: FreshStart | Restart = FreshStart(job.equilibration_steps)
    if state is not None:  # a copy, because the run overwrites the two alternating files
        start = Restart(parts.part_file(work, part, "state").name)
        shutil.copyfile(state, work / start.file)
    write_text(parts.part_file(work, part, "in"), _part_input(job, work, part, start))
    return part


def _links(job: Job) -> list[str]:
    """Return the names of the models in the working folder."""
    files = [model_file(path) if (path := Path(model)).is_dir() else path for model in job.models]
    return [f"model_{index}{path.suffix}" for index, path in enumerate(files)]  # DeePMD-kit goes by the suffix


def _part_input(job: Job, work: Path, part: int, start: FreshStart | Restart) -> str:
    """Write the data file into a folder; return the LAMMPS input of one part."""
    angles = job.simulation.ensemble == "npt" and job.simulation.coupling == "tri"
    write_lammps_data(work / "cell.data", job.atoms, job.type_map, triclinic=angles)
    triclinic = " xy xz yz" in (work / "cell.data").read_text(encoding="utf-8")
    return input_text(
        job.simulation, job.type_map, _links(job), start=start, box="triclinic" if triclinic else "orthogonal",
        names=parts.part_names(part), potential=job.potential, template=job.template, part=part,
    )


def first_input(job: Job, out: Path) -> str:
    """Return the LAMMPS input of the first part of a run; ``out`` receives its data file."""
    return _part_input(job, out, 0, FreshStart(job.equilibration_steps))


def record_outcome(
    out: Path, outcome: RunOutcome, task: MdTask, atoms: Atoms, *, usable: bool = False,
    continued_from: int | None = None,
) -> None:
    """Write ``run.json`` and, last, ``status.json``; remove the working folder.

    Parameters
    ----------
    out : Path
    outcome : RunOutcome
    task : MdTask
    atoms : ase.Atoms
        Initial cell.
    usable : bool
        The frames before the end of a run that is not ``ok`` can be used: the task is partial, not failed.
    continued_from : int, optional
        Steps of the finished run that this one has continued.
    """
    task.record(
        n_atoms=len(atoms),
        composition=dict(sorted(Counter(atoms.get_chemical_symbols()).items())),
        status=outcome.status,
        reason=outcome.reason,
        n_frames=outcome.n_frames,
        steps_per_s=outcome.steps_per_s,
        seconds=round(outcome.seconds, 2),
        threads=outcome.threads,
        equilibration=judge_equilibration(out, task.pressure_GPa, len(atoms)) if _at_mean_cell(task) else None,
        width_A=_width(out / "traj.lammpstrj"),
        continued_from=continued_from,
        **dict(outcome.thermo),
        **dict(outcome.host),
    ).write(out)
    good = outcome.status == "ok"
    TaskStatus(
        status="ok" if good else "partial" if usable else "failed",
        reason="" if good else f"{outcome.status}: {outcome.reason}",
        final=outcome.status in ("exploded", "melted"),  # a result about the model: retrying is of no use
    ).write(out)
    shutil.rmtree(out / "work", ignore_errors=True)


def _at_mean_cell(task: MdTask) -> bool:
    """Return whether a run is at constant volume, that of a pressure; an exploration at constant volume is not."""
    return task.ensemble == "nvt" and not isinstance(task, ExplorationTask)


def _width(trajectory: Path) -> float | None:
    """Return the smallest distance between opposite faces of the cell, A; None for a trajectory without frames."""
    first = next(DumpReader(trajectory).frames(), None)
    if first is None:
        return None
    faces = np.linalg.norm(np.cross(first.cell[[1, 2, 0]], first.cell[[2, 0, 1]]), axis=1)
    return float(abs(np.linalg.det(first.cell)) / faces.max())
