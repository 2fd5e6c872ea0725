from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.results import gather_frames
from dpa_sse.ops.exploration.op import SelectCandidates
from dpa_sse.ops.exploration.page import learning_page
from dpa_sse.ops.exploration.select import select_candidates, static_label_count
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.similarity import KnownFrames, composition, distance, fingerprint, pair_distances
from dpa_sse.ops.exploration.state import initial_state
from dpa_sse.ops.labelers.settings import MockSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.learning import DroppedCandidates, IterationReport, LearningState
from dpa_sse.ops.results.status import EMPTY, TaskStatus
from dpa_sse.ops.training.op import TrainMember
from dpa_sse.ops.training.presets import load_preset, resolve
from dpa_sse.ops.training.settings import TrainSettings
from tests.md_folders import write_deviations, write_run, write_trajectory

SETTINGS = ConcurrentLearningSettings(
    trust={"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.5}, max_selected=5, frames_per_task=2, conv_accuracy=0.5,
    stages=[{"temperatures_K": [300], "max_iterations": 2}, {"temperatures_K": [600], "max_iterations": 1}],
)
CELL = bulk("LiCl", "rocksalt", a=5.1, cubic=True)


def thermal(seed: int):
    atoms = CELL.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, 0.15, atoms.positions.shape)
    return atoms


def exploration(folder, deviations, frames=None, *, expected=None, status="ok"):
    """Write what an exploration task writes; deviations in eV/A, None for NaN."""
    frames = frames or [thermal(number) for number in range(len(deviations))]
    folder.mkdir(parents=True)
    write_trajectory(folder / "traj.lammpstrj", frames)
    write_deviations(folder / "model_devi.csv", deviations)
    return write_run(
        folder, CELL, system="LiCl", temperature_K=300.0, ensemble="npt", n_frames=len(frames),
        status="ok" if status == "ok" else "exploded", partial=status == "partial",
        steps=10 * ((expected or len(deviations)) - 1),
        explored={"models": (0, 1), "iteration": 0, "stage": 0, "cell": "LiCl.p000"},
    )


def select(tmp_path, results, dataset=None, state=None, name="out"):
    return select_candidates(state or initial_state(SETTINGS), SETTINGS, results, dataset, 11, tmp_path / name)


def chosen(tmp_path, name="out"):
    return [a for path in sorted((tmp_path / name / "tasks").glob("*/frames.extxyz")) for a in read(path, ":")]


def test_trust_levels_are_those_of_dpgen(tmp_path):
    """Below lo accurate, at lo candidate, at hi failed; NaN and frames that an explosion took away fail as well."""
    run = exploration(
        tmp_path / "a", [0.05, 0.1, 0.3, 0.5, None, 0.0999], expected=9, status="partial"
    )
    report = select(tmp_path, [run])
    assert (report.accurate, report.candidate, report.failed) == (2, 2, 5)
    assert report.accurate_ratio == pytest.approx(2 / 9)
    assert report.max_devi_f == 0.5
    assert report.mean_devi_f == pytest.approx(np.mean([0.05, 0.1, 0.3, 0.5, 0.0999]))
    assert sorted(atoms.info["step"] for atoms in chosen(tmp_path)) == [10, 20]
    assert report.runs_exploded == 1


def test_frames_carry_what_the_labels_need(tmp_path):
    select(tmp_path, [exploration(tmp_path / "a", [0.2])])
    (atoms,) = chosen(tmp_path)
    assert atoms.get_chemical_symbols() == CELL.get_chemical_symbols()
    assert atoms.info["system"] == "LiCl"
    assert atoms.info["max_devi_f_eV_A"] == 0.2
    assert pair_distances(atoms) == pytest.approx(pair_distances(thermal(0)), abs=1e-6)


def test_at_most_max_candidates_in_groups(tmp_path):
    report = select(tmp_path, [exploration(tmp_path / "a", [0.3] * 12)])
    assert (report.selected, report.passed_over) == (5, 7)
    sizes = [len(read(path, ":")) for path in sorted((tmp_path / "out/tasks").glob("*/frames.extxyz"))]
    assert sizes == [2, 2, 1]
    assert static_label_count(SETTINGS) == 3


