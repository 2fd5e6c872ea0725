"""Molecular dynamics by ASE with the calculator of a labeler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.labelers.base import AimdRun
from dpa_sse.ops.labelers.settings import AimdSettings
from dpa_sse.ops.structures.extxyz import frame_text

if TYPE_CHECKING:
    from ase import Atoms

LARGEST_FORCE_EV_A = 100.0


class ExplodedError(Exception):
    """The dynamics has left what is physical."""


def dynamics_problems(settings: AimdSettings) -> Iterator[tuple[str, str]]:
    """Yield what ASE's dynamics can not do: key and message of each."""
    if settings.thermostat != "langevin" and settings.end_temperatures_K:
        yield "end_temperatures_K", "with this labeler only `thermostat: langevin` can change the temperature"
    if settings.thermostat == "csvr" and settings.ensemble == "npt":
        yield "thermostat", "csvr has constant volume with this labeler: write langevin or nose-hoover"


def run_dynamics(run: AimdRun, atoms: Atoms, stream: TextIO, written: list[int]) -> None:
    """Run the dynamics of ``atoms``, which has a calculator; frames are written and counted as they come."""
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

    settings = run.settings
    rng = np.random.default_rng(run.seed)
    MaxwellBoltzmannDistribution(atoms, temperature_K=run.temperature_K, rng=rng)
    Stationary(atoms)
    dynamics = _make_dynamics(run, atoms, rng)
    ramp = run.temperature_K != run.end_temperature_K
    for step in range(settings.steps + 1):
        if step:
            if ramp:
                dynamics.set_temperature(temperature_K=run.temperature_at(step))
            dynamics.run(1)
            if settings.thermostat == "langevin":
                _remove_drift(atoms)
        _stop_if_exploded(atoms, max(run.temperature_K, run.end_temperature_K), step)
        if step % settings.sample_every == 0:
            frame = with_results(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())
            frame.info["step"] = step
            stream.write(frame_text(frame))
            stream.flush()
            written[0] += 1


def _make_dynamics(run: AimdRun, atoms: Atoms, rng: np.random.Generator) -> Any:
    """Return ASE's dynamics object for the ensemble and the thermostat."""
    from ase import units

    settings = run.settings
    timestep, damping = settings.timestep_fs * units.fs, settings.damping_fs * units.fs
    pressure = settings.pressure_GPa * units.GPa
    if settings.thermostat == "nose-hoover":
        from ase.md.nose_hoover_chain import MTKNPT, NoseHooverChainNVT

        if settings.ensemble == "nvt":
            return NoseHooverChainNVT(atoms, timestep, temperature_K=run.temperature_K, tdamp=damping / (2 * np.pi))
        return MTKNPT(
            atoms, timestep, temperature_K=run.temperature_K, pressure_au=pressure, tdamp=damping / (2 * np.pi),
            pdamp=settings.pressure_damping_fs * units.fs / (2 * np.pi),
        )
    if settings.thermostat == "csvr":
        from ase.md.bussi import Bussi

        return Bussi(atoms, timestep, temperature_K=run.temperature_K, taut=damping, rng=rng)
    if settings.ensemble == "nvt":
        from ase.md.langevin import Langevin

        return Langevin(
            atoms, timestep, temperature_K=run.temperature_K, friction=1 / damping, rng=rng, fixcm=False,
        )
    from ase.md.langevinbaoab import LangevinBAOAB

    return LangevinBAOAB(
        atoms, timestep, temperature_K=run.temperature_K, externalstress=-pressure, T_tau=damping,
        P_tau=settings.pressure_damping_fs * units.fs, rng=rng,
    )


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
