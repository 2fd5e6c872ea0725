from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from dpa_sse.ops.core.files import read_json, write_csv, write_json
from dpa_sse.ops.exploration.select import select_candidates, static_label_count
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.similarity import KnownFrames, composition, distance, fingerprint, pair_distances
from dpa_sse.ops.exploration.state import initial_state
from dpa_sse.ops.md.segments import DEVIATION_COLUMNS

SETTINGS = ConcurrentLearningSettings(
    trust={"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.5}, max_selected=5, frames_per_task=2, conv_accuracy=0.5,
    stages=[{"temperatures_K": [300], "max_iterations": 2}, {"temperatures_K": [600], "max_iterations": 1}],
)
CELL = bulk("LiCl", "rocksalt", a=5.1, cubic=True)


def thermal(seed: int):
    atoms = CELL.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, 0.15, atoms.positions.shape)
    return atoms


def dump(path, frames):
    with path.open("w") as stream:
        for number, atoms in enumerate(frames):
            bounds = "".join(f"0 {length}\n" for length in atoms.cell.lengths())
            stream.write(f"ITEM: TIMESTEP\n{10 * number}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n")
            stream.write(f"ITEM: BOX BOUNDS pp pp pp\n{bounds}ITEM: ATOMS id element xu yu zu\n")
            for index, atom in enumerate(atoms, 1):
                stream.write("{} {} {:.9g} {:.9g} {:.9g}\n".format(index, atom.symbol, *atom.position))


def exploration(folder, deviations, frames=None, *, expected=None, status="ok"):
    """Write what an exploration task writes; deviations in eV/A, None for NaN."""
    folder.mkdir(parents=True)
    frames = frames or [thermal(number) for number in range(len(deviations))]
    dump(folder / "traj.lammpstrj", frames)
    rows = [{"step": 10 * k, "max_devi_f": value} for k, value in enumerate(deviations)]
    write_csv(folder / "model_devi.csv", rows, DEVIATION_COLUMNS)
    write_json(folder / "run.json", {
        "system": "LiCl", "temperature_K": 300.0, "pressure_GPa": 0.0, "timestep_fs": 2.0, "dump_every_fs": 20.0,
        "iteration": 0, "n_frames": len(frames), "n_frames_expected": expected or len(deviations),
        "status": "ok" if status == "ok" else "exploded",
    })
    write_json(folder / "status.json", {"status": status, "reason": "", "items": []})
    return folder


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
    assert (report["accurate"], report["candidate"], report["failed"]) == (2, 2, 5)
    assert report["accurate_ratio"] == pytest.approx(2 / 9)
    assert report["max_devi_f_eV_A"] == 0.5
    assert report["mean_devi_f_eV_A"] == pytest.approx(np.mean([0.05, 0.1, 0.3, 0.5, 0.0999]))
    assert sorted(atoms.info["step"] for atoms in chosen(tmp_path)) == [10, 20]
    assert report["runs_exploded"] == 1


def test_frames_carry_what_the_labels_need(tmp_path):
    select(tmp_path, [exploration(tmp_path / "a", [0.2])])
    (atoms,) = chosen(tmp_path)
    assert atoms.get_chemical_symbols() == CELL.get_chemical_symbols()
    assert atoms.info["system"] == "LiCl"
    assert atoms.info["max_devi_f_eV_A"] == 0.2
    assert pair_distances(atoms) == pytest.approx(pair_distances(thermal(0)), abs=1e-6)


def test_at_most_max_candidates_in_groups(tmp_path):
    report = select(tmp_path, [exploration(tmp_path / "a", [0.3] * 12)])
    assert (report["selected"], report["passed_over"]) == (5, 7)
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


def test_similar_and_unphysical_candidates_are_dropped(tmp_path):
    close = thermal(1)
    close.positions += np.random.default_rng(0).normal(0, 0.005, close.positions.shape)
    clash = thermal(2)
    clash.positions[1] = clash.positions[0] + [0.5, 0, 0]
    run = exploration(tmp_path / "a", [0.3] * 4, [thermal(1), close, clash, thermal(3)])
    report = select(tmp_path, [run])
    assert report["dropped"] == {"unphysical": 1, "known": 0, "similar": 1}
    assert report["selected"] == 2
    assert report["candidate"] == 4


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
    assert report["dropped"]["known"] == 1
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
    assert report["converged"]
    state = read_json(tmp_path / "0/state.json")
    assert (state["iteration"], state["stage"], state["iteration_in_stage"], state["finished"]) == (1, 1, 0, False)
    assert report["selected"] == 1  # what is uncertain is labelled also when the stage has converged

    select(tmp_path, [bad], name="1")
    state = read_json(tmp_path / "1/state.json")
    assert (state["iteration"], state["stage"], state["iteration_in_stage"], state["finished"]) == (1, 0, 1, False)
    report = select(tmp_path, [bad], state=state, name="2")
    assert "not converged after its last iteration" in report["message"]
    state = read_json(tmp_path / "2/state.json")
    assert (state["stage"], state["finished"]) == (1, False)
    select(tmp_path, [bad], state=state, name="3")
    state = read_json(tmp_path / "3/state.json")
    assert state["finished"]
    assert [entry["iteration"] for entry in state["history"]] == [0, 1, 2]


def test_nothing_explored(tmp_path):
    failed = tmp_path / "failed"
    failed.mkdir()
    write_json(failed / "status.json", {"status": "failed", "reason": "0 of 2 models", "items": []})
    empty = tmp_path / "empty"
    empty.mkdir()
    write_json(empty / "status.json", {"status": "empty", "reason": "", "items": []})
    report = select(tmp_path, [failed, empty, tmp_path / "never"])
    assert (report["accurate"], report["candidate"], report["failed"], report["selected"]) == (0, 0, 0, 0)
    assert not report["converged"]
    assert [entry["task"] for entry in report["runs_failed"]] == ["failed", "never"]
    assert not list((tmp_path / "out/tasks").iterdir())
    assert read_json(tmp_path / "out/state.json")["iteration"] == 1


def test_written_cells_can_be_read_by_the_next_step(tmp_path):
    select(tmp_path, [exploration(tmp_path / "a", [0.3] * 3)])
    for atoms in chosen(tmp_path):
        write(tmp_path / "again.extxyz", atoms)
        assert all(atoms.pbc)
