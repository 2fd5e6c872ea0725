"""Runs of the toy flows of ``tests/pipeline/engines/local/toy.py``, in this process and in processes to be killed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from dpa_sse.pipeline.engines.local.engine import execute
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.runs.folder import Run

ROOT = Path(__file__).parents[1]
TOYS = ROOT / "tests" / "pipeline" / "engines" / "local"
RUN_SCRIPT = """
import sys
from pathlib import Path
from dpa_sse.pipeline.engines.local.engine import execute
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.engines.platform import Resources
sys.exit(execute(Run(Path(sys.argv[1])), Resources(cores=2), build="toy:" + sys.argv[2]))
"""


def make(folder: Path, options: dict[str, Any]) -> Run:
    """Make a run folder below ``folder``."""
    run = Run(folder / "run")
    run.create()
    (run.folder / "toy.json").write_text(json.dumps(options))
    return run


def go(run: Run, build: str = "build_sum") -> int:
    """Execute a run from this process; needs the toys on PYTHONPATH."""
    return execute(run, Resources(cores=2, retries=1), build=f"toy:{build}")


def start(run: Run, build: str = "build_sum", root: Path = ROOT, first: Path | None = None) -> subprocess.Popen[bytes]:
    """Execute a run in another process, with the package in ``root`` and modules of ``first`` before all others."""
    path = os.pathsep.join(map(str, [*([first] if first else []), TOYS, root]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-P", "-c", RUN_SCRIPT, str(run.folder), build], env=environment)


def result(run: Run, task: str, name: str) -> Any:
    """Return a result file of a task."""
    folder = run.task_folder(task)
    assert folder is not None, (run.engine / "dflow.log").read_text()
    return json.loads((folder / name).read_text())


def computed(run: Run) -> Counter[str]:
    """Return how often each task was started."""
    path = run.folder / "computed.txt"
    return Counter(path.read_text().split("\n")[:-1]) if path.exists() else Counter()


def finished_once(run: Run) -> bool:
    """Whether no task was finished twice."""
    return set(Counter(event.task for event in run.events() if event.kind == "done").values()) == {1}


def workers_of(run: Run) -> list[psutil.Process]:
    """Return the processes that work for a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DPA_SSE_RUN") == str(run.folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def kill(process: psutil.Process) -> None:
    """Kill a process, unless it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def wait_for(condition: Callable[[], Any], seconds: float) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
