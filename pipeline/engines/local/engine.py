"""The local engine: dflow's debug mode under supervision (lock, signals, orphans, exit code)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse import __version__
from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.resources import import_root
from dpa_sse.ops.core.tools import die_with_parent, thread_environment
from dpa_sse.ops.runtime import events
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.runs.folder import Run

if TYPE_CHECKING:
    import psutil

    from dpa_sse.pipeline.config.schema import Project

POLL_S = 0.1
DFLOW = "dflow"
"""Folder below that of the engine, for dflow's own files."""


class Around:
    """What another engine adds to a run."""

    def begin(self) -> str:
        """Prepare, with the run locked; returns the name of the folder for dflow's files."""
        return DFLOW

    def end(self, code: int, received: int | None) -> None:
        """Clean up, with the run still locked, after an end with this code or by this signal."""


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use; does not import torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    return tuple(sorted(path.name[6:] for path in Path("/dev").glob("nvidia[0-9]*")))


def machine_resources(project: Project) -> Resources:
    """Return what the tasks of a project may use: all cores and GPUs by default."""
    wanted, failure = project.resources, project.failure
    found = visible_gpus()
    return Resources(
        cores=wanted.cores or len(os.sched_getaffinity(0)),
        gpus=found if wanted.gpus is None else found[: wanted.gpus],
        tasks_per_gpu=wanted.tasks_per_gpu,
        threads_per_task=wanted.threads_per_task,
        retries=failure.retries,
        task_timeout_s=(failure.task_timeout_min or 0.0) * 60,
    )


def execute(
    run: Run,
    resources: Resources,
    *,
    build: str,
    on_tick: Callable[[], None] | None = None,
    around: Around | None = None,
) -> int:
    """Run the DAG of a run folder to its end, or resume it.

    Parameters
    ----------
    run : Run
        Its folder holds the configuration.
    resources : Resources
        Of this machine.
    build : str
        ``module:function`` that builds the DAG from the run.
    on_tick : callable, optional
        Called several times a second (progress display).
    around : Around, optional
        What another engine adds.

    Returns
    -------
    int
        0 done, 1 failed, 2 bad input, 130 interrupted.

    Raises
    ------
    RunBusyError
        Another process is working on this run.
    """
    run.create()
    lock = run.lock()
    try:
        end_orphans(run)
        environment = {
            **os.environ,
            **thread_environment(1),
            **dict([
                env.RUN.entry(run.folder),
                env.WORKERS.entry(max(resources.cores, len(resources.gpus) * resources.tasks_per_gpu)),
                env.LOCK.entry(lock.descriptor),
                env.VERSION.entry(__version__),
                env.GPUS.entry(resources.gpus),
                env.TASKS_PER_GPU.entry(resources.tasks_per_gpu),
            ]),
            "PYTHONPATH": os.pathsep.join([str(import_root()), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        }
        os.environ.update([env.RUN.entry(run.folder)])
        around = around or Around()
        files = around.begin()
        events.emit("run-start", cores=resources.cores, gpus=list(resources.gpus))
        with (run.engine / "dflow.log").open("ab") as log:
            driver = subprocess.Popen(
                [sys.executable, "-P", "-m", "dpa_sse.pipeline.engines.local.driver", str(run.folder), build, files],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=run.folder,
                start_new_session=True,
                pass_fds=(lock.descriptor,),
                preexec_fn=die_with_parent,  # noqa: PLW1509  (this process has no threads)
            )
        code, received = supervise(driver, on_tick)
        around.end(code, received)
        events.emit("run-end", code=code)
        return code
    finally:
        os.environ.pop(env.RUN.name, None)
        lock.release()


def supervise(driver: subprocess.Popen[bytes], on_tick: Callable[[], None] | None) -> tuple[int, int | None]:
    """Wait for the driver; on SIGINT, SIGTERM or SIGHUP kill it and everything that it started.

    Returns
    -------
    tuple
        Exit code, and the signal.
    """
    interrupted: list[int] = []
    previous = {
        number: signal.signal(number, lambda received, _frame: interrupted.append(received))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        while driver.poll() is None:
            if interrupted:
                end_tree(driver.pid)
                driver.wait()
                return 128 + signal.SIGINT, interrupted[0]
            if on_tick is not None:
                on_tick()
            time.sleep(POLL_S)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if on_tick is not None:
        on_tick()
    return (driver.returncode if driver.returncode in (0, 1, 2) else 1), None


def end_tree(pid: int) -> None:
    """Kill a process and all its descendants; returns when they are gone."""
    import psutil

    try:
        root = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    end_processes([root, *root.children(recursive=True)])


def end_processes(processes: list[psutil.Process]) -> None:
    """Kill the processes and wait until they are gone."""
    import psutil

    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=5)


def end_orphans(run: Run) -> int:
    """Kill the processes that a dead driver may have left behind, not jobs on this machine; returns their number."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            if process.pid != os.getpid() and env.RUN.read(variables) == run.folder and not env.JOB.read(variables):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    end_processes(found)
    return len(found)
