"""The KPOINTS file of VASP."""

from __future__ import annotations


def kpoints_text(mesh: tuple[int, int, int], gamma: bool) -> str:
    """Return a KPOINTS file: a mesh with Gamma, or a Monkhorst-Pack mesh (shifted where a number is even)."""
    kind = "Gamma" if gamma else "Monkhorst-Pack"
    return f"mesh from KSPACING\n0\n{kind}\n{mesh[0]} {mesh[1]} {mesh[2]}\n0 0 0\n"
