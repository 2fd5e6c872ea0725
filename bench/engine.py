"""Orchestration: CPU time per tiny task in one fan-out, and overhead in wall time of three chained fan-outs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

TOYS = Path(__file__).resolve().parents[1] / "tests" / "pipeline" / "engines" / "local"
MAX_CPU_PER_TASK_S = 0.05
MAX_CHAIN_OVERHEAD_S = 2.0


def measure(folder: Path, build: str, count: int) -> tuple[float, float, float]:
    """Return wall time, CPU time and the total duration of the tasks, in seconds."""
    from dpa_sse.pipeline.engines.local.engine import execute
    from dpa_sse.pipeline.engines.platform import Resources
    from dpa_sse.pipeline.runs.folder import Run

    run = Run(folder)
    run.create()
    (folder / "toy.json").write_text(json.dumps({"count": count}))
    cpu, wall = os.times(), time.monotonic()
    code = execute(run, Resources(cores=2), build=f"toy:{build}")
    seconds, after = time.monotonic() - wall, os.times()
    if code != 0:
        raise SystemExit((run.engine / "dflow.log").read_text())
    used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    return seconds, used, sum(event.seconds or 0.0 for event in run.events())


def main() -> int:
    """Print one JSON object; return 1 if a bar is missed."""
    os.environ["PYTHONPATH"] = str(TOYS)
    with tempfile.TemporaryDirectory() as folder:
        _, cpu, _ = measure(Path(folder) / "many", "build_sum", 1000)
        wall, _, work = measure(Path(folder) / "chain", "build_chain", 20)
    result = {
        "cpu_s_per_task_of_1000": round(cpu / 1000, 4), "bar_cpu_s_per_task": MAX_CPU_PER_TASK_S,
        "three_chained_fan_outs_of_20_overhead_s": round(wall - work, 2), "bar_overhead_s": MAX_CHAIN_OVERHEAD_S,
    }
    print(json.dumps(result))
    return 0 if cpu / 1000 <= MAX_CPU_PER_TASK_S and wall - work <= MAX_CHAIN_OVERHEAD_S else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
