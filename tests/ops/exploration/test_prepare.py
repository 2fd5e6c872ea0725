from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.exploration import sanity as sanity_module
from dpa_sse.ops.exploration.prepare import (
    held_out_trajectories,
    perturbed_cells,
    prepare_exploration,
    static_task_count,
)
from dpa_sse.ops.exploration.sanity import sanity_md
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.state import initial_state
from dpa_sse.ops.md.simulate import RunOutcome
from dpa_sse.ops.results.dataset import DatasetInfo, StoredSystem
from dpa_sse.ops.results.learning import SanityCheck, SanityResult
from dpa_sse.ops.results.md import NO_ROWS
from dpa_sse.ops.training.op import TrainMember
from dpa_sse.ops.training.presets import resolve

SETTINGS = ConcurrentLearningSettings(
    stages=[
        {"temperatures_K": [300, 600], "pressures_GPa": [0.0, 1.0], "cells_per_system": 1},
        {"temperatures_K": [900], "cells_per_system": 3, "steps": 200},
    ],
    sample_every=5,
)
GOOD = SanityCheck(models=[
    SanityResult(model=k, status=status, reason="", max_temperature_K=None, temperature_K=600.0, steps=100)
    for k, status in enumerate(["ok", "failed", "ok"])
])


@pytest.fixture
def cells(tmp_path):
    number = 0
    for system in ("LiCl", "LiBr"):
        for index in range(2):
            atoms = bulk(system, "rocksalt", a=5.2 + 0.1 * index, cubic=True)
            atoms.info = {"system": system, "trajectory": f"{system}.p{index:03d}"}
            folder = tmp_path / f"cells/task.{number:03d}"
            folder.mkdir(parents=True)
            write(folder / "cell.extxyz", atoms)
            number += 1
    return tmp_path / "cells"


def tasks(folder):
    return [read_json(path) for path in sorted(folder.glob("task.*/task.json"))]


def test_all_state_points_of_the_stage(tmp_path, cells):
    assert static_task_count(SETTINGS, 2) == 8
    state = initial_state(SETTINGS)
    assert prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / "a") == 8
    found = tasks(tmp_path / "a")
    points = {(task["system"], task["temperature_K"], task["pressure_GPa"]) for task in found}
    assert len(points) == 8
    assert all(task["models"] == [0, 2] for task in found)
    assert len({task["seed"] for task in found}) == 8
    assert [path.name for path in sorted((tmp_path / "a").glob("task.*"))] == [f"task.{k:03d}" for k in range(8)]


def test_the_model_with_the_largest_cutoff_drives(tmp_path, cells):
    """LAMMPS has neighbours up to the cutoff of the first model; equal ones keep their order."""
    state = initial_state(SETTINGS)
    prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / "a", cutoffs_A=[9.0, 9.0, 6.0])
    prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / "b", cutoffs_A=[5.0, 9.0, 6.0])
    prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / "c", cutoffs_A=[6.0, 6.0, 6.0])
    assert [tasks(tmp_path / name)[0]["models"] for name in "abc"] == [[0, 2], [2, 0], [0, 2]]


def test_networks_are_taken_in_turn():
    one = {"preset": "se_e2_a-tiny"}
    settings = ConcurrentLearningSettings(
        models=5, train=[one, {"preset": "dpa2-tiny", "steps": 7}], stages=[{"temperatures_K": [300]}]
    )
    assert [member.preset for member in settings.members] == [
        "se_e2_a-tiny", "dpa2-tiny", "se_e2_a-tiny", "dpa2-tiny", "se_e2_a-tiny"
    ]
    task = TrainMember.settings_class(
        train=[resolve(training) for training in settings.trainings], reuse_models=True, reuse_steps=None
    )
    assert [task.of(index).steps for index in range(3)] == [None, 7, None]
    assert task.of(3).network["model"]["descriptor"]["type"] == "dpa2"
    assert len(SETTINGS.trainings) == 1


def test_a_pool_that_is_too_small_leaves_tasks_out(tmp_path, cells):
    state = initial_state(SETTINGS).model_copy(update={"stage": 1, "iteration": 4})
    assert prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / "a") == 4
    assert {task["cell"] for task in tasks(tmp_path / "a")} == {
        "LiCl.p000", "LiCl.p001", "LiBr.p000", "LiBr.p001"
    }


def test_iterations_start_from_different_cells_with_other_seeds(tmp_path, cells):
    used = set()
    for iteration in range(6):
        state = initial_state(SETTINGS).model_copy(update={"iteration": iteration})
        prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / str(iteration))
        used.add(tuple((task["cell"], task["seed"]) for task in tasks(tmp_path / str(iteration))))
    assert len(used) == 6
    assert len({cell for entry in used for cell, _ in entry}) == 4


