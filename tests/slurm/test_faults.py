"""Faults of a real Slurm that only a harness can make: nodes and a controller that die, full and unseen run folders.

They end and start daemons below ``SLURM_TEST_DIR``, and mount file systems in memory, as root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dpa_sse.pipeline.runs.folder import Run
from tests.slurm.test_slurm import go, jobs_of_run, reasons, start
from tests.toy_runs import computed, make, result, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(400)]


@pytest.fixture
def harness() -> Path:
    folder = os.environ.get("SLURM_TEST_DIR")
    if not folder:
        pytest.skip("ends daemons: needs a separate Slurm, below SLURM_TEST_DIR")
    return Path(folder)


def end_node(harness: Path, node: str) -> None:
    """End the daemon of a node, those of its jobs, and all that they have started."""
    victims = [int((harness / "run" / f"slurmd-{node}.pid").read_text())]
    for process in psutil.process_iter(["environ"]):
        variables = process.info["environ"] or {}
        if variables.get("SLURMD_NODENAME") == node and variables.get("SLURM_CONF", "").startswith(str(harness)):
            victims.append(process.pid)
    for process in psutil.process_iter(["name"]):
        children = process.children(recursive=True) if process.info["name"] == "slurmstepd" else []
        if any(child.pid in victims for child in children):
            victims.append(process.pid)
    for victim in victims:
        if psutil.pid_exists(victim):
            os.kill(victim, signal.SIGKILL)


def start_node(harness: Path, node: str, *before: str) -> None:
    subprocess.run([*before, "slurmd", "-f", str(harness / "slurm.conf"), "-N", node], check=True)
    wait_for(lambda: node_state(node) in ("idle", "mixed", "allocated"), 60)


def node_state(node: str) -> str:
    done = subprocess.run(["sinfo", "--noheader", f"--nodes={node}", "--format=%T"], capture_output=True, text=True,
                          check=True)
    return done.stdout.split()[0] if done.stdout.split() else ""


@contextmanager
def small_file_system(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def done_once(run: Run) -> bool:
    return set(Counter(event.task for event in run.events() if event.kind == "done").values()) == {1}


def test_the_controller_is_away_for_a_minute(tmp_path: Path, harness: Path) -> None:
    run = make(tmp_path, {"count": 3, "square": {"delay_s": 5}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 3, 90)
    controller = int((harness / "run" / "slurmctld.pid").read_text())
    os.kill(controller, signal.SIGTERM)  # saves its state, as at a restart
    wait_for(lambda: not psutil.pid_exists(controller) or psutil.Process(controller).status() == "zombie", 30)
    try:
        time.sleep(65)
        assert driver.poll() is None
    finally:
        subprocess.run(["slurmctld", "-f", str(harness / "slurm.conf")], check=True)
    assert driver.wait(180) == 0
    assert result(run, "total", "total.json") == 5
    assert set(computed(run).values()) == {1}
    said = [line for line in reasons(run, "note").splitlines() if "contact slurm controller" in line.lower()]
    assert 1 <= len(said) <= 2, reasons(run, "note")  # the submission of the next step, the question to the queue


def test_a_node_that_dies_is_left_out(tmp_path: Path, harness: Path) -> None:
    run = make(tmp_path, {"count": 2, "square": {"delay_s": 20}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 2, 90)
    end_node(harness, "n1")
    try:
        assert driver.wait(240) == 0
    finally:
        start_node(harness, "n1")
    assert result(run, "total", "total.json") == 1
    assert done_once(run)
    assert "lost its node" in reasons(run, "note"), reasons(run, "note")
    assert "node n1 is left out from now on" in reasons(run, "note")
    assert any("--exclude=n1" in (path / "script.sh").read_text() for path in jobs_of_run(run))


def test_a_node_that_does_not_see_the_run_folder_is_left_out(tmp_path: Path, harness: Path) -> None:
    run = make(tmp_path / "shared" / "runs", {"count": 2})
    end_node(harness, "n1")
    hide = f'mount -t tmpfs none "{tmp_path / "shared"}" && exec "$@"'
    start_node(harness, "n1", "unshare", "--mount", "bash", "-c", hide, "bash")
    try:
        assert go(run) == 0
    finally:
        end_node(harness, "n1")
        start_node(harness, "n1")
    assert result(run, "total", "total.json") == 1
    assert "no exit code in the run folder: does the node see its file system" in reasons(run, "note")
    assert "node n1 is left out from now on" in reasons(run, "note")


def test_a_full_file_system_is_one_line_and_the_run_resumes(tmp_path: Path) -> None:
    place = tmp_path / "small"
    with small_file_system(place, "8m"):
        run = make(place, {"count": 3, "square": {"delay_s": 6}})
        driver = start(run)
        wait_for(lambda: len(computed(run)) == 3, 90)
        ballast = place / "ballast"
        with ballast.open("wb", buffering=0) as stream:
            try:
                while True:
                    stream.write(b"\0" * 4096)
            except OSError:
                pass
        assert driver.wait(180) == 1
        ballast.unlink()
        assert go(run) == 0
        assert result(run, "total", "total.json") == 5
        assert done_once(run)


def test_all_steps_of_a_run_share_its_places(tmp_path: Path) -> None:
    """Two fan-outs at the same time, two places: Slurm is never seen with more than two jobs of the run at work."""
    run = make(tmp_path, {"count": 4, "square": {"delay_s": 2}})
    seen: list[int] = []

    def look() -> None:
        names = {path.name for path in jobs_of_run(run)} if (run.engine / "jobs").exists() else set()
        command = ["squeue", "--noheader", "--states=R,CG", "--format=%j"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        seen.append(sum(name in names for name in listed.stdout.split()))

    assert go(run, "build_pair", most=2, on_tick=look, tasks_per_job=1) == 0
    assert result(run, "both", "both.json") == [14, 14]
    assert max(seen) == 2
    assert set(computed(run).values()) == {1}


def test_tasks_side_by_side(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 4, "square": {"delay_s": 3}})
    assert go(run, cpus_per_task=2, side_by_side=2, tasks_per_job=4) == 0
    assert result(run, "total", "total.json") == 14
    starts = sorted(event.time for event in run.events() if event.kind == "start" and event.task.startswith("square"))
    assert starts[1] - starts[0] < 3.0 < starts[2] - starts[0]
    assert len(jobs_of_run(run)) == 3


def test_srun_steps_of_a_pack_run_at_the_same_time(tmp_path: Path) -> None:
    """What a labeler with ``srun`` meets: the environment of each task, in a job of two processes."""
    from dpa_sse.pipeline.config.batch import Job
    from dpa_sse.pipeline.engines.slurm.submission import share_of

    share = share_of(Job(tasks_per_node=2, side_by_side=2))
    assert share is not None
    code = (
        "import os, subprocess, time; from dpa_sse.pipeline.engines.slurm.pack import place_environment as place; "
        "from dpa_sse.pipeline.engines.slurm.records import Share; "
        f"share = Share(**{share.model_dump()}); "
        "begun = time.monotonic(); "
        "all = [subprocess.Popen(['srun', 'sleep', '4'], env={**os.environ, **place(share, one)}) for one in (0, 1)]; "
        "codes = [one.wait() for one in all]; print(codes, time.monotonic() - begun < 7.5, flush=True)"
    )
    script = tmp_path / "pack.sh"
    script.write_text(f"#!/bin/bash\npython3 -c \"{code}\"\n")
    out = tmp_path / "out.txt"
    subprocess.run(["sbatch", "--wait", "--ntasks-per-node=2", "--nodes=1", "--mem=400M", "--time=2", f"--output={out}",
                    str(script)], check=True, env={**os.environ, "PATH": python_first()})
    assert out.read_text().split("\n")[-2] == "[0, 0] True", out.read_text()


def python_first() -> str:
    import sys

    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
