"""``task.json`` and ``run.json``: the numbers of a LAMMPS run, and what became of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.base import Result, ResultPart

Ensemble = Literal["npt", "nvt", "nve"]
Coupling = Literal["iso", "aniso", "tri"]
"""What the barostat changes: the volume, the lengths of the cell, or the angles, too."""
COUPLINGS: dict[str, Coupling] = {"npt": "iso", "npt-aniso": "aniso", "npt-tri": "tri", "nvt": "iso"}
"""By the name of the ensemble in the configuration."""
RunStatus = Literal["ok", "exploded", "melted", "failed"]


class ThermoSummary(ResultPart):
    """Averages over the rows of ``thermo.csv``; None for a run without rows."""

    mean_temperature_K: float | None
    max_temperature_K: float | None
    mean_volume_A3: float | None


class SublatticeMotion(ResultPart):
    """Displacement of the sites of one element between time averages.

    Attributes
    ----------
    sites, displaced : int
        Sites of the element, and those that moved by more than half of the spacing of the sites.
    rms_A, largest_A : float
        Angstrom.
    """

    sites: int
    displaced: int
    rms_A: float
    largest_A: float


class HostSummary(ResultPart):
    """State of the host framework at the end of a run; None where it was not monitored, or too briefly.

    Attributes
    ----------
    polyhedra_kept : float or None
        Share of the initial coordination polyhedra, mean of the last checks.
    rms_by_element_A : dict or None
        Root mean square displacement of each element, Angstrom.
    sublattices : dict or None
        Motion of the sites of each host element.
    exchanged : str or None
        Sites that changed place in a sublattice that has not melted, as a sentence.
    """

    polyhedra_kept: float | None
    rms_by_element_A: dict[str, float] | None
    sublattices: dict[str, SublatticeMotion] | None
    exchanged: str | None


class Drift(ResultPart):
    """A quantity and half of its 95 % interval; None where the rows are too few to tell."""

    value: float
    half95: float | None


class EquilibrationSummary(ResultPart):
    """The end of the NPT equilibration, which the mean cell is taken from.

    Attributes
    ----------
    volume_drift : Drift or None
        Relative change of the volume over the averaging window; None without equilibration.
    energy_drift_eV_atom : Drift or None
        Change of the potential energy.
    pressure_GPa : Drift or None
        Mean pressure of the run that follows; None if it has no rows.
    reasons : tuple of str
        Why the mean cell is doubtful; empty if it is not.
    """

    volume_drift: Drift | None
    energy_drift_eV_atom: Drift | None
    pressure_GPa: Drift | None
    reasons: tuple[str, ...]


NO_ROWS = ThermoSummary(mean_temperature_K=None, max_temperature_K=None, mean_volume_A3=None)
NOT_MONITORED = HostSummary(polyhedra_kept=None, rms_by_element_A=None, sublattices=None, exchanged=None)


class MdRun(ThermoSummary, HostSummary, Result):
    """A LAMMPS run: its numbers and how it ended.

    Attributes
    ----------
    system : str
    temperature_K, pressure_GPa : float
    ensemble : {"npt", "nvt", "nve"}
    replica, seed : int
    trajectory : str or None
        Name of the trajectory, for runs that provide frames to label.
    timestep_fs, dump_every_fs : float
        Time step, and time between frames.
    steps, equilibration_steps : int
        Steps of the run, and of the NPT equilibration before it.
    n_atoms : int
    composition : dict
        Number of atoms of each element.
    status : {"ok", "exploded", "melted", "failed"}
    reason : str
        Why it is not ``ok``.
    n_frames : int
        Frames of the trajectory; those after an explosion or a melt are not kept.
    steps_per_s : float or None
        Speed of the last LAMMPS process.
    seconds : float
        Wall time of the last attempt.
    threads : int
    equilibration : EquilibrationSummary or None
        None for a run without equilibration.
    width_A : float or None
        Smallest distance between opposite faces of the cell of the first frame; None without frames.
    continued_from : int or None
        Steps of the finished, shorter run that this one has continued; None for a run from its start.
    own_input : bool
        Whether the run has commands of a template of the user's own: ``in.lammps``.
    """

    FILE: ClassVar[str] = "run.json"

    system: str
    temperature_K: float
    pressure_GPa: float
    ensemble: Ensemble
    replica: int
    seed: int
    trajectory: str | None
    timestep_fs: float
    dump_every_fs: float
    steps: int
    equilibration_steps: int
    n_atoms: int
    composition: dict[str, int]
    status: RunStatus
    reason: str
    n_frames: int
    steps_per_s: float | None
    seconds: float
    threads: int
    equilibration: EquilibrationSummary | None = None
    width_A: float | None = None
    continued_from: int | None = None
    own_input: bool = False


class ExplorationRun(MdRun):
    """An exploration run.

    Attributes
    ----------
    models : tuple of int
        Indices of the models whose deviation was computed; the first one drove the run.
    iteration, stage : int
        Of concurrent learning, from 0.
    cell : str
        Name of the perturbed cell.
    n_frames_expected : int
        Frames of an undisturbed run.
    epsilon_eV_A : float or None
        Of the relative deviation of forces; None where the deviation is the absolute one.
    """

    models: tuple[int, ...]
    iteration: int
    stage: int
    cell: str
    n_frames_expected: int
    epsilon_eV_A: float | None = None


def read_any_run(folder: Path) -> MdRun | None:
    """Return the record of a run of any kind; None if there is none.

    Raises
    ------
    FatalError
        The file is damaged, or was written by another version of the program.
    """
    path = MdRun.path_in(folder)
    if not path.is_file():
        return None
    with suppress(FatalError):
        return ExplorationRun.read(path)
    return MdRun.read(path)


class MdTask(Result):
    """A LAMMPS run to do; the cell is in the same folder.

    Attributes
    ----------
    equilibration_steps : int
        Steps of NPT before the run, 0 for none.
    dump_every : int
        Steps between frames, and between rows of the model deviation.
    restart_every : int
        Steps between restart files, 0 for none.
    seed : int
        Seed of the initial velocities.
    trajectory : str or None
        Name of the trajectory, for runs that provide frames to label.
    coupling : {"iso", "aniso", "tri"}
        What the barostat changes, in NPT.
    supercell : tuple of int
        Repetitions of the unit cell that the cell of this task consists of.
    template : str or None
        LAMMPS input of the user's own, with placeholders.
    """

    FILE: ClassVar[str] = "task.json"

    system: str
    ensemble: Ensemble
    temperature_K: float
    pressure_GPa: float
    replica: int
    timestep_fs: float
    equilibration_steps: int
    steps: int
    dump_every: int
    restart_every: int
    seed: int
    trajectory: str | None = None
    coupling: Coupling = "iso"
    supercell: tuple[int, int, int] = (1, 1, 1)
    template: str | None = None

    def record(self, **outcome: Any) -> MdRun:
        """Return the record of this run, from the fields of :class:`MdRun` that are known at its end only."""
        return MdRun(**self._known(), **outcome)

    def _known(self) -> dict[str, Any]:
        same = (
            "system", "temperature_K", "pressure_GPa", "ensemble", "replica", "seed", "trajectory", "timestep_fs",
            "steps", "equilibration_steps",
        )
        return {
            **{name: getattr(self, name) for name in same}, "dump_every_fs": self.dump_every * self.timestep_fs,
            "own_input": self.template is not None,
        }


class ExplorationTask(MdTask):
    """An exploration run to do: see :class:`ExplorationRun` for its fields."""

    models: tuple[int, ...]
    iteration: int
    stage: int
    cell: str
    epsilon_eV_A: float | None = None

    def record(self, **outcome: Any) -> ExplorationRun:
        """Return the record of this run, from the fields of :class:`ExplorationRun` that are known at its end only."""
        return ExplorationRun(
            **self._known(), **outcome, models=self.models, iteration=self.iteration, stage=self.stage, cell=self.cell,
            n_frames_expected=self.steps // self.dump_every + 1, epsilon_eV_A=self.epsilon_eV_A,
        )
