"""The local engine with toy OPs: results, resume, kill, failure, invalidation, overhead."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from dpa_sse.ops.validation.gates.student import approve
from dpa_sse.pipeline.runs.folder import Run, RunBusyError, open_run
from dpa_sse.pipeline.runs.outcome import run_state
from dpa_sse.pipeline.runs.stage_status import split_task, stage_status
from tests.toy_runs import TOYS, computed, go, kill, make, result, start, wait_for, workers_of


@pytest.fixture(autouse=True)
def _toy_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TOYS))


def test_fan_out_is_gathered_in_order(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 7})
    assert go(run) == 0
    assert result(run, "total", "total.json") == sum(n * n for n in range(7))
    stages = {stage.name: stage for stage in stage_status(run.plan(), run.latest_attempt())}
    assert (stages["02-squares"].done, stages["02-squares"].tasks) == (7, 7)
    assert all(stage.status == "done" for stage in stages.values())


def test_loop_feeds_its_result_back(tmp_path: Path) -> None:
    run = make(tmp_path, {"last": 2})
    assert go(run, "build_loop") == 0
    assert result(run, "after", "numbers.json") == [0, 1, 10, 11, 12]
    assert run.task_folder("square-i002-001") is not None


def test_a_branch_runs_next_to_a_long_task_and_yields_to_it(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 4, "long": {"seconds": 9.0}})  # the branch takes 1 s, more where other tests run
    assert go(run, "build_branch") == 0
    assert result(run, "both", "both.json") == [[os.nice(0)], 14]
    order = [(event.kind, event.task) for event in run.latest_attempt() if event.task]
    assert order.index(("start", "long")) < order.index(("done", "total")) < order.index(("done", "long"))
    stages = {stage.name: stage for stage in stage_status(run.plan(), run.latest_attempt())}
    assert 9.0 <= stages["01-long"].seconds < 11
    assert stages["02-chain"].seconds < 7  # its own time, independent of what else ran
    plan = {step.name: step.depends for step in run.plan()}
    assert plan["both"] == ("long", "total")

    assert go(run, "build_branch") == 0
    assert set(computed(run).values()) == {1}
    again = {stage.name: stage for stage in stage_status(run.plan(), run.events())}
    assert again["01-long"].cached == 1
    assert again["01-long"].seconds == stages["01-long"].seconds, "a result that is kept took its time, too"


def test_a_branch_is_finished_when_the_task_next_to_it_fails(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 4, "long": {"seconds": 0.1, "fail": True}})
    assert go(run, "build_branch") == 1
    assert result(run, "total", "total.json") == 14
    assert [event.task for event in run.latest_attempt() if event.kind == "failed"] == ["long"]
    assert workers_of(run) == []
    (run.folder / "toy.json").write_text(json.dumps({"count": 4, "long": {"seconds": 0.1}}))
    assert go(run, "build_branch") == 0
    assert set(computed(run).values()) == {1}


def test_finished_tasks_are_kept_and_only_what_changed_is_computed_again(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 4})
    assert go(run) == 0
    assert go(run) == 0
    assert set(computed(run).values()) == {1}
    assert all(event.kind != "changed" for event in run.latest_attempt())

    (run.folder / "toy.json").write_text(json.dumps({"count": 4, "total": {"note": 1}}))
    assert go(run) == 0
    assert set(computed(run).values()) == {1}  # the squares do not depend on what changed
    changed = next(event for event in run.latest_attempt() if event.kind == "changed")
    assert changed.again == ["total"]
    assert changed.kept == ["numbers", "square"]

    (run.folder / "toy.json").write_text(json.dumps({"count": 4, "square": {"label": "other"}}))
    assert go(run) == 0
    changed = next(event for event in run.latest_attempt() if event.kind == "changed")
    assert changed.again == ["square", "total"]
    assert sum(computed(run).values()) == 8


def test_a_failed_task_does_not_stop_its_siblings_and_is_tried_again_later(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 5, "square": {"fail": [1]}})
    assert go(run) == 1
    failed = [event for event in run.latest_attempt() if event.kind == "failed"]
    assert failed[0].task == "square-001"
    assert failed[0].reason == "task 1 fails on purpose"
    assert "1 of 5" in failed[-1].reason
    assert len(computed(run)) == 5
    assert go(run) == 1
    assert computed(run)["square 1"] == 2  # the failed one alone
    assert sum(computed(run).values()) == 6


def test_a_transient_failure_is_retried(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 3, "square": {"flaky": [2]}})
    assert go(run) == 0
    assert [event.task for event in run.latest_attempt() if event.kind == "retry"] == ["square-002"]


def test_second_driver_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 2})
    lock = run.lock()
    try:
        with pytest.raises(RunBusyError, match=f"pid {os.getpid()}"):
            go(run)
    finally:
        lock.release()
    assert run.holder() is None


def test_interrupt_ends_all_children_within_five_seconds(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 6, "square": {"delay_s": 30}})
    driver = start(run, "build_sum")
    wait_for(lambda: len(computed(run)) >= 2, 30)
    begin = time.monotonic()
    driver.send_signal(signal.SIGINT)
    assert driver.wait(timeout=5) == 130
    assert workers_of(run) == []
    assert time.monotonic() - begin < 5


def test_killed_at_ten_moments_gives_the_same_result_and_repeats_nothing(tmp_path: Path) -> None:
    """Kill -9 of the driver, its child or a task at seeded random moments; the same command resumes."""
    generator = random.Random(20240618)
    run = make(tmp_path, {"count": 16, "square": {"delay_s": 0.15}})
    begun = time.monotonic()
    for number in range(10):
        driver = start(run, "build_sum")
        time.sleep(generator.uniform(0.3, 1.6))
        victims = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)] \
            if driver.poll() is None else []
        if victims:
            victim = victims[0] if number % 2 == 0 else generator.choice(victims)
            kill(victim)
            if victim.pid != driver.pid:
                driver.wait(timeout=60)
        driver.wait(timeout=60)
        wait_for(lambda: not workers_of(run), 5)  # nothing outlives its driver
    assert go(run) == 0
    assert result(run, "total", "total.json") == sum(n * n for n in range(16))
    done = Counter(event.task for event in run.events() if event.kind == "done")
    assert set(done.values()) == {1}, "a finished task was computed again"
    assert time.monotonic() - begun < 120


def test_overhead_of_many_tiny_tasks(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 1000})
    before = os.times()
    assert go(run) == 0
    after = os.times()
    seconds = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    assert result(run, "total", "total.json") == sum(n * n for n in range(1000))
    assert seconds / 1000 <= 0.05


def test_overhead_of_chained_fan_outs(tmp_path: Path) -> None:
    """Unpatched dflow needs 198 s for this chain; CPU time, because the machine may be busy."""
    run = make(tmp_path, {"count": 20})
    before = os.times()
    assert go(run, "build_chain") == 0
    after = os.times()
    seconds = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    assert seconds < 6


def test_read_only_folder_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.ops.core.errors import InputError

    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(InputError, match="cannot write here"):
        Run(blocker / "run").create()


def test_unknown_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.ops.core.errors import InputError

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "other").mkdir(parents=True)
    (tmp_path / "runs" / "other" / "config.resolved.yaml").write_text("")
    with pytest.raises(InputError, match=r"no such run here .*; runs here: other"):
        open_run("mine")


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("train-i001-003", ("train", True, "i001")),
        ("perturb-new", ("perturb-new", False, "")),
        ("md-012", ("md", False, "")),
        ("merge-i000", ("merge", True, "i000")),
    ],
)
def test_task_names_are_split(task: str, expected: tuple[str, bool, str]) -> None:
    assert split_task(task) == expected


def test_a_doubtful_verdict_ends_the_run_until_a_person_lets_it_continue(tmp_path: Path) -> None:
    run = make(tmp_path, {"verdict": "WARN"})
    for _ in range(2):  # the same command again asks again
        assert go(run, "build_verdict") == 1
        assert run_state(run) == "suspended" and "numbers" not in run.finished()
    gates = run.task_folder("gates")
    assert gates is not None
    approve(gates, run.folder)
    assert go(run, "build_verdict") == 0
    assert run_state(run) == "done" and result(run, "numbers", "numbers.json") == [0, 1]
    assert [event.kind for event in run.latest_attempt() if event.task == "gates"] == ["cached"]


def test_nobody_is_asked_about_a_verdict_that_passes(tmp_path: Path) -> None:
    run = make(tmp_path, {"verdict": "PASS"})
    assert go(run, "build_verdict") == 0
