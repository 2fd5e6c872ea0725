#!/usr/bin/env python3
"""A program that behaves like ABACUS on disk: it reads INPUT and STRU, and prints the numbers of a pair potential.

FAKE_ABACUS chooses the words of 3.4 to 3.10 (``old``), those of the development version (``new``), or a failure.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

BOHR_A = 0.529177210903
KBAR = 1602.1766208  # eV/A^3


def read_stru() -> tuple[list[str], np.ndarray, np.ndarray, str]:
    lines = [line.split("#")[0].strip() for line in Path("STRU").read_text().splitlines()]
    lines = [line for line in lines if line]
    scale = float(lines[lines.index("LATTICE_CONSTANT") + 1]) * BOHR_A
    place = lines.index("LATTICE_VECTORS") + 1
    cell = np.array([[float(word) for word in line.split()] for line in lines[place: place + 3]]) * scale
    place = lines.index("ATOMIC_POSITIONS") + 1
    assert lines[place] == "Cartesian"
    place += 1
    symbols: list[str] = []
    positions = []
    while place < len(lines):
        symbol, count = lines[place], int(lines[place + 2])
        for line in lines[place + 3: place + 3 + count]:
            symbols.append(symbol)
            positions.append([float(word) * scale for word in line.split()[:3]])
        place += 3 + count
    return symbols, np.array(positions), cell, "\n".join(lines)


def pair_potential(symbols: list[str], positions: np.ndarray, cell: np.ndarray):
    """Return energy (eV), forces (eV/A) and stress (eV/A^3, ASE's sign)."""
    from ase import Atoms
    from ase.calculators.lj import LennardJones

    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
    atoms.calc = LennardJones(epsilon=0.3, sigma=2.2, rc=5.0, smooth=True)
    forces = atoms.get_forces()
    return atoms.get_potential_energy(), forces, atoms.get_stress(voigt=False)


def table(title: str, rows: list[str], new: bool) -> str:
    line = "-" * 91
    head = f" #{title}#\n{line}\n     Atoms   Force_x   Force_y   Force_z \n" if new else f"{line}\n {title}      \n"
    return head + line + "\n" + "\n".join(rows) + "\n" + line + "\n"


def main() -> int:
    mode = os.environ.get("FAKE_ABACUS", "old")
    given = dict(line.split(None, 1) for line in Path("INPUT").read_text().splitlines()[1:])
    assert Path("KPT").read_text().splitlines()[2] == "Gamma"
    assert given["cal_force"].strip() == given["cal_stress"].strip() == "1"
    print("ABACUS v3.10.0\n" + " START Time")
    if mode == "notice":
        print(" !!!!!!!!!!\n                NOTICE       \n !!!!!!!!!!\n\n can't find pseudopotential Li.upf\n")
        return 1
    out = Path(f"OUT.{given['suffix'].strip()}")
    out.mkdir()
    (out / "SPIN1_CHG.cube").write_text("large")
    if mode == "no_log":
        return 0
    symbols, positions, cell, _ = read_stru()
    energy, forces, stress = pair_potential(symbols, positions, cell)
    new = mode.startswith("new")
    counts: dict[str, int] = {}
    rows = []
    for symbol, force in zip(symbols, forces, strict=True):
        counts[symbol] = counts.get(symbol, 0) + 1
        label = f"{symbol if mode != 'other_atoms' else 'Xe'}{counts[symbol]}"
        rows.append(f"{label:>27}" + "".join(f"{one:20.10f}" for one in force))
    tensor = ["".join(f"{one:20.10f}" for one in row) for row in -stress * KBAR]
    unconverged = "unconverged" in mode
    text = "                              ABACUS v3.10.0\n\n PW ALGORITHM --------------- ION=   1\n"
    if new:
        text += " !!SCF IS NOT CONVERGED!!\n" if unconverged else " #SCF IS CONVERGED#\n"
        text += f" #TOTAL ENERGY# {energy:.12f} eV\n"
    elif unconverged:
        text += " !! convergence has not been achieved @_@\n"
    else:
        text += f"\n charge density convergence is achieved\n final etot is {energy:.12f} eV\n"
    if mode != "no_forces":
        text += table("TOTAL-FORCE (Ry/Bohr)" if mode == "other_unit" else "TOTAL-FORCE (eV/Angstrom)", rows, new)
    if mode != "no_stress":
        text += table("TOTAL-STRESS (kbar)" if new else "TOTAL-STRESS (KBAR)", tensor, new)
    text += f" TOTAL-PRESSURE: {np.trace(-stress) / 3 * KBAR:.6f} KBAR\n\n --------\n !FINAL_ETOT_IS {energy:.12f} eV\n"
    text += "TIME STATISTICS\n Finish Time  : Fri Nov 27 10:00:00 2026\n"
    if mode == "truncated":
        text = text[: text.index("TOTAL-STRESS") + 220]
    if mode == "nan":
        text = text.replace(f"{energy:.12f}", "nan")
    (out / "running_scf.log").write_text(text)
    sys.stdout.flush()
    if mode == "hang":
        time.sleep(600)
    if mode in ("SIGSEGV", "SIGKILL"):
        os.kill(os.getpid(), getattr(signal, mode))
    return {"rank_killed": 137, "error": 1}.get(mode, 0)


if __name__ == "__main__":
    sys.exit(main())
