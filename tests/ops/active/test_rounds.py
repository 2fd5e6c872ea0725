"""Active fine-tuning: which frames are chosen, and what a round makes of their labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.active import collect as collecting
from dpa_sse.ops.active import select as selecting
from dpa_sse.ops.active.collect import RoundData, collect_round, pass_on
from dpa_sse.ops.active.op import CollectRound, SelectRound, TrainRound
from dpa_sse.ops.active.select import Candidates, candidates_of, committee_deviations, select_frames
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.exploration.diversity import farthest_frames
from dpa_sse.ops.potential import inference
from dpa_sse.ops.results.active import FinetuneRounds, Selection
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.results.status import EMPTY, TaskStatus
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from dpa_sse.ops.training.finetune import choose_frames
from dpa_sse.ops.training.settings import RoundSettings
from tests.ops.data.mock_frames import labelled

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]


class Model:
    """Stands for a network: its descriptor of an atom is the position, its forces are a multiple of that."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def get_type_map(self):
        return TYPE_MAP

    def eval_descriptor(self, coord, box, types):
        return coord.reshape(len(coord), len(types), 3)

    def eval(self, coord, box, types):
        return np.zeros(len(coord)), self.factor * coord.reshape(len(coord), len(types), 3), np.zeros((len(coord), 9))


def frames_of(rng, count, element="Li", shift=0.0):
    return [{element: rng.normal(shift, 1.0, (4, 6))} for _ in range(count)]


def test_the_farthest_frames_are_one_of_each_new_kind():
    """Of 40 frames, 30 are like those that are known and five each are of two new kinds: one of both comes first."""
    rng = np.random.default_rng(3)
    known = frames_of(rng, 10)
    new = [*frames_of(rng, 30), *frames_of(rng, 5, shift=30.0), *frames_of(rng, 5, shift=-30.0)]
    first, second = farthest_frames(new, known, 2)
    assert {first // 35, second // 35} == {0, 1}
    assert min(first, second) >= 30
    assert len(set(farthest_frames(new, known, 40))) == 40


def test_diverse_frames_cover_better_than_random_ones():
    """The largest distance of a candidate to the nearest chosen one is smaller than for nearly all random choices."""
    rng = np.random.default_rng(8)
    new = [{"Li": np.tile(rng.standard_t(2, 6), (4, 1))} for _ in range(60)]
    places = np.array([frame["Li"][0] for frame in new])

    def reach(chosen):
        return np.linalg.norm(places[:, None] - places[chosen], axis=-1).min(axis=1).max()

    chosen = reach(farthest_frames(new, [], 8))
    random = [reach(rng.permutation(60)[:8]) for _ in range(200)]
    assert np.mean(np.array(random) > chosen) > 0.95


def test_elements_count_equally_and_an_unknown_one_first():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(6, 4))
    known = [{"Li": base, "S": base[:1]}]
    plain = [{"Li": base + 0.01 * rng.normal(size=base.shape), "S": base[:1]} for _ in range(4)]
    other = {"Li": base, "S": base[:1] + 3.0}  # one of seven atoms differs
    assert farthest_frames([*plain, other], known, 1) == [4]
    assert farthest_frames([*plain, other, {"Li": base, "Br": base[:1]}], known, 1) == [5]


def test_the_deviation_of_a_committee_is_that_of_dpgen(monkeypatch, tmp_path):
    models = {"a": Model(1.0), "b": Model(1.2), "c": Model(0.5)}
    monkeypatch.setattr(selecting, "open_model", lambda path: models[path.name])
    atoms = labelled("LiCl", 1, "a")[0]
    found = committee_deviations([atoms], [tmp_path / name for name in models])
    forces = np.array([model.factor * atoms.positions for model in models.values()])
    expected = np.sqrt(np.mean(np.linalg.norm(forces - forces.mean(axis=0), axis=2) ** 2, axis=0)).max()
    assert found == pytest.approx([expected])
    numpy_std = np.sqrt((forces.std(axis=0) ** 2).sum(axis=1)).max()  # as deepmd's calc_model_devi_f does it
    assert found == pytest.approx([numpy_std])


def moved(count, seed=0):
    rng = np.random.default_rng(seed)
    base = labelled("LiCl", 1, "start")[0]
    found = []
    for step in range(count):
        atoms = Atoms(base.symbols, positions=base.positions + rng.normal(0, 0.15, base.positions.shape),
                      cell=base.cell, pbc=True)
        atoms.info = {"system": "LiCl", "trajectory": "LiCl.p000.round1", "temperature_K": 300.0, "step": step}
        found.append(atoms)
    return found