def test_the_choice_repeats_and_follows_the_seed(tmp_path):
    run = exploration(tmp_path / "a", [0.3] * 12)
    select(tmp_path, [run], name="x")
    select(tmp_path, [run], name="y")
    select_candidates(initial_state(SETTINGS), SETTINGS, [run], None, 12, tmp_path / "z")
    steps = [[atoms.info["step"] for atoms in chosen(tmp_path, name)] for name in "xyz"]
    assert steps[0] == steps[1] != steps[2]


def test_diverse_candidates_are_those_that_differ_most(tmp_path, monkeypatch):
    """Ten thermal frames and two of other kinds: of three labels, these get two, whatever the seed."""

    class Model:
        def get_type_map(self):
            return ["Cl", "Li"]

        def eval_descriptor(self, coord, box, types):
            moved = coord.reshape(len(coord), len(types), 3) - CELL.positions
            moved -= 5.1 * np.round(moved / 5.1)
            return np.stack([moved.mean(axis=-1), moved.std(axis=-1)], axis=-1)

    monkeypatch.setattr("dpa_sse.ops.potential.inference.open_model", lambda path: Model())
    shifted, wild = thermal(20), CELL.copy()
    shifted.positions += 1.5
    wild.positions[::2, 0] += 0.8
    frames = [*[thermal(number) for number in range(5)], shifted, *[thermal(number) for number in range(5, 10)], wild]
    run = exploration(tmp_path / "a", [0.3] * 12, frames)
    for selection, expected in (("diverse", 3), ("random", 0)):
        settings = SETTINGS.model_copy(update={"max_selected": 3, "selection": selection})
        found = []
        for seed in range(3):
            name = f"{selection}{seed}"
            report = select_candidates(
                initial_state(settings), settings, [run], None, seed, tmp_path / name, model=tmp_path / "m.pth"
            )
            assert (report.selected, report.passed_over) == (3, 9)
            found.append({50, 110} <= {int(atoms.info["step"]) for atoms in chosen(tmp_path, name)})
        assert sum(found) == expected


def test_similar_and_unphysical_candidates_are_dropped(tmp_path):
    close = thermal(1)
    close.positions += np.random.default_rng(0).normal(0, 0.005, close.positions.shape)
    clash = thermal(2)
    clash.positions[1] = clash.positions[0] + [0.5, 0, 0]
    run = exploration(tmp_path / "a", [0.3] * 4, [thermal(1), close, clash, thermal(3)])
    report = select(tmp_path, [run])
    assert report.dropped == DroppedCandidates(unphysical=1, known=0, similar=1)
    assert report.selected == 2
    assert report.candidate == 4


def dataset(tmp_path, atoms):
    folder = tmp_path / "dataset/train/LiCl"
    (folder / "set.000").mkdir(parents=True)
    names = ["Cl", "Li", "S"]
    (folder / "type_map.raw").write_text("\n".join(names))
    (folder / "type.raw").write_text("\n".join(str(names.index(s)) for s in atoms.get_chemical_symbols()))
    np.save(folder / "set.000/coord.npy", atoms.positions.reshape(1, -1))
    np.save(folder / "set.000/box.npy", atoms.cell.array.reshape(1, 9))
    np.save(folder / "set.000/energy.npy", np.zeros(1))
    np.save(folder / "set.000/force.npy", np.zeros((1, atoms.positions.size)))
    return tmp_path / "dataset"


def test_frames_of_the_data_set_are_not_labelled_again(tmp_path):
    """Also when their cell is turned and their equal atoms are numbered otherwise."""
    turned = thermal(1)
    turned.rotate(40, "z", rotate_cell=True)
    turned = turned[[6, 1, 2, 3, 4, 5, 0, 7]]
    run = exploration(tmp_path / "a", [0.3] * 2, [thermal(1), thermal(2)])
    report = select(tmp_path, [run], dataset(tmp_path, turned))
    assert report.dropped.known == 1
    assert [atoms.info["step"] for atoms in chosen(tmp_path)] == [10]


