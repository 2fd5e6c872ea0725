"""Does MD through the pipeline run as fast as plain LAMMPS at its best thread setting? Bar: 0.98.

    python bench/md_threads.py [--model student.pth [--cell cell.extxyz]] [--repeat 1 1 1] [--steps 400] [--rounds 3]

Without a model, an untrained compressed se_e2_a of the `se_e2_a-tiny` sizes runs at 0.01 K: its forces are close to
zero, and its speed is that of a trained one. Plain LAMMPS gets a plain input (no restart files, no halt, and its
trajectory is not read). Both are run in turns; the best round of each counts. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms

from dpa_sse.ops.core.tools import thread_environment
from dpa_sse.ops.md.data_file import write_lammps_data
from dpa_sse.ops.md.lammps import Simulation, input_text
from dpa_sse.ops.md.production import run_md
from dpa_sse.ops.md.program import lammps_command
from dpa_sse.ops.md.tasks import read_cells, write_task
from dpa_sse.ops.md.trajectory import loop_speed
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.results.md import MdRun, MdTask

TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]


def argyrodite() -> Atoms:
    """Return a cell with the composition and the density of Li6PS5Cl, 52 atoms on a grid."""
    grid = np.array([(i, j, k) for i in range(4) for j in range(4) for k in range(4)])[:52]
    atoms = Atoms("Li24P4S20Cl4", positions=(grid + 0.5) * 9.9 / 4, cell=[9.9] * 3, pbc=True)
    atoms.info = {"system": "Li6PS5Cl"}
    return atoms


def untrained_model(path: Path) -> Path:
    """Write a compressed se_e2_a with random weights."""
    import torch
    from deepmd.pt.model.model import get_model

    torch.manual_seed(1)
    model = get_model({
        "type_map": TYPE_MAP,
        "descriptor": {
            "type": "se_e2_a", "rcut": 6.0, "rcut_smth": 2.0, "sel": [32, 8, 28, 8, 8], "neuron": [16, 32, 64],
            "axis_neuron": 8, "type_one_side": True, "resnet_dt": False, "seed": 1,
        },
        "fitting_net": {"neuron": [64, 64], "resnet_dt": True, "seed": 1},
    })
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "fitting_net" in name and name.endswith("layers.2.matrix"):
                parameter.mul_(1e-6)  # flat: the atoms stay on their grid
    model.min_nbor_dist = torch.tensor(2.0, dtype=torch.float64)
    model.enable_compression(5, 0.01, 0.1, -1)
    torch.jit.save(torch.jit.script(model), str(path))
    return path


def raw_speed(folder: Path, atoms: Atoms, model: Path, steps: int, threads: int, temperature: float) -> float:
    """Return steps/s of plain LAMMPS, NVT with the same trajectory and log."""
    folder.mkdir(parents=True)
    write_lammps_data(folder / "cell.data", atoms, TYPE_MAP)
    simulation = Simulation("nvt", temperature, 2.0, steps=steps, dump_every=10, thermo_every=10, seed=1)
    (folder / "in.lammps").write_text(input_text(simulation, TYPE_MAP, [str(model)]))
    argv, environment = lammps_command()
    subprocess.run(
        [*argv, "-in", "in.lammps", "-log", "log.lammps", "-screen", "none"], cwd=folder, check=True,
        env={**os.environ, **thread_environment(threads), **environment}, capture_output=True,
    )
    return loop_speed(folder / "log.lammps") or 0.0


def pipeline_speed(folder: Path, atoms: Atoms, model: Path, steps: int, threads: int, temperature: float) -> float:
    """Return steps/s of a production run of the pipeline."""
    os.environ["DPA_SSE_THREADS"] = str(threads)
    task = MdTask(
        system="Li6PS5Cl", ensemble="nvt", temperature_K=temperature, pressure_GPa=0.0, replica=0, timestep_fs=2.0,
        equilibration_steps=0, steps=steps, dump_every=10, restart_every=500, seed=1,
    )
    write_task(folder, 0, atoms, task)
    run_md(folder / "task.000", model, TYPE_MAP, folder / "out")
    run = MdRun.read(folder / "out")
    if run.status != "ok" or run.steps_per_s is None:
        raise SystemExit(f"the run of the pipeline is {run.status}: {run.reason}")
    return run.steps_per_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="frozen or compressed model, or a model folder")
    parser.add_argument("--cell", type=Path, help="extxyz file for --model; the runs are then at 300 K")
    parser.add_argument("--repeat", type=int, nargs=3, default=(1, 1, 1))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = model_file(options.model).resolve() if options.model else untrained_model(folder / "model.pth")
        atoms = (read_cells(options.cell)[0] if options.cell else argyrodite()).repeat(options.repeat)
        temperature = 300.0 if options.cell else 0.01
        settings = sorted({1, cores})
        raw: dict[int, list[float]] = {threads: [] for threads in settings}
        piped: dict[int, list[float]] = {threads: [] for threads in settings}
        for number in range(options.rounds):
            for threads in settings:
                place = folder / f"{number}.{threads}"
                raw[threads].append(raw_speed(place / "raw", atoms, model, options.steps, threads, temperature))
                speed = pipeline_speed(place / "pipeline", atoms, model, options.steps, threads, temperature)
                piped[threads].append(speed)
    best = max(settings, key=lambda threads: max(raw[threads]))
    print(json.dumps({
        "n_atoms": len(atoms), "steps": options.steps, "cores": cores,
        "raw_steps_per_s": raw, "pipeline_steps_per_s": piped, "best_threads": best,
        "ratio": round(max(piped[best]) / max(raw[best]), 4), "bar": 0.98,
    }, indent=1))


if __name__ == "__main__":
    main()
