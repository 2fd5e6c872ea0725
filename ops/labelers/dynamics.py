"""Labelers whose molecular dynamics is run by ASE."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.labelers.base import AimdRun, Labeler, SettingsT, one_line
from dpa_sse.ops.labelers.programs import RunError
from dpa_sse.ops.labelers.settings import AimdSettings
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import frame_text

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

LARGEST_FORCE_EV_A = 100.0
RECORD = ".answers"


class ExplodedError(Exception):
    """The dynamics has become unphysical."""


class CalculatorLabeler(Labeler[SettingsT]):
    """A labeler that provides an ASE calculator; ASE integrates the equations of motion."""

    @abstractmethod
    def calculator(self, work: Path | None = None) -> Calculator:
        """Return an ASE calculator for molecular dynamics.

        Parameters
        ----------
        work : Path, optional
            Folder for the files of a program; a temporary one by default.
        """

    def run_trajectory(self, run: AimdRun, out: Path, work: Path) -> TaskStatus:
        """Run the dynamics; an interrupted run repeats its first steps with the recorded forces."""
        from dpa_sse.ops.labelers.recording_calculator import RecordedCalculator

        atoms = run.atoms.copy()
        reason, written = "", 0
        partial, record = out / "frames.extxyz.partial", out / RECORD
        with partial.open("w", encoding="utf-8") as stream:
            try:
                with closing(RecordedCalculator(self.calculator(work), record)) as atoms.calc:
                    for frame in sampled_frames(run, atoms):
                        stream.write(frame_text(frame))
                        stream.flush()
                        written += 1
            except PipelineError:
                raise
            except (ExplodedError, RunError) as error:
                reason = str(error)
            except Exception as error:  # any calculator, any exception: the frames so far are kept
                reason = one_line(error)
        partial.replace(out / "frames.extxyz")
        record.unlink(missing_ok=True)
        return run.status(written, reason, self.level([run.atoms]) if written else None)

    @classmethod
    def aimd_problems(cls, settings: SettingsT, aimd: AimdSettings) -> Iterator[tuple[str, str]]:
        """Yield what ASE's dynamics cannot do."""
        if aimd.thermostat != "langevin" and aimd.end_temperatures_K:
            yield "end_temperatures_K", "with this labeler only `thermostat: langevin` can change the temperature"
        if aimd.thermostat == "csvr" and aimd.ensemble == "npt":
            yield "thermostat", "with this labeler csvr works at constant volume only; use langevin or nose-hoover"


def sampled_frames(run: AimdRun, atoms: Atoms) -> Iterator[Atoms]:
    """Run the dynamics of ``atoms``, which has a calculator, and yield every ``sample_every``-th frame with its labels.

    Raises
    ------
    ExplodedError
        A temperature or a force became unphysical.
    """
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
            yield frame


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
    """Remove the momentum that the random forces give the whole cell."""
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
