"""LAMMPS runs that watch themselves, survive a kill, and give the same trajectory either way.

LAMMPS rebuilds its neighbour lists at every restart step, our inputs set up the integrator there anew and warm up the
model, so a run that goes on from a restart file repeats the uninterrupted one bit for bit (CPU, one thread).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.core.tools import available_threads, die_with_parent, tail, thread_environment
from dpa_sse.ops.md import segments as parts
from dpa_sse.ops.md.lammps import WARM_UP, Simulation, input_text, lammps_command, write_data, write_input
from dpa_sse.ops.md.monitor import Monitor, Problem
from dpa_sse.ops.md.trajectory import DumpReader, Frame, last_error, loop_speed
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.results.status import TaskStatus

if TYPE_CHECKING:
    from ase import Atoms

POLL_S = 0.5
UNSTABLE = (  # LAMMPS errors that mean: the model drove the system apart
    "Lost atoms", "Non-numeric", "NaN", "Out of range atoms", "Too many neighbor bins", "Neighbor list overflow",
    "skew", "Invalid box", "box bounds are invalid",
)


@dataclass(frozen=True)
class Job:
    """A run: its cell, its models (the first one drives), its numbers."""

    atoms: Atoms
    models: Sequence[Path]
    type_map: Sequence[str]
    simulation: Simulation
    equilibration_steps: int = 0
    melt: bool = False  # also stop when the framework melts

    @property
    def steps_of_frames(self) -> list[int]:
        """Steps at which an undisturbed run writes a frame."""
        return list(range(0, self.simulation.steps + 1, self.simulation.dump_every))


@dataclass
class Outcome:
    """What became of a run; the files hold only what may be used."""

    status: str  # ok, exploded, melted, failed
    reason: str = ""
    phase: Literal["equilibration", "run"] = "run"
    end: float = parts.NEVER  # first step of the phase that must not be used
    n_frames: int = 0
    steps_per_s: float | None = None
    seconds: float = 0.0
    threads: int = 1
    checks: dict[str, Any] = field(default_factory=dict)


def simulate(job: Job, out: Path) -> Outcome:
    """Run LAMMPS in ``out/work`` and put the joined results into ``out``.

    Called again after a kill, it goes on from the last complete restart file. Results: ``traj.lammpstrj``,
    ``thermo.csv``, ``equilibration.csv``, ``model_devi.csv``, ``in.lammps``, ``log.lammps``, ``cell.data``.

    Raises
    ------
    TransientError
        LAMMPS was killed from outside.
    FatalError
        LAMMPS or a model is missing.
    """
    return simulate_all([(job, out)], threads=available_threads())[0]


def simulate_all(runs: Sequence[tuple[Job, Path]], threads: int = 1) -> list[Outcome]:
    """Do several runs, as many side by side as this task has threads for, and return their outcomes in order.

    Parameters
    ----------
    runs : sequence of (Job, Path)
        Each with its own output folder.
    threads : int
        Threads of each LAMMPS.
    """
    places = max(1, available_threads() // threads)
    waiting = list(enumerate(runs))
    active: dict[int, LammpsRun] = {}
    outcomes: dict[int, Outcome] = {}
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
    """One LAMMPS process and the eyes on it."""

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
                preexec_fn=die_with_parent,  # noqa: PLW1509 (this process starts no threads of its own)
            )

    def poll(self, patience_s: float) -> Outcome | None:
        """Look at the new frames; return the outcome when the run has ended, or after waiting None."""
        running = self._child.poll() is None  # asked before looking: no frame of the end is missed
        self._trajectory.ended = not running
        problem = self._look()
        if problem is None and running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(patience_s)
            return None
        self.stop()
        outcome = self._outcome(problem)
        self._collect(outcome)
        return outcome

    def stop(self) -> None:
        """End LAMMPS, if it still runs."""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()

    def _look(self) -> Problem | None:
        for monitor, frames in self._phases:
            for frame in frames():
                if monitor.check(frame) is not None:
                    return monitor.problem
        return None

    def _outcome(self, problem: Problem | None) -> Outcome:
        if problem is not None:
            early = problem is self._equilibration.problem
            reason = f"equilibration, {problem.reason}" if early else problem.reason
            return Outcome(problem.status, reason, "equilibration" if early else "run", problem.step)
        code = self._child.returncode
        if code < 0:
            text = f"LAMMPS was killed by signal {-code}; log: {self._log}\n{tail(self._log)}"
            raise TransientError(text)
        return Outcome("ok") if code == 0 else self._failure(code)

    def _failure(self, code: int) -> Outcome:
        """Return what LAMMPS itself says of its end."""
        error = last_error(self._log) or tail(self.work / "output.txt", 3) or f"it ended with code {code}"
        begun = (self.work / parts.part_names(self.part).trajectory).exists()
        early = bool(self.job.equilibration_steps) and self.part == 0 and not begun
        halt = re.search(r"Fix halt condition .* on step (\d+)", error)
        if halt:
            limit = self.job.simulation.max_temperature_K
            error = f"step {halt[1]}: the temperature passed {limit:g} K, or was not a number"
        status = "exploded" if halt or any(sign in error for sign in UNSTABLE) else "failed"
        reason = ("equilibration, " if early else "") + (error if halt else f"LAMMPS: {error}")
        end = int(halt[1]) if halt else parts.NEVER
        return Outcome(status, reason, "equilibration" if early else "run", end)

    def _collect(self, outcome: Outcome) -> None:
        """Join the parts, cut what must not be used, write the files."""
        job, in_run = self.job, outcome.phase == "run"
        end = outcome.end if in_run else 0.0
        steps = parts.write_trajectory(self.out, self.work, self.part if in_run else -1, end)
        outcome.n_frames = len(steps)
        if outcome.status == "ok" and steps != job.steps_of_frames:
            outcome.status = "failed"
            outcome.reason = f"the trajectory is not complete: {len(steps)} of {len(job.steps_of_frames)} frames"
        equilibration_end = (parts.NEVER if in_run else outcome.end) if job.equilibration_steps else None
        rows = parts.write_thermo(
            self.out, self.work, self.part, every=job.simulation.thermo_every, equilibration_end=equilibration_end,
            end=end,
        )
        if len(job.models) > 1:
            parts.write_deviations(self.out, self.work, self.part, end)
        parts.write_logs(self.out, self.work, self.part)
        skip = WARM_UP if self.part else int(job.equilibration_steps > 0)
        outcome.steps_per_s = loop_speed(self._log, skip=skip)
        outcome.seconds = time.monotonic() - self._start
        outcome.threads = self.threads
        outcome.checks = {**_averages(rows), **self._monitor.summary}


def _averages(rows: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Return mean and largest temperature and the mean volume of a run (None for a run without rows)."""
    if not rows:
        return {"mean_temperature_K": None, "max_temperature_K": None, "mean_volume_A3": None}
    temperatures = [row["temperature_K"] for row in rows]
    return {
        "mean_temperature_K": sum(temperatures) / len(rows),
        "max_temperature_K": max(temperatures),
        "mean_volume_A3": sum(row["volume_A3"] for row in rows) / len(rows),
    }


