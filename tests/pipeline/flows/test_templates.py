"""The starter configurations: each is checked and planned, and run in small where that takes less than minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.data.exchange import write_data
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.md.trajectory import read_dump
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.training.job import TrainJob
from dpa_sse.ops.training.presets import dataset_input, resolve
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.ops.training.train import train_model
from dpa_sse.pipeline.commands.project import TEMPLATES, plan_config, starter, starters
from dpa_sse.pipeline.config import ConfigError, Project, load_checked, load_located, load_project
from dpa_sse.pipeline.flows.render import render
from tests.fake_vasp import FAKE, write_library

ROOT = Path(__file__).parents[3]
MISSING = {
    "compound": [], "research": [], "md": ["md.model"], "finetune": ["pretrain.model", "downstream.data.0"],
    "screening": ["pretrain.model"], "simplify": ["data.0"],
    "vasp": ["labeler.command", "labeler.potcar_dir"],
}
"""What each template lacks on a machine without the user's files and without VASP."""
TINY_NETWORK = {"model.descriptor.rcut": 5.0, "model.descriptor.neuron": [4, 8], "model.fitting_net.neuron": [8, 8]}
TINY_MD = ["md.temperatures_K=[50]", "md.timestep_fs=1.0", "md.equilibration_ps=0.02", "md.production_ps=0.1",
           "md.dump_every_fs=5", "md.restart_every_ps=0.05"]
LICL = ["type_map=[Li, Cl]"]


@dataclass(frozen=True)
class Own:
    """What a user brings: labelled frames and a model, as a checkpoint and frozen."""

    frames: Path
    checkpoint: Path
    frozen: Path


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    """Return 40 frames of LiCl in four trajectories, and a network that was trained on them for a moment."""
    folder, rng, frames = tmp_path_factory.mktemp("own"), np.random.default_rng(5), []
    for number in range(4):
        atoms = build_cell(SystemSettings(name="LiCl", structure="LiCl"), folder, 1)
        atoms.info = {"system": "LiCl", "trajectory": f"t{number}"}
        atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.1  # near copies would not be tested on
        for _ in range(10):
            atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.03
            frames.append(with_results(atoms, *mock_energy(atoms)))
    write_data(folder / "my-frames", "npy", ["Li", "Cl"], frames_to_blocks(frames, ["Li", "Cl"], "train"))
    train = TrainSettings(preset="se_e2_a-tiny", steps=20, overrides=TINY_NETWORK)
    data = dataset_input(resolve(train, folder), ["Li", "Cl"], folder / "my-frames", 1)
    train_model(TrainJob(data, preset="se_e2_a-tiny", seed=1), folder / "model")
    return Own(folder / "my-frames", folder / "model" / "model.pt", folder / "model" / "model.pth")


def put(template: str, folder: Path, own: Own | None = None) -> Path:
    """Write a template, and the files that it names, into a folder."""
    (folder / "my.yaml").write_text(starter(template), encoding="utf-8")
    if own is not None:
        shutil.copytree(own.frames, folder / "my-frames")
        shutil.copy(own.checkpoint, folder / "my-model.pt")
        shutil.copy(own.frozen, folder / "my-model.pth")
    return folder / "my.yaml"


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    arguments = [part for override in overrides for part in ("-s", override)]
    return subprocess.run(
        [sys.executable, "-m", "dpa_sse.pipeline", "run", "my.yaml", *arguments], cwd=folder, capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )


def longest(folder: Path) -> str:
    """Return the name of the longest production run of a run folder."""
    runs = {path.parent.name: MdRun.read(path.parent).steps for path in folder.glob("tasks/07-md/*/run.json")}
    return max(runs, key=lambda name: runs[name])


