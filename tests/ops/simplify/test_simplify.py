"""Thinning of a data set: which frames an ensemble needs, and what it says about the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.results.simplify import Simplified
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.simplify import select as selecting
from dpa_sse.ops.simplify.op import SelectFromPool, StartSimplify
from dpa_sse.ops.simplify.select import iterate, judge, start, uncovered
from dpa_sse.ops.simplify.settings import SimplifySettings
from tests.ops.data.mock_frames import labelled

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]
ODD = 4
"""Frames of the pool on which the models of the tests disagree: every fourth one."""


class Model:
    """Stands for a network whose forces are those of the labels, and wrong by ``error`` on some frames.

    Its descriptor of an atom is where the atom is.
    """

    def __init__(self, truth, error):
        self.truth, self.error = truth, error

    def get_type_map(self):
        return TYPE_MAP

    def eval_descriptor(self, coord, box, types):
        return coord.reshape(len(coord), len(types), 3)

    def eval(self, coord, box, types):
        shape = (len(coord), len(types), 3)
        forces = np.array([self.truth[one.tobytes()][0] for one in coord.reshape(shape)])
        odd = np.array([self.truth[one.tobytes()][1] for one in coord.reshape(shape)])
        forces = forces + np.where(odd, self.error, 0.01)[:, None, None]
        return np.zeros(len(coord)), forces, np.zeros((len(coord), 9))


@pytest.fixture
def pool(tmp_path):
    """Forty frames of four trajectories to train on, and six of two trajectories to test on."""
    train = [frame for name in ("a", "b", "c", "d") for frame in labelled("LiCl", 10, name)]
    test = [frame for name in ("x", "y", "z") for frame in labelled("LiCl", 2, name)]
    blocks = [*frames_to_blocks(train, TYPE_MAP),
              *(replace(block, split="test") for block in frames_to_blocks(test, TYPE_MAP))]
    write_dataset(tmp_path / "pool", TYPE_MAP, blocks)
    return tmp_path / "pool"


@pytest.fixture
def models(pool, monkeypatch):
    """Two models that deviate by 0.3 eV/A on every fourth frame of the pool."""
    truth = {}
    _, blocks = read_dataset(pool)
    for block in blocks:
        for number, (coord, force) in enumerate(zip(block.coord, block.force, strict=True)):
            truth[coord.tobytes()] = force, block.split == "train" and number % ODD == 0
    made = {"one": Model(truth, 0.0), "two": Model(truth, 0.6 / np.sqrt(3))}
    monkeypatch.setattr(selecting, "open_model", lambda path: made[path.name])
    return [Path("one"), Path("two")]


def settings(**changes):
    return SimplifySettings(**{
        "models": 2, "initial_frames": 8, "frames": 4, "force_lo_eV_A": 0.1, "coverage": False, "selection": "random",
        **changes,
    })


def test_the_first_frames_are_spread_over_the_data(pool, tmp_path):
    found = start(pool, settings(), 1, tmp_path / "out")
    assert (found.pool_frames, len(set(found.chosen)), found.finished) == (40, 8, False)
    assert {k // 10 for k in found.chosen} == {0, 1, 2, 3}
    _, blocks = read_dataset(tmp_path / "out")
    assert {block.split: len(block) for block in blocks} == {"train": 8, "test": 6}
    _, whole = read_dataset(pool)
    train = next(block for block in whole if block.split == "train")
    kept = next(block for block in blocks if block.split == "train")
    assert np.array_equal(kept.coord, train.coord[sorted(found.chosen)])


def test_nothing_to_thin_is_refused(pool, tmp_path):
    with pytest.raises(InputError, match=r"simplify.initial_frames is 40, but the data have 40 training frames"):
        start(pool, settings(initial_frames=40), 1, tmp_path / "out")


def test_deviations_and_errors_are_those_of_their_definitions(pool, models):
    _, blocks = read_dataset(pool)
    own = [block for block in blocks if block.split == "train"]
    found = judge(own, [selecting.open_model(path) for path in models])
    forces = np.array([selecting.open_model(path).eval(own[0].coord, own[0].box, own[0].types)[1] for path in models])
    expected = np.sqrt((forces.std(axis=0) ** 2).sum(axis=-1)).max(axis=-1)
    assert found.deviation == pytest.approx(expected)
    assert found.deviation[::ODD] == pytest.approx(0.3)
    assert found.force_mae() == pytest.approx(1000 * np.abs(forces - own[0].force).mean())
    assert found.energy_error == pytest.approx(1000 * np.abs(own[0].energy) / len(own[0].types))
    odd = np.arange(40) % ODD == 0
    assert found.force_mae(~odd) == pytest.approx(10.0)
    assert found.force_mae(np.zeros(40, bool)) is None


def test_frames_on_which_the_models_disagree_are_added_until_none_is_left(pool, models, tmp_path):
    state = start(pool, settings(), 1, tmp_path / "0")
    wanted = set(range(0, 40, ODD)) - set(state.chosen)
    for number in range(1, 9):
        before = set(state.chosen)
        state = iterate(pool, state, models, settings(), 1, tmp_path / str(number))
        added = set(state.chosen) - before
        assert added <= wanted - before
        assert len(added) == min(4, len(wanted - before)) == state.history[-1].selected
        if state.finished:
            break
    assert set(state.chosen) >= wanted
    assert state.finished
    assert state.outcome == f"{len(state.chosen)} of 40 training frames are kept; 100 % of the others are not needed"
    last = state.history[-1]
    assert last.training_frames == len(state.chosen)
    assert (last.accurate, last.candidate, last.failed, last.selected) == (40 - len(state.chosen), 0, 0, 0)
    assert last.accurate_force_mae_meV_A == last.other_force_mae_meV_A == pytest.approx(10.0)
    assert last.force_mae_meV_A == pytest.approx(10.0)
    assert state.history[0].other_force_mae_meV_A > 10.0
    _, blocks = read_dataset(tmp_path / str(number))
    assert sum(len(block) for block in blocks if block.split == "train") == len(state.chosen)


def test_the_last_iteration_adds_nothing_and_says_that_it_is_not_enough(pool, models, tmp_path):
    state = start(pool, settings(), 1, tmp_path / "0")
    state = iterate(pool, state, models, settings(max_iterations=1), 1, tmp_path / "1")
    assert (state.finished, len(state.chosen), state.history[0].selected) == (True, 8, 0)
    assert state.history[0].candidate > 0
    assert state.outcome.startswith("8 of 40 training frames are kept after the last iteration, which is not enough:")


def test_frames_with_too_large_a_deviation_are_left_out(pool, models, tmp_path):
    state = start(pool, settings(), 1, tmp_path / "0")
    state = iterate(pool, state, models, settings(force_hi_eV_A=0.25), 1, tmp_path / "1")
    odd = len(set(range(0, 40, ODD)) - set(state.chosen))
    assert (state.history[0].failed, state.history[0].candidate, state.finished) == (odd, 0, True)
    assert f"{odd} deviate too much" in state.outcome


def test_frames_of_a_kind_that_was_not_seen_are_needed_although_the_models_agree(pool, models, tmp_path):
    """Ten frames of another trajectory have all their atoms 3 A away, which only the descriptor tells."""
    type_map, blocks = read_dataset(pool)
    train = next(block for block in blocks if block.split == "train")
    far = replace(train.select(np.arange(10)), trajectories=["far"] * 10)
    far.coord = far.coord + 3.0
    model = selecting.open_model(models[0])
    model.truth |= {coord.tobytes(): (force, False) for coord, force in zip(far.coord, far.force, strict=True)}
    assert uncovered([far], [train], type_map, model, 1).all()
    assert not uncovered([train.select(np.arange(0, 40, 2))], [train], type_map, model, 1).any()
    write_dataset(tmp_path / "both", type_map, [*blocks, far])
    chosen = [k for k in range(40) if k % 2 == 0 or k % ODD == 0]
    state = Simplified(pool_frames=50, chosen=tuple(chosen))
    for coverage in (False, True):
        given = settings(coverage=coverage, selection="diverse")
        found = iterate(tmp_path / "both", state, models, given, 1, tmp_path / str(coverage)).history[0]
        assert (found.uncovered >= 10) == coverage
        assert (found.selected == 4) == coverage


def test_diverse_frames_are_of_both_kinds_that_are_missing(pool, models, tmp_path):
    type_map, blocks = read_dataset(pool)
    train = next(block for block in blocks if block.split == "train")
    model = selecting.open_model(models[0])
    kinds = []
    for name, shift in (("far", 3.0), ("near", -3.0)):
        own = replace(train.select(np.arange(12)), trajectories=[name] * 12)
        own.coord = own.coord + shift
        model.truth |= {coord.tobytes(): (force, True) for coord, force in zip(own.coord, own.force, strict=True)}
        kinds.append(own)
    write_dataset(tmp_path / "all", type_map, [*blocks, *kinds])
    state = Simplified(pool_frames=64, chosen=tuple(range(40)))
    found = iterate(tmp_path / "all", state, models, settings(frames=2, selection="diverse"), 1, tmp_path / "out")
    assert {(k - 40) // 12 for k in found.chosen[40:]} == {0, 1}


def test_a_model_that_predicts_nan_ends_it(pool, models):
    _, blocks = read_dataset(pool)
    bad = selecting.open_model(models[1])
    bad.error = np.nan
    with pytest.raises(FatalError, match=r"predicts NaN or infinity on LiCl"):
        judge(blocks, [selecting.open_model(models[0]), bad])


def test_the_steps_pass_on_what_they_have_chosen(pool, models, tmp_path, monkeypatch):
    monkeypatch.setattr("dpa_sse.ops.simplify.op.frozen_model", lambda folder: models[int(folder.name[-3:])])
    given = {"seed": 1, "type_map": TYPE_MAP, "simplify": settings()}
    task = StartSimplify.settings_class(**given)
    assert isinstance(task, TaskSettings)
    StartSimplify().run(tmp_path / "first", task, pool=pool)
    for number in range(len(models)):
        folder = tmp_path / "group.000" / f"task.{number:03d}"
        folder.mkdir(parents=True)
        TaskStatus(status="ok").write(folder)
    found = SelectFromPool().run(
        tmp_path / "next", task, pool=pool, training_data=tmp_path / "first", models=[tmp_path / "group.000"],
        iteration=0,
    )
    written = Simplified.read(tmp_path / "next")
    assert found == {"finished": False, "next_iteration": 1, "kept": 12}
    assert len(written.chosen) == 12
    assert (tmp_path / "next/dataset/dataset.json").is_file()


@pytest.mark.parametrize(("values", "message"), [
    ({"force_lo_eV_A": 0.3, "force_hi_eV_A": 0.2}, r"force_lo_eV_A \(0.3\) must be smaller than force_hi_eV_A"),
    ({"models": 1}, "greater than or equal to 2"), ({"selection": "best"}, "'random' or 'diverse'"),
])
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SimplifySettings(**values)
