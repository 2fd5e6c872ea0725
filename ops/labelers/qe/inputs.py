"""The input of pw.x from settings."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.pseudopotentials import Pseudopotential
from dpa_sse.ops.labelers.settings import QeSettings

if TYPE_CHECKING:
    from ase import Atoms

OUT = "out"
EV_PER_RY = 13.605693122994
OWN_KEYS = {
    "ecutwfc": "ecutwfc_Ry", "ecutrho": "ecutrho_Ry", "conv_thr": "conv_thr_Ry", "electron_maxstep": "max_scf",
    "occupations": "smearing_eV", "degauss": "smearing_eV", "nspin": "magnetization",
    "starting_magnetization": "magnetization", "vdw_corr": "vdw", "input_dft": "functional", "pseudo_dir": "pseudo_dir",
    "max_seconds": "timeout_min",
}
"""Keys of pw.x -> the key of the settings that sets them."""
SET_HERE = (
    "calculation", "restart_mode", "prefix", "outdir", "wfcdir", "tprnfor", "tstress", "disk_io", "nstep", "ibrav", "a",
    "b", "c", "cosab", "cosac", "cosbc", "celldm", "nat", "ntyp", "space_group", "verbosity", "startingpot",
    "startingwfc",
)
"""Keys that the labeler writes itself."""
HARMFUL = {
    "scf_must_converge": "labels need self-consistency",
    "lelfield": "the forces would be those in a field", "tefield": "the forces would be those in a field",
    "lfcp": "labels have a fixed number of electrons", "lgcscf": "labels have a fixed number of electrons",
    "twochem": "labels are of the ground state", "qcutz": "the stress would be modified",
    "noncolin": "non-collinear magnetism is not supported", "lspinorb": "spin-orbit coupling is not supported",
    "assume_isolated": "labels are of periodic cells", "london": "use the key `vdw` of the labeler",
    "xdm": "use the key `vdw` of the labeler", "gate": "the forces would be those in a field",
    "dipfield": "the forces would be those in a field",
}
"""Keys that would spoil labels, and why."""
NOT_PHYSICS = (
    "mixing_mode", "mixing_beta", "mixing_ndim", "diagonalization", "diago_thr_init", "diago_cg_maxiter",
    "diago_ppcg_maxiter", "diago_david_ndim", "diago_rmm_ndim", "diago_rmm_conv", "diago_gs_nblock", "adaptive_thr",
    "conv_thr_init", "title", "iprint", "wf_collect", "report", "nosym", "nosym_evc", "noinv",
    "use_all_frac", "force_symmorphic", "no_t_rev",
)
"""Keys that change how a calculation converges, not its result."""
BY_NUMBER = (
    "counts the elements of an input, which differ from cell to cell: it would be about one element here and about "
    "another there; remove it"
)
SECTIONS = ("control", "system", "electrons")


def key_problems(settings: QeSettings) -> Iterator[tuple[str, str]]:
    """Yield key and message of everything in ``keys`` that pw.x does not know, or that would spoil labels."""
    known = _known_keys()
    for key, value in settings.keys.items():
        name, indexed, _ = key.lower().partition("(")
        name = name.strip()
        if indexed and name not in OWN_KEYS:
            yield key, BY_NUMBER
        elif name in OWN_KEYS:
            yield key, f"use the key `{OWN_KEYS[name]}` of the labeler instead"
        elif name in SET_HERE:
            yield key, "is set by the labeler; remove it"
        elif name in HARMFUL and _is_on(value) == (name != "scf_must_converge"):
            yield key, f"{HARMFUL[name]}; remove it"
        elif name not in known:
            yield key, f"pw.x has no such key for a single point{did_you_mean(name, known)}"


def _is_on(value: object) -> bool:
    return value not in (False, 0, "none")


def _known_keys() -> list[str]:
    from ase.io.espresso_namelist.keys import ALL_KEYS

    return [key for section in SECTIONS for key in ALL_KEYS["pw"][section]]


def density_cutoff(settings: QeSettings) -> float:
    """Return the cutoff of the density, Ry."""
    return settings.ecutrho_Ry if settings.ecutrho_Ry is not None else 8 * settings.ecutwfc_Ry


def pw_input(settings: QeSettings, atoms: Atoms, pseudos: Mapping[str, Pseudopotential], folder: Path) -> str:
    """Return the input of a single point with energy, forces and stress.

    Symmetry is not used: cells of labels have none, and a mesh that symmetry reduces would make them depend on it.

    Parameters
    ----------
    settings : QeSettings
        The method.
    atoms : Atoms
        The cell.
    pseudos : mapping
        Pseudopotential by element.
    folder : Path
        Where they are.
    """
    from ase import Atoms as Cell
    from ase.io.espresso import write_espresso_in

    cell = Cell(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell.array, pbc=True)
    system: dict[str, bool | int | float | str] = {
        "ecutwfc": settings.ecutwfc_Ry, "ecutrho": density_cutoff(settings), "nosym": True,
        "input_dft": settings.functional.upper(),
    }
    if settings.smearing_eV:
        width = settings.smearing_eV / EV_PER_RY
        system |= {"occupations": "smearing", "smearing": "gaussian", "degauss": float(f"{width:.10g}")}
    else:
        system["occupations"] = "fixed"
    moments = [settings.magnetization.get(one, 0.0) / pseudos[one].valence for one in cell.symbols]
    if any(moments):
        system["nspin"] = 2
        cell.set_initial_magnetic_moments(moments)  # pw.x counts in fractions of the valence electrons
    if settings.vdw != "none":
        system["vdw_corr"] = settings.vdw
    data: dict[str, dict[str, bool | int | float | str]] = {
        "control": {
            "calculation": "scf", "restart_mode": "from_scratch", "prefix": "pw", "outdir": OUT, "disk_io": "none",
            "pseudo_dir": str(folder), "tprnfor": True, "tstress": True,
        },
        "system": system,
        "electrons": {"conv_thr": settings.conv_thr_Ry, "electron_maxstep": settings.max_scf},
    }
    for key, value in settings.keys.items():
        data[_section_of(key)][key.lower()] = value
    stream = io.StringIO()
    names = {element: one.path.name for element, one in pseudos.items()}
    write_espresso_in(
        stream, cell, input_data=data, pseudopotentials=names, kpts=kspacing_mesh(atoms.cell.array, settings.kspacing)
    )
    return re.sub(r"^&\w+\n/\n", "", stream.getvalue(), flags=re.MULTILINE)  # ASE writes empty namelists, too


def _section_of(key: str) -> str:
    from ase.io.espresso_namelist.keys import ALL_KEYS

    name = key.lower().partition("(")[0].strip()
    return next(section for section in SECTIONS if name in ALL_KEYS["pw"][section])
