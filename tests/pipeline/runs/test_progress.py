"""Events as lines for a person, and the summary by stage."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.runtime.events import Event, EventKind
from dpa_sse.pipeline.runs.folder import Run, read_events
from dpa_sse.pipeline.runs.plan import PlannedStep, compare_plans, parse_plan
from dpa_sse.pipeline.runs.progress import Progress, clock, event_line, remaining, status_rows, table
from dpa_sse.pipeline.runs.stage_status import stage_status
from dpa_sse.pipeline.runs.stage_times import counted, stage_clocks


def node(name: str, stage: str, tasks: int = 1, depends: tuple[str, ...] = (), loop: str | None = None,
         settings: str = "{}") -> PlannedStep:
    return PlannedStep(name=name, stage=stage, title=name.title(), tasks=tasks, depends=depends, settings=settings,
                       loop=loop)


def event(kind: EventKind, stage: str, task: str, time: float, **more: Any) -> Event:
    return Event(kind=kind, stage=stage, task=task, time=time, **more)


def test_loop_grows_with_its_iterations() -> None:
    plan = [node("train", "03", 2, loop="learning"), node("merge", "03", 1, loop="learning")]
    first = [event("done", "03", "train-i000-000", 1.0), event("start", "03", "train-i000-001", 2.0)]
    stage = stage_status(plan, first)[0]
    assert (stage.done, stage.tasks, stage.running, stage.status) == (1, 3, 1, "running")
    second = [*first, event("start", "03", "train-i001-000", 3.0)]
    assert stage_status(plan, second)[0].tasks == 6


def test_time_left_is_known_only_from_finished_tasks() -> None:
    plan = [node("md", "07", 4)]
    begun = [event("start", "07", f"md-{n:03d}", 100.0) for n in range(2)]
    assert remaining(stage_status(plan, begun)[0], 110.0) is None
    half = [*begun, event("done", "07", "md-000", 120.0), event("done", "07", "md-001", 120.0),
            event("start", "07", "md-002", 120.0)]
    stage = stage_status(plan, half)[0]
    assert remaining(stage, 140.0) == pytest.approx(40.0)
    row = status_rows([stage], 140.0)[0]
    assert (row["tasks"], row["elapsed"], row["left"], row["status"]) == ("2/4", "0:40", "~0:40", "running")


def test_failed_stage_names_its_failures() -> None:
    stage = stage_status([node("md", "07", 1)], [event("failed", "07", "md-000", 1.0, reason="exploded")])[0]
    assert stage.status == "failed"
    assert stage.failures[0].reason == "exploded"


def test_a_retried_task_counts_once() -> None:
    events = [event("failed", "02", "aimd-000", 1.0, reason="x"), event("start", "02", "aimd-000", 2.0),
              event("done", "02", "aimd-000", 3.0)]
    stage = stage_status([node("aimd", "02", 1)], events)[0]
    assert (stage.done, stage.failed, stage.status) == (1, 0, "done")


def test_change_spreads_along_the_dag_and_through_a_whole_loop() -> None:
    old = [node("a", "1"), node("train", "2", depends=("a",), loop="l"),
           node("merge", "2", depends=("a",), loop="l"), node("b", "3", depends=("merge",)), node("c", "4")]
    new = [old[0], old[1].model_copy(update={"settings": '{"steps": 2}'}), *old[2:]]
    change = compare_plans(old, new)
    assert (change.changed, change.invalidated, change.kept) == (["train"], ["train", "merge", "b"], ["a", "c"])
    same = compare_plans(old, old)
    assert (same.changed, same.invalidated) == ([], [])


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(event("done", "1", "a", 1.0).line() + '{"event": "do')
    assert [one.task for one in read_events(log)] == ["a"]


def test_plain_progress_prints_each_event_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    lines: list[str] = []
    with Progress(run, "x", live=False, print_line=lines.append) as progress:
        with run.log.open("a") as stream:
            stream.write(event("done", "02-seed", "aimd-000", 1.0, seconds=65.0).line())
        progress.tick()
        progress.tick()
        with run.log.open("a") as stream:
            for name in "ab":
                stream.write(event("cached", "04-x", name, 1.0).line())
    assert lines == ["02-seed  aimd-000  done in 1:05", "04-x  2 tasks finished earlier"]


def test_many_tasks_of_a_step_share_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, clocks = Run(tmp_path), [100.0]
    run.write_plan([node("label", "03", 20, loop="l"), node("md", "07", 3)])
    monkeypatch.setattr("dpa_sse.pipeline.runs.progress.now", lambda: clocks[0])
    lines: list[str] = []

    def log(*events: Event) -> None:
        with run.log.open("a") as stream:
            stream.writelines(one.line() for one in events)

    with Progress(run, "x", live=False, print_line=lines.append) as progress:
        log(*(event("done", "03", f"label-i000-{k:03d}", 1.0) for k in range(5)))
        progress.tick()
        assert lines == []
        clocks[0] += 11
        progress.tick()
        assert lines == ["03  label-i000: 5 of 20 tasks done"]
        log(event("failed", "03", "label-i000-005", 1.0, reason="no SCF"), event("done", "07", "md-000", 1.0))
        log(event("done", "03", "label-i000-006", 1.0, reason="partial"))
        progress.tick()
        assert [line.split("  ")[1] for line in lines[1:]] == ["label-i000-005", "md-000", "label-i000-006"]
        log(*(event("done", "03", f"label-i001-{k:03d}", 1.0) for k in range(20)))
        progress.tick()
        assert lines[4:] == ["03  label-i001: 20 of 20 tasks done"]
        log(event("done", "03", "label-i000-007", 1.0))
    assert lines[5:] == ["03  label-i000: 6 of 20 tasks done"]


def test_failure_is_described_with_its_folder() -> None:
    text = event_line(event("failed", "07-md", "md-001", 1.0, reason="melted", folder="tasks/07-md/md-001--ab"))
    assert text is not None
    assert "FAILED: melted" in text
    assert "tasks/07-md/md-001--ab" in text


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (75, "1:15"), (3725, "1:02:05")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_stage_of_a_run_that_ended_is_interrupted_and_not_running() -> None:
    begun = [event("done", "02", "aimd-000", 1.0), event("start", "02", "aimd-001", 2.0)]
    plan = [node("aimd", "02", 2)]
    assert stage_status(plan, begun)[0].status == "running"
    assert stage_status(plan, begun, "ended")[0].status == "interrupted"


def test_time_of_an_interrupted_task_counts_until_the_end_of_its_start() -> None:
    ended = [event("start", "04", "pretrain", 10.0), event("run-end", "", "", 26.0)]
    killed = [event("start", "04", "pretrain", 10.0), event("done", "05", "aimd-000", 20.0),
              event("run-start", "", "", 90.0)]
    for events, seconds in ((ended, 16.0), (killed, 10.0)):
        assert stage_clocks(events)["04"].seconds == seconds
    stage = stage_status([node("pretrain", "04", 1), node("aimd", "05", 1)], killed[:2], "ended")[0]
    assert stage.elapsed(5000.0) == 10.0


def test_only_earlier_work_on_results_that_are_kept_counts() -> None:
    first = [event("run-start", "", "", 0.0), event("start", "02", "a", 0.0, folder="a--1"),
             event("done", "02", "a", 5.0, folder="a--1"), event("start", "02", "b", 5.0, folder="b--old"),
             event("done", "02", "b", 9.0, folder="b--old"), event("run-end", "", "", 9.0)]
    second = [event("run-start", "", "", 20.0), event("cached", "02", "a", 21.0, folder="a--1"),
              event("start", "02", "b", 21.0, folder="b--new"), event("done", "02", "b", 24.0, folder="b--new")]
    assert stage_clocks([*counted(first, second), *second])["02"].seconds == 8.0


def test_a_stage_that_waits_for_another_one_says_so() -> None:
    plan = [node("pretrain", "04", 1), node("collect-new", "05", 1), node("finetune", "05", 1)]
    events = [event("start", "04", "pretrain", 0.0), event("start", "05", "collect-new", 1.0),
              event("done", "05", "collect-new", 3.0)]
    rows = {row["stage"]: row for row in status_rows(stage_status(plan, events), 60.0)}
    assert (rows["04"]["status"], rows["05"]["status"]) == ("running", "waiting")
    assert (rows["05"]["elapsed"], rows["05"]["left"]) == ("0:02", "")


def test_an_event_is_one_line_and_comes_back_from_it() -> None:
    one = event("failed", "07", "md-001", 1.5, reason="melted", folder="tasks/07/md-001--ab")
    assert json.loads(one.line()) == {
        "time": 1.5, "event": "failed", "stage": "07", "task": "md-001", "reason": "melted",
        "folder": "tasks/07/md-001--ab",
    }
    assert one.line().count("\n") == 1
    assert Event.from_line(one.line()) == one
    assert Event.from_line('{"event": "planned", "time": 1.0, "later": "unknown"}').kind == "planned"
    with pytest.raises(ValueError, match="event"):
        Event.from_line('{"event": "nonsense", "time": 1.0}')


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.plan() == []
    plan = [node("a", "1"), node("b", "2", depends=("a",), loop="l")]
    run.write_plan(plan)
    assert run.plan() == plan
    with pytest.raises(ValueError, match="tasks"):
        parse_plan('[{"name": "a", "stage": "1", "title": "A"}]')


def test_a_stage_that_has_not_started_is_listed_with_the_title_of_its_first_step() -> None:
    plan = [node("train", "03", 2, loop="l"), node("merge", "03", loop="l"), node("report", "09")]
    events = [event("run-start", "", "", 0.0), event("done", "03", "train-i000-000", 3.0)]
    first, last = stage_status(plan, events)
    assert (first.title, first.began, first.ended, first.last) == ("Train", 3.0, 3.0, 3.0)
    assert (last.title, last.began, last.tasks, last.status) == ("Report", None, 1, "waiting")


@pytest.mark.parametrize("width", [72, 80, 120])
def test_names_give_way_on_a_narrow_terminal_not_numbers_and_states(width: int) -> None:
    from rich.console import Console

    row = {
        "stage": "03-concurrent-learning", "what": "Short AIMD with the labeler, and much more", "tasks": "13/101",
        "elapsed": "1:02:07", "left": "~1:18:10", "status": "running",
    }
    console = Console(width=width, file=io.StringIO())
    with console.capture() as shown:
        console.print(table([row], "run [1] of many"))
    title, head, line = (text.rstrip() for text in shown.get().splitlines())
    assert title.startswith("run [1] of many")
    assert head.split() == list(row)
    assert line.split()[-4:] == [row[name] for name in ("tasks", "elapsed", "left", "status")]
