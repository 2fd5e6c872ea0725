"""LAMMPS with real Deep Potentials: numbers equal DeepPot's, and the ensemble's deviation is that of DP-GEN."""

from __future__ import annotations

import csv
import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from dpa_sse.ops.core.files import read_json
from dpa_sse.ops.core.tools import thread_environment
from dpa_sse.ops.exploration.explore import explore
from dpa_sse.ops.md.data_file import write_lammps_data
from dpa_sse.ops.md.lammps import Simulation, input_text
from dpa_sse.ops.md.program import lammps_command
from dpa_sse.ops.md.segments import latest_state, next_part
from dpa_sse.ops.md.simulate import Job, run_lammps
from dpa_sse.ops.md.tasks import write_task
from dpa_sse.ops.md.trajectory import read_dump, read_thermo
from dpa_sse.ops.results.md import ExplorationTask

MODEL_MAP = ["Li", "P", "S", "Cl", "Br"]
OTHER_MAP = ["S", "Br", "Li", "Cl", "P"]


def sulfide(kind: str):
    """A small strained Li2S-like cell with four elements."""
    atoms = bulk("LiS", "rocksalt", a=5.2, cubic=kind == "cubic").repeat(2 if kind == "cubic" else 3)
    rng = np.random.default_rng(4)
    atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.05, 0.05, (3, 3))), scale_atoms=True)
    for index, element in zip((0, 3, 7), ("P", "Cl", "Br"), strict=True):
        atoms[index].symbol = element
    atoms.info = {"system": "test"}
    return atoms


def lammps_forces(folder, atoms, type_map, model):
    """Forces in the frame of LAMMPS, and the first line of the log, from the project's own input."""
    rotation = write_lammps_data(folder / "cell.data", atoms, type_map)
    text = input_text(
        Simulation("nve", 300.0, 1.0, steps=1, dump_every=1, thermo_every=1, seed=1), type_map, [str(model)]
    )
    dump = "dump f all custom 1 forces id fx fy fz\ndump_modify f sort id format float %.17g\n"
    assert "run 1 upto" in text
    text = text.replace("run 1 upto", f"{dump}run 0")
    (folder / "in.lammps").write_text(text)
    argv, environment = lammps_command()
    subprocess.run(
        [*argv, "-in", "in.lammps", "-log", "log.lammps", "-screen", "none"], cwd=folder, check=True,
        env={**os.environ, **thread_environment(1), **environment},
    )
    forces = np.loadtxt((folder / "forces").read_text().splitlines()[9:])[:, 1:]
    return forces, rotation, read_thermo(folder / "log.lammps")[0][0]


@pytest.mark.parametrize(
    ("kind", "type_map"),
    [pytest.param("cubic", MODEL_MAP, marks=pytest.mark.slow), ("triclinic", OTHER_MAP)],
)
def test_lammps_equals_deeppot(tmp_path, deep_potentials, kind, type_map):
    """Also with a type_map of another order than the model's: elements are mapped by name."""
    from deepmd.infer import DeepPot

    atoms = sulfide(kind)
    potential = DeepPot(str(deep_potentials[0]))
    types = [potential.get_type_map().index(symbol) for symbol in atoms.get_chemical_symbols()]
    energy, forces, virial = potential.eval(atoms.positions[None], atoms.cell.array[None], types)[:3]
    ours, rotation, thermo = lammps_forces(tmp_path, atoms, type_map, deep_potentials[0])
    assert np.abs(forces).max() > 0.05
    assert thermo["potential_eV"] == pytest.approx(energy.item(), rel=1e-10)
    assert ours == pytest.approx(forces[0] @ rotation, abs=1e-9)
    volume = thermo["volume_A3"]
    kinetic = (len(atoms) - 1) * 8.617333262e-5 * thermo["temperature_K"] / volume
    pressure = (kinetic + np.trace(virial[0].reshape(3, 3)) / 3 / volume) * 1.602176634e6  # eV/A^3 -> bar
    assert thermo["pressure_bar"] == pytest.approx(pressure, rel=1e-4)


def test_energy_is_conserved_in_nve(tmp_path, deep_potentials):
    simulation = Simulation("nve", 50.0, 1.0, steps=50, dump_every=10, thermo_every=5, seed=3)
    atoms = sulfide("cubic")
    outcome = run_lammps(Job(atoms, deep_potentials[:1], MODEL_MAP, simulation), tmp_path)
    assert outcome.status == "ok", outcome.reason
    with (tmp_path / "thermo.csv").open() as stream:
        table = np.array([[float(row["total_eV"]), float(row["potential_eV"])] for row in csv.DictReader(stream)])
    total, potential = table.T
    assert len(total) == 11
    assert np.ptp(potential) > 1e-3
    assert np.ptp(total) < 0.01 * np.ptp(potential)


def exploration_task(tmp_path, atoms, models=(0, 1), **more):
    write_task(tmp_path, 0, atoms, ExplorationTask(
        system="test", cell="test.p000", iteration=0, stage=0, models=models, ensemble="npt", temperature_K=300.0,
        pressure_GPa=0.0, replica=0, timestep_fs=1.0, equilibration_steps=0, steps=10, dump_every=5, restart_every=5,
        seed=3, **more,
    ))
    return tmp_path / "task.000"