@pytest.mark.parametrize("name", TEMPLATES)
def test_check_names_what_is_missing_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("VASP_COMMAND", "VASP_POTCAR_DIR"):
        monkeypatch.delenv(variable, raising=False)
    try:
        load_checked(put(name, tmp_path))
        found = []
    except ConfigError as error:
        found = [one.path for one in error.problems]
    assert found == MISSING[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_plan(name: str, tmp_path: Path, own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = {
        "finetune": [*LICL, "downstream.system={name: LiCl, structure: LiCl}"],
        "md": [*LICL, "systems=[{name: LiCl, structure: LiCl}]"],
        "screening": [*LICL, "targets=[{name: salt, systems: [{name: LiCl, structure: LiCl}]}]"],
        "simplify": [*LICL, "simplify.initial_frames=10"],
    }.get(name, [])
    assert plan_config(put(name, tmp_path, own), overrides, tmp_path / "plan", as_json=True) == 0
    steps = {step["name"] for step in json.loads(capsys.readouterr().out)}
    assert ({"simplify-select", "report"} if name == "simplify" else {"md", "conductivity", "report"}) <= steps
    labels = sum(one["labels"] for one in json.loads((tmp_path / "plan" / "counts.json").read_text()))
    assert (labels == 0) == (name in ("md", "finetune", "simplify"))
    labelling = {step for step in steps if step.startswith(("aimd", "label"))}
    assert (labelling == set()) == (name in ("md", "finetune", "simplify"))


def test_own_model_runs_without_a_label_or_a_training(tmp_path: Path, own: Own) -> None:
    put("md", tmp_path, own)
    done = run(tmp_path, *LICL, "systems=[{name: LiCl, structure: LiCl}]", *TINY_MD)
    assert done.returncode == 3, done.stdout + done.stderr  # too short for a conductivity
    folder = tmp_path / "runs" / "my-compound"
    assert {path.name for path in (folder / "tasks").iterdir()} == {
        "06-distill", "07-md", "08-conductivity", "09-report",
    }
    assert (folder / "models" / "student" / "model.pth").read_bytes() == own.frozen.read_bytes()
    summary = json.loads((folder / "summary.json").read_text())
    assert [(one["temperature_K"], one["status"]) for one in summary["md"]] == [(50, "ok")]
    longer = run(
        tmp_path, *LICL, "systems=[{name: LiCl, structure: LiCl}]", *TINY_MD, "md.production_ps=0.2",
    )
    assert longer.returncode == 3, longer.stdout + longer.stderr
    assert "its equilibration and its steps were not repeated" in longer.stdout
    assert sorted(MdRun.read(path.parent).steps for path in folder.glob("tasks/07-md/*/run.json")) == [100, 200]
    grown = folder / "tasks" / "07-md" / longest(folder)
    assert MdRun.read(grown).continued_from == 100
    assert len(list(read_dump(grown / "traj.lammpstrj"))) == 41
    whole = run(
        tmp_path, *LICL, "systems=[{name: LiCl, structure: LiCl}]", *TINY_MD, "md.production_ps=0.2", "name=whole",
    )
    assert "not repeated" not in whole.stdout
    (uninterrupted,) = tmp_path.glob("runs/whole/tasks/07-md/md-000--*")
    for name in ("traj.lammpstrj", "thermo.csv", "equilibration.csv"):
        assert (grown / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    wrong = run(tmp_path, "type_map=[Li, Cl, K]", "systems=[{name: LiCl, structure: LiCl}]", *TINY_MD)
    assert wrong.returncode == 2
    assert "md.model: my-model.pth: the model does not know K; it knows Li Cl" in wrong.stderr


def test_labels_by_vasp_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for VASP; the stages after the labels are those of `compound`."""
    monkeypatch.setenv("VASP_POTCAR_DIR", str(write_library(tmp_path / "potcars")))
    monkeypatch.setenv("VASP_COMMAND", f"{sys.executable} {FAKE}")
    put("vasp", tmp_path)
    done = run(
        tmp_path, *LICL, "systems=[{name: LiCl, structure: LiCl}]", "perturb.count=2", "aimd.steps=4",
        "aimd.sample_every=2", "split.test=0.5", "concurrent_learning=null", "pretrain=null", "distill=null", "md=null",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validate: has no effect without a section `md`" in done.stderr
    data = DatasetInfo.read(tmp_path / "runs" / "my-compound" / "data" / "base" / "dataset")
    assert sum(system.n_frames for system in data.systems) == 2 * 3
    assert data.level is not None
    assert data.level.code == "VASP"


@pytest.mark.slow
def test_own_frames_and_model(tmp_path: Path, own: Own) -> None:
    put("finetune", tmp_path, own)
    done = run(
        tmp_path, *LICL, "downstream.system={name: LiCl, structure: LiCl}", "finetune.steps=20",
        "distill.temperatures_K=[50]", "distill.perturb.count=2", "distill.steps=20", "distill.timestep_fs=1.0",
        "distill.self_exploration={steps: 20, frames: 4, training_steps: 30}", "distill.student.steps=30",
        f"distill.student.overrides={json.dumps(TINY_NETWORK)}", *TINY_MD,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    summary = json.loads((tmp_path / "runs" / "my-compound" / "summary.json").read_text())
    assert {"zero_shot", "fine_tuned", "from_scratch", "student"} <= set(summary["errors"])
    assert summary["errors"]["fine_tuned"]["n_frames"] == 20  # half of the 40
    assert summary["self_check"] == []
    tasks = {path.name.partition("--")[0] for path in (tmp_path / "runs" / "my-compound").glob("tasks/*/*--*")}
    assert not {task for task in tasks if task.startswith(("aimd", "label"))}
    assert "student" in tasks


@pytest.mark.slow
def test_compound_in_small(tmp_path: Path) -> None:
    """With mock labels and tiny networks: every stage of the template."""
    put("compound", tmp_path)
    tiny = json.dumps(TINY_NETWORK)
    done = run(
        tmp_path, *LICL, "systems=[{name: LiCl, structure: LiCl}]", "labeler={kind: mock}", "perturb.count=4",
        "perturb.strain=0.02", "perturb.displacement_A=0.05", "aimd.temperatures_K=[50, 100]", "aimd.steps=10",
        "aimd.timestep_fs=1.0", "concurrent_learning.train.steps=30", "concurrent_learning.reuse_steps=20",
        f"concurrent_learning.train.overrides={tiny}", "concurrent_learning.sanity_steps=10",
        "concurrent_learning.timestep_fs=1.0", "concurrent_learning.max_selected=4",
        "concurrent_learning.stages=[{temperatures_K: [50], steps: 20, max_iterations: 1}]", "pretrain.steps=20",
        "pretrain.overrides={model.descriptor.repinit.neuron: [4, 8], model.descriptor.repformer.nlayers: 1}",
        "distill.temperatures_K=[50]", "distill.perturb={count: 2, strain: 0.01, displacement_A: 0.02}",
        "distill.steps=20", "distill.timestep_fs=1.0", "distill.frame_strain=0.01", "distill.frame_displacement_A=0.02",
        "distill.self_exploration={steps: 20, frames: 4, training_steps: 30}", "distill.student.steps=30",
        f"distill.student.overrides={tiny}", *TINY_MD,
        "validate={production_labels: 2, rounds: 1, round_ps: 0.06, teacher_steps: 10, student_steps: 10}",
    )
    assert done.returncode == 3, done.stdout + done.stderr
    summary = json.loads((tmp_path / "runs" / "my-compound" / "summary.json").read_text())
    assert len(summary["self_check"]) == 1
    assert {"pretrain", "student"} <= set(summary["errors"])


@pytest.mark.parametrize("name", starters())
def test_all_keys_are_listed_with_their_meaning(name: str, tmp_path: Path) -> None:
    text = starter(name, all_keys=True)
    (tmp_path / "all.yaml").write_text(text, encoding="utf-8")
    project = load_project(starters()[name])
    assert load_located(tmp_path / "all.yaml").project == project
    assert set(yaml.safe_load(text)) == set(Project.model_fields)
    for line in text.splitlines():
        assert " # " in line, line
    for field, key in (("md", "restart_every_ps"), ("finetune", "replay_frames"), ("distill", "max_force_eV_A")):
        assert f" {key}: " in text, field  # those of sections that are left out, too


def test_an_unmade_model_has_no_use_for_sections_of_training(tmp_path: Path, own: Own) -> None:
    path = put("md", tmp_path, own)
    with pytest.raises(ConfigError) as caught:
        load_checked(path, ["distill={}", "data=[my-frames]", "pretrain={}", *LICL])
    assert {one.path for one in caught.value.problems} >= {"distill", "data", "pretrain"}
    assert "since `md.model` is the model of the MD" in str(caught.value)
    located = load_checked(path, ["type_map=[Li, Cl]", "systems=[{name: LiCl, structure: LiCl}]"])
    with pytest.raises(InputError, match="stage data: nothing is labelled in this project"):
        render(located.project, located.base_dir, stage="data")
    with pytest.raises(ConfigError, match="nothing to simulate"):
        load_checked(path, ["systems=[]"])


def test_no_label_of_the_default_labeler_is_made_unasked(tmp_path: Path, own: Own) -> None:
    path = put("finetune", tmp_path, own)
    licl = [*LICL, "downstream.system={name: LiCl, structure: LiCl}"]
    with pytest.raises(ConfigError, match=r"default labeler \(chgnet\), but the data are your own"):
        load_checked(path, [*licl, "validate.production_labels=12"])
    load_checked(path, [*licl, "validate.production_labels=12", "labeler={kind: mock}"])


def test_frames_that_do_not_suffice_are_found_early(tmp_path: Path, own: Own) -> None:
    path = put("finetune", tmp_path, own)
    licl = [*LICL, "downstream.system={name: LiCl, structure: LiCl}"]
    with pytest.raises(ConfigError, match="asks for 21 frames, but its own `data` have 20 for training"):
        load_checked(path, [*licl, "finetune.frames=21"])
    with pytest.raises(ConfigError, match=r"no frames to test the model on.*downstream.split.test is 0"):
        load_checked(path, [*licl, "downstream.split.test=0"])
