"""Start one dflow step: ``python -m dpa_sse.pipeline.engines.launcher SCRIPT``.

Light imports (kubernetes, minio and argo are only needed by a client of a cluster), no orphans on a laptop, and at
most one task per device.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import runpy
import sys
import time
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any


class _ClientOnly(MetaPathFinder):
    """Refuse packages that dflow imports but does not need in a step: they cost a second per task."""

    names = frozenset({"kubernetes", "minio", "argo"})

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in self.names:
            raise ImportError(f"not available in a step: {fullname}")


def acquire_device() -> int | None:
    """Wait for a free slot on a GPU, restrict this process to it, and return the lock's file descriptor."""
    devices = [name for name in os.environ.get("DPA_SSE_GPUS", "").split(",") if name]
    run = os.environ.get("DPA_SSE_RUN")
    if not devices or run is None or os.environ.get("DPA_SSE_NEEDS_GPU") != "1":
        return None
    folder = Path(run) / ".devices"
    folder.mkdir(exist_ok=True)
    slots = int(os.environ.get("DPA_SSE_TASKS_PER_GPU", "1"))
    while True:
        for slot in range(slots):
            for device in devices:
                lock = os.open(folder / f"{device}.{slot}", os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(lock)
                    continue
                os.environ["CUDA_VISIBLE_DEVICES"] = device
                os.set_inheritable(lock, False)
                return lock
        time.sleep(0.5)


def import_dflow() -> None:
    """Import dflow without its clients; afterwards they can be imported again (the store of tasks needs minio)."""
    blocked = _ClientOnly()
    sys.meta_path.insert(0, blocked)
    try:
        importlib.import_module("dflow.python")
    finally:
        sys.meta_path.remove(blocked)


def enter_working_folder() -> None:
    """Go to the folder that ``DPA_SSE_WORKDIR`` names (pods: the rest of the file system is read-only)."""
    folder = os.environ.get("DPA_SSE_WORKDIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        os.environ["HOME"] = folder  # caches of matplotlib, numba, torch


def check_version() -> None:
    """End with the fatal exit code where the workflow was rendered by another version than that of this image."""
    from dpa_sse import __version__
    from dpa_sse.ops.core.errors import FatalError
    from dpa_sse.ops.runtime.task import say_why

    wanted = os.environ.get("DPA_SSE_VERSION", __version__)
    if wanted != __version__:
        message = f"rendered by version {wanted} of the pipeline, but the image holds {__version__}: use one for both"
        say_why(FatalError(message))
        sys.stderr.write(f"{message}\n")
        sys.exit(2)


def main() -> None:
    """Run the script that dflow wrote."""
    from dpa_sse.ops.core.tools import die_with_parent, thread_environment

    if "DPA_SSE_RUN" in os.environ:
        parent = os.getppid()
        die_with_parent()
        if os.getppid() != parent or parent == 1:
            sys.exit(143)  # the parent died before we could ask to be told
    os.environ.update(thread_environment())
    os.nice(int(os.environ.get("DPA_SSE_NICE", "0")))
    import_dflow()
    check_version()
    lock = acquire_device()
    script = str(Path(sys.argv[1]).resolve())
    enter_working_folder()
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        from dpa_sse.ops.runtime.task import say_why

        say_why(error)
        raise
    finally:
        if lock is not None:
            os.close(lock)


if __name__ == "__main__":
    main()
