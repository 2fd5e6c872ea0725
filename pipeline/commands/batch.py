"""What the commands about runs add for a batch system: check, plan, queue, cancelling, the driver in the background."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.exit_codes import DONE, FAILED
from dpa_sse.ops.core.foreign import printable

if TYPE_CHECKING:
    from dpa_sse.pipeline.config import Located
    from dpa_sse.pipeline.engines.slurm.platform import SlurmPlatform
    from dpa_sse.pipeline.engines.slurm.queue import Snapshot
    from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
    from dpa_sse.pipeline.engines.slurm.usage import Usage
    from dpa_sse.pipeline.runs.folder import Run
    from dpa_sse.pipeline.runs.plan import PlannedStep

START_S = 30.0
ASK_S = 20.0


def batch_faults(located: Located) -> list[str]:
    """Return why the jobs of a project cannot run, by asking its batch system; empty if they can."""
    from dpa_sse.ops.core.errors import PipelineError
    from dpa_sse.pipeline.config.batch_presets import jobs_of
    from dpa_sse.pipeline.engines.slurm.partitions import job_faults, read_partitions
    from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
    from dpa_sse.pipeline.engines.slurm.systems import dialect_of

    engine = located.project.engine
    if engine.system is None:
        return []
    jobs = jobs_of(engine.batch, located.base_dir)
    scheduler = Scheduler(dialect_of(engine.system), ASK_S)
    where = f"{located.path}: engine.{engine.system}"
    try:
        version = scheduler.version()
        if engine.system != "slurm":
            print(f"{version}: answers; its queues and limits are not checked")
            return []
        partitions = read_partitions(scheduler)
    except PipelineError as error:
        return [f"{where}: {error}"]
    found, used = [], kinds_used(located)
    for kind, job in jobs.items():
        if job.where == "queue" and (kind in used or kind in engine.batch.overrides):
            found += [f"{where}: {kind}: {fault}" for fault in job_faults(job, engine.batch.account, partitions)]
    if not found:
        print(f"{version}: the jobs fit the partitions {', '.join(partitions)}; nothing was submitted")
    return found


def kinds_used(located: Located) -> set[str]:
    """Return the kinds of work that the steps of a project have: others may ask for what no node has."""
    import tempfile

    from dpa_sse.pipeline.commands.plan import dry_build

    with tempfile.TemporaryDirectory() as folder:
        _, platform = dry_build(located, Path(folder))
    assert platform is not None  # noqa: S101  (called for batch systems only)
    return {spec.op.resource_class for spec in platform.specs.values()}


@dataclass(frozen=True)
class PlannedJobs:
    """The jobs of a step: their number (in a loop, in each iteration), and their node hours in all.

    ``node_hours`` are those up to the time limits; ``likely_node_hours`` those by the recorded times of an earlier run,
    None if it has none of the step.
    """

    step: str
    kind: str
    tasks: int
    jobs: int
    partition: str
    time: str
    node_hours: float
    likely_node_hours: float | None = None


def planned_jobs(
    platform: SlurmPlatform, nodes: Sequence[PlannedStep], times: dict[str, int], recorded: Mapping[str, float]
) -> list[PlannedJobs]:
    """Return the jobs of all steps.

    Parameters
    ----------
    platform : SlurmPlatform
    nodes : sequence of PlannedStep
    times : dict
        How often a step is repeated at most.
    recorded : mapping
        Seconds of a task of a step in an earlier run.
    """
    found = []
    for node in nodes:
        spec = platform.specs[node.name]
        job = platform.job(spec.op)
        if job.where == "driver":
            continue
        count = math.ceil(node.tasks / platform.tasks_per_job(spec))
        hours = times.get(node.name, 1) * count * job.nodes * job.seconds / 3600
        likely = None
        if node.name in recorded:
            tasks = times.get(node.name, 1) * node.tasks
            likely = round(tasks * recorded[node.name] / job.side_by_side * job.nodes / 3600, 4)
        found.append(PlannedJobs(
            node.name, spec.op.resource_class, node.tasks, count, job.partition or "default", job.time, hours, likely
        ))
    return found


def write_scripts(located: Located, platform: SlurmPlatform, planned: Sequence[PlannedJobs], folder: Path) -> None:
    """Write the script of each step as it would be submitted, for reading."""
    from dpa_sse.ops.core.files import write_text
    from dpa_sse.pipeline.engines.slurm.dialect import Request
    from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
    from dpa_sse.pipeline.engines.slurm.script import batch_script, current_umask
    from dpa_sse.pipeline.engines.slurm.systems import dialect_of
    from dpa_sse.pipeline.runs.places import default_runs_folder

    engine = located.project.engine
    assert engine.system is not None  # noqa: S101  (called for batch systems only)
    dialect = dialect_of(engine.system)
    run = (default_runs_folder() / located.project.name).resolve()
    plan = BatchPlan(system=engine.system, settings=engine.batch, jobs=platform.jobs)
    for number, one in enumerate(planned, start=1):
        job = platform.job(platform.specs[one.step].op)
        place = run / ".engine" / "jobs" / one.step
        request = Request(
            one.step, place, place / "script.sh", one.jobs, job, engine.batch.account,
            min(engine.batch.stop_before_s, job.seconds // 2), width=min(one.jobs, job.max_jobs),
        )
        text = batch_script(dialect, request, plan.command(place, run), plan.exports(), current_umask())
        write_text(folder / engine.system / f"{number:02d}-{one.step}.sh", text)


def recorded_times(run: Run) -> dict[str, float]:
    """Return how many seconds a task of each step took in a run, on average: of its tasks that have finished."""
    from dpa_sse.pipeline.runs.stage_status import split_task

    taken: dict[str, list[float]] = {}
    for event in run.events():
        if event.kind == "done" and event.seconds is not None:
            taken.setdefault(split_task(event.task)[0], []).append(event.seconds)
    return {step: sum(seconds) / len(seconds) for step, seconds in taken.items()}


def print_jobs(planned: Sequence[PlannedJobs], title: str, folder: Path, source: str = "") -> None:
    """Print the jobs of all steps; ``source`` is the run whose recorded times have been used, if any."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    head = f"Jobs of {title}, in each iteration; node hours in all iterations and rounds, at most up to the time limits"
    table = Table(title=head, title_justify="left", box=None, pad_edge=False)
    for column in ("step", "work", "tasks", "jobs", "partition", "time limit", "node hours", "at most"):
        table.add_column(column, justify="left" if column in ("step", "work", "partition") else "right", no_wrap=True)
    for one in planned:
        table.add_row(one.step, one.kind, f"{one.tasks}", f"{one.jobs}", one.partition, one.time,
                      "?" if one.likely_node_hours is None else f"{one.likely_node_hours:.3g}", f"{one.node_hours:.1f}")
    known = [one.likely_node_hours for one in planned if one.likely_node_hours is not None]
    table.add_row("in all", "", f"{sum(one.tasks for one in planned)}", f"{sum(one.jobs for one in planned)}", "", "",
                  f"{sum(known):.3g}" if known else "?", f"{sum(one.node_hours for one in planned):.1f}")
    console.print(table)
    if known:
        left = len(planned) - len(known)
        text = f"Node hours by the recorded times of the run {source}, at its settings and on its machine"
        console.print(f"{text}{f'; {left} steps of it have none (?)' if left else ''}.", markup=False, soft_wrap=True)
    else:
        text = "No recorded times of an earlier run: only the limits are known (--times-from RUN)."
        console.print(text, markup=False, soft_wrap=True)
    console.print(f"Scripts for reading: {folder}; light steps run next to the driver, without a job.", markup=False)


