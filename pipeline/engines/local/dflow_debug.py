"""dflow's debug mode, patched for long chains, with the settings that a local run needs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

IDLE_S = 5.0
"""A branch that has not started a task for this time has ended; its process may hang forever."""


def configure(folder: Path, workers: int) -> None:
    """Put dflow into debug mode; must be called before any template is created.

    Parameters
    ----------
    folder : Path
        Gets dflow's own files.
    workers : int
        Number of tasks that run at the same time.
    """
    from dflow import config, s3_config

    folder.mkdir(parents=True, exist_ok=True)
    config.update(
        mode="debug",
        token=None,
        detach=False,
        save_path_as_parameter=False,
        debug_workdir=str(folder),
        debug_pool_workers=workers,
        debug_copy_method="symlink",
    )
    s3_config.update(
        endpoint="", console="", access_key="", secret_key="", repo_key=None, repo=None, prefix="", repo_prefix=""
    )
    drop_copies_of_finished_slices()
    run_single_steps_here()
    copy_by_pickling()


def drop_copies_of_finished_slices() -> None:
    """Patch ``Step.run``: a finished fan-out keeps a copy of the whole graph per slice (pydflow 1.8.134).

    Later copies of the graph would copy them again, so chained fan-outs of N tasks cost N**k: 198 s instead of
    1.4 s for three fan-outs of 20 trivial tasks.
    """
    from dflow.step import Step

    if getattr(Step.run, "drops_copies", False):
        return
    original = Step.run

    def run(self: Any, scope: Any, context: Any = None, order: Any = None) -> Any:
        try:
            return original(self, scope, context, order)
        finally:
            self.__dict__.pop("parallel_steps", None)

    run.drops_copies = True  # type: ignore[attr-defined]
    Step.run = run  # type: ignore[method-assign]


def run_single_steps_here() -> None:
    """Patch ``Steps.run``: run a group of one step without a process pool, whose workers get copies of the whole graph.

    Copying, sending and reading a graph of forty steps takes 0.3 s: half a minute per run.
    """
    from dflow.steps import Steps

    if getattr(Steps.run, "unpacks_groups", False):
        return
    original = Steps.run

    def run(self: Any, workflow_id: Any = None, context: Any = None, stepdir: Any = None) -> None:
        self.steps = [step[0] if isinstance(step, list) and len(step) == 1 else step for step in self.steps]
        original(self, workflow_id, context, stepdir)

    run.unpacks_groups = True  # type: ignore[attr-defined]
    Steps.run = run  # type: ignore[method-assign]


def copy_by_pickling() -> None:
    """Let dflow copy its graph, which it does for each task of a fan-out, five times faster than with ``deepcopy``."""
    import pickle

    from dflow import step, steps

    def copy(graph: Any) -> Any:
        return pickle.loads(pickle.dumps(graph))  # noqa: S301  (pickled by this process)

    step.deepcopy = copy  # type: ignore[assignment]
    steps.deepcopy = copy  # type: ignore[assignment]


def follow_parent(lock: int) -> None:
    """Let forked processes die with their parent: dflow's workers would hang forever.

    Parameters
    ----------
    lock : int
        Descriptor of the run's lock, which only this process may hold.
    """
    from dpa_sse.ops.core.tools import die_with_parent

    held = [lock]

    def after_fork() -> None:
        die_with_parent()
        if held:  # in a worker of a worker it is closed already, and the number may be in use again
            os.close(held.pop())

    os.register_at_fork(after_in_child=after_fork)


def wait_for_branches() -> None:
    """Wait until the branches next to a failed step have ended: dflow reports the failure at once and leaves them."""
    import psutil

    def at_work(worker: psutil.Process) -> bool:
        try:
            return bool(worker.children())
        except psutil.NoSuchProcess:
            return False

    idle_since = time.monotonic()
    while workers := psutil.Process().children():
        if any(at_work(worker) for worker in workers):
            idle_since = time.monotonic()
        if time.monotonic() - idle_since > IDLE_S:
            return
        time.sleep(0.1)
