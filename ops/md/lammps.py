"""Input files of LAMMPS, from validated numbers and fixed file names only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.md.data_file import atomic_masses
from dpa_sse.ops.md.template import INTEGRATOR, RUN, START, SYSTEM, fill
from dpa_sse.ops.results.md import Coupling, Ensemble, MdTask

BAR_PER_GPA = 1.0e4
TAU_T_PS = 0.1  # Nose-Hoover damping times, as in DP-GEN
TAU_P_PS = 0.5
BAROSTAT_DRAG = 1.0  # NPT only serves to find a volume; undamped, a cold start overshoots it by a quarter
SKIN_A = 1.0
MAX_SEED = 2**31 - 1
WARM_UP = 2  # evaluations of the model before a run resumes from a restart file
THERMO_EVERY = 10
THERMO_COLUMNS = {  # LAMMPS keyword -> column of thermo.csv (metal units)
    "step": "step",
    "time": "time_ps",
    "temp": "temperature_K",
    "press": "pressure_bar",
    "pe": "potential_eV",
    "etotal": "total_eV",
    "vol": "volume_A3",
    "density": "density_g_cm3",
}


@dataclass(frozen=True)
class Simulation:
    """Parameters of one LAMMPS run.

    Attributes
    ----------
    ensemble : {"npt", "nvt", "nve"}
        By default, NPT is isotropic: the cell keeps the shape of the crystal. In the short runs of small cells an
        anisotropic barostat would mainly pick up shape noise, and in a melt it lets the box collapse.
    coupling : {"iso", "aniso", "tri"}
        What the barostat changes: the volume, the lengths of the cell, or the angles, too. The equilibration before a
        run is isotropic always.
    temperature_K, pressure_GPa, timestep_fs : float
        State point and time step.
    steps : int
        Last step of the run, also when it is resumed from a restart file.
    dump_every, thermo_every : int
        Steps between frames and between rows of the log.
    seed : int
        Seed of the initial velocities, 31 bits.
    restart_every : int
        Steps between restart files, 0 for none.
    deviation_every : int
        Steps between rows of ``model_devi.out`` when there are several models.
    max_temperature_K : float or None
        The run halts above this temperature, or if it is NaN.
    """

    ensemble: Ensemble
    temperature_K: float
    timestep_fs: float
    steps: int
    dump_every: int
    thermo_every: int
    seed: int
    pressure_GPa: float = 0.0
    restart_every: int = 0
    deviation_every: int = 0
    max_temperature_K: float | None = None
    coupling: Coupling = "iso"

    def __post_init__(self) -> None:
        """Reject values that LAMMPS would misread.

        Raises
        ------
        InputError
            A value is not a positive (pressure: finite) number, or the ensemble is unknown.
        """
        for name in ("temperature_K", "timestep_fs", "steps", "dump_every", "thermo_every", "seed"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"LAMMPS run: {name} must be a positive number, not {value!r}")
        if not math.isfinite(self.pressure_GPa):
            raise InputError(f"LAMMPS run: pressure_GPa must be a number, not {self.pressure_GPa!r}")
        if self.ensemble not in ("npt", "nvt", "nve"):
            raise InputError(f"LAMMPS run: unknown ensemble {self.ensemble!r}; use npt, nvt or nve")

    @classmethod
    def of(cls, task: MdTask) -> Simulation:
        """Return the parameters of the run that a ``task.json`` describes."""
        return cls(
            ensemble=task.ensemble,
            temperature_K=task.temperature_K,
            pressure_GPa=task.pressure_GPa,
            timestep_fs=task.timestep_fs,
            steps=task.steps,
            dump_every=task.dump_every,
            thermo_every=THERMO_EVERY,
            seed=task.seed,
            restart_every=task.restart_every,
            deviation_every=task.dump_every,
            max_temperature_K=temperature_limit(task.temperature_K),
            coupling=task.coupling,
        )


def temperature_limit(temperature_K: float) -> float:
    """Return the temperature above which a run at ``temperature_K`` counts as exploded, K.

    Three times the target and at most 10^4 K (as in mlipaudit), but at least 1000 K: a strained cell releases
    several hundred kelvin of potential energy at low targets without being unstable.
    """
    return min(max(3.0 * temperature_K, 1000.0), 1.0e4)


@dataclass(frozen=True)
class PartNames:
    """File names of one part of a run, all in the working folder."""

    data: str = "cell.data"
    trajectory: str = "traj.lammpstrj"
    equilibration: str = "equilibration.lammpstrj"
    deviation: str = "model_devi.out"
    state: str = "state"


Box = Literal["orthogonal", "triclinic"]
PotentialLines = Callable[[Sequence[str], Sequence[str], int, PartNames], list[str]]
"""Lines that define the interaction, from the type map, the model files, ``deviation_every`` and the file names."""


@dataclass(frozen=True)
class FreshStart:
    """A run from a data file, with random velocities.

    Attributes
    ----------
    equilibration_steps : int
        Steps of NPT before the run; the run then starts at the mean volume of their second half, from step 0.
    """

    equilibration_steps: int = 0


@dataclass(frozen=True)
class Restart:
    """A run that resumes from a restart file exactly as the interrupted run would have continued."""

    file: str


def deepmd_lines(
    type_map: Sequence[str], models: Sequence[str], deviation_every: int, names: PartNames, *,
    epsilon_eV_A: float | None = None,
) -> list[str]:
    """Return the lines that define a Deep Potential.

    Parameters
    ----------
    type_map : sequence of str
        Written out in ``pair_coeff``: a bare ``* *`` would map the types of the model by their order.
    models : sequence of str
        Model files in the working folder; the first one drives the run, further ones yield the model deviation.
    deviation_every : int
        Steps between rows of the model deviation.
    names : PartNames
    epsilon_eV_A : float, optional
        Write relative deviations of the forces: each is divided by its magnitude plus this.
    """
    masses = atomic_masses(type_map)  # rejects names that are not elements
    style = " ".join(["pair_style deepmd", *models])
    if len(models) > 1:
        style += f" out_file {names.deviation} out_freq {deviation_every}"
        style += "" if epsilon_eV_A is None else f" relative {epsilon_eV_A:.10g}"
    return [
        *(f"mass {index} {mass:.10g}" for index, mass in enumerate(masses, 1)),
        style,
        f"pair_coeff * * {' '.join(type_map)}",
        f"neighbor {SKIN_A} bin",
        "neigh_modify every 1 delay 0 check yes",
    ]


def input_text(
    simulation: Simulation,
    type_map: Sequence[str],
    models: Sequence[str],
    *,
    start: FreshStart | Restart | None = None,
    box: Box = "orthogonal",
    names: PartNames | None = None,
    potential: PotentialLines = deepmd_lines,
    template: str | None = None,
    part: int = 0,
) -> str:
    """Return the LAMMPS input of one run.

    Parameters
    ----------
    simulation : Simulation
    type_map : sequence of str
        Elements in the order of the LAMMPS types.
    models : sequence of str
        Model files in the working folder.
    start : FreshStart or Restart, optional
        A fresh start without equilibration by default.
    box : {"orthogonal", "triclinic"}
        Tilt factors of a triclinic box are scaled with the volume.
    names : PartNames, optional
    potential : callable
        Yields the lines that define the interaction; a Deep Potential by default.
    template : str, optional
        Input of the user's own (:mod:`dpa_sse.ops.md.template`) that the blocks of lines are put into.
    part : int
        Number of the part of an interrupted run, for the template.

    Returns
    -------
    str
    """
    names = names or PartNames()
    start = start or FreshStart()
    interaction = potential(type_map, models, simulation.deviation_every, names)
    system = [*_start_lines(names, start), "", *interaction, "", *_thermo_lines(simulation)]
    begin: list[str] = []
    if isinstance(start, FreshStart):
        begin = [f"velocity all create {simulation.temperature_K:.10g} {simulation.seed} mom yes rot no dist gaussian"]
        if start.equilibration_steps:
            begin += ["", *_equilibration_lines(simulation, type_map, start.equilibration_steps, box, names)]
    run = _guard_lines(simulation)
    if isinstance(start, Restart):  # after the integrator, whose restart data is forgotten after the first run
        run += ["", *_warm_up_lines()]
    run += ["", *_dump_lines(simulation, type_map, names.trajectory), "", *_run_lines(simulation, names, box)]
    blocks = {SYSTEM: system, START: begin, INTEGRATOR: _move_lines(simulation), RUN: run}
    if template is None:
        return "\n\n".join("\n".join(lines) for lines in blocks.values() if lines) + "\n"
    return fill(template, blocks, {
        "temperature_K": f"{simulation.temperature_K:.10g}", "steps": simulation.steps,
        "pressure_bar": f"{simulation.pressure_GPa * BAR_PER_GPA:.10g}", "dump_every": simulation.dump_every,
        "timestep_ps": f"{simulation.timestep_fs * 1e-3:.10g}", "elements": " ".join(type_map),
        "seed": (simulation.seed + part) % MAX_SEED or 1, "part": f"part.{part:03d}",
    })


def _run_lines(simulation: Simulation, names: PartNames, box: Box) -> list[str]:
    run = [f"run {simulation.steps} upto"]
    if simulation.restart_every:
        # Nose-Hoover keeps numbers that are not in a restart file; `every` sets it up again at each restart step,
        # in uninterrupted runs as well, and both give the same bits
        every = simulation.restart_every
        # reading a restart file converts the positions of a tilted box to fractions and back, which changes their last
        # bits; `write_restart` does the same to an uninterrupted run
        between = f'"write_restart {names.state}.turn"' if box == "triclinic" else "NULL"
        run = [f"restart {every} {names.state}.a {names.state}.b", f"{run[0]} every {every} {between}"]
    return run


def _start_lines(names: PartNames, start: FreshStart | Restart) -> list[str]:
    # sorting would reorder the atoms at steps that depend on restarts, and the order affects the last bits
    lines = ["units metal", "boundary p p p", "atom_style atomic", "atom_modify map yes sort 0 0.0"]
    return [*lines, f"read_restart {start.file}" if isinstance(start, Restart) else f"read_data {names.data}"]


def _thermo_lines(simulation: Simulation) -> list[str]:
    return [
        f"timestep {simulation.timestep_fs * 1e-3:.10g}",
        f"thermo {simulation.thermo_every}",
        "thermo_style custom " + " ".join(THERMO_COLUMNS),
        "thermo_modify format float %.12g flush yes",
    ]


def _warm_up_lines() -> list[str]:
    """Return the lines that evaluate a freshly loaded model before a run resumes, and then put the atoms back.

    TorchScript optimises a model during its first evaluations, whose last bits therefore differ from all later ones.
    """
    return [
        "fix start all store/state 0 x y z",
        *(["run 0 post no"] * WARM_UP),
        *(f"variable start_{axis} atom f_start[{number}]" for number, axis in enumerate("xyz", 1)),
        "set group all x v_start_x y v_start_y z v_start_z",
        "unfix start",
    ]


def _equilibration_lines(
    simulation: Simulation, type_map: Sequence[str], steps: int, box: Box, names: PartNames
) -> list[str]:
    change = [f"{axis} scale $(v_scale:%.17g)" for axis in "xyz"]
    if box == "triclinic":
        # `x scale` does not change the tilts; they must be scaled too, to keep the shape of the box
        change += [f"{tilt} final $({tilt}*v_scale:%.17g)" for tilt in ("xy", "xz", "yz")]
    return [
        "# equilibration: NPT; the mean volume of its second half is the volume of the run",
        *_integrator_lines(replace(simulation, ensemble="npt", coupling="iso")),
        *_dump_lines(simulation, type_map, names.equilibration),
        "variable volume equal vol",
        f"fix mean all ave/time 1 {max(1, steps // 2)} {steps} v_volume",
        f"run {steps}",
        "variable scale equal (f_mean/vol)^(1.0/3.0)",
        f"change_box all {' '.join(change)} remap units box",
        "undump traj",
        "unfix mean",
        "unfix move",
        *(["unfix guard"] if simulation.max_temperature_K is not None else []),
        "reset_timestep 0",
        "",
        "# the run",
    ]


def _integrator_lines(simulation: Simulation) -> list[str]:
    return [*_move_lines(simulation), *_guard_lines(simulation)]


def _move_lines(simulation: Simulation) -> list[str]:
    temperature, pressure = simulation.temperature_K, simulation.pressure_GPa * BAR_PER_GPA
    thermostat = f"temp {temperature:.10g} {temperature:.10g} {TAU_T_PS}"
    if simulation.ensemble == "npt":
        # without fixedpoint the box would expand about its centre, whose last bits change at a restart
        barostat = (
            f"{simulation.coupling} {pressure:.10g} {pressure:.10g} {TAU_P_PS} drag {BAROSTAT_DRAG} fixedpoint 0 0 0"
        )
        if simulation.coupling == "tri":  # a flipped box would be another one in the trajectory
            barostat += " flip no"
        return [f"fix move all npt {thermostat} {barostat}"]
    return ["fix move all nve" if simulation.ensemble == "nve" else f"fix move all nvt {thermostat}"]


def _guard_lines(simulation: Simulation) -> list[str]:
    if simulation.max_temperature_K is None:
        return []
    return [  # "not below" rather than "above": NaN halts the run as well
        f'variable too_hot equal "!(temp < {simulation.max_temperature_K:.10g})"',
        "fix guard all halt 10 v_too_hot > 0.5 error hard",
    ]


def _dump_lines(simulation: Simulation, type_map: Sequence[str], name: str) -> list[str]:
    return [
        f"dump traj all custom {simulation.dump_every} {name} id element xu yu zu",
        f"dump_modify traj sort id format float %.9g element {' '.join(type_map)}",
    ]
