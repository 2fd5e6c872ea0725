"""The process that lets dflow run the DAG: ``python -m dpa_sse.pipeline.engines.local.driver RUN BUILD FOLDER``.

It is started, watched and stopped by :mod:`.engine`; its output is that of dflow and goes to a file.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.runtime import events
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.plan import PlannedStep, compare_plans

PROBED_LOCKS = 32
"""More than a pool of processes needs: others may have made some room in the meantime."""


def announce_changes(run: Run, plan: Sequence[PlannedStep]) -> None:
    """Report which steps a changed configuration invalidates, before anything starts."""
    old = run.plan()
    if not old:
        return
    change = compare_plans(old, plan)
    if change.changed:
        events.emit("changed", changed=change.changed, again=change.invalidated, kept=change.kept)


def shared_memory_fault() -> str | None:
    """Return why processes cannot share locks, which dflow and PyTorch need; None if they can."""
    import multiprocessing

    try:
        _ = [multiprocessing.get_context("fork").Lock() for _ in range(PROBED_LOCKS)]
    except (OSError, ImportError) as error:
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        what = "is full" if full else f"cannot be used ({error})"
        return (
            f"the shared memory of this machine, /dev/shm, {what}, but processes share locks there; make room "
            "(df -h /dev/shm) and resume the run"
        )
    return None


def main() -> int:
    """Build the DAG, report what has changed, run it."""
    from dpa_sse.pipeline.engines.local import dflow_debug

    run, build, files = Run(Path(sys.argv[1])), *sys.argv[2:4]
    remove_tree(run.engine / files, run.folder)
    module, _, function = build.partition(":")
    try:
        dflow_debug.configure(run.engine / files, workers=env.WORKERS.read())
        flow = getattr(importlib.import_module(module), function)(run)
    except PipelineError as error:
        events.emit("error", reason=str(error))
        return 2
    if fault := shared_memory_fault():
        events.emit("error", reason=fault)
        return 1
    announce_changes(run, flow.plan)
    run.write_plan(flow.plan)
    events.emit("planned")
    lock = env.LOCK.read()
    assert lock is not None  # noqa: S101  (the engine has set it)
    dflow_debug.follow_parent(lock)
    flow.workflow.submit()
    if flow.workflow.query_status() == "Succeeded":
        return 0
    dflow_debug.wait_for_branches()
    if fault := shared_memory_fault():
        events.emit("error", reason=fault)
    return 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # all children have ended; tearing down the interpreter costs 0.2 s