def detach(run: Run) -> int:
    """Drive a run in the background: in its own session, with its output in a log; return when it has started."""
    from dpa_sse.ops.core.resources import import_root
    from dpa_sse.ops.core.tools import tail

    log = run.engine / "driver.log"
    path = os.pathsep.join([str(import_root()), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        driver = subprocess.Popen(
            [sys.executable, "-P", "-m", "dpa_sse.pipeline", "resume", str(run.folder)], stdin=subprocess.DEVNULL,
            stdout=descriptor, stderr=descriptor, start_new_session=True, env={**os.environ, "PYTHONPATH": path},
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + START_S
    while driver.poll() is None and time.monotonic() < deadline:
        holder = run.holder()
        if holder is not None and holder.pid == driver.pid:
            print(f"Run folder: {run.folder}")
            print(f"The run is driven in the background (pid {driver.pid}); its output: {log}")
            print(printable(f"Follow it: dpa-sse watch {run.folder}   stop it: dpa-sse stop {run.folder}"))
            return DONE
        time.sleep(0.1)
    if driver.poll() == DONE:
        print(f"The run ended at once; its output: {log}")
        return DONE
    print(printable(f"The run did not start; last lines of {log}:\n{tail(log, 10)}"), file=sys.stderr)
    return driver.poll() or FAILED


def queue_of(run: Run) -> list[str]:
    """Return one line for each kind of job of a run in the queue; asks the system itself where no driver does."""
    from dpa_sse.pipeline.engines.slurm.queue import Snapshot, job_names, job_steps, queue_lines

    steps = job_steps(run.engine)
    if not steps:
        return []
    snapshot = Snapshot.read(run.engine) if run.holder() is not None else _ask(run, job_names(run.engine))
    return [printable(line) for line in queue_lines(snapshot, steps)]


def usage_of_run(run: Run) -> Usage | None:
    """Return what the jobs of a run have used; None if it had none."""
    from dpa_sse.pipeline.engines.slurm.usage import run_usage

    return run_usage(run.engine, ask_s=ASK_S)


def cancel_left(run: Run) -> list[str]:
    """Cancel the jobs of a run that no driver waits for; returns their numbers."""
    from dpa_sse.pipeline.engines.slurm.engine import cancel_jobs
    from dpa_sse.pipeline.engines.slurm.records import open_folders

    scheduler = _scheduler(run)
    if scheduler is None or not list(open_folders(run.engine)):
        return []
    return cancel_jobs(run, scheduler)


def _scheduler(run: Run) -> Scheduler | None:
    from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
    from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
    from dpa_sse.pipeline.engines.slurm.systems import dialect_of

    try:
        return Scheduler(dialect_of(BatchPlan.read(run.engine).system), ASK_S)
    except (OSError, ValueError):
        return None


def _ask(run: Run, jobs: Mapping[str, str]) -> Snapshot:
    """Ask the batch system once, without writing into the run folder."""
    from dpa_sse.pipeline.engines.slurm.queue import Poller, Snapshot

    scheduler = _scheduler(run)
    return Snapshot() if scheduler is None else Poller(run.engine, scheduler, ASK_S).ask(jobs, keep=False)
