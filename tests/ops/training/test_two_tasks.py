"""Fine-tuning with frames of the base systems: as a second task, and never with frames that are held out."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError, TransientError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.data.dataset import write_dataset
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.training.evaluate import evaluate
from dpa_sse.ops.training.finetune import Adaptation, choose_frames, fine_tune
from dpa_sse.ops.training.job import TrainJob
from dpa_sse.ops.training.presets import resolve, training_input
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings
from dpa_sse.ops.training.train import read_lcurve, train_model
from tests.ops.training.conftest import TYPE_MAP
from tests.ops.training.interruption import kill_after_checkpoints


@pytest.mark.slow
def test_two_tasks_share_a_descriptor_and_nothing_else(
    dataset: Path, new_dataset: Path, dpa2_overrides: dict[str, Any], tmp_path: Path
) -> None:
    """The base labels are shifted by an energy of another level of theory: only the base model learns that."""
    import torch

    shifted = tmp_path / "shifted"
    shutil.copytree(dataset, shifted)
    for path in shifted.rglob("energy.npy"):
        np.save(path, np.load(path) + 50.0)
    pretrain = resolve(PretrainSettings(preset="dpa2-tiny", steps=10, overrides=dpa2_overrides))
    data = training_input(pretrain, TYPE_MAP, split_systems(dataset, "train"), [], 1)
    train_model(TrainJob(data, preset="dpa2-tiny", seed=1), tmp_path / "pre", threads=1)
    job = Adaptation(
        tmp_path / "pre" / "model.pt", pretrain, FinetuneSettings(frames=4, replay_frames=6, steps=20), new_dataset,
        TYPE_MAP, 1,
    )
    out = tmp_path / "two"
    fine_tune(job, out, replay_from=shifted, two_tasks=True)
    new, base, before = (
        torch.load(path, map_location="cpu", weights_only=True)["model"]
        for path in (out / "model.pt", out / "model_base.pt", tmp_path / "pre" / "model.pt")
    )
    assert set(new) == set(base) == set(before)
    weights = [key for key in new if key.endswith(("matrix", "bias")) and "out_bias" not in key]
    descriptor = [key for key in weights if ".descriptor." in key]
    fitting = [key for key in weights if ".fitting_net." in key]
    assert descriptor and fitting
    assert all(torch.equal(new[key], base[key]) for key in descriptor)
    assert not all(torch.equal(new[key], before[key]) for key in descriptor)
    assert not all(torch.equal(new[key], base[key]) for key in fitting)
    assert read_json(out / "model.json")["strategy"] == "multitask"
    own = evaluate(out / "model.pt", new_dataset, "test", tmp_path, "new", parity=False)
    wrong = evaluate(out / "model_base.pt", new_dataset, "test", tmp_path, "wrong", parity=False)
    assert abs(own.energy_offset_meV_atom) < 0.2 * abs(wrong.energy_offset_meV_atom)
    kept = evaluate(out / "model_base.pt", shifted, "test", tmp_path, "base", parity=False)
    pre = evaluate(tmp_path / "pre" / "model.pt", shifted, "test", tmp_path, "pre", parity=False)
    assert abs(kept.energy_offset_meV_atom) < 0.5 * abs(pre.energy_offset_meV_atom)
    # an interrupted training ends with the same weights
    whole = (out / "model.pt").read_bytes()
    for name in ("model.json", "model.pt", "model_base.pt", "model.pth", "parity.json"):
        (out / name).unlink()
    (out / ".work" / "trained.json").unlink()
    stopper = threading.Thread(target=kill_after_checkpoints, args=(out,))
    stopper.start()
    with pytest.raises(TransientError):
        fine_tune(job, out, replay_from=shifted, two_tasks=True)
    stopper.join()
    assert fine_tune(job, out, replay_from=shifted, two_tasks=True).resumed_at_step > 0
    assert (out / "model.pt").read_bytes() == whole
    curve = read_lcurve(out / "lcurve.csv")
    assert [row["step"] for row in curve] == sorted(row["step"] for row in curve)
    assert {"step", "rmse_f_trn", "lr"} <= set(curve[0])


def test_frames_that_are_held_out_are_not_replayed(new_dataset: Path, tmp_path: Path) -> None:
    """The base data are those of the new compound: what is tested on is left out, and its near copies."""
    held_out = [
        block for folder in split_systems(new_dataset, "test") for block in read_system(folder, TYPE_MAP)
    ]
    copies = [
        replace(block, split="train", coord=block.coord + np.random.default_rng(1).normal(0, 0.01, block.coord.shape))
        for block in held_out
    ]
    others = [block for folder in split_systems(new_dataset, "train") for block in read_system(folder, TYPE_MAP)]
    write_dataset(tmp_path / "base", TYPE_MAP, [*others, *copies])
    folders = choose_frames(tmp_path / "base", 99, TYPE_MAP, tmp_path / "replay", not_near=held_out)
    chosen = [block for folder in folders for block in read_system(folder, TYPE_MAP)]
    assert sum(map(len, chosen)) == sum(map(len, others))
    write_dataset(tmp_path / "same", TYPE_MAP, copies)
    with pytest.raises(InputError, match="are copies of frames that are held out for testing"):
        choose_frames(tmp_path / "same", 99, TYPE_MAP, tmp_path / "none", not_near=held_out)
