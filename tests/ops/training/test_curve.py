"""The curve of errors against labels: nested, even subsets, and every frame seen equally often."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.data.subset import nested_order, spread_frames
from dpa_sse.ops.results.active import CurvePoint
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.training import curve
from dpa_sse.ops.training.finetune import Adaptation
from dpa_sse.ops.training.presets import resolve
from dpa_sse.ops.training.settings import FinetuneSettings, TrainSettings
from tests.ops.data.mock_frames import labelled

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]


@pytest.mark.parametrize("total", [1, 7, 20, 83])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.99])
def test_every_beginning_of_the_order_is_spread(total, shift):
    order = nested_order(total, shift)
    assert sorted(order) == list(range(total))
    for count in (5, 10, 20):
        if count < total:
            gaps = np.diff(np.sort(order[:count]), append=np.sort(order[:count])[0] + total)  # on a circle
            assert gaps.max() <= 2 * total / count + 2


@pytest.fixture
def data(tmp_path):
    train = frames_to_blocks([frame for name in "abcd" for frame in labelled("LiCl", 5, name)], TYPE_MAP)
    test = [replace(block, split="test") for block in frames_to_blocks(labelled("LiCl", 3, "held"), TYPE_MAP)]
    write_dataset(tmp_path / "data", TYPE_MAP, [*train, *test])
    return tmp_path / "data"


def coordinates(folder, split="train"):
    return np.concatenate([block.coord for block in read_dataset(folder)[1] if block.split == split])


def test_subsets_are_nested_and_keep_what_is_held_out(tmp_path, data):
    sizes = (4, 8, 16)
    for seed in (0, 1):
        for size in sizes:
            spread_frames(data, size, seed, tmp_path / f"{seed}.{size}")
            assert len(coordinates(tmp_path / f"{seed}.{size}")) == size
            assert np.array_equal(coordinates(tmp_path / f"{seed}.{size}", "test"), coordinates(data, "test"))
        for small, large in pairwise(sizes):
            inner, outer = (coordinates(tmp_path / f"{seed}.{size}") for size in (small, large))
            assert all((outer == one).all(axis=(1, 2)).any() for one in inner)
    assert not np.array_equal(coordinates(tmp_path / "0.4"), coordinates(tmp_path / "1.4"))
    with pytest.raises(InputError, match="asks for 21 frames, but there are 20"):
        spread_frames(data, 21, 0, tmp_path / "none")


@pytest.mark.parametrize("variant", ["naive", "from_scratch"])
def test_every_frame_is_seen_equally_often(tmp_path, data, monkeypatch, variant):
    jobs = []

    def train(kind):
        return lambda job, out: jobs.append((kind, job))

    monkeypatch.setattr(curve, "fine_tune", train("naive"))
    monkeypatch.setattr(curve, "train_from_scratch", train("from_scratch"))
    monkeypatch.setattr(curve, "evaluate", lambda *given, **_: Evaluation(
        name="test", split="test", n_frames=3, energy_mae_meV_atom=2.0, energy_rmse_meV_atom=2.0,
        energy_offset_meV_atom=0.0, energy_mae_shifted_meV_atom=1.5, force_mae_meV_A=70.0, force_rmse_meV_A=80.0,
        virial_mae_meV_atom=None, virial_rmse_meV_atom=None, force_mae_per_element_meV_A={}, trajectories=(),
        force_mae_ci95_meV_A=None, energy_mae_ci95_meV_atom=None, virial_mae_ci95_meV_atom=None,
    ))
    job = Adaptation(
        tmp_path / "model.pt", resolve(TrainSettings(preset="dpa2-tiny")), FinetuneSettings(frames=20, steps=200), data,
        TYPE_MAP, 1,
    )
    found = [curve.curve_point(job, variant, frames, 0, tmp_path / f"{frames}") for frames in (5, 20)]
    assert [(kind, own.settings.frames, own.settings.steps) for kind, own in jobs] == [
        (variant, 5, 50), (variant, 20, 200)
    ]
    assert [(one.frames, one.steps, one.force_mae_meV_A, one.test_frames) for one in found] == [
        (5, 50, 70.0, 3), (20, 200, 70.0, 3)
    ]
    assert CurvePoint.read(tmp_path / "5") == found[0]
    assert [path.name for path in (tmp_path / "5").iterdir()] == ["curve.json"]
    curve.curve_point(job, variant, 5, 0, tmp_path / "5")
    assert len(jobs) == 2  # finished ones are not trained again
