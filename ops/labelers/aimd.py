"""Short molecular dynamics with the labeler, from one perturbed cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ops.errors import TransientError
from ops.files import write_json
from ops.labelers.base import is_finished, one_line, status_record, with_results
from ops.labelers.registry import make_labeler
from ops.labelers.settings import AimdSettings, LabelerSettings
from ops.seeds import derive_seed
from ops.structures.extxyz import frame_text, read_frames

if TYPE_CHECKING:
    from ase import Atoms

FRICTION_PER_FS = 0.02  # 50 fs: short runs must lose the heat of the unrelaxed start within their length
LARGEST_FORCE_EV_A = 100.0


class ExplodedError(Exception):
    """The dynamics has left what is physical."""


def run_aimd(task: Path, labeler: LabelerSettings, settings: AimdSettings, seed: int, out: Path) -> None:
    """Run NVT molecular dynamics and keep every ``sample_every``-th frame with its labels.

    Parameters
    ----------
    task : Path
        Folder with ``cell.extxyz`` (one perturbed cell); when it does not exist nothing is done.
    labeler : LabelerSettings
        Source of energies and forces.
    settings : AimdSettings
        Perturbed cell i of a system runs at temperature i modulo their number.
    seed : int
        Seed of the project; velocities and thermostat derive theirs from the name of the trajectory.
    out : Path
        Receives ``frames.extxyz`` (the perturbed cell itself is frame 0) and ``status.json``. A finished
        run is not repeated; an interrupted one starts again.
    """
    out.mkdir(parents=True, exist_ok=True)
    if is_finished(out):
        return
    if not (task / "cell.extxyz").is_file():
        write_json(out / "status.json", status_record([]))
        return
    atoms = read_frames(task / "cell.extxyz")[0]
    partial = out / "frames.extxyz.partial"
    temperature = settings.temperatures_K[int(atoms.info.get("perturbation", 0)) % len(settings.temperatures_K)]
    atoms.info["temperature_K"] = float(temperature)
    reason = ""
    written = [0]
    with partial.open("w", encoding="utf-8") as stream:
        try:
            atoms.calc = make_labeler(labeler).calculator()
            _run(atoms, settings, derive_seed(seed, "aimd", str(atoms.info.get("trajectory", ""))), stream, written)
        except TransientError:
            raise
        except Exception as error:  # any calculator, any exception: the frames so far are kept
            reason = str(error) if isinstance(error, ExplodedError) else one_line(error)
    partial.replace(out / "frames.extxyz")
    record = status_record([("failed", reason) if reason else ("ok", "")])
    if reason and written[0]:
        record["status"] = "partial"
    write_json(out / "status.json", record | _describe(atoms, temperature, written[0], settings))


def _run(
    atoms: Atoms, settings: AimdSettings, seed: int, stream: TextIO, written: list[int],
) -> None:
    """Run the dynamics, writing frames as they come; ``written[0]`` counts them."""
    from ase import units
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

    rng = np.random.default_rng(seed)
    temperature = float(atoms.info["temperature_K"])
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    Stationary(atoms)
    dynamics = Langevin(
        atoms, settings.timestep_fs * units.fs, temperature_K=temperature,
        friction=FRICTION_PER_FS / units.fs, rng=rng, fixcm=False,
    )
    for step in range(settings.steps + 1):
        if step:
            dynamics.run(1)
            _remove_drift(atoms)
        _stop_if_exploded(atoms, temperature, step)
        if step % settings.sample_every == 0:
            frame = with_results(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())
            frame.info["step"] = step
            stream.write(frame_text(frame))
            stream.flush()
            written[0] += 1


def _remove_drift(atoms: Atoms) -> None:
    """Take out the momentum that the random forces give the whole cell."""
    momenta = atoms.get_momenta()
    masses = atoms.get_masses()[:, None]
    atoms.set_momenta(momenta - masses * momenta.sum(axis=0) / masses.sum())


def _stop_if_exploded(atoms: Atoms, temperature: float, step: int) -> None:
    forces, now = atoms.get_forces(), atoms.get_temperature()
    if not (np.isfinite(forces).all() and np.isfinite(atoms.positions).all() and np.isfinite(now)):
        raise ExplodedError(f"NaN at step {step}")
    largest = float(np.linalg.norm(forces, axis=1).max())
    if now > 4 * temperature + 1000 or largest > LARGEST_FORCE_EV_A:
        raise ExplodedError(f"exploded at step {step}: {now:.0f} K, largest force {largest:.1f} eV/A")


def _describe(atoms: Atoms, temperature: float, frames: int, settings: AimdSettings) -> dict[str, Any]:
    return {
        "system": str(atoms.info.get("system", "")), "trajectory": str(atoms.info.get("trajectory", "")),
        "temperature_K": temperature, "frames": frames, "steps": settings.steps,
    }
