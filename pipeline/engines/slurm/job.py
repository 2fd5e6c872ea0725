"""The work of a job, on a node: ``python -m dpa_sse.pipeline.engines.slurm.job FOLDER MEMBER``.

Every task that has ended is written to ``results/`` at once, so that a job that is killed loses only what was at work.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import PipelineError, TransientError
from dpa_sse.ops.core.files import write_text
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, BatchTask, JobResult, task_inputs

HOPELESS = 2
"""Exit code of a job that would fail again: another version, or other inputs, than when it was submitted."""


def main() -> int:
    """Do the tasks of this member, one after the other."""
    signal.signal(signal.SIGTERM, _stop)
    folder, member = BatchFolder(Path(sys.argv[1])), int(sys.argv[2])
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
    work = folder.path / "work" / str(member)
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)
    done = {name.removesuffix(".json") for name in folder.names("results")}
    code = 0
    for number in batch.members[member]:
        task = batch.tasks[number]
        if task.name not in done:
            found = run_task(folder, task)
            write_text(folder.path / "results" / f"{task.name}.json", found.model_dump_json())
            code = max(code, 0 if found.error is None else 1)
    return code


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


def _version_fault() -> str | None:
    from dpa_sse import __version__

    wanted = env.VERSION.read() or __version__
    if wanted == __version__:
        return None
    return f"version {wanted} of the pipeline submitted this job, but {__version__} is installed here: use one for both"


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
