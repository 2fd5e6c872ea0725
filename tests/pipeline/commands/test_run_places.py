"""Run folders are found from anywhere in a project, belong to one project, and link to its own results only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.pipeline.commands.monitor import list_runs, show_status
from dpa_sse.pipeline.commands.run_links import Publisher, publish
from dpa_sse.pipeline.config.load import resolved_yaml
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.engines.argo.cluster import RECORD, find_run
from dpa_sse.pipeline.runs.configuration import require_same_project
from dpa_sse.pipeline.runs.folder import CONFIG, Run, open_run
from dpa_sse.pipeline.runs.outcome import run_state
from dpa_sse.pipeline.runs.places import default_runs_folder
from dpa_sse.pipeline.runs.plan import PlannedStep, write_plan

STAGES = {
    "collect": "02-seed", "pretrain": "04-pretrain", "student": "06-distill", "teacher-labels": "06-distill",
    "conductivity": "08-conductivity",
}


def made_run(folder: Path, *steps: str, planned: tuple[str, ...] = tuple(STAGES), end: bool = True) -> Run:
    """Return a run folder in which some steps have finished."""
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text("name: x\nseed: 1\ntype_map: [Li]\n")
    plan(folder, *planned)
    Run(folder).log.write_text("")
    log(folder, {"event": "run-start"}, *(finished(folder, step) for step in steps))
    if end:
        log(folder, {"event": "run-end", "code": 0})
    return Run(folder)


def plan(folder: Path, *steps: str) -> None:
    write_plan(folder, [PlannedStep(name=step, stage=STAGES[step], title=step, tasks=1) for step in steps])


def finished(folder: Path, step: str, key: str = "0123456789") -> dict[str, Any]:
    """Write the result of a task and return its event."""
    place = f"tasks/{STAGES[step]}/{step}--{key}"
    (folder / place).mkdir(parents=True, exist_ok=True)
    TaskRecord(values={}, seconds=1.0).write(folder / place)
    return {"event": "done", "stage": STAGES[step], "task": step, "folder": place}


def log(folder: Path, *events: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a") as stream:
        stream.writelines(json.dumps({"time": 1.0, **event}) + "\n" for event in events)


def links(folder: Path) -> set[str]:
    found = [*folder.glob("models/*"), *folder.glob("data/*"), folder / "conductivity"]
    return {str(path.relative_to(folder)) for path in found if path.is_symlink()}


def test_runs_are_found_from_folders_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "runs" / "mine", "collect")
    below = tmp_path / "structures" / "cif"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert open_run("mine").folder == run.folder
    assert default_runs_folder() == tmp_path / "runs"
    with pytest.raises(InputError, match=r"no such run here .*runs here: mine"):
        open_run("other")
    (run.folder / RECORD).write_text(json.dumps({"workflow": "w", "namespace": "n"}))
    found = find_run("mine")
    assert found is not None
    assert found.folder == run.folder


def test_an_empty_or_foreign_folder_of_that_name_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert default_runs_folder() == Path("runs")
    made_run(tmp_path / "runs" / "mine", "collect")
    assert default_runs_folder() == tmp_path / "runs"
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    assert default_runs_folder() == Path("runs")


def test_status_without_a_run_lists_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list_runs(as_json=False) == 0
    assert "dpa-sse run CONFIG" in capsys.readouterr().out
    made_run(tmp_path / "runs" / "first", "collect")
    made_run(tmp_path / "runs" / "second", "collect", end=False)
    list_runs(as_json=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["first", "done"]
    assert second.split()[:2] == ["second", "interrupted"]
    list_runs(as_json=True)
    assert [row["status"] for row in json.loads(capsys.readouterr().out)] == ["done", "interrupted"]


def test_links_of_another_configuration_are_removed(tmp_path: Path) -> None:
    run = made_run(tmp_path / "mine", *STAGES)
    publish(run)
    everything = {"data/base", "models/pretrained", "models/student", "data/distilled", "conductivity"}
    assert links(run.folder) == everything
    (run.folder / "models" / "notes").write_text("mine")
    plan(run.folder, "collect", "pretrain")
    log(run.folder, {"event": "run-start"}, {"event": "changed", "changed": ["pretrain"], "again": ["pretrain"]},
        finished(run.folder, "collect"))
    publish(run)
    assert links(run.folder) == {"data/base"}  # the student is not in the DAG, pretrain is computed again
    assert (run.folder / "models" / "notes").read_text() == "mine"
    log(run.folder, finished(run.folder, "pretrain", "abcdefabcd"))
    publish(run)
    assert (run.folder / "models" / "pretrained").resolve().name == "pretrain--abcdefabcd"


def test_an_interruption_keeps_the_links_to_results_that_still_hold(tmp_path: Path) -> None:
    run = made_run(tmp_path / "mine", *STAGES)
    publish(run)
    before = links(run.folder)
    log(run.folder, {"event": "run-start"}, finished(run.folder, "collect"))
    publish(run)
    assert links(run.folder) == before


def test_links_appear_while_the_run_is_in_progress(tmp_path: Path) -> None:
    run = made_run(tmp_path / "mine", end=False)
    publisher = Publisher(run)
    publisher.tick(run.events())
    assert links(run.folder) == set()
    log(run.folder, finished(run.folder, "collect"))
    publisher.tick(run.events())
    assert links(run.folder) == {"data/base"}
    log(run.folder, finished(run.folder, "student"))
    publisher.tick(run.events())
    assert links(run.folder) == {"data/base", "models/student"}


def test_a_finished_run_without_its_log_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run(tmp_path / "mine", *STAGES)
    run.log.unlink()
    assert run_state(run) == "done"
    show_status(str(run.folder), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert {stage["status"] for stage in shown["stages"]} == {"done"}
    publish(run)
    assert "models/student" in links(run.folder)
    half = made_run(tmp_path / "half", "collect")
    half.log.unlink()
    assert run_state(half) == "interrupted"


def project(*systems: str, elements: tuple[str, ...] = ("Li", "S")) -> Project:
    return Project.model_validate({
        "name": "x", "type_map": elements, "systems": [{"name": one, "structure": one} for one in systems],
        "labeler": {"kind": "mock"},
    })


@pytest.mark.parametrize(("second", "difference"), [
    (project("Li2S"), ""),
    (project("Li2S", "LiCl", elements=("Li", "S", "Cl")), ""),  # the project has grown
    (project("LiCl", elements=("Li", "Cl")), "elements Li, S; systems Li2S"),
    (project("Li3PS4", elements=("Li", "S", "P")), "systems Li2S"),
])
def test_another_project_does_not_take_over_a_run_folder(tmp_path: Path, second: Project, difference: str) -> None:
    run = Run(tmp_path / "x")
    run.create()
    require_same_project(run, second)  # a new folder
    (run.folder / CONFIG).write_text(resolved_yaml(project("Li2S")))
    if not difference:
        require_same_project(run, second)
        return
    with pytest.raises(InputError, match=r"--name.*--other-project") as caught:
        require_same_project(run, second)
    assert f"another project ({difference})" in str(caught.value)