@pytest.mark.parametrize("selection", ["diverse", "random", "committee"])
def test_selected_frames_are_new_physical_and_different(selection, monkeypatch, tmp_path):
    for module in (selecting, inference):
        monkeypatch.setattr(module, "open_model", lambda path: Model(1 + len(path.name)))
    known = labelled("LiCl", 4, "a")
    write_dataset(tmp_path / "data", TYPE_MAP, frames_to_blocks(known, TYPE_MAP))
    before = RoundData(tmp_path / "data", FinetuneRounds())
    frames = moved(12)
    close = frames[0].copy()
    close.positions[1] = close.positions[0] + [0.2, 0, 0]
    frames += [close, frames[3].copy(), known[0]]
    result = select_frames(
        Candidates(frames, 2, 1), [tmp_path / "x", tmp_path / "yy"], tmp_path / "data", before.training(4)[1], TYPE_MAP,
        RoundSettings(frames=20, selection=selection), 1, tmp_path / "out",
    )
    assert (result.candidates, result.selected, result.runs_exploded) == (15, 12, 1)
    assert (result.unphysical, result.known, result.similar) == (1, 1, 1)
    assert (result.committee_deviation_eV_A is None) == (selection != "committee")
    tasks = sorted((tmp_path / "out/tasks").iterdir())
    assert len(tasks) == 12
    chosen = [read_frames(task / "frames.extxyz")[0] for task in tasks]
    for one, other in combinations(chosen, 2):
        assert np.abs(one.positions - other.positions).max() > 0.01
    assert Selection.read(tmp_path / "out") == result


def test_no_candidates_select_nothing(tmp_path):
    write_dataset(tmp_path / "data", TYPE_MAP, frames_to_blocks(labelled("LiCl", 2, "a"), TYPE_MAP))
    found = candidates_of([tmp_path], 1)
    result = select_frames(
        found, [tmp_path / "x"], tmp_path / "data", [], TYPE_MAP, RoundSettings(), 1, tmp_path / "out"
    )
    assert (result.runs, result.candidates, result.selected) == (0, 0, 0)


@pytest.fixture
def data(tmp_path):
    """Nine frames of three trajectories to train on, three held out."""
    train = [frame for name in ("a", "b", "c") for frame in labelled("LiCl", 3, name)]
    blocks = frames_to_blocks(train, TYPE_MAP)
    held_out = [
        replace(block, split="test") for block in frames_to_blocks(labelled("LiCl", 3, "held"), TYPE_MAP)
    ]
    write_dataset(tmp_path / "first" / "dataset", TYPE_MAP, [*blocks, *held_out])
    return tmp_path / "first"


def evaluation(name, mae):
    return Evaluation(
        name=name, split="train", n_frames=1, energy_mae_meV_atom=2.0, energy_rmse_meV_atom=2.0,
        energy_offset_meV_atom=0.0, energy_mae_shifted_meV_atom=1.5, force_mae_meV_A=mae, force_rmse_meV_A=mae,
        virial_mae_meV_atom=None, virial_rmse_meV_atom=None, force_mae_per_element_meV_A={}, trajectories=(),
        force_mae_ci95_meV_A=(mae - 1, mae + 1), energy_mae_ci95_meV_atom=None, virial_mae_ci95_meV_atom=None,
    )


def new_labels(tmp_path, count, *, extreme=0, failed=0):
    """Write the results of labelling tasks, the last ones with large forces or failed."""
    folders = []
    frames = labelled("LiCl", count, "new", seed=9)
    for number, atoms in enumerate(frames):
        folder = tmp_path / "labels" / f"task.{number:03d}"
        folder.mkdir(parents=True)
        if number >= count - failed:
            TaskStatus(status="failed", reason="not converged").write(folder)
        else:
            if number >= count - failed - extreme:
                atoms.calc.results["forces"] = atoms.calc.results["forces"] + 50.0
            write_frames(folder / "frames.extxyz", [atoms])
            TaskStatus(status="ok").write(folder)
        folders.append(folder)
    Selection(selection="diverse", runs=2, runs_exploded=0, candidates=30, selected=count).write(tmp_path / "selected")
    return folders


def collect(tmp_path, before, folders, **changes):
    given = {"frames": 4, "max_force_eV_A": 10.0, "enough_meV_A": None, "min_success_ratio": 0.0, **changes}
    return collect_round(
        before, tmp_path / "model.pt", tmp_path / "selected", folders, out=tmp_path / "out", **given
    )


