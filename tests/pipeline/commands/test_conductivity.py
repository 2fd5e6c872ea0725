"""``dpa-sse conductivity``: which runs of a run folder are analysed, and what a mistake leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.runtime.events import Event
from dpa_sse.pipeline.commands.conductivity import made_folder, production_runs


def run_folder(folder: Path, *tasks: str) -> Path:
    """Write a run folder in which these tasks of production MD have finished."""
    (folder / "config.resolved.yaml").parent.mkdir(parents=True)
    (folder / "config.resolved.yaml").write_text("name: x\n")
    lines = [Event(kind="run-start", time=1.0)]
    for task in tasks:
        place = f"tasks/07-md/{task}--0123456789"
        (folder / place).mkdir(parents=True)
        if task.removeprefix("md-")[:1] in "i0":
            (folder / place / "run.json").write_text("{}")
        lines.append(Event(kind="done", time=2.0, stage="07-md", task=task, folder=place))
    (folder / "log.jsonl").write_text("".join(line.line() for line in lines))
    return folder


@pytest.mark.parametrize(("tasks", "expected"), [
    (["md-000", "md-001"], ["md-000", "md-001"]),
    (["md-i000-000", "md-i000-001", "md-i001-000", "md-i001-001"], ["md-i001-000", "md-i001-001"]),
    (["md-i000-000", "correct-student-i000", "correct-student-i001"], ["md-i000-000"]),
])
def test_the_runs_of_the_last_round(tasks: list[str], expected: list[str], tmp_path: Path) -> None:
    found = production_runs(run_folder(tmp_path / "run", *tasks))
    assert [folder.name.partition("--")[0] for folder in found] == expected


def test_a_run_without_production(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no production MD has finished"):
        production_runs(run_folder(tmp_path / "run", "prepare-md"))
    assert production_runs(tmp_path / "traj.dump") == [tmp_path / "traj.dump"]


def call(*arguments: str) -> Result:
    import typer

    from dpa_sse.pipeline.commands.conductivity import conductivity

    app = typer.Typer()
    app.command()(conductivity)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("source", ["nope", "nope.lammpstrj"])
def test_a_mistake_leaves_no_folder(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(source, "-o", "new/results")
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "new").exists()


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for inside in (tmp_path / "mine", tmp_path / "mine" / "new"):
        with pytest.raises(KeyboardInterrupt), made_folder(inside):
            raise KeyboardInterrupt
    assert list((tmp_path / "mine").iterdir()) == []
    with pytest.raises(KeyboardInterrupt), made_folder(tmp_path / "half" / "done"):
        (tmp_path / "half" / "done" / "file").touch()
        raise KeyboardInterrupt
    assert (tmp_path / "half" / "done" / "file").exists()
