"""Commands about an existing run, without running one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.commands.monitor import ranges, show_logs
from dpa_sse.pipeline.commands.run_end import write_report
from dpa_sse.pipeline.runs.folder import CONFIG, Run


def make_run(folder: Path, events: list[dict[str, object]]) -> str:
    folder.mkdir()
    (folder / CONFIG).write_text("name: x\n")
    lines = [{"event": "run-start", "time": 0.0}, *({"time": 1.0, **event} for event in events)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder)


def done(stage: str, task: str, kind: str = "done") -> dict[str, object]:
    return {"event": kind, "stage": stage, "task": task, "folder": f"tasks/{stage}/{task}"}


def test_logs_without_failures_list_the_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "mine", [
        *(done("02-aimd", f"aimd-{k:03d}", "cached") for k in range(12)), done("02-aimd", "collect-aimd"),
        *(done("03-concurrent-learning", f"train-i{i:03d}-{k:03d}") for i in (1, 0) for k in (0, 1)),
        {"event": "start", "stage": "03-concurrent-learning", "task": "merge-i000"},
        done("03-concurrent-learning", "merge-i000"),
    ])
    assert show_logs(run, None, 5) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"No task failed. To see the logs of a task: dpa-sse logs {run} TASK",
        "  02-aimd                 aimd-000..011, collect-aimd",
        "  03-concurrent-learning  merge-i000, train-i000-000..001, train-i001-000..001",
    ]
    for task in ("aimd-011", "collect-aimd", "train-i001-001"):
        assert show_logs(run, task, 5) == 0
    with pytest.raises(InputError, match="no such task"):
        show_logs(run, "aimd-012", 5)


def test_a_long_list_of_tasks_is_wrapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    run = make_run(tmp_path / "mine", [done("02-aimd", f"aimd-{k:03d}") for k in range(0, 60, 2)])
    show_logs(run, None, 5)
    _, *lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(" ".join(lines).split()).split(", ")[-1] == "aimd-058"


def test_logs_of_a_run_that_has_done_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_logs(make_run(tmp_path / "mine", []), None, 5) == 0
    assert "none has written anything yet" in capsys.readouterr().out


def test_ranges_keep_what_is_not_in_a_row() -> None:
    assert ranges(["md-000", "md-002", "md-003", "student", "md-1000", "md-999"]) == [
        "md-000", "md-002..003", "md-999..1000", "student",
    ]


def test_a_report_that_has_more_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of another version cannot be read: the report that was made from them is not lost."""
    run = Run(tmp_path / "old")
    run.create()
    result = run.folder / "tasks" / "conductivity"
    result.mkdir(parents=True)
    (result / "conductivity.json").write_text('{"schema": 1, "runs": []}')
    (run.folder / "report.html").write_text("the old page")
    (run.folder / "config.resolved.yaml").write_text("name: old\n")
    monkeypatch.setattr(Run, "finished", lambda _self: {"conductivity": result})
    write_report(run, "done", rebuild=True)
    assert "conductivity.json" in capsys.readouterr().err
    assert (run.folder / "report.previous.html").read_text() == "the old page"
    assert "could not be read" in (run.folder / "report.html").read_text()
