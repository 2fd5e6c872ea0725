"""Runs on stand-ins for Slurm, PBS and LSF: results, reuse, lost jobs, faults of the system, a killed driver."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.engines.slurm.queue import Snapshot, queue_lines
from dpa_sse.pipeline.engines.slurm.records import open_folders
from dpa_sse.pipeline.runs.folder import Run
from tests import fake_batch
from tests.pipeline.engines.slurm.conftest import BatchSystem
from tests.toy_runs import ROOT, TOYS, computed, kill, result, wait_for

every_system = pytest.mark.parametrize("batch_system", ["slurm", "pbs", "lsf"], indirect=True)
DRIVER = """
import sys
from pathlib import Path
from dpa_sse.pipeline.config.batch import BatchSettings
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.engines.slurm.engine import execute_on_batch
from dpa_sse.pipeline.runs.folder import Run
settings = BatchSettings.model_validate(
    {"overrides": {"light": {"where": "queue", "time": "00:10:00"}}, "poll_s": 0.5, "patience_s": 5})
sys.exit(execute_on_batch(Run(Path(sys.argv[1])), Resources(cores=2, retries=1), "slurm", settings,
                          jobs_of(settings, Path("/")), build="toy:build_sum"))
"""


def start(run: Run) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOYS), str(ROOT)])}
    return subprocess.Popen([sys.executable, "-P", "-c", DRIVER, str(run.folder)], env=environment)


def notes(run: Run) -> list[str]:
    return [event.reason or "" for event in run.events() if event.kind == "note"]


def failures(run: Run) -> dict[str, str]:
    return {event.task: event.reason or "" for event in run.latest_attempt() if event.kind == "failed"}


def errors(run: Run) -> list[str]:
    return [event.reason or "" for event in run.latest_attempt() if event.kind == "error"]


def done_counts(run: Run) -> set[int]:
    return set(Counter(event.task for event in run.events() if event.kind == "done").values())


@every_system
def test_a_fan_out_is_one_array_and_is_gathered_in_order(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 5})
    assert batch_system.go(run) == 0
    assert result(run, "total", "total.json") == 30
    submits = [call for call in batch_system.calls if call in ("sbatch", "qsub", "bsub")]
    assert len(submits) == 3  # numbers, one array of five, total
    assert sorted(len(states) for states in batch_system.states().values()) == [1, 1, 5]
    assert done_counts(run) == {1}
    assert list(open_folders(run.engine)) == []

    assert batch_system.go(run) == 0  # everything is found; nothing is submitted
    assert len([call for call in batch_system.calls if call in ("sbatch", "qsub", "bsub")]) == 3
    assert set(computed(run).values()) == {1}


def test_light_steps_need_no_job(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 3})
    assert batch_system.go(run, overrides={"light": {"where": "driver"}}) == 0
    assert result(run, "total", "total.json") == 5
    assert batch_system.states() == {}


def test_tasks_share_jobs_and_the_array_is_throttled(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 7})
    assert batch_system.go(run, max_jobs=2) == 0
    assert result(run, "total", "total.json") == 91
    folder = next((run.engine / "jobs").glob("square*"))
    batch = json.loads((folder / "batch.json").read_text())
    assert [len(member) for member in batch["members"]] == [4, 3]
    assert "--array=0-1%2" in (folder / "script.sh").read_text()


def test_a_failed_task_fails_alone_and_is_tried_again_by_the_next_start(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 3, "square": {"fail": [1]}})
    assert batch_system.go(run) == 1
    assert failures(run)["square-001"] == "task 1 fails on purpose"
    assert "1 of 3" in failures(run)["total"]
    assert Counter(event.task for event in run.events() if event.kind == "failed") == {"square-001": 1, "total": 1}
    assert batch_system.go(run) == 1
    assert computed(run) == {"square 0": 1, "square 1": 2, "square 2": 1}


def test_lost_jobs_are_told_apart_and_submitted_again_as_one_array(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 5, "square": {"delay_s": 4}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 5, 60)
    jobs = batch_system.state / "jobs"
    array = next(path for path in jobs.iterdir() if json.loads((path / "job.json").read_text())["array"])
    for member, state in enumerate(["timeout", "node", "preempted", "cancelled"]):
        fake_batch.end(array, member, state, signal.SIGKILL)
    assert driver.wait(120) == 0
    assert result(run, "total", "total.json") == 30
    said = " / ".join(notes(run))
    for words in (
        "square-000: Slurm job 2_0 reached its time limit of 00:10:00; submitted again (1 of at most 10 times)",
        "square-001: Slurm job 2_1 lost its node (NODE_FAIL); submitted again (1 of at most 10 times)",
        "square-002: Slurm job 2_2 was preempted; submitted again (1 of at most 10 times)",
        "square-003: Slurm job 2_3 was cancelled; submitted again (1 of at most 1 times)",
    ):
        assert words in said
    assert computed(run) == {"square 0": 2, "square 1": 2, "square 2": 2, "square 3": 2, "square 4": 1}
    assert len([call for call in batch_system.calls if call == "sbatch"]) <= 3 + 4


def test_a_job_cancelled_twice_is_given_up(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 1, "square": {"delay_s": 30}})
    driver = start(run)
    for attempt in range(2):
        wait_for(lambda: sum(computed(run).values()) > attempt, 30)  # noqa: B023
        jobs = sorted((batch_system.state / "jobs").iterdir(), key=lambda path: int(path.name))
        fake_batch.end(jobs[-1], -1, "cancelled")
    assert driver.wait(120) == 1
    assert "was cancelled; not submitted again (1 time before)" in failures(run)["square-000"]


def test_memory_grows_up_to_its_limit(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 1, "square": {"delay_s": 2}})
    marker = batch_system.state / "oom"

    def kill_first() -> None:
        if computed(run) and not marker.exists():
            jobs = sorted((batch_system.state / "jobs").iterdir(), key=lambda path: int(path.name))
            marker.touch()
            fake_batch.end(jobs[-1], -1, "memory", signal.SIGKILL)

    light = {"where": "queue", "time": "00:10:00", "mem_GB": 1, "max_mem_GB": 1.5}
    assert batch_system.go(run, on_tick=kill_first, overrides={"light": light}) == 0
    assert any("ran out of memory (OUT_OF_MEMORY); submitted again with 1.5 GB" in note for note in notes(run))
    scripts = sorted((run.engine / "jobs").glob("square*/script.sh"), key=lambda path: path.stat().st_mtime)
    assert ["--mem=1024M" in scripts[0].read_text(), "--mem=1536M" in scripts[1].read_text()] == [True, True]


def test_a_job_that_can_never_start_is_said_and_cancelled(batch_system: BatchSystem) -> None:
    (batch_system.state / "reason").write_text("PartitionTimeLimit")
    run = batch_system.run({"count": 2})
    begun = time.monotonic()
    assert batch_system.go(run) == 1
    assert time.monotonic() - begun < 30
    assert "cannot start (PartitionTimeLimit)" in failures(run)["numbers"]
    assert batch_system.states() == {"1": ["cancelled"]}


@pytest.mark.parametrize(("batch_system", "reason"), [
    ("slurm", "PartitionDown"), ("pbs", "Not Running: Queue not started."),
    ("lsf", "The queue has been inactivated by its administrator;"),
], indirect=["batch_system"])
def test_a_closed_partition_is_said_and_waited_for(batch_system: BatchSystem, reason: str) -> None:
    (batch_system.state / "reason").write_text(reason)
    run = batch_system.run({"count": 2})
    seen: list[str] = []
    begun = time.monotonic()

    def open_later() -> None:
        seen.extend(queue_lines(Snapshot.read(run.engine)))
        if time.monotonic() - begun > 8.0:  # patience_s is 5
            (batch_system.state / "reason").unlink(missing_ok=True)

    assert batch_system.go(run, on_tick=open_later) == 0
    assert result(run, "total", "total.json") == 1
    opened = "it starts when its partition or queue is opened again"
    told = [note for note in notes(run) if opened in note]
    assert [note.endswith(f"waits ({reason}); {opened}, and the run waits for it.") for note in told] == [True], told
    assert told[0].startswith("numbers: ")
    assert any(reason in line and line.endswith(f"; {opened}") for line in seen)
    assert "cancelled" not in batch_system.state_words()


@pytest.mark.parametrize(("mode", "words"), [
    ("refuse", "sbatch refused the job (Batch job submission failed: Invalid account"),
    ("garbage", "sbatch answered 'Welcome to the cluster!', which holds no job number; nothing was submitted"),
])
def test_a_submission_that_fails_is_one_line(batch_system: BatchSystem, mode: str, words: str) -> None:
    (batch_system.state / "mode").write_text(mode)
    run = batch_system.run({"count": 2})
    assert batch_system.go(run) == 1
    assert errors(run)[0].startswith(f"numbers: {words}")
    assert list(open_folders(run.engine)) == []
    (reason,) = failures(run).values()  # for `status`, `logs` and the report
    assert reason.startswith(words)


def test_no_batch_system_is_one_line(batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(batch_system.folder))
    run = batch_system.run({"count": 2})
    assert batch_system.go(run) == 1
    assert errors(run)[0].startswith("numbers: sbatch was not found: Slurm is not installed here")


def test_an_answer_that_is_lost_does_not_submit_twice(batch_system: BatchSystem) -> None:
    (batch_system.state / "mode").write_text("lost-answer")
    run = batch_system.run({"count": 3})
    assert batch_system.go(run) == 0
    assert sorted(len(states) for states in batch_system.states().values()) == [1, 1, 3]
    assert set(computed(run).values()) == {1}


def test_a_system_that_is_down_for_a_while_is_waited_for(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 2, "square": {"delay_s": 0.5}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 2, 60)
    (batch_system.state / "mode").write_text("down")
    time.sleep(4)
    assert driver.poll() is None
    (batch_system.state / "mode").unlink()
    assert driver.wait(120) == 0
    assert set(computed(run).values()) == {1}


def test_a_killed_driver_finds_running_and_finished_jobs_again(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 6, "square": {"delay_s": 20}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 6, 60)
    kill(psutil.Process(driver.pid))
    driver.wait(10)
    again = start(run)
    assert again.wait(120) == 0
    assert set(computed(run).values()) == {1}
    assert done_counts(run) == {1}
    assert any("found again: square-000, square-001, ... square-005 (6 tasks)" in note for note in notes(run))
    assert result(run, "total", "total.json") == 55


def test_killed_at_random_moments_gives_the_same_result_and_repeats_nothing(batch_system: BatchSystem) -> None:
    generator = random.Random(7)
    run = batch_system.run({"count": 8, "square": {"delay_s": 1.0}})
    for number in range(5):
        driver = start(run)
        time.sleep(generator.uniform(0.5, 4.0))
        if driver.poll() is None:
            victims = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
            kill(victims[0] if number % 2 == 0 else generator.choice(victims))
        driver.wait(120)
    assert start(run).wait(120) == 0
    assert result(run, "total", "total.json") == sum(n * n for n in range(8))
    assert done_counts(run) == {1}
    assert set(computed(run).values()) == {1}, "a job was submitted twice"
    # the driver ends when the results are there, a moment before the last job does
    wait_for(lambda: not {"waiting", "running"} & batch_system.state_words(), 30)
    assert batch_system.state_words() <= {"done", "cancelled"}, batch_system.states()  # a driver that dies cancels


def test_ctrl_c_cancels_the_jobs(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 3, "square": {"delay_s": 20}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 3, 60)
    driver.send_signal(signal.SIGINT)
    assert driver.wait(20) == 130
    assert ["cancelled"] * 3 in batch_system.states().values()
    assert list(open_folders(run.engine)) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_lost_terminal_leaves_the_jobs(batch_system: BatchSystem, number: int) -> None:
    run = batch_system.run({"count": 3, "square": {"delay_s": 4}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 3, 60)
    driver.send_signal(number)
    assert driver.wait(20) == 130
    assert any("`resume` finds them again" in note for note in notes(run))
    assert start(run).wait(120) == 0
    assert set(computed(run).values()) == {1}


def test_a_changed_configuration_cancels_what_nobody_wants(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 2, "square": {"delay_s": 20}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 2, 60)
    kill(psutil.Process(driver.pid))
    driver.wait(10)
    (run.folder / "toy.json").write_text(json.dumps({"count": 2, "square": {"delay_s": 0, "label": "other"}}))
    assert batch_system.go(run) == 0
    assert ["cancelled", "cancelled"] in batch_system.states().values()
    assert computed(run)["other 0"] == 1


def test_a_limit_of_jobs_in_the_queue_is_kept(batch_system: BatchSystem) -> None:
    (batch_system.state / "limit").write_text("3")
    run = batch_system.run({"count": 8, "square": {"delay_s": 0.2}})
    assert batch_system.go(run) == 0
    assert result(run, "total", "total.json") == 140
    assert set(computed(run).values()) == {1}
    assert any("QOSMaxSubmitJobPerUserLimit" in note and "not more than 4 jobs" in note for note in notes(run))
    assert max(len(states) for states in batch_system.states().values()) <= 3


def test_jobs_that_finish_some_of_their_tasks_are_repeated_until_all_are_done(batch_system: BatchSystem) -> None:
    """Three lost jobs, two repetitions allowed: each has finished a task, so none was in vain."""
    run = batch_system.run({"count": 4, "square": {"delay_s": 1.5}})
    lost: set[str] = set()

    def lose_after_a_task() -> None:
        for path in (run.engine / "jobs").glob("square*"):
            number = path / "job"
            if path.name not in lost and len(lost) < 3 and number.exists() and list((path / "results").glob("*.json")):
                lost.add(path.name)
                fake_batch.end(batch_system.state / "jobs" / number.read_text().strip(), -1, "node", signal.SIGKILL)

    light = {"where": "queue", "time": "00:10:00", "tasks_per_job": 4, "restarts": 1}
    assert batch_system.go(run, on_tick=lose_after_a_task, overrides={"light": light}) == 0
    assert len(lost) == 3
    assert result(run, "total", "total.json") == 14
    assert done_counts(run) == {1}


def test_memory_that_is_used_up_is_seen_in_the_group_of_the_job(tmp_path: Path) -> None:
    from dpa_sse.pipeline.engines.slurm.job import memory_kills

    own = tmp_path / "cgroup"
    group = tmp_path / "fs" / "system.slice" / "slurmstepd.scope" / "job_7"
    (group / "step_batch").mkdir(parents=True)
    own.write_text("0::/system.slice/slurmstepd.scope/job_7/step_batch\n")
    assert memory_kills(tmp_path / "fs", own) == 0
    (group / "memory.events").write_text("low 0\nmax 9\noom 1\noom_kill 2\n")
    assert memory_kills(tmp_path / "fs", own) == 2
    old = tmp_path / "old" / "memory" / "slurm" / "uid_0" / "job_7" / "step_0"
    old.mkdir(parents=True)
    (old / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    own.write_text("5:cpu,cpuacct:/x\n4:memory:/slurm/uid_0/job_7/step_0\n")
    assert memory_kills(tmp_path / "old", own) == 1


def test_a_run_that_moves_to_this_machine_ends_its_jobs(batch_system: BatchSystem) -> None:
    from dpa_sse.pipeline.engines.local.engine import execute
    from dpa_sse.pipeline.engines.platform import Resources
    from dpa_sse.pipeline.engines.slurm.engine import LocalAfterBatch

    run = batch_system.run({"count": 2, "square": {"delay_s": 4}})
    driver = start(run)
    wait_for(lambda: len(computed(run)) == 2, 60)
    kill(psutil.Process(driver.pid))
    driver.wait(10)
    (batch_system.state / "mode").write_text("down")
    with pytest.raises(InputError, match="may still be at work, and Slurm does not answer"):
        execute(run, Resources(cores=2), build="toy:build_sum", around=LocalAfterBatch(run))
    (batch_system.state / "mode").unlink()
    here = LocalAfterBatch(run)
    here.begin()
    assert ["cancelled", "cancelled"] in batch_system.states().values()
    assert list(run.engine.glob("dflow-*")) == []
    assert list(open_folders(run.engine)) == []
