"""Outputs in the words and columns of CP2K 2025 and 2026, made from stored ones of older versions.

The layout is that of ``write_forces_to_screen``, ``write_stress_tensor`` and ``force_env_calc_energy_force`` in the
source of CP2K 2026.1; units are those that a user may choose, by default those of CP2K.
"""

from __future__ import annotations

import re
from math import sqrt

ENERGY = {
    "hartree": 1.0, "eV": 27.211386246, "Ry": 2.0, "kjmol": 2625.49964, "kcalmol": 627.509474,
}
FORCE = {"hartree/bohr": 1.0, "eV/angstrom": 51.4220675, "Ry/bohr": 2.0, "mN": 8.2387235e-5}
STRESS = {"bar": 1e4, "kbar": 10.0, "GPa": 1.0, "Pa": 1e9, "atm": 9869.2327}
ABORT = """
 *******************************************************************************
 *   ___                                                                       *
 *  /   \\                                                                      *
 * [ABORT]                                                                     *
 *  \\___/    SCF run NOT converged. To continue the calculation regardless,    *
 *    |      please set the keyword IGNORE_CONVERGENCE_FAILURE.                *
 *  O/|                                                                        *
 * /| |                                                                        *
 * / \\                                                            qs_scf.F:717 *
 *******************************************************************************
"""
"""What versions from 2024 on print instead of an energy if the SCF does not converge."""


def as_new(text: str, energy: str = "hartree", force: str = "hartree/bohr", stress: str = "bar") -> str:
    """Return the same numbers as CP2K 2025 and 2026 print them."""

    def energies(match: re.Match[str]) -> str:
        return f"{match[1]} [{energy}]".ljust(54) + f"{float(match[2]) * ENERGY[energy]:26.15f}"

    def forces(match: re.Match[str]) -> str:
        rows = [line.split() for line in match[1].strip().splitlines()]
        lines = [f" FORCES| Atomic forces [{force}]", " FORCES|   Atom     x                    y                    z"]
        total = [0.0, 0.0, 0.0]
        for row in rows:
            numbers = [float(word) * FORCE[force] for word in row[3:6]]
            total = [a + b for a, b in zip(total, numbers, strict=True)]
            size = sqrt(sum(one * one for one in numbers))
            printed = "".join(f" {one:19.12E}" for one in numbers)
            lines.append(f" FORCES|{int(row[0]):7d}{printed}  {size:19.12E}")
        lines.append(" FORCES| Sum  " + "".join(f" {one:19.12E}" for one in total))
        lines.append(f" FORCES| Total atomic force{0.0:52.12E}")
        return "\n".join(lines) + "\n"

    def tensor(match: re.Match[str]) -> str:
        return re.sub(r"(\S+)E([+-]\d\d)", lambda one: f"{float(one[0]) * STRESS[stress]:.11E}", match[0]).replace(
            "[GPa]", f"[{stress}]"
        )

    text = re.sub(r"( ENERGY\| Total FORCE_EVAL \([^)]*\) energy) \[a\.u\.\]: +(\S+)", energies, text)
    text = re.sub(r" ATOMIC FORCES in \[a\.u\.\]\n\n.*\n((?: +\d.*\n)+) SUM OF.*\n", forces, text)
    return re.sub(r" STRESS\| Analytical.*\n.*\n(?: STRESS\| +[xyz].*\n){3}", tensor, text)


def aborted(text: str) -> str:
    """Return the output of a run whose SCF did not converge, up to the message of new versions."""
    return text[: text.index("\n ENERGY|")] + ABORT
