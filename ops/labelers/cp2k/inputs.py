"""Inputs of CP2K from settings, or from a user's template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import AimdRun
from dpa_sse.ops.labelers.cp2k.kinds import POTENTIAL_FILE, choose_kinds
from dpa_sse.ops.labelers.cp2k.sections import Values, parse, section_text
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.settings import Cp2kSettings

if TYPE_CHECKING:
    from ase import Atoms

PROJECT = "run"
OUTER_SCF = 6
GPA_TO_BAR = 1.0e4
EWALD_ALPHA = 0.5  # 1/A
EWALD_POINTS_PER_A = 6
PRINTED: Values = {"FORCES ON": {"NDIGITS": 12}, "STRESS_TENSOR ON": {}}
"""Twelve digits of hartree/bohr: with fewer, the rounding of the forces would show in finite differences."""


def single_point_input(settings: Cp2kSettings, atoms: Atoms, data: Path) -> str:
    """Return the input for energy, forces and stress of one frame.

    Raises
    ------
    InputError
        An element has no basis set or potential.
    """
    return _input(settings, atoms, data, "ENERGY_FORCE", {}, {})


def dynamics_input(
    settings: Cp2kSettings, run: AimdRun, data: Path, *, done: int = 0, restart: str | None = None
) -> str:
    """Return the input for molecular dynamics.

    Parameters
    ----------
    settings : Cp2kSettings
        The method.
    run : AimdRun
        Start, ensemble and length.
    data : Path
        Folder of basis sets and potentials.
    done : int
        Finished steps of a run that is resumed.
    restart : str, optional
        Restart file to resume from; it provides positions, cell, velocities, thermostat and its random numbers.
    """
    extra = {"EXT_RESTART": {"RESTART_FILE_NAME": restart}} if restart else {}
    # CP2K takes a positive seed; it counts with 32 bit integers.
    more = {"SEED": run.seed % (2**31 - 2) + 1}
    return _input(settings, run.atoms, data, "MD", {"MOTION": _motion(run, run.settings.steps - done), **extra}, more)


def kpoint_mesh(settings: Cp2kSettings, cell: np.ndarray) -> tuple[int, int, int]:
    """Return the k-point mesh of a cell; Gamma only if the settings have no spacing."""
    if settings.kspacing is None or settings.method != "dft":
        return 1, 1, 1
    return kspacing_mesh(cell, settings.kspacing)


def _input(
    settings: Cp2kSettings, atoms: Atoms, data: Path, run_type: str, top: dict[str, Any], more: dict[str, Any]
) -> str:
    head = {"PROJECT": PROJECT, "RUN_TYPE": run_type, "PRINT_LEVEL": "MEDIUM", **more}
    if settings.template is not None:
        return _from_template(settings.template, atoms, head, top)
    method = _xtb(settings, atoms) if settings.method == "gfn1-xtb" else _dft(settings, atoms, data)
    kinds = method.pop("KINDS")
    force: Values = {
        "METHOD": "QUICKSTEP", "STRESS_TENSOR": "ANALYTICAL", "DFT": method, "PRINT": PRINTED,
        "SUBSYS": {**_structure(atoms), **kinds},
    }
    return section_text({"GLOBAL": head, **top, "FORCE_EVAL": force})


def _from_template(text: str, atoms: Atoms, head: dict[str, Any], top: dict[str, Any]) -> str:
    tree = parse(text)
    tree.drop("MOTION", "EXT_RESTART")
    settings = tree.child("GLOBAL")
    settings.drop("PROJECT", "PROJECT_NAME", "RUN_TYPE", "PRINT_LEVEL", "IOLEVEL", "SEED")
    settings.put(section_text(head, 1))
    force = tree.child("FORCE_EVAL")
    printed = force.child("PRINT")
    printed.drop("FORCES", "STRESS_TENSOR")
    printed.put(section_text(PRINTED, 2))
    system = force.child("SUBSYS")
    system.drop("CELL", "COORD", "TOPOLOGY", "VELOCITY")
    system.put(section_text(_structure(atoms), 2))
    tree.put(section_text(top))
    return tree.text()


def _structure(atoms: Atoms) -> dict[str, Any]:
    """Return cell and coordinates with all digits of a double."""
    cell = {name: _vector(row) for name, row in zip("ABC", atoms.cell.array, strict=True)}
    coordinates = [f"{symbol} {_vector(row)}" for symbol, row in zip(atoms.symbols, atoms.positions, strict=True)]
    return {"CELL": cell, "COORD": {"": coordinates}}


def _vector(row: Sequence[float]) -> str:
    return " ".join(f"{value:.15g}" for value in row)


def _xtb(settings: Cp2kSettings, atoms: Atoms) -> dict[str, Any]:
    # CP2K's default grid of the Ewald sum leaves errors of 10 meV and 1 meV/A in a cell of 5 A.
    grid = " ".join(str(2 * math.ceil(length * EWALD_POINTS_PER_A / 2) + 1) for length in atoms.cell.lengths())
    parameters = {"DISPERSION_PARAMETER_FILE": "dftd3.dat", "PARAM_FILE_NAME": "xTB_parameters"}
    return {
        "QS": {
            "METHOD": "XTB", "EPS_DEFAULT": "1.0E-12",
            # Outside the range of valence charges the method is meaningless: CP2K must stop then.
            "XTB": {"DO_EWALD": "T", "CHECK_ATOMIC_CHARGES": "T", "PARAMETER": parameters},
        },
        "POISSON": {"EWALD": {"EWALD_TYPE": "SPME", "ALPHA": EWALD_ALPHA, "GMAX": grid, "O_SPLINE": 6}},
        "SCF": {
            "SCF_GUESS": "MOPAC", "EPS_SCF": f"{settings.eps_scf:.1E}", "MAX_SCF": settings.max_scf,
            **_smearing(settings),
        },
        "KINDS": {},
    }


def _dft(settings: Cp2kSettings, atoms: Atoms, data: Path) -> dict[str, Any]:
    kinds = choose_kinds(settings, list(dict.fromkeys(atoms.symbols)), data)
    mesh = kpoint_mesh(settings, atoms.cell.array)
    orbital = settings.scf == "ot" or (settings.scf == "auto" and mesh == (1, 1, 1) and not settings.smearing_K)
    scf: dict[str, Any] = {
        "SCF_GUESS": "ATOMIC", "EPS_SCF": f"{settings.eps_scf:.1E}", "MAX_SCF": settings.max_scf,
    }
    if orbital:
        if mesh != (1, 1, 1):
            raise InputError(f"scf: ot supports Gamma only, but kspacing gives {mesh} k-points (kspacing: null?)")
        scf["OT"] = {"MINIMIZER": "DIIS", "PRECONDITIONER": "FULL_ALL", "ENERGY_GAP": 0.1}
        scf["OUTER_SCF"] = {"EPS_SCF": scf["EPS_SCF"], "MAX_SCF": OUTER_SCF - 1}
    else:
        scf["DIAGONALIZATION"] = {"ALGORITHM": "STANDARD"}
        scf["MIXING"] = {"METHOD": "BROYDEN_MIXING", "ALPHA": 0.3, "NBROYDEN": 8}
        scf.update(_smearing(settings))
    parametrization = {"PARAMETRIZATION": "PBESOL"} if settings.functional == "PBEsol" else {}
    grid = " ".join(map(str, mesh))
    points = {"SCHEME": f"MONKHORST-PACK {grid}", "SYMMETRY": "OFF", "FULL_GRID": "OFF"}
    return {
        "BASIS_SET_FILE_NAME": list(dict.fromkeys(kind.basis_file for kind in kinds)),
        "POTENTIAL_FILE_NAME": POTENTIAL_FILE,
        "QS": {"METHOD": "GPW", "EPS_DEFAULT": "1.0E-12"},
        "MGRID": {
            "NGRIDS": 5, "CUTOFF": f"[Ry] {settings.cutoff_Ry:g}", "REL_CUTOFF": f"[Ry] {settings.rel_cutoff_Ry:g}",
        },
        **({} if mesh == (1, 1, 1) else {"KPOINTS": points}),
        "SCF": scf,
        "XC": {"XC_FUNCTIONAL": {"PBE": parametrization}},
        "KINDS": {
            f"KIND {kind.element}": {"BASIS_SET": f"ORB {kind.basis}", "POTENTIAL": kind.potential} for kind in kinds
        },
    }


def _smearing(settings: Cp2kSettings) -> dict[str, Any]:
    if not settings.smearing_K:
        return {}
    smear = {"METHOD": "FERMI_DIRAC", "ELECTRONIC_TEMPERATURE": f"[K] {settings.smearing_K:g}"}
    return {"ADDED_MOS": -1, "SMEAR ON": smear}


def _motion(run: AimdRun, steps: int) -> dict[str, Any]:
    settings = run.settings
    time = f"[fs] {settings.damping_fs:g}"
    npt = settings.ensemble == "npt"
    dynamics: dict[str, Any] = {
        "ENSEMBLE": "NPT_F" if npt else "LANGEVIN" if settings.thermostat == "langevin" else "NVT",
        "STEPS": steps, "TIMESTEP": f"[fs] {settings.timestep_fs:g}", "TEMPERATURE": f"[K] {run.temperature_K:g}",
    }
    if settings.thermostat == "langevin":
        dynamics["LANGEVIN"] = {"GAMMA": f"[fs^-1] {1 / settings.damping_fs:.8g}"}
    else:
        kind = "NOSE" if settings.thermostat == "nose-hoover" else "CSVR"
        dynamics["THERMOSTAT"] = {"TYPE": kind, kind: {"TIMECON": time}}
    if npt:
        dynamics["BAROSTAT"] = {
            "PRESSURE": f"[bar] {settings.pressure_GPa * GPA_TO_BAR:.8g}",
            "TIMECON": f"[fs] {settings.pressure_damping_fs:g}",
        }
    every = {"EACH": {"MD": 1}}  # frames are picked afterwards: output and files stay in step
    printed = {
        "TRAJECTORY": every, "CELL": every, "RESTART": {"BACKUP_COPIES": 1, **every},
        "RESTART_HISTORY OFF": {},
    }
    return {"MD": dynamics, "PRINT": printed}
