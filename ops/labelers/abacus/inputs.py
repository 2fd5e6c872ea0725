"""INPUT, KPT and STRU of ABACUS from settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.abacus.keys import key_value
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.programs import named_folder
from dpa_sse.ops.labelers.pseudopotentials import Pseudopotential
from dpa_sse.ops.labelers.settings import AbacusSettings

if TYPE_CHECKING:
    from ase import Atoms

SUFFIX = "ABACUS"
EV_PER_RY = 13.605693122994
ORBITAL_VARIABLE = "ABACUS_ORB_PATH"


def species_order(atoms: Atoms) -> tuple[list[str], NDArray[np.int_]]:
    """Return the elements in the order of STRU, and the atoms in it: ABACUS has them grouped by element."""
    species = list(dict.fromkeys(atoms.get_chemical_symbols()))
    types = np.array([species.index(one) for one in atoms.get_chemical_symbols()])
    return species, np.argsort(types, kind="stable")


def input_text(settings: AbacusSettings, magnetic: bool, pseudo_dir: str, orbital_dir: str) -> str:
    """Return the file INPUT of a single point with energy, forces and stress."""
    lines: dict[str, str] = {
        "suffix": SUFFIX, "calculation": "scf", "esolver_type": "ksdft", "basis_type": settings.basis,
        "pseudo_dir": pseudo_dir, **({"orbital_dir": orbital_dir} if settings.basis == "lcao" else {}),
        "dft_functional": settings.functional.upper(), "ecutwfc": f"{settings.ecutwfc_Ry:.10g}",
        "scf_thr": f"{settings.scf_thr:.10g}", "scf_nmax": str(settings.max_scf), "symmetry": "0", "gamma_only": "0",
        "nspin": "2" if magnetic else "1", "vdw_method": settings.vdw, "init_chg": "atomic",
        "cal_force": "1", "cal_stress": "1",
    }
    if settings.smearing_eV:
        lines |= {"smearing_method": "gauss", "smearing_sigma": f"{settings.smearing_eV / EV_PER_RY:.10g}"}
    else:
        lines["smearing_method"] = "fixed"
    lines |= {key: key_value(value) for key, value in settings.keys.items()}
    return "INPUT_PARAMETERS\n" + "".join(f"{key:24}{value}\n" for key, value in lines.items())


def kpt_text(cell: NDArray[np.float64], kspacing: float) -> str:
    """Return the file KPT: a mesh with Gamma."""
    mesh = kspacing_mesh(cell, kspacing)
    return f"K_POINTS\n0\nGamma\n{mesh[0]} {mesh[1]} {mesh[2]} 0 0 0\n"


def stru_text(
    settings: AbacusSettings, atoms: Atoms, pseudos: Mapping[str, Pseudopotential], orbitals: Mapping[str, str]
) -> str:
    """Return the file STRU, written by dpdata.

    Parameters
    ----------
    settings : AbacusSettings
        Magnetic moments.
    atoms : Atoms
        The cell.
    pseudos : mapping
        Pseudopotential by element.
    orbitals : mapping
        Name of the orbital file by element; empty for plane waves.
    """
    from ase.data import atomic_masses, atomic_numbers
    from dpdata.formats.abacus.stru import make_unlabeled_stru

    species, order = species_order(atoms)
    symbols = [atoms.get_chemical_symbols()[k] for k in order]
    moments = [settings.magnetization.get(one, 0.0) for one in symbols]
    data = {
        "atom_names": species, "atom_numbs": [symbols.count(one) for one in species],
        "atom_types": np.array([species.index(one) for one in symbols]), "cells": atoms.cell.array[None],
        "coords": atoms.positions[order][None],
    }
    return str(make_unlabeled_stru(
        data, 0, pp_file=[pseudos[one].path.name for one in species],
        numerical_orbital=[orbitals[one] for one in species] if orbitals else None,
        mass=[float(atomic_masses[atomic_numbers[one]]) for one in species], mag=moments if any(moments) else None,
    ))


def orbital_folder(settings: AbacusSettings) -> Path:
    """Return the folder of orbital files.

    Raises
    ------
    InputError
        It is not named, does not exist, or is relative.
    """
    folder = named_folder(settings.orbital_dir, "orbital_dir", ORBITAL_VARIABLE, "orbital files")
    if not folder.is_absolute():
        raise InputError(f"orbital_dir: {folder} must be an absolute path, since tasks run in their own folders")
    return folder


def find_orbitals(elements: Sequence[str], settings: AbacusSettings) -> dict[str, Path]:
    """Return the orbital file of each element; empty for plane waves.

    Raises
    ------
    InputError
        An element has none, several, or one of another element.
    """
    if settings.basis == "pw":
        return {}
    folder = orbital_folder(settings)
    return {element: _orbital(folder, element, settings.orbitals.get(element)) for element in dict.fromkeys(elements)}


def _orbital(folder: Path, element: str, named: str | None) -> Path:
    if named:
        path = folder / named
        if not path.is_file():
            raise InputError(f"{path}: no such orbital file")
        found = [path]
    else:
        pattern = re.compile(rf"{element}([._-].*)?\.orb", re.IGNORECASE)
        found = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(
            f"{len(found)} orbital files of {element} in {folder} ({names}): choose with orbitals: "
            f"{{{element}: {found[0].name}}}"
        )
    if not found:
        raise InputError(f"no orbital file of {element} in {folder} ({element}_*.orb)")
    match = re.search(r"^\s*Element\s+(\w+)", found[0].read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if match is None:
        raise InputError(f"{found[0]} is not an orbital file of ABACUS: it names no Element")
    if match[1] != element:
        raise InputError(f"{found[0]} is an orbital file of {match[1]}, not of {element}")
    return found[0]