def test_the_next_round_trains_on_the_same_frames_and_the_new_ones(tmp_path, data, monkeypatch):
    seen = {}

    def evaluate(model, dataset, split, out, name, **_):
        seen[name] = sum(len(b) for s in split_systems(dataset, split) for b in read_system(s, TYPE_MAP))
        return evaluation(name, 70.0)

    monkeypatch.setattr(collecting, "evaluate", evaluate)
    result = collect(tmp_path, RoundData.of(data), new_labels(tmp_path, 6, extreme=1, failed=2))
    (record,) = result.rounds
    assert (record.training_frames, record.labelled, record.extreme, record.failed) == (4, 4, 1, 2)
    assert record.on_policy_force_mae_meV_A == 70.0
    assert seen == {"on_policy": 3, "held_out": 3}
    assert result.label_failures[0].reason == "not converged"
    _, blocks = read_dataset(tmp_path / "out/dataset")
    counts = {split: sum(len(b) for b in blocks if b.split == split) for split in ("train", "test")}
    assert counts == {"train": 4 + 3, "test": 3}
    choose_frames(data / "dataset", 4, TYPE_MAP, tmp_path / "chosen")
    expected = np.concatenate([b.coord for s in split_systems(tmp_path / "chosen") for b in read_system(s, TYPE_MAP)])
    trained = np.concatenate([block.coord for block in blocks if block.split == "train"])
    assert all(np.abs(trained - one).max(axis=(1, 2)).min() < 1e-9 for one in expected)
    following = RoundData.of(tmp_path / "out")
    assert sum(map(len, following.training(4)[1])) == 7
    assert following.rounds == result


@pytest.mark.parametrize(("wanted", "enough"), [(None, False), (60.0, False), (80.0, True)])
def test_no_further_round_once_the_new_frames_are_described(tmp_path, data, monkeypatch, wanted, enough):
    monkeypatch.setattr(collecting, "evaluate", lambda *given, **_: evaluation(given[4], 70.0))
    result = collect(tmp_path, RoundData.of(data), new_labels(tmp_path, 2), enough_meV_A=wanted)
    assert result.enough == enough
    trained = []
    monkeypatch.setattr("dpa_sse.ops.training.op.TrainVariant.run", lambda self, out, *_, **__: trained.append(out))
    TrainRound().run(tmp_path / "next", None if enough else _settings(), downstream=tmp_path / "out", index=0)
    assert bool(trained) != enough
    if enough:
        assert TaskStatus.read(tmp_path / "next").status == "empty"


def _settings():
    return TaskSettings(seed=1, type_map=TYPE_MAP)


def test_an_ended_round_hands_its_data_on(tmp_path, data, monkeypatch):
    monkeypatch.setattr(collecting, "evaluate", lambda *given, **_: evaluation(given[4], 70.0))
    collect(tmp_path, RoundData.of(data), new_labels(tmp_path, 2), enough_meV_A=80.0)
    pass_on(RoundData.of(tmp_path / "out"), tmp_path / "again")
    assert RoundData.of(tmp_path / "again").rounds.enough
    assert read_dataset(tmp_path / "again/dataset")[0] == TYPE_MAP
    group = tmp_path / "group.000"
    (group / "task.000").mkdir(parents=True)
    EMPTY.write(group / "task.000")
    select = SelectRound.settings_class(seed=1, type_map=TYPE_MAP, explore=RoundSettings(), round=2, frames=4)
    SelectRound().run(tmp_path / "none", select, trajectories=[], models=[group], downstream=tmp_path / "out")
    assert Selection.read(tmp_path / "none").selected == 0
    gather = CollectRound.settings_class(**select.model_dump(), min_success_ratio=1.0)
    CollectRound().run(
        tmp_path / "third", gather, selected=tmp_path / "none", labelled=[], models=[group],
        downstream=tmp_path / "out",
    )
    assert FinetuneRounds.read(tmp_path / "third") == FinetuneRounds.read(tmp_path / "out")


def test_failed_labels_stop_a_round_as_they_stop_other_steps(tmp_path, data):
    with pytest.raises(FatalError, match=r"labelling: 0 of 2 succeeded(.|\n)*not converged"):
        collect(tmp_path, RoundData.of(data), new_labels(tmp_path, 2, failed=2), min_success_ratio=0.5)