def test_fingerprints():
    assert distance(pair_distances(thermal(1)), pair_distances(thermal(2))) > 0.1
    assert np.abs(fingerprint(thermal(1)) - fingerprint(thermal(2))).max() > 0.01
    assert composition(["S", "Li", "Li"]) == "Li2 S1"
    assert not KnownFrames(None).holds(CELL)


def test_stages_end_by_convergence_or_by_their_last_iteration(tmp_path):
    good = exploration(tmp_path / "good", [0.05, 0.05, 0.3])
    bad = exploration(tmp_path / "bad", [0.05, 0.3, 0.3])
    report = select(tmp_path, [good], name="0")
    assert report.converged
    state = LearningState.read(tmp_path / "0")
    assert (state.iteration, state.stage, state.iteration_in_stage, state.finished) == (1, 1, 0, False)
    assert report.selected == 1  # what is uncertain is labelled also when the stage has converged

    select(tmp_path, [bad], name="1")
    state = LearningState.read(tmp_path / "1")
    assert (state.iteration, state.stage, state.iteration_in_stage, state.finished) == (1, 0, 1, False)
    report = select(tmp_path, [bad], state=state, name="2")
    assert "not converged after its last iteration" in report.message
    state = LearningState.read(tmp_path / "2")
    assert (state.stage, state.finished) == (1, False)
    select(tmp_path, [bad], state=state, name="3")
    state = LearningState.read(tmp_path / "3")
    assert state.finished
    assert [entry.iteration for entry in state.history] == [0, 1, 2]


def test_nothing_explored(tmp_path):
    failed = tmp_path / "failed"
    failed.mkdir()
    TaskStatus(status="failed", reason="0 of 2 models").write(failed)
    empty = tmp_path / "empty"
    empty.mkdir()
    EMPTY.write(empty)
    with pytest.raises(FatalError, match="no run produced frames"):
        select(tmp_path, [failed, empty, tmp_path / "never"])
    report = IterationReport.read(tmp_path / "out")
    assert (report.accurate, report.candidate, report.failed, report.selected) == (0, 0, 0, 0)
    assert not report.converged
    assert [entry.task for entry in report.runs_failed] == ["failed", "never"]
    assert not list((tmp_path / "out/tasks").iterdir())
    assert LearningState.read_if_there(tmp_path / "out") is None


@pytest.mark.parametrize(("deviations", "words"), [
    ([0.6, 0.8, 1.0], "all 3 frames are at or above the upper trust level (0.5 eV/A), their median deviation is 0.8"),
    ([None, None], "or not a number"),
])
def test_exploration_that_fails_as_a_whole_stops(tmp_path, deviations, words):
    """Nothing could be labelled: the next models would be trained on the same data again."""
    with pytest.raises(FatalError) as caught:
        select(tmp_path, [exploration(tmp_path / "a", deviations)])
    message = str(caught.value)
    assert words in message
    assert message.startswith("exploration failed as a whole in iteration 0 (300 K): ")
    for advice in ("lower temperatures", "fewer steps", "perturb.count", "train.steps", "trust.force_hi_eV_A"):
        assert advice in message
    assert IterationReport.read(tmp_path / "out").failed == len(deviations)


def test_a_stage_that_converges_at_once_says_so(tmp_path):
    good = exploration(tmp_path / "good", [0.05, 0.05])
    report = select(tmp_path, [good], name="0")
    assert report.message.startswith("stage 0 converged at once: 100 %")
    bad = exploration(tmp_path / "bad", [0.05, 0.3, 0.3])
    select(tmp_path, [bad], name="1")
    report = select(tmp_path, [good], state=LearningState.read(tmp_path / "1"), name="2")
    assert report.message == "stage 0 converged: 100 % of the frames are accurate"


