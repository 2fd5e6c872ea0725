"""Real, tiny trainings. Each starts a child process that imports torch and deepmd (seconds), so there are few."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.core.errors import FatalError, InputError, TransientError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.tools import run_tool
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.results.model import ChosenFrames, ModelInfo
from dpa_sse.ops.training.deepmd_input import DeepmdInput
from dpa_sse.ops.training.evaluate import evaluate
from dpa_sse.ops.training.existing_model import adopt_model
from dpa_sse.ops.training.finetune import Adaptation, choose_frames, fine_tune, train_from_scratch
from dpa_sse.ops.training.job import FineTune, InitModel, TrainJob, resolve_model
from dpa_sse.ops.training.presets import resolve, training_input
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings, TrainSettings
from dpa_sse.ops.training.train import change_bias, read_lcurve, train_model
from tests.ops.training.interruption import kill_after_checkpoints

TYPE_MAP = ["Li", "S", "Br"]
STEPS = 24
RESULTS = ("model.pt", "model.pth", "model_compressed.pth", "input.json", "lcurve.csv", "parity.json")


@pytest.fixture(scope="module")
def student_input(tiny_overrides: dict[str, Any]) -> Callable[[Path], DeepmdInput]:
    def make(dataset: Path) -> DeepmdInput:
        train = resolve(TrainSettings(preset="se_e2_a-tiny", steps=STEPS, overrides=tiny_overrides))
        return training_input(train, TYPE_MAP, split_systems(dataset, "train"), split_systems(dataset, "test"), 3)

    return make


@pytest.fixture(scope="module")
def student(
    dataset: Path, student_input: Callable[[Path], DeepmdInput], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("student") / "model"
    train_model(TrainJob(student_input(dataset), preset="se_e2_a-tiny", seed=3), out, threads=1)
    return out


def test_model_folder_is_complete(student: Path, dataset: Path) -> None:
    info = read_json(student / "model.json")
    assert info["type_map"] == TYPE_MAP
    assert (info["steps"], info["rcut_A"], info["compressed"]) == (STEPS, 4.0, True)
    assert info["n_parameters"] > 100
    sel = read_json(student / "input.json")["model"]["descriptor"]["sel"]
    needed = info["neighbours"]["cutoffs"]["4"]["per_type"]
    assert all(have >= need for have, need in zip(sel, needed, strict=True))
    text = (student / "input.json").read_text()
    assert str(dataset) not in text and "train/LiS" in text
    rows = read_lcurve(student / "lcurve.csv")
    assert [row["step"] for row in rows] == [1, *range(2, STEPS + 1, 2)]
    assert rows[-1]["rmse_f_trn"] > 0
    parity = read_json(student / "parity.json")
    assert set(parity["files"]) == {"model.pth", "model_compressed.pth"}
    assert 0 <= parity["max_force_difference_eV_A"] < 1e-3
    assert not list((student / ".work").glob("*.pt"))


def test_finished_model_is_not_trained_again(
    student: Path, dataset: Path, student_input: Callable[[Path], DeepmdInput]
) -> None:
    before = {name: (student / name).stat().st_mtime_ns for name in RESULTS}
    start = time.monotonic()
    train_model(TrainJob(student_input(dataset), preset="se_e2_a-tiny", seed=3), student, threads=1)
    assert time.monotonic() - start < 2
    assert {name: (student / name).stat().st_mtime_ns for name in RESULTS} == before


def test_killed_training_ends_as_an_undisturbed_one(
    student: Path, dataset: Path, student_input: Callable[[Path], DeepmdInput], tmp_path: Path
) -> None:
    """Kill the child after its first checkpoint; damage the newest one; move the data before the second call."""
    out, moved = tmp_path / "model", tmp_path / "moved"
    stopper = threading.Thread(target=kill_after_checkpoints, args=(out,))
    stopper.start()
    with pytest.raises(TransientError, match="SIGKILL"):
        train_model(TrainJob(student_input(dataset), preset="se_e2_a-tiny", seed=3), out, threads=1)
    stopper.join()
    left = sorted((out / ".work").glob("checkpoint-*.pt"), key=lambda path: int(path.stem.rpartition("-")[2]))
    left[-1].write_bytes(left[-1].read_bytes()[:5000])
    shutil.copytree(dataset, moved)
    train_model(TrainJob(student_input(moved), preset="se_e2_a-tiny", seed=3), out, threads=1)
    assert 0 < read_json(out / "model.json")["resumed_at_step"] < STEPS
    for name in RESULTS:
        assert (out / name).read_bytes() == (student / name).read_bytes(), name


def read_csv(path: Path) -> np.ndarray:
    return np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding=None)


def test_evaluation_agrees_with_the_labels(student: Path, dataset: Path, tmp_path: Path) -> None:
    errors = evaluate(student / "model_compressed.pth", dataset, "test", tmp_path, "student")
    assert errors.n_frames == 5
    rows = read_csv(tmp_path / "student" / "parity_force.csv")
    assert len(rows) == 5 * 8 * 3
    by_hand = np.abs(rows["model_eV_A"] - rows["label_eV_A"]).mean() * 1000
    assert errors.force_mae_meV_A == pytest.approx(by_hand, abs=0.02)
    energy = read_csv(tmp_path / "student" / "parity_energy.csv")
    difference = (energy["model_eV_atom"] - energy["label_eV_atom"]) * 1000
    assert errors.energy_mae_meV_atom == pytest.approx(np.abs(difference).mean(), abs=0.01)
    shifted = np.abs(difference - difference.mean()).mean()
    assert errors.energy_mae_shifted_meV_atom == pytest.approx(shifted, abs=0.01)
    assert errors.energy_rmse_meV_atom >= errors.energy_mae_meV_atom
    assert set(errors.force_mae_per_element_meV_A) == {"Li", "S"}
    assert errors == Evaluation.read(tmp_path / "student")


def test_errors_of_trajectories_add_up_and_know_the_nearest_training_frame(
    student: Path, dataset: Path, tmp_path: Path
) -> None:
    errors = evaluate(student / "model_compressed.pth", dataset, "test", tmp_path, "student")
    parts = errors.trajectories
    assert sum(part.n_frames for part in parts) == errors.n_frames
    mean = sum(part.n_frames * part.energy_mae_meV_atom for part in parts) / errors.n_frames
    assert errors.energy_mae_meV_atom == pytest.approx(mean)
    components = sum(part.force_components for part in parts)
    mean = sum(part.force_components * part.force_mae_meV_A for part in parts) / components
    assert errors.force_mae_meV_A == pytest.approx(mean)
    assert errors.force_mae_ci95_meV_A is None  # five frames of one trajectory
    more = evaluate(student / "model_compressed.pth", dataset, "train", tmp_path, "train")
    assert more.force_mae_ci95_meV_A is not None
    assert more.force_mae_ci95_meV_A[0] < more.force_mae_meV_A < more.force_mae_ci95_meV_A[1]
    _, blocks = read_dataset(dataset)
    for part in parts:
        own = [
            (block.coord[k], block.box[k]) for block in blocks if block.split == "test" for k in range(len(block))
            if block.trajectories[k] == part.trajectory
        ]
        training = [
            (block.coord[k], block.box[k]) for block in blocks if block.split == "train" for k in range(len(block))
        ]
        nearest = min(_rms(*one, *other) for one in own for other in training)
        assert part.distance_to_training_A == pytest.approx(nearest, abs=1e-6)


def _rms(one: np.ndarray, box: np.ndarray, other: np.ndarray, other_box: np.ndarray) -> float:
    """Return the distance of two frames; strains and a common shift do not count."""
    change = one @ np.linalg.inv(box) - other @ np.linalg.inv(other_box)
    change = (change - change[0] + 0.5) % 1 - 0.5
    change = (change - change.mean(axis=0)) @ box
    return float(np.sqrt((change**2).sum(axis=1).mean()))


def test_evaluation_refuses_unknown_elements(
    student: Path, make_system: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_system(tmp_path / "K", ["Li"] * 4 + ["K"] * 4, 1, 1, type_map=["Li", "K"])
    with pytest.raises(InputError, match="element K is not in type_map"):
        evaluate(student / "model.pth", [folder], "test", tmp_path, "x")


def test_bias_is_fitted_to_the_new_compound(student: Path, new_dataset: Path, tmp_path: Path) -> None:
    bias = change_bias(student / "model.pt", new_dataset, tmp_path / "bias")
    assert bias.bias_before_eV != bias.bias_after_eV
    raw = evaluate(student / "model.pt", new_dataset, "test", tmp_path, "raw", parity=False)
    shifted = evaluate(tmp_path / "bias" / "model.pt", new_dataset, "test", tmp_path, "shifted", parity=False)
    assert abs(shifted.energy_offset_meV_atom) < 0.2 * abs(raw.energy_offset_meV_atom)
    assert shifted.force_mae_meV_A == pytest.approx(raw.force_mae_meV_A, abs=1e-6)  # a constant has no force


@pytest.mark.slow
def test_fine_tuning_from_scratch_and_restart(
    dataset: Path, new_dataset: Path, dpa2_overrides: dict[str, Any], tmp_path: Path
) -> None:
    pretrain = resolve(PretrainSettings(preset="dpa2-tiny", steps=10, overrides=dpa2_overrides))
    data = training_input(pretrain, TYPE_MAP, split_systems(dataset, "train"), [], 1)
    train_model(TrainJob(data, preset="dpa2-tiny", seed=1), tmp_path / "pre", threads=1)
    settings = FinetuneSettings(frames=4, replay_frames=3, steps=10)
    job = Adaptation(tmp_path / "pre" / "model.pt", pretrain, settings, new_dataset, TYPE_MAP, 1)
    infos = {
        "naive": fine_tune(job, tmp_path / "naive"),
        "replay": fine_tune(job, tmp_path / "replay", replay_from=dataset),
        "multitask": fine_tune(job, tmp_path / "multitask", replay_from=dataset, two_tasks=True),
        "from_scratch": train_from_scratch(job, tmp_path / "from_scratch"),
    }
    assert [info.strategy for info in infos.values()] == list(infos)
    assert [info.frames for info in infos.values()] == [4] * 4
    assert [infos[key].replay_frames for key in ("replay", "multitask")] == [3, 3]
    rates = [info.learning_rate.start_lr for info in infos.values()]
    assert rates == pytest.approx([0.6 * rates[3]] * 3 + [rates[3]])
    networks = [
        read_json(tmp_path / key / "input.json")["model"]["descriptor"] for key in infos if key != "multitask"
    ]
    assert networks[0]["repinit"]["nsel"] == networks[2]["repinit"]["nsel"]
    assert len({info.n_parameters for info in infos.values()}) == 1
    errors = {
        key: evaluate(tmp_path / key / "model.pth", new_dataset, "test", tmp_path, key, parity=False) for key in infos
    }
    zero = evaluate(tmp_path / "pre" / "model.pth", new_dataset, "test", tmp_path, "zero", parity=False)
    assert errors["naive"].energy_mae_meV_atom < zero.energy_mae_meV_atom
    # a restart right after a fine-tuning that took over the network (deepmd issue 3986)
    work = tmp_path / "naive" / ".work"
    for name in ("model.json", "model.pt", "model.pth", "parity.json"):
        (tmp_path / "naive" / name).rename(tmp_path / name)
    (work / "trained.json").unlink()
    stopper = threading.Thread(target=kill_after_checkpoints, args=(tmp_path / "naive",))
    stopper.start()
    with pytest.raises(TransientError):
        fine_tune(job, tmp_path / "naive")
    stopper.join()
    assert fine_tune(job, tmp_path / "naive").resumed_at_step > 0
    for name in ("model.pt", "model.pth"):
        assert (tmp_path / "naive" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_chosen_frames_are_spread_and_kept(new_dataset: Path, tmp_path: Path) -> None:
    folders = choose_frames(new_dataset, 3, TYPE_MAP, tmp_path / "few")
    source = np.load(new_dataset / "train" / "LiBr" / "set.000" / "energy.npy")
    assert np.array_equal(np.load(folders[0] / "set.000" / "energy.npy").ravel(), source[[0, 2, 5]])
    assert ChosenFrames.read(tmp_path / "few") == ChosenFrames(frames=(0, 2, 5), of=6)
    assert choose_frames(new_dataset, 3, TYPE_MAP, tmp_path / "few") == folders
    assert len(np.load(choose_frames(new_dataset, 99, TYPE_MAP, tmp_path / "all")[0] / "set.000" / "box.npy")) == 6


@pytest.mark.slow
def test_divergence_is_a_clear_error(dataset: Path, tiny_overrides: dict[str, Any], tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(dataset / "train" / "LiS", bad)
    energy = np.load(bad / "set.000" / "energy.npy")
    energy[3] = np.nan
    np.save(bad / "set.000" / "energy.npy", energy)
    settings = resolve(TrainSettings(preset="se_e2_a-tiny", steps=4, overrides=tiny_overrides))
    job = TrainJob(training_input(settings, TYPE_MAP, [bad], [], 1))
    with pytest.raises(FatalError, match="diverged"):
        train_model(job, tmp_path / "out", threads=1)
    assert not (tmp_path / "out" / "model.json").exists()


def test_wrong_input_is_refused_before_anything_starts(
    dataset: Path, student_input: Callable[[Path], DeepmdInput], tmp_path: Path
) -> None:
    data = student_input(dataset)
    with pytest.raises(InputError, match="does not exist"):
        train_model(TrainJob(data, InitModel(tmp_path / "a.pt")), tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        train_model(TrainJob(data, FineTune(tmp_path / "a.pt")), tmp_path)
    without = data.with_data([tmp_path], [], None)
    with pytest.raises(InputError, match=r"type\.raw"):
        train_model(TrainJob(without), tmp_path)
    with pytest.raises(InputError, match="DPA-3"):
        resolve_model("DPA-99")
    assert not (tmp_path / ".work").exists()


def test_command_line_of_the_child_is_this_package() -> None:
    """The child must import this package also when it is not installed and another working folder is current."""
    from dpa_sse.ops.training.train import child_environment

    code = "import dpa_sse.ops.training.worker as w; print(w.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **child_environment()}, cwd="/", capture_output=True,
        text=True, check=True,
    )
    assert Path(done.stdout.strip()).resolve() == Path(__file__).resolve().parents[3] / "ops" / "training" / "worker.py"


@pytest.mark.slow
def test_adopted_model_is_frozen_and_described(student: Path, dataset: Path, tmp_path: Path) -> None:
    info = adopt_model(student / "model.pt", ["S", "Li"], tmp_path / "own")
    assert (list(info.type_map), info.descriptor, info.rcut_A) == (TYPE_MAP, "se_e2_a", 4.0)
    assert info.n_parameters == ModelInfo.read(student).n_parameters  # as it was counted in its training
    assert (tmp_path / "own" / "model.pt").read_bytes() == (student / "model.pt").read_bytes()
    own = evaluate(tmp_path / "own" / "model.pth", dataset, "test", tmp_path, "own", parity=False)
    same = evaluate(student / "model.pth", dataset, "test", tmp_path, "same", parity=False)
    assert own.force_mae_meV_A == pytest.approx(same.force_mae_meV_A)


@pytest.mark.parametrize(("content", "elements", "expected"), [
    (b"not a model", ["Li"], "own.pt: is not a file of PyTorch"), (None, ["Li", "K"], "does not know K")])
def test_unusable_models_are_refused(
    student: Path, tmp_path: Path, content: bytes | None, elements: list[str], expected: str
) -> None:
    file = tmp_path / "own.pt"
    file.write_bytes(content or (student / "model.pt").read_bytes())
    with pytest.raises(InputError, match=expected):
        adopt_model(file, elements, tmp_path / "out")
    assert not (tmp_path / "out" / "model.json").exists()


@pytest.mark.slow
def test_multi_task_model_is_adopted_and_fine_tuned(
    dataset: Path, new_dataset: Path, dpa2_overrides: dict[str, Any], tmp_path: Path
) -> None:
    """A pre-trained model with two branches and more elements than the project, as the public DPA models are."""
    pretrain = resolve(PretrainSettings(preset="dpa2-tiny", steps=4, overrides=dpa2_overrides))
    elements = ["H", *reversed(TYPE_MAP)]
    systems = [str(path) for path in split_systems(dataset, "train")]
    data = training_input(pretrain, elements, systems, [], 1).data
    model = data["model"]
    model["descriptor"]["repinit"]["nsel"], model["descriptor"]["repformer"]["nsel"] = 80, 60
    parts = {"type_map": "types", "descriptor": "network"}
    branch = {**parts, "fitting_net": model["fitting_net"]}
    task = {"training_data": {"systems": systems, "batch_size": 1}}
    multi = {
        "model": {
            "shared_dict": {"types": elements, "network": model["descriptor"]},
            "model_dict": {"first": copy.deepcopy(branch), "second": copy.deepcopy(branch)},
        },
        "learning_rate": data["learning_rate"],
        "loss_dict": {"first": data["loss"], "second": data["loss"]},
        "training": {
            "numb_steps": 4, "save_freq": 4, "disp_freq": 4, "seed": 1, "model_prob": {"first": 0.5, "second": 0.5},
            "data_dict": {"first": task, "second": copy.deepcopy(task)},
        },
    }
    write_json(tmp_path / "input.json", multi)
    run_tool([sys.executable, "-m", "deepmd", "--pt", "train", "input.json"], tmp_path / "log", tmp_path, threads=1)
    info = adopt_model(tmp_path / "model.ckpt.pt", TYPE_MAP, tmp_path / "own", "second")
    assert (info.branch, list(info.type_map)) == ("second", elements)
    with pytest.raises(InputError, match=r"no branch .third.*Branches: first: .*; second: "):
        adopt_model(tmp_path / "model.ckpt.pt", TYPE_MAP, tmp_path / "none", "third")
    with pytest.raises(InputError, match="name the branch to use"):
        adopt_model(tmp_path / "model.ckpt.pt", TYPE_MAP, tmp_path / "none")
    own = tmp_path / "own" / "model.pt"
    zero = evaluate(own, new_dataset, "test", tmp_path, "zero", parity=False)
    frozen = evaluate(own.with_suffix(".pth"), new_dataset, "test", tmp_path, "frozen", parity=False)
    assert zero.force_mae_meV_A == pytest.approx(frozen.force_mae_meV_A)
    change_bias(own, new_dataset, tmp_path / "bias")
    shifted = evaluate(tmp_path / "bias" / "model.pt", new_dataset, "test", tmp_path, "shifted", parity=False)
    assert abs(shifted.energy_offset_meV_atom) < 0.2 * abs(zero.energy_offset_meV_atom)
    job = Adaptation(own, pretrain, FinetuneSettings(frames=4, steps=6), new_dataset, TYPE_MAP, 1)
    for name, adapt in (("naive", fine_tune), ("from_scratch", train_from_scratch)):
        assert list(adapt(job, tmp_path / name).type_map) == TYPE_MAP
        result = evaluate(tmp_path / name / "model.pth", new_dataset, "test", tmp_path, name, parity=False)
        assert result.energy_mae_meV_atom < zero.energy_mae_meV_atom
