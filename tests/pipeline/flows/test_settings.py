"""The settings that the flow gives to its steps: what the OPs declare, and no more than they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.files import jsonable
from dpa_sse.ops.labelers.registry import parse_labeler, with_model
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.pipeline.config.load import load_project
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.flows import main
from dpa_sse.pipeline.flows.project import ProjectFlow
from tests.ops.labelers.qe.conftest import write_pseudo

HERE = Path(__file__).parent
Steps = dict[str, tuple[type[TaskOP], dict[str, Any], int]]


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Build for this machine: uploads are paths."""
    from dflow import config

    monkeypatch.setitem(config, "mode", "debug")
    monkeypatch.setitem(config, "debug_workdir", str(tmp_path / "dflow"))


def steps_of(monkeypatch: pytest.MonkeyPatch, folder: Path, *changes: str) -> Steps:
    """Return the OP, the settings and the number of tasks of each step of the mock project."""
    found: Steps = {}

    class Recorder(ProjectFlow):
        def step(self, name: str, op: type[TaskOP], settings: Mapping[str, Any], **more: Any) -> Any:
            found[name] = (op, jsonable(settings), 1)
            return super().step(name, op, settings, **more)

        def fan_out(self, name: str, op: type[TaskOP], settings: Mapping[str, Any], count: int, **more: Any) -> Any:
            found[name] = (op, jsonable(settings), count)
            return super().fan_out(name, op, settings, count, **more)

    monkeypatch.setattr(main, "ProjectFlow", Recorder)
    project = load_project(HERE / "mock.yaml", changes)
    main.build(project, HERE, folder, Resources(cores=2))
    return found


def test_steps_get_what_their_op_declares(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = steps_of(monkeypatch, tmp_path)
    declared = {name: (op.settings_class, settings) for name, (op, settings, _) in steps.items() if op.settings_class}
    assert {
        "train", "assemble", "explore", "select", "merge", "pretrain", "finetune", "evaluate", "prepare-teacher",
        "teacher-md", "teacher-labels", "first-student", "self-exploration", "self-exploration-labels", "student",
        "evaluate-student", "gates", "prepare-md", "md",
    } <= set(declared)
    for kind, settings in declared.values():
        kind.model_validate(settings)


def test_a_trust_level_changes_the_settings_of_the_steps_that_know_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The state of concurrent learning belongs to exploration: neither the seed data nor any training depends on it."""
    before = steps_of(monkeypatch, tmp_path / "a")
    after = steps_of(monkeypatch, tmp_path / "b", "concurrent_learning.trust.force_hi_eV_A=0.7")
    assert list(before) == list(after)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"assemble", "select", "report"}  # the report shows the configuration


def test_the_networks_of_a_committee_reach_its_trainings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each with its preset inside, so that a task needs no other file."""
    committee = "concurrent_learning.train=[{preset: se_e2_a-tiny, steps: 3}, {preset: dpa2-tiny, steps: 2}]"
    op, settings, count = steps_of(monkeypatch, tmp_path, committee)["train"]
    task = op.settings_class.model_validate(settings)  # type: ignore[union-attr]
    found = [(task.of(index).network["model"]["descriptor"]["type"], task.of(index).steps) for index in range(count)]
    assert found == [("se_e2_a", 3), ("dpa2", 2)]


def test_more_temperatures_are_more_tasks_and_no_other_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = steps_of(monkeypatch, tmp_path / "a")
    after = steps_of(monkeypatch, tmp_path / "b", "md.temperatures_K=[50,80,110]")
    assert (before["md"][2], after["md"][2]) == (2, 3)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"gates", "prepare-md", "md", "report"}  # gates: another highest temperature
    assert before["md"][1] == after["md"][1]


def test_files_of_a_labeler_travel_with_the_tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pseudopotentials that the elements need, and no folder of this machine."""
    library = tmp_path / "library"
    library.mkdir()
    for element in ("Li", "S", "Cl", "Ge"):
        write_pseudo(library / f"{element}.upf", element, "PBESOL")
    labeler = f"labeler={{kind: qe, command: pw.x, pseudo_dir: {library}}}"
    _, settings, _ = steps_of(monkeypatch, tmp_path / "flow", labeler)["aimd"]
    assert settings["labeler"]["kind"] == "qe"
    assert settings["labeler"]["pseudo_dir"] is None
    folder = tmp_path / "flow/labeler-files"
    assert sorted(path.name for path in folder.iterdir()) == ["Cl.upf", "Li.upf", "S.upf"]
    there = with_model(parse_labeler(settings["labeler"]), folder)
    assert getattr(there, "pseudo_dir", None) == str(folder)

    elsewhere = labeler.replace(str(library), "/only/in/the/pod")
    _, settings, _ = steps_of(monkeypatch, tmp_path / "other", elsewhere)["aimd"]
    assert settings["labeler"]["pseudo_dir"] == "/only/in/the/pod"
    assert not (tmp_path / "other/labeler-files").exists()
