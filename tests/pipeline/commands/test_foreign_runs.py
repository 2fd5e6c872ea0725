"""Run folders of others: looked at without writing, executing or obeying anything in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.commands.conductivity import production_runs
from dpa_sse.pipeline.commands.monitor import rebuild_report, show_logs, show_status, stop_run, watch_run
from dpa_sse.pipeline.commands.run_end import finish_run
from dpa_sse.pipeline.engines.local.engine import execute
from dpa_sse.pipeline.engines.local.platform import LocalPlatform
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.runs.folder import CONFIG, Run
from dpa_sse.pipeline.runs.progress import event_line

ESCAPES = "\x1b]0;title\x07\x1b[2J\x1b]52;c;ZXZpbA==\x07\r"


def received(folder: Path, *events: dict[str, object]) -> Run:
    folder.mkdir()
    (folder / CONFIG).write_text("name: x\nseed: 1\ntype_map: [Li]\n")
    step = {"name": "perturb", "stage": "01-perturb", "title": "cells", "tasks": 1}
    (folder / "plan.json").write_text(json.dumps([step]))
    lines = [{"event": "run-start", "time": 0.0}, *events]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(folder)


def failed(**more: object) -> dict[str, object]:
    return {"event": "failed", "time": 1.0, "stage": "01-perturb", "task": "perturb", "reason": "no", **more}


def listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_folder_that_may_only_be_read_is_shown_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = received(tmp_path / "theirs", failed(folder="tasks/01-perturb/perturb"))
    (run.folder / ".lock").write_text("{}")
    before = listing(run.folder)
    original = os.open

    def read_only(path: object, flags: int, *rest: int, **more: int) -> int:
        if str(path).startswith(str(run.folder)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    assert show_status(str(run.folder), as_json=False) == 0
    assert "theirs: interrupted" in capsys.readouterr().out
    assert rebuild_report(str(run.folder), tmp_path / "mine") == 0
    assert (tmp_path / "mine" / "report.html").is_file()
    assert listing(run.folder) == before


def test_a_report_without_the_right_to_write_says_where_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = received(tmp_path / "theirs")
    from dpa_sse.pipeline.report import build

    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(run.folder / "report.html"))

    monkeypatch.setattr(build, "build_report", refuse)
    with pytest.raises(InputError, match="Permission denied; dpa-sse report RUN --out FOLDER"):
        rebuild_report(str(run.folder))


def test_nothing_printed_controls_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = "tasks/01-perturb/perturb"
    run = received(tmp_path / "evil", failed(folder=folder, reason=ESCAPES, task=f"perturb{ESCAPES}"),
                   failed(folder=folder, reason=ESCAPES))
    (run.folder / "plan.json").write_text(json.dumps(
        [{"name": "perturb", "stage": "01-perturb", "title": ESCAPES, "tasks": 1}]
    ))
    (run.folder / folder).mkdir(parents=True)
    (run.folder / folder / f"{ESCAPES.replace('/', '')}.log").write_text(f"text{ESCAPES}\n")
    show_status(str(run.folder), as_json=False)
    show_logs(str(run.folder), None, 5)
    shown = capsys.readouterr().out + "".join(event_line(event) or "" for event in run.events())
    assert not {"\x1b", "\x07", "\r"} & set(shown)
    assert r"\x1b]52;c;ZXZpbA==" in shown


def test_nothing_printed_by_watch_and_at_the_end_controls_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remarks = [{"event": kind, "time": 2.0, "reason": ESCAPES} for kind in ("error", "note")]
    run = received(tmp_path / f"evil{ESCAPES.replace('/', '')}", failed(reason=ESCAPES, folder="tasks/x"), *remarks,
                   {"event": "cached", "time": 2.0, "stage": ESCAPES, "task": "a", "folder": "tasks/x"})
    (run.folder / "tasks" / "x").mkdir(parents=True)
    (run.folder / "tasks" / "x" / "error.log").write_text(ESCAPES)
    (run.folder / "data").mkdir()
    (run.folder / "data" / "base").write_text("mine")
    holders = iter([True, True, None, None, None])
    monkeypatch.setattr(Run, "holder", lambda _run: next(holders))
    assert watch_run(str(run.folder)) == 130  # interrupted: the driver is gone
    assert finish_run(run, 1) == 1
    assert finish_run(run, 130) == 130
    with suppress(InputError):
        stop_run(str(run.folder))
    shown = "".join(capsys.readouterr())
    assert shown.count(r"\x1b]52;c;ZXZpbA==") >= 5
    assert not {"\x1b", "\x07", "\r"} & set(shown)


def test_a_folder_outside_the_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.log").write_text("secret")
    run = received(tmp_path / "evil", failed(folder="../"), failed(folder="../..", task="other"))
    with pytest.raises(InputError, match=r"log\.jsonl: .*refused the name"):
        show_logs(str(run.folder), "perturb", 5)


@pytest.mark.parametrize("line", ["12", "null", "{}", "[]", '""', '{"event": "done"}', "nan",
                                  '{"event": 1, "time": "x"}',
                                  '{"event": "done", "time": 1e999}', '{"event": "done", "time": NaN}', "[" * 10_000,
                                  '{"event": "run-end", "time": 1.0, "code": ' + "9" * 5000 + "}"])
def test_strange_lines_of_a_log_are_left_out(tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = received(tmp_path / "strange", failed(folder="tasks/x"))
    with run.log.open("a") as stream:
        stream.write(f"{line}\n")
    assert show_status(str(run.folder), as_json=False) == 0
    assert "perturb: no" in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["1", "20"])
def test_a_narrow_terminal_shows_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    show_status(str(received(tmp_path / "narrow", failed(folder="tasks/x")).folder), as_json=False)
    shown = capsys.readouterr().out
    assert "01-perturb" in shown
    assert "FAILED" in shown


def test_python_files_of_a_run_folder_are_not_imported(tmp_path: Path) -> None:
    run = Run(tmp_path / "evil")
    run.create()
    for name in ("html", "json", "dpa_sse", "dflow", "sitecustomize", "toy"):
        text = f"open({str(tmp_path / 'executed')!r}, 'w').close()\nraise SystemExit(3)\n"
        (run.folder / f"{name}.py").write_text(text)
    resources = Resources(cores=1, gpus=(), tasks_per_gpu=1, threads_per_task=1, retries=0, task_timeout_s=0.0)
    assert execute(run, resources, build="dpa_sse.pipeline.flows.main:build_from_run") != 0  # it has no configuration
    assert not (tmp_path / "executed").exists()
    assert "config.resolved.yaml" in run.log.read_text() + (run.engine / "dflow.log").read_text()


def test_commands_of_children_do_not_import_from_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)\n")
    for command in (LocalPlatform.command[:2], LocalPlatform.util_command):
        assert command[0] == sys.executable
        done = subprocess.run([*command, "-c", "import json"], cwd=tmp_path, check=False)
        assert done.returncode == 0


@pytest.mark.parametrize("folder", ["../..", "..", "/etc", "tasks/../..", "out/md", "tasks/\x1b[2J"])
def test_trajectories_outside_the_run_are_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "elsewhere" / "md").mkdir(parents=True)
    (tmp_path / "elsewhere" / "md" / "run.json").write_text("{}")
    run = received(tmp_path / "evil", {"event": "done", "time": 1.0, "stage": "07-md", "task": "md-000",
                                       "folder": folder})
    (run.folder / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"log\.jsonl: .*refused the name") as caught:
        production_runs(run.folder)
    assert "\x1b" not in str(caught.value)