@pytest.mark.parametrize(("labelled", "trained"), [(0, False), (3, True)])
def test_models_are_trained_again_on_new_labels_only(tmp_path, monkeypatch, labelled, trained):
    select(tmp_path, [exploration(tmp_path / "a", [0.05, 0.05])])
    before = tmp_path / "data" / "models" / "model.000"
    before.mkdir(parents=True)
    for name in ("model.pt", "model.pth", "model.json"):
        (before / name).write_text(name)
    LearningState.read(tmp_path / "out").with_labels(labelled, []).write(tmp_path / "data")
    calls = []
    monkeypatch.setattr("dpa_sse.ops.training.op.train_model", lambda *job: calls.append(job))
    monkeypatch.setattr("dpa_sse.ops.training.op.dataset_input", lambda *_: load_preset("se_e2_a-tiny"))
    settings = TrainMember.settings_class(
        type_map=["Li", "Cl"], seed=1, train=resolve(TrainSettings(preset="se_e2_a-tiny")), reuse_models=True,
        reuse_steps=None,
    )
    TrainMember().run(tmp_path / "new", settings, training_data=tmp_path / "data", iteration=1, index=0)
    assert bool(calls) == trained
    assert (tmp_path / "new" / "model.pth").is_file() != trained
    assert TaskStatus.read(tmp_path / "new").status == "ok"


def test_the_next_step_labels_the_frames_that_were_written(tmp_path):
    frames = [thermal(number) for number in range(3)]
    report = select(tmp_path, [exploration(tmp_path / "a", [0.3] * 3, frames)])
    assert report.selected == 3
    tasks = sorted((tmp_path / "out/tasks").iterdir())
    assert [task.name for task in tasks] == ["task.000", "task.001"]
    for task in tasks:
        label_frames(task, MockSettings(), tmp_path / "labels" / task.name)
    results = [tmp_path / "labels" / task.name for task in tasks]
    labelled = gather_frames(results, min_success_ratio=1.0).frames
    assert len(labelled) == 3
    for atoms in labelled:
        source = frames[atoms.info["step"] // 10].copy()
        source.wrap()
        assert np.allclose(atoms.positions, source.positions, atol=1e-6)
        assert np.allclose(atoms.cell.array, source.cell.array)
        assert all(atoms.pbc)
        assert atoms.info["system"] == "LiCl"
        assert np.isfinite(atoms.get_forces()).all()


def test_the_page_shows_every_iteration(tmp_path):
    select(tmp_path, [exploration(tmp_path / "a", [0.05, 0.2, 0.3, 0.6])])
    state = LearningState.read(tmp_path / "out").with_labels(1, [FailedTask(task="task.000", reason="not converged")])
    page = learning_page(state.history)
    report = state.history[0]
    assert (report.labelled, report.label_failures[0].reason) == (1, "not converged")
    row = [0, 0, 1, 0, 1, 2, 1, 2, 1, "0.1 to 0.5 eV/Å", "0.287 eV/Å", "0.6 eV/Å"]
    assert "<tr>" + "".join(f"<td>{value}</td>" for value in row) in page
    assert [f"width:{share}%" in page for share in ("25.0", "50.0")] == [True, True]
    assert report.message in page
    assert "no iteration yet" in learning_page([])


@pytest.mark.parametrize("ratio", [1.0, 0.0])
def test_technical_failures_of_all_explorations_fail_the_step(tmp_path, ratio):
    """What explodes tells about the models; what fails for another reason tells nothing, whatever the ratio."""
    group = tmp_path / "group.000"
    for number in range(2):
        TaskStatus(status="failed", reason="no such program").write(group / f"task.{number:03d}")
    settings = SelectCandidates.settings_class(concurrent_learning=SETTINGS, min_success_ratio=ratio)
    with pytest.raises(FatalError, match=r"exploration: 0 of 2 succeeded(.|\n)*no such program"):
        SelectCandidates().run(tmp_path / "out", settings, explored=[group], training_data=None, assembled=None)