def test_deviation_of_each_frame_is_that_of_dpgen(tmp_path, deep_potentials):
    from deepmd.infer import DeepPot

    task = exploration_task(tmp_path, sulfide("triclinic"))
    out = tmp_path / "out"
    explore(task, deep_potentials, MODEL_MAP, out)
    assert read_json(out / "status.json")["status"] == "ok", read_json(out / "status.json")
    with (out / "model_devi.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    frames = list(read_dump(out / "traj.lammpstrj"))
    assert [int(row["step"]) for row in rows] == [frame.step for frame in frames] == [0, 5, 10]
    for row, frame in ((rows[-1], frames[-1]),):
        forces = []
        for model in deep_potentials:
            potential = DeepPot(str(model))
            types = [potential.get_type_map().index(symbol) for symbol in frame.symbols]
            forces.append(potential.eval(frame.positions[None], frame.cell[None], types)[1][0])
        deviation = np.sqrt((np.std(forces, axis=0) ** 2).sum(axis=1))
        assert float(row["max_devi_f"]) == pytest.approx(deviation.max(), rel=1e-5)


@pytest.mark.parametrize("epsilon", [None, 0.7])
def test_deviations_are_those_of_deepmd_kit(tmp_path, deep_potentials, epsilon):
    """Forces in eV/A or relative, the virial in eV/atom: as DeePMD-kit computes them without LAMMPS."""
    from deepmd.infer import DeepPot
    from deepmd.infer.model_devi import calc_model_devi

    task = exploration_task(tmp_path, sulfide("triclinic"), epsilon_eV_A=epsilon)
    out = tmp_path / "out"
    explore(task, deep_potentials, MODEL_MAP, out)
    with (out / "model_devi.csv").open() as stream:
        last = list(csv.DictReader(stream))[-1]
    frame = list(read_dump(out / "traj.lammpstrj"))[-1]
    potentials = [DeepPot(str(model)) for model in deep_potentials]
    types = [potentials[0].get_type_map().index(symbol) for symbol in frame.symbols]
    [row] = calc_model_devi(frame.positions[None], frame.cell[None], types, potentials, relative=epsilon)
    assert [float(last["max_devi_v"]), float(last["max_devi_f"])] == pytest.approx([row[1], row[4]], rel=1e-4)
    virials = [potential.eval(frame.positions[None], frame.cell[None], types)[2] for potential in potentials]
    assert row[1] == pytest.approx(np.std(virials, axis=0).max() / len(types))
    assert (f"relative {epsilon}" in (out / "in.lammps").read_text()) == (epsilon is not None)


def test_deviation_of_a_committee_of_different_networks(tmp_path, mixed_committee):
    """The model with the largest cutoff drives the run; behind another one, it would miss neighbours."""
    from deepmd.infer import DeepPot
    from deepmd.infer.model_devi import calc_model_devi

    found = {}
    for order in ((1, 0, 2), (0, 1, 2)):
        task = exploration_task(tmp_path / "tasks", sulfide("triclinic"), models=order)
        out = tmp_path / f"first_{order[0]}"
        explore(task, mixed_committee, MODEL_MAP, out)
        with (out / "model_devi.csv").open() as stream:
            last = list(csv.DictReader(stream))[-1]
        frame = list(read_dump(out / "traj.lammpstrj"))[-1]
        potentials = [DeepPot(str(model)) for model in mixed_committee]
        types = [MODEL_MAP.index(symbol) for symbol in frame.symbols]
        [row] = calc_model_devi(frame.positions[None], frame.cell[None], types, potentials)
        found[order[0]] = float(last["max_devi_f"]) / row[4]
    assert found[1] == pytest.approx(1, rel=1e-4)
    assert found[0] != pytest.approx(1, rel=5e-3)  # DeePMD-kit looks only as far as the first model does


def test_one_sane_model_is_too_few(tmp_path, deep_potentials):
    task = exploration_task(tmp_path, sulfide("cubic"), models=(1,))
    explore(task, deep_potentials, MODEL_MAP, tmp_path / "out")
    run = read_json(tmp_path / "out/run.json")
    assert (run["models"], run["n_frames_expected"], run["max_temperature_K"]) == ([1], 3, None)
    status = read_json(tmp_path / "out/status.json")
    assert status["status"] == "failed"
    assert "1 of 2 models passed" in status["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ensemble"), [("cubic", "nvt"), ("triclinic", "nvt"), ("triclinic", "npt")])
def test_going_on_from_a_restart_file_gives_the_same_bits(tmp_path, deep_potentials, kind, ensemble):
    """The last restart files hold positions, velocities and thermostat in full: equal files, equal futures."""
    job = Job(
        sulfide(kind), deep_potentials[:1], MODEL_MAP,
        Simulation(ensemble, 100.0, 1.0, steps=40, dump_every=10, thermo_every=10, seed=3, restart_every=20),
    )
    run_lammps(job, tmp_path / "a")
    run_lammps(replace(job, simulation=replace(job.simulation, steps=30)), tmp_path / "b")  # stops between two of them
    outcome = run_lammps(job, tmp_path / "b")
    assert outcome.status == "ok", outcome.reason
    assert next_part(tmp_path / "b/work") == 2
    last = [latest_state(tmp_path / name / "work").read_bytes() for name in "ab"]
    assert last[0] == last[1]
    for name in ("traj.lammpstrj", "thermo.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
