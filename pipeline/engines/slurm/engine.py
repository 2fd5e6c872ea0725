"""A run on a batch system: dflow's debug mode drives it, its tasks are jobs, one poller asks for all of them."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence

from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.runtime import events
from dpa_sse.pipeline.config.batch import BatchSettings, Job, Kind, System
from dpa_sse.pipeline.engines.local.engine import DFLOW, Around, execute
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.engines.slurm import nodes, places
from dpa_sse.pipeline.engines.slurm.nodes import forget_bad_nodes
from dpa_sse.pipeline.engines.slurm.places import CLAIMS
from dpa_sse.pipeline.engines.slurm.plan_file import MOST_MEMBERS, BatchPlan
from dpa_sse.pipeline.engines.slurm.queue import QUEUE, Poller, Snapshot
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, open_folders
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.submission import settle
from dpa_sse.pipeline.engines.slurm.systems import dialect_of
from dpa_sse.pipeline.engines.slurm.usage import note_usage
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.lock import forget_held

SUBMITTERS = 4
"""Steps that wait for jobs at the same time: each is one process."""


class BatchEngine(Around):
    """What a batch system adds to a run: a folder for each start, the poller, and what becomes of the jobs at the end.

    Parameters
    ----------
    run : Run
    system : str
    settings : BatchSettings
    jobs : dict
        What the jobs of each kind of work ask for.
    """

    def __init__(self, run: Run, system: System, settings: BatchSettings, jobs: dict[Kind, Job]) -> None:
        self.run = run
        self.scheduler = Scheduler(dialect_of(system))
        self.plan = BatchPlan(system=system, settings=settings, jobs=jobs)
        self.poller: Poller | None = None

    def begin(self) -> str:
        """Choose the folder of dflow for this start, and start the poller; returns the name of the folder."""
        (self.run.engine / QUEUE).unlink(missing_ok=True)
        end_earlier_jobs(self.run, self.plan.system)
        forget_bad_nodes(self.run.engine)
        for name in (places.LOCK, nodes.LOCK):
            forget_held(self.run.engine / name)
        remove_tree(self.run.engine / CLAIMS, self.run.folder)
        name = self._fresh_folder()
        self.plan = self.plan.model_copy(update={"dflow": name, "most_members": most_members(self.scheduler)})
        self.plan.write(self.run.engine)
        self.poller = Poller(self.run.engine, self.scheduler, self.plan.settings.poll_s)
        self.poller.start()
        return name

    def end(self, code: int, received: int | None) -> None:
        """Stop the poller; cancel the jobs that are left, unless this process was told to end."""
        if self.poller is not None:
            self.poller.stop()
        if received in (signal.SIGTERM, signal.SIGHUP):
            left = len(list(open_folders(self.run.engine)))
            if left:
                title = self.scheduler.dialect.title
                text = f"Jobs stay in the queue of {title}; `resume` finds them again, `stop` cancels them."
                events.emit("note", reason=text)
            return
        cancel_jobs(self.run, self.scheduler)

    def _fresh_folder(self) -> str:
        """Return a new name; folders of earlier starts stay as long as jobs of theirs may read them."""
        needed = {folder.batch.dflow for folder in open_folders(self.run.engine)}
        numbers = [0]
        for path in self.run.engine.glob("dflow*"):
            number = re.fullmatch(r"dflow(?:-(\d+))?", path.name)
            if number is None or not path.is_dir():
                continue
            numbers.append(int(number[1] or 0))
            if path.name not in needed:
                remove_tree(path, self.run.folder)
        return f"dflow-{max(numbers) + 1}"


class LocalAfterBatch(Around):
    """A run on this machine that may have been on a batch system before; jobs that are left would do the same work."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def begin(self) -> str:
        """Cancel the jobs of earlier starts, and remove their files."""
        end_earlier_jobs(self.run, None)
        for path in self.run.engine.glob(f"{DFLOW}-*"):
            remove_tree(path, self.run.folder)
        return DFLOW


def end_earlier_jobs(run: Run, system: System | None) -> None:
    """Cancel the jobs that a run has left on another system than the one that it uses now (None: this machine).

    Raises
    ------
    InputError
        The other system does not answer, so that they may still be at work.
    """
    if not any(True for _ in open_folders(run.engine)):
        return
    try:
        earlier = BatchPlan.read(run.engine).system
    except (OSError, ValueError):
        return
    if earlier != system:
        scheduler = Scheduler(dialect_of(earlier))
        cancel_jobs(run, scheduler)
        if any(True for _ in open_folders(run.engine)):
            raise InputError(
                f"{run.folder}: jobs of an earlier start may still be at work, and {scheduler.dialect.title} does not "
                "answer; try again later"
            )


def execute_on_batch(
    run: Run, resources: Resources, system: System, settings: BatchSettings, jobs: dict[Kind, Job], *, build: str,
    on_tick: Callable[[], None] | None = None,
) -> int:
    """Run the DAG of a run folder on a batch system, or resume it; as :func:`.local.engine.execute`."""
    alone = Resources(
        cores=SUBMITTERS, gpus=(), threads_per_task=resources.threads_per_task, retries=resources.retries,
        task_timeout_s=resources.task_timeout_s,
    )
    return execute(run, alone, build=build, on_tick=on_tick, around=BatchEngine(run, system, settings, jobs))


def most_members(scheduler: Scheduler) -> int:
    """Return how many members an array may have."""
    if scheduler.dialect.system != "slurm":
        return MOST_MEMBERS
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", scheduler.ask(["scontrol", "show", "config"]))
    except PipelineError:
        return MOST_MEMBERS
    return max(1, int(found[1]) if found else MOST_MEMBERS)


def cancel_jobs(run: Run, scheduler: Scheduler) -> list[str]:
    """Cancel all jobs of a run that may be in the queue; returns their numbers."""
    jobs: dict[str, str] = {}
    asked = []
    for folder in list(open_folders(run.engine)):
        if folder.job is None:  # it may have been submitted a moment ago
            settle(folder)
        if folder.job is None or folder.repeated:
            try:
                found = scheduler.find(folder.path.name)
            except PipelineError:
                continue
            jobs |= dict.fromkeys(found, folder.path.name)
        jobs |= {} if folder.job is None else {folder.job: folder.path.name}
        asked.append(folder)
    complaint = scheduler.cancel([(job, None) for job in jobs], jobs)
    if complaint:
        events.emit("note", reason=f"Jobs {', '.join(jobs)} may still be in the queue: {complaint}")
        return []
    note_left(run, asked)
    for folder in asked:
        folder.close()
    return list(jobs)


def note_left(run: Run, folders: Sequence[BatchFolder]) -> None:
    """Write down what jobs have used that nobody waits for any more."""
    try:
        jobs, snapshot = BatchPlan.read(run.engine).jobs, Snapshot.read(run.engine)
        for folder in folders:
            gone = folder.names("gone")
            members = [number for number in range(len(folder.batch.members)) if str(number) not in gone]
            note_usage(run.engine, jobs[folder.batch.kind], [(folder, one) for one in members], snapshot)  # type: ignore[index]
    except (OSError, ValueError, KeyError):
        return  # a full disk: the jobs have been cancelled nevertheless
