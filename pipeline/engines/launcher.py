"""Starts one dflow step: ``python -m dpa_sse.pipeline.engines.launcher SCRIPT``.

It keeps imports light (kubernetes, minio and argo are needed only by a client of a cluster), leaves no orphans on a
laptop, and limits the number of tasks per GPU.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import runpy
import sys
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from dpa_sse.ops.core import environment as env


class _ClientOnly(MetaPathFinder):
    """Blocks packages that dflow imports but does not need in a step: they cost a second per task."""

    names = frozenset({"kubernetes", "minio", "argo"})

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in self.names:
            raise ImportError(f"not available in a step: {fullname}")


def acquire_device() -> int | None:
    """Wait for a free slot on a GPU, restrict this process to it, and return the file descriptor of its lock."""
    devices, run = env.GPUS.read(), env.RUN.read()
    if not devices or run is None or not env.NEEDS_GPU.read():
        return None
    folder = run / ".devices"
    folder.mkdir(exist_ok=True)
    slots = env.TASKS_PER_GPU.read()
    while True:
        for slot in range(slots):
            for device in devices:
                lock = os.open(folder / f"{device}.{slot}", os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                except OSError as error:
                    os.close(lock)
                    raise RuntimeError(
                        f"{folder}: this file system cannot lock files ({error.strerror}), so tasks cannot share GPUs; "
                        "move the run folder to another file system, or set resources.gpus to 0"
                    ) from error
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                os.set_inheritable(lock, False)
                return lock
        time.sleep(0.5)


def import_dflow() -> None:
    """Import dflow without its clients; afterwards they can be imported again (the task store needs minio)."""
    blocked = _ClientOnly()
    sys.meta_path.insert(0, blocked)
    try:
        importlib.import_module("dflow.python")
    finally:
        sys.meta_path.remove(blocked)


def enter_working_folder() -> None:
    """In a pod, change to the working folder: the rest of the file system is read-only."""
    folder = env.WORKDIR.read()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        os.environ["HOME"] = str(folder)  # caches of matplotlib, numba, torch


def check_version() -> None:
    """Exit with the fatal code if another version made the workflow: a foreign image, or an upgrade during a run."""
    from dpa_sse import __version__
    from dpa_sse.ops.core.errors import FatalError
    from dpa_sse.ops.runtime import events
    from dpa_sse.ops.runtime.task import write_termination_message

    wanted, run = env.VERSION.read() or __version__, env.RUN.read()
    if wanted == __version__:
        return
    if run is None:
        message = f"rendered by version {wanted} of the pipeline, but the image holds {__version__}: use one for both"
    else:
        message = (
            f"the installed pipeline was changed from version {wanted} to {__version__} during this run; finished "
            f"tasks are kept; continue with version {__version__}: dpa-sse resume {run}"
        )
        events.emit("error", reason=message)
    write_termination_message(FatalError(message))
    sys.stderr.write(f"{message}\n")
    sys.exit(2)


def main(prepare: Callable[[], None] | None = None) -> None:
    """Run the script that dflow wrote, after calling ``prepare``."""
    from dpa_sse.ops.core.tools import die_with_parent, thread_environment

    if env.RUN.read() is not None:
        parent = os.getppid()
        die_with_parent()
        if os.getppid() != parent or parent == 1:
            sys.exit(143)  # the parent died before the kernel knew that this process has to follow
    os.environ.update(thread_environment())
    os.nice(env.NICE.read())
    import_dflow()
    check_version()
    if prepare is not None:
        prepare()
    lock = acquire_device()
    script = str(Path(sys.argv[1]).resolve())
    enter_working_folder()
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        from dpa_sse.ops.runtime.task import write_termination_message

        write_termination_message(error)
        raise
    finally:
        if lock is not None:
            os.close(lock)


if __name__ == "__main__":
    main()
