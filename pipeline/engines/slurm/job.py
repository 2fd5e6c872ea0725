"""The work of a job, on a node: ``python -m dpa_sse.pipeline.engines.slurm.job FOLDER MEMBER``.

Every task that has ended is written to ``results/`` at once, so that a job that is killed loses only what was at work.
With the number of a task as a third argument, it is the process of one task of several that run side by side.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import PipelineError, TransientError
from dpa_sse.ops.core.files import write_text
from dpa_sse.pipeline.engines.slurm.exit_codes import HOPELESS, NO_SPACE, OUT_OF_MEMORY
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, BatchTask, JobResult, task_inputs

PROBE_BYTES = 65536
BEGUN = time.monotonic()
TWICE_S = 1.0
"""SIGTERM within this time of the last one is the same request."""
_told: float | None = None


def main() -> int:
    """Do the tasks of this member: one after the other, side by side, or one of these."""
    folder, member = BatchFolder(Path(sys.argv[1])), int(sys.argv[2])
    try:
        if len(sys.argv) > 3:
            return run_tasks(folder, member, [int(sys.argv[3])])
        numbers = [number for number in folder.batch.members[member] if not _done(folder, number)]
        if folder.batch.share is not None and len(numbers) > 1:
            from dpa_sse.pipeline.engines.slurm.pack import run_pack

            return run_pack(folder, member, numbers, folder.batch.share)
        return run_tasks(folder, member, numbers)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(f"{error.filename or folder.path}: {error.strerror}\n")
        return NO_SPACE


def run_tasks(folder: BatchFolder, member: int, numbers: list[int]) -> int:
    """Do tasks one after the other; returns the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    batch = folder.batch
    os.environ.update(batch.environment)
    os.environ.update([env.JOB_EVENTS.entry(folder.path / "events" / f"{member}.jsonl"), env.JOB.entry(batch.name)])
    if (fault := _version_fault()) is not None:
        sys.stderr.write(f"{fault}\n")
        return HOPELESS
    from dpa_sse.ops.core.tools import thread_environment
    from dpa_sse.pipeline.engines.launcher import import_dflow

    os.environ.update(thread_environment())
    import_dflow()
    work = folder.path / "work" / (str(member) if len(numbers) != 1 else f"{member}-{numbers[0]}")
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    code = 0
    for number in numbers:
        task = batch.tasks[number]
        killed = memory_kills()
        found = run_task(folder, task)
        if failed(found):
            if memory_kills() > killed:
                sys.stderr.write(f"{task.name}: the memory of the job was used up\n")
                return OUT_OF_MEMORY
            _probe(work)
        found = found.model_copy(update={"ran_s": round(time.monotonic() - BEGUN, 1)})
        write_text(folder.path / "results" / f"{task.name}.json", found.model_dump_json())
        code = max(code, 0 if found.error is None else 1)
    return code


def _done(folder: BatchFolder, number: int) -> bool:
    return (folder.path / "results" / f"{folder.batch.tasks[number].name}.json").exists()


def _probe(folder: Path) -> None:
    """Raise an error if there is no room for a small file: that is why a task has failed, and not its own fault."""
    path = folder / "probe"
    try:
        with path.open("wb") as stream:
            stream.write(b"\0" * PROBE_BYTES)
            os.fsync(stream.fileno())
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def run_task(folder: BatchFolder, task: BatchTask) -> JobResult:
    """Run a task and return how it ended."""
    from dpa_sse.ops.runtime.workspace import choose_workspace

    batch = folder.batch
    op = getattr(importlib.import_module(batch.module), batch.op)()
    inputs = task_inputs(batch.inputs)
    if task.index is not None:
        inputs["index"] = task.index
    key = task.key
    try:
        key = op.identity(task.name, inputs).key
        if key != task.key:
            return JobResult(key=key, error="its inputs have changed since it was submitted", transient=True)
        place, values = op.run_one(choose_workspace(reuse=batch.reuse), task.name, inputs)
    except Exception as error:
        message = str(error) if isinstance(error, PipelineError) and str(error) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"{task.name}: {message}\n")
        return JobResult(key=key, error=message, transient=isinstance(error, TransientError | TimeoutError))
    return JobResult(key=key, folder=str(place), values=dict(values))


def failed(result: JobResult) -> bool:
    """Return whether a task has failed, alone (in a fan-out) or with its step."""
    from dpa_sse.ops.results.status import TaskStatus

    if result.folder is None:
        return True
    status = TaskStatus.read_if_there(Path(result.folder))
    return status is not None and status.status == "failed"


def memory_kills(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many processes of this job the kernel has killed for lack of memory, in any of its steps."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    total = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        place = root / "memory" if controllers else root
        group = place / path.lstrip("/")
        inside = [group, *(folder for folder in group.parents if folder.is_relative_to(place) and folder != place)]
        job = next((folder for folder in inside if folder.name.startswith("job_")), group)
        if controllers:  # of old kernels: counts each group alone
            total += sum(_kills_in(folder / "memory.oom_control") for folder in inside if folder.is_relative_to(job))
        else:
            total += _kills_in(job / "memory.events")
    return total


def _kills_in(file: Path) -> int:
    try:
        words = dict(line.split() for line in file.read_text(encoding="ascii").splitlines())
        return int(words.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def _version_fault() -> str | None:
    from dpa_sse import __version__

    wanted = env.VERSION.read() or __version__
    if wanted == __version__:
        return None
    return f"version {wanted} of the pipeline submitted this job, but {__version__} is installed here: use one for both"


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Stop; the script and the batch system both tell, and the second must not disturb what the first has begun."""
    global _told  # noqa: PLW0603  (of the process, as the signal)
    if _told is None or time.monotonic() - _told > TWICE_S:
        _told = time.monotonic()
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