def _prepare(job: Job, work: Path) -> int:
    """Write the input of the next part and return its number; without a restart file all begins anew."""
    state = parts.latest_state(work)
    if state is None and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    part = parts.next_part(work)
    write_data(work / "cell.data", job.atoms, job.type_map)
    links = [f"model_{index}.pth" for index in range(len(job.models))]
    for name, model in zip(links, job.models, strict=True):
        (work / name).unlink(missing_ok=True)
        (work / name).symlink_to(model_file(Path(model)).resolve())
    restart = None
    if state is not None:  # a copy: the run itself overwrites the two alternating files
        restart = parts.part_file(work, part, "state").name
        shutil.copyfile(state, work / restart)
    triclinic = " xy xz yz" in (work / "cell.data").read_text(encoding="utf-8")
    text = input_text(
        job.simulation, job.type_map, links, equilibration_steps=job.equilibration_steps, triclinic=triclinic,
        restart=restart, names=parts.part_names(part),
    )
    write_input(parts.part_file(work, part, "in"), text)
    return part


def finish(out: Path, outcome: Outcome, record: dict[str, Any], *, partial: bool = False) -> None:
    """Write ``run.json`` and, last of all, ``status.json``; remove the working folder.

    Parameters
    ----------
    out : Path
    outcome : Outcome
    record : dict
        What was known before the run.
    partial : bool
        The frames up to the trouble are of use: the task is partial, not failed.
    """
    run = {
        **record, "status": outcome.status, "reason": outcome.reason, "n_frames": outcome.n_frames,
        "steps_per_s": outcome.steps_per_s, "seconds": round(outcome.seconds, 2), "threads": outcome.threads,
        **outcome.checks,
    }
    write_json(out / "run.json", run)
    good = outcome.status == "ok"
    TaskStatus(
        status="ok" if good else "partial" if partial else "failed",
        reason="" if good else f"{outcome.status}: {outcome.reason}",
        final=outcome.status in ("exploded", "melted"),  # a result about the model: trying again is no use
    ).write(out)
    shutil.rmtree(out / "work", ignore_errors=True)