def test_held_out_cells_are_never_a_start(tmp_path, cells):
    """Frames explored from the cell of a test trajectory would go to the training set."""
    held_out = frozenset({("LiCl", "LiCl.p001"), ("LiBr", "LiCl.p000")})  # the second: another system's name
    used = set()
    for iteration in range(6):
        state = initial_state(SETTINGS).model_copy(update={"iteration": iteration})
        prepare_exploration(state, SETTINGS, cells, GOOD, 3, tmp_path / str(iteration), held_out)
        used |= {task["cell"] for task in tasks(tmp_path / str(iteration))}
    assert used == {"LiCl.p000", "LiBr.p000", "LiBr.p001"}


def test_held_out_trajectories_are_those_of_the_data_set(tmp_path):
    parts = [
        StoredSystem(split=split, system="LiCl", path=split, n_frames=1, n_atoms=2, trajectories=(f"LiCl.{split}",),
                     frames_per_trajectory=(1,))
        for split in ("train", "validation", "test")
    ]
    DatasetInfo(type_map=("Li", "Cl"), systems=tuple(parts)).write(tmp_path)
    assert held_out_trajectories(tmp_path) == {("LiCl", "LiCl.validation"), ("LiCl", "LiCl.test")}
    assert held_out_trajectories(tmp_path / "missing") == frozenset()


def test_without_cells(tmp_path):
    with pytest.raises(FatalError, match="no perturbed cell"):
        perturbed_cells(tmp_path)


def test_a_model_that_explodes_is_reported(tmp_path, cells, monkeypatch):
    seen = []

    def simulated(runs):
        seen.extend(runs)
        thermo = NO_ROWS.model_copy(update={"max_temperature_K": 950.0})
        bad = [job.models[0].name == "b" and "Br" in job.atoms.symbols for job, _ in runs]
        return [RunOutcome("exploded" if one else "ok", "step 40: too hot", thermo=thermo) for one in bad]

    monkeypatch.setattr(sanity_module, "run_lammps_all", simulated)
    models = [tmp_path / "a", tmp_path / "b"]
    arguments = (models, cells, initial_state(SETTINGS), SETTINGS, ["Li", "Cl", "Br"], 3, tmp_path / "out")
    result = sanity_md(*arguments)
    assert [entry.status for entry in result.models] == ["ok", "failed"]
    assert result.models[1].reason == "LiBr: exploded, step 40: too hot"
    assert result.models[0].max_temperature_K == 950.0
    assert {job.simulation.temperature_K for job, _ in seen} == {600.0}  # the highest one of the stage
    assert len(seen) == 4
    assert sanity_md(*arguments) == result
    assert len(seen) == 4  # a restart does nothing again


def test_no_sanity_md_passes_all(tmp_path, cells):
    settings = SETTINGS.model_copy(update={"sanity_steps": 0})
    result = sanity_md([tmp_path / "a"], cells, initial_state(settings), settings, ["Li"], 3, tmp_path / "out")
    assert [entry.status for entry in result.models] == ["ok"]


def test_cells_keep_their_geometry(tmp_path, cells):
    from ase.io import read

    prepare_exploration(initial_state(SETTINGS), SETTINGS, cells, GOOD, 3, tmp_path / "a")
    task = tasks(tmp_path / "a")[0]
    atoms = read(tmp_path / "a/task.000/cell.extxyz")
    edge = 5.2 if task["cell"].endswith("0") else 5.3
    assert np.allclose(atoms.cell.lengths(), edge)


@pytest.mark.parametrize(("ensemble", "expected"), [
    ("npt", ("npt", "iso")), ("npt-aniso", ("npt", "aniso")), ("npt-tri", ("npt", "tri")), ("nvt", ("nvt", "iso")),
])
def test_the_ensemble_of_a_stage_is_that_of_its_runs(tmp_path, cells, ensemble, expected):
    settings = ConcurrentLearningSettings(stages=[{"temperatures_K": [300], "ensemble": ensemble}])
    prepare_exploration(initial_state(settings), settings, cells, GOOD, 3, tmp_path / "a")
    assert {(one["ensemble"], one["coupling"]) for one in tasks(tmp_path / "a")} == {expected}


def test_pressures_at_constant_volume_are_refused():
    with pytest.raises(ValueError, match="no effect at constant volume"):
        ConcurrentLearningSettings(stages=[{"temperatures_K": [300], "ensemble": "nvt", "pressures_GPa": [1.0]}])
