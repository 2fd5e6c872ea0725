"""Data files and input files of LAMMPS, from validated numbers and fixed file names only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.results.md import Coupling, Ensemble, MdTask

if TYPE_CHECKING:
    from ase import Atoms

BAR_PER_GPA = 1.0e4
TAU_T_PS = 0.1  # Nose-Hoover damping times, as in DP-GEN
TAU_P_PS = 0.5
BAROSTAT_DRAG = 1.0  # NPT only serves to find a volume; undamped, a cold start overshoots it by a quarter
SKIN_A = 1.0
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


def atomic_masses(type_map: Sequence[str]) -> list[float]:
    """Return the standard atomic masses of the elements in ``type_map``, g/mol.

    Raises
    ------
    InputError
        A name is not a chemical element.
    """
    from ase.data import atomic_masses as masses
    from ase.data import atomic_numbers

    unknown = [element for element in type_map if element not in atomic_numbers or element == "X"]
    if unknown:
        raise InputError(f"type_map contains names that are not chemical elements: {', '.join(map(repr, unknown))}")
    return [float(masses[atomic_numbers[element]]) for element in type_map]


def write_lammps_data(
    path: Path, atoms: Atoms, type_map: Sequence[str], *, triclinic: bool = False
) -> np.ndarray:
    """Write a LAMMPS data file (metal units, atom_style atomic) and return the rotation.

    LAMMPS requires the first cell vector along x and the second in the xy plane, so the cell is rotated, and
    a strongly tilted cell is replaced by an equivalent one with small tilts.

    Parameters
    ----------
    path : Path
    atoms : ase.Atoms
        Periodic in three directions.
    type_map : sequence of str
        LAMMPS type ``i + 1`` is ``type_map[i]``, including elements that this cell does not contain.
    triclinic : bool
        Write the tilt factors of an orthogonal cell, too: its angles may then change.

    Returns
    -------
    ndarray, shape (3, 3)
        ``vectors @ rotation`` turns vectors of ``atoms`` (forces, positions) into those of LAMMPS.

    Raises
    ------
    InputError
        An element is not in ``type_map``, or the cell is not periodic in three directions or is empty.
    """
    from ase.calculators.lammps import Prism

    symbols = atoms.get_chemical_symbols()
    missing = sorted(set(symbols) - set(type_map))
    if missing:
        raise InputError(f"elements {missing} of the cell are not in type_map {list(type_map)}")
    if not all(atoms.pbc) or not len(atoms) or abs(atoms.get_volume()) < 1e-3:
        raise InputError("a LAMMPS cell must be periodic in three directions and contain atoms")
    prism = Prism(atoms.cell.array, pbc=True, reduce_cell=True)
    positions = prism.vector_to_lammps(atoms.positions, wrap=True)
    lx, ly, lz, *tilts = prism.get_lammps_prism()
    lines = ["cell of the dpa-sse pipeline", "", f"{len(atoms)} atoms", f"{len(type_map)} atom types", ""]
    lines += [f"0 {length:.17g} {axis}lo {axis}hi" for axis, length in zip("xyz", (lx, ly, lz), strict=True)]
    if prism.is_skewed() or triclinic:
        lines.append(" ".join(f"{tilt:.17g}" for tilt in tilts) + " xy xz yz")
    lines += ["", "Masses", ""]
    lines += [f"{index} {mass:.10g}" for index, mass in enumerate(atomic_masses(type_map), 1)]
    lines += ["", "Atoms # atomic", ""]
    types = {element: index for index, element in enumerate(type_map, 1)}
    for index, (symbol, (x, y, z)) in enumerate(zip(symbols, positions, strict=True), 1):
        lines.append(f"{index} {types[symbol]} {x:.17g} {y:.17g} {z:.17g}")
    write_text(path, "\n".join(lines) + "\n")
    return prism.rot_mat


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

    Returns
    -------
    str
    """
    names = names or PartNames()
    start = start or FreshStart()
    blocks = [_start_lines(names, start), potential(type_map, models, simulation.deviation_every, names)]
    blocks.append(_thermo_lines(simulation))
    if isinstance(start, FreshStart):
        blocks.append([
            f"velocity all create {simulation.temperature_K:.10g} {simulation.seed} mom yes rot no dist gaussian"
        ])
        if start.equilibration_steps:
            blocks.append(_equilibration_lines(simulation, type_map, start.equilibration_steps, box, names))
    blocks.append(_integrator_lines(simulation))
    if isinstance(start, Restart):  # after the integrator, whose restart data is forgotten after the first run
        blocks.append(_warm_up_lines())
    blocks.append(_dump_lines(simulation, type_map, names.trajectory))
    run = [f"run {simulation.steps} upto"]
    if simulation.restart_every:
        # Nose-Hoover keeps numbers that are not in a restart file; `every` sets it up again at each restart step,
        # in uninterrupted runs as well, and both give the same bits
        every = simulation.restart_every
        # reading a restart file converts the positions of a tilted box to fractions and back, which changes their last
        # bits; `write_restart` does the same to an uninterrupted run
        between = f'"write_restart {names.state}.turn"' if box == "triclinic" else "NULL"
        run = [f"restart {every} {names.state}.a {names.state}.b", f"{run[0]} every {every} {between}"]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, run]) + "\n"


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
    temperature, pressure = simulation.temperature_K, simulation.pressure_GPa * BAR_PER_GPA
    thermostat = f"temp {temperature:.10g} {temperature:.10g} {TAU_T_PS}"
    if simulation.ensemble == "npt":
        # without fixedpoint the box would expand about its centre, whose last bits change at a restart
        barostat = (
            f"{simulation.coupling} {pressure:.10g} {pressure:.10g} {TAU_P_PS} drag {BAROSTAT_DRAG} fixedpoint 0 0 0"
        )
        if simulation.coupling == "tri":  # a flipped box would be another one in the trajectory
            barostat += " flip no"
        lines = [f"fix move all npt {thermostat} {barostat}"]
    else:
        lines = ["fix move all nve" if simulation.ensemble == "nve" else f"fix move all nvt {thermostat}"]
    if simulation.max_temperature_K is not None:
        # "not below" rather than "above": NaN halts the run as well
        lines += [
            f'variable too_hot equal "!(temp < {simulation.max_temperature_K:.10g})"',
            "fix guard all halt 10 v_too_hot > 0.5 error hard",
        ]
    return lines


def _dump_lines(simulation: Simulation, type_map: Sequence[str], name: str) -> list[str]:
    return [
        f"dump traj all custom {simulation.dump_every} {name} id element xu yu zu",
        f"dump_modify traj sort id format float %.9g element {' '.join(type_map)}",
    ]
