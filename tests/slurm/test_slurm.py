"""The toy flows on a real Slurm: equal results, killed drivers, lost jobs, time limits, jobs that cannot start."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from dpa_sse.pipeline.config.batch import BatchSettings
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.engines.slurm.engine import execute_on_batch
from dpa_sse.pipeline.engines.slurm.partitions import job_faults, read_partitions
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.slurm import Slurm
from dpa_sse.pipeline.engines.slurm.usage import run_usage
from dpa_sse.pipeline.runs.folder import Run
from tests.slurm.conftest import queue
from tests.toy_runs import ROOT, TOYS, computed, kill, make, result, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

DRIVER = """
import sys
from pathlib import Path
from dpa_sse.pipeline.runs.folder import Run
from tests.slurm.test_slurm import go
sys.exit(go(Run(Path(sys.argv[1])), most=int(sys.argv[2])))
"""


def go(
    run: Run, build: str = "build_sum", most: int = 100, on_tick: Callable[[], None] | None = None, **job: Any
) -> int:
    light = {"where": "queue", "time": "00:05:00", "mem_GB": 0.2, **job}
    settings = BatchSettings.model_validate(
        {"overrides": {"light": light}, "poll_s": 1, "patience_s": 20, "max_jobs": most}
    )
    return execute_on_batch(run, Resources(cores=2, retries=1), "slurm", settings, jobs_of(settings, Path("/")),
                            build=f"toy:{build}", on_tick=on_tick)


def start(run: Run, most: int = 100) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOYS), str(ROOT)])}
    return subprocess.Popen([sys.executable, "-c", DRIVER, str(run.folder), str(most)], env=environment, cwd=ROOT)


def reasons(run: Run, *kinds: str) -> str:
    return "\n".join(event.reason or "" for event in run.events() if event.kind in kinds)


def jobs_of_run(run: Run) -> list[Path]:
    return sorted((run.engine / "jobs").iterdir())


def test_fan_out_loop_and_branch(tmp_path: Path) -> None:
    run = make(tmp_path / "sum", {"count": 5})
    assert go(run) == 0
    assert result(run, "total", "total.json") == 30
    assert len(jobs_of_run(run)) == 3
    loop = make(tmp_path / "loop", {"last": 1})
    assert go(loop, "build_loop") == 0
    assert result(loop, "after", "numbers.json") == [0, 1, 10, 11]
    branch = make(tmp_path / "branch", {"count": 2, "long": {"seconds": 30.0}})
    assert go(branch, "build_branch") == 0
    order = [(event.kind, event.task) for event in branch.latest_attempt() if event.task]
    assert order.index(("start", "long")) < order.index(("done", "total")) < order.index(("done", "long"))


def test_a_thousand_tiny_tasks_are_one_array(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 1000})
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = usage.ru_utime + usage.ru_stime
    driver = start(run, 20)
    process, processes, most_bytes = psutil.Process(driver.pid), 0, 0
    while driver.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = [process, *process.children(recursive=True)]
            processes = max(processes, len(tree))
            most_bytes = max(most_bytes, sum(one.memory_info().rss for one in tree))
        time.sleep(0.5)
    assert driver.returncode == 0
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result(run, "total", "total.json") == sum(n * n for n in range(1000))
    submissions = jobs_of_run(run)
    assert len(submissions) == 3
    spent = seconds.ru_utime + seconds.ru_stime - before
    print(f"{spent:.1f} ms of CPU per task, {processes} processes, {most_bytes / 2**20:.0f} MB")
    assert spent / 1000 < 0.1
    assert processes < 8


def test_killed_drivers_and_cancelled_jobs(tmp_path: Path) -> None:
    """Kill -9 of the driver or of a part of it at random moments, scancel of a random job each time."""
    generator = random.Random(11)
    run = make(tmp_path, {"count": 8, "square": {"delay_s": 2}})
    cancelled = 0
    for number in range(10):
        driver = start(run)
        time.sleep(generator.uniform(0.5, 5.0))
        if number % 3 == 2 and (there := queue(run.folder)):
            cancelled += 1
            subprocess.run(["scancel", generator.choice(there)], check=False)
        if driver.poll() is None:
            victims = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
            kill(victims[0] if number % 2 == 0 else generator.choice(victims))
        driver.wait(120)
    for _ in range(3):
        if (code := start(run).wait(120)) == 0:
            break
    assert code == 0
    assert result(run, "total", "total.json") == sum(n * n for n in range(8))
    finished = Counter(event.task for event in run.events() if event.kind == "done")
    assert set(finished.values()) == {1}
    extra = sum(count - 1 for count in computed(run).values())
    assert extra <= 8 * cancelled


def test_a_lost_terminal_leaves_the_jobs_and_ctrl_c_does_not(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 2, "square": {"delay_s": 25}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 2, 60)
    driver.send_signal(signal.SIGHUP)
    assert driver.wait(20) == 130
    assert queue(run.folder)
    driver = start(run)
    wait_for(lambda: "found again" in reasons(run, "note"), 60)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(20) == 130
    wait_for(lambda: not queue(run.folder), 20)
    assert go(run) == 0
    assert result(run, "total", "total.json") == 1


def test_a_job_at_its_time_limit_is_stopped_early_and_submitted_again(tmp_path: Path) -> None:
    """The script gets SIGUSR1, the task SIGTERM; the finished task of the job is not repeated."""
    run = make(tmp_path, {"count": 2, "square": {"delay_s": 18}})
    assert go(run, partition="short", time="00:01:00", tasks_per_job=2, restarts=3) == 0
    assert result(run, "total", "total.json") == 1
    assert "reached its time limit of 00:01:00; submitted again (1 of at most 3 times)" in reasons(run, "note")
    assert computed(run)["square 1"] >= 2
    assert set(Counter(event.task for event in run.events() if event.kind == "done").values()) == {1}


@pytest.mark.parametrize(("job", "words"), [
    ({"cpus_per_task": 64}, "cannot start (PartitionConfig)"),
    ({"partition": "short", "time": "01:00:00"}, "cannot start (PartitionTimeLimit)"),
    ({"partition": "nowhere"}, "sbatch refused the job (invalid partition specified: nowhere"),
    ({"mem_GB": 1000}, "sbatch refused the job (Memory specification"),
    ({"gpus": 3}, "sbatch refused the job (Invalid generic resource (gres) specification"),
])
def test_what_can_never_start_is_said_within_a_minute(tmp_path: Path, job: dict[str, Any], words: str) -> None:
    run = make(tmp_path, {"count": 2})
    begun = time.monotonic()
    assert go(run, **job) == 1
    assert time.monotonic() - begun < 60
    assert words.lower() in reasons(run, "error", "failed").lower()


def test_a_closed_partition_is_said_and_waited_for(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 2})
    begun = time.monotonic()
    opened = False

    def open_later() -> None:
        nonlocal opened
        if not opened and time.monotonic() - begun > 45:
            opened = True
            subprocess.run(["scontrol", "update", "PartitionName=closed", "State=UP"], check=True)

    try:
        assert go(run, partition="closed", on_tick=open_later) == 0
    finally:
        subprocess.run(["scontrol", "update", "PartitionName=closed", "State=DOWN"], check=True)
    assert result(run, "total", "total.json") == 1
    assert "waits (PartitionDown); it starts when its partition or queue is opened again" in reasons(run, "note")


def test_check_compares_with_the_partitions() -> None:
    partitions = read_partitions(Scheduler(Slurm()))
    settings = BatchSettings.model_validate({"overrides": {
        "light": {"time": "00:01:00"}, "train": {"gpus": 1, "time": "01:00:00"}, "md": {"partition": "shrt"},
        "label": {"partition": "closed"}, "infer": {"partition": "short"}, "analysis": {"mem_GB": 500},
    }})
    jobs = jobs_of(settings, Path("/"))
    found = {kind: " ".join(job_faults(job, None, partitions)) for kind, job in jobs.items()}
    assert found["light"] == ""
    assert "1 node(s) with 4 cores, 1 GPU each: partition test has" in found["train"]
    assert "there is no partition 'shrt' - did you mean 'short'?" in found["md"]
    assert "partition closed is DOWN" in found["label"]
    assert "more than the limit of partition short, 00:01:00" in found["infer"]
    assert "500 GB each: partition test has" in found["analysis"]


def test_the_script_runs_as_the_user_wrote_it(tmp_path: Path) -> None:
    """Names with characters of the shell in the run folder, lines of setup, umask."""
    previous = os.umask(0o027)
    try:
        run = make(tmp_path / "a $(touch hacked) `folder` & more", {"count": 2})
        assert go(run, setup=["export FROM_SETUP='a b'", "test -n \"$FROM_SETUP\" && touch setup-was-run"]) == 0
    finally:
        os.umask(previous)
    assert result(run, "total", "total.json") == 1
    folder = next(path for path in jobs_of_run(run) if path.name.startswith("square"))
    assert (folder / "setup-was-run").exists()
    assert not list(tmp_path.rglob("hacked"))
    task = run.task_folder("square-000")
    assert task is not None
    assert (task / "square.json").stat().st_mode & 0o777 == 0o640


def test_hours_are_those_of_sacct_where_there_is_accounting(tmp_path: Path) -> None:
    """Without accounting, those of the jobs' own clocks; both agree with the time that the tasks took."""
    run = make(tmp_path, {"count": 3, "square": {"delay_s": 6}})
    assert go(run, cpus_per_task=2, tasks_per_job=1) == 0
    time.sleep(3)  # slurmctld tells the accounting in its own time
    accounting = subprocess.run(["sacct", "--noheader"], capture_output=True, check=False).returncode == 0
    usage = run_usage(run.engine)
    assert usage is not None
    assert usage.source == ("sacct" if accounting else "own clocks")
    squares = next(one for one in usage.stages if one.stage == "02-squares")
    assert (squares.jobs, squares.unknown) == (3, 0)
    assert 3 * 6 * 2 <= squares.core_hours * 3600 < 3 * 60 * 2
