"""Settings of the structure steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ops.settings import Settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]


class SystemSettings(Settings):
    """One composition: a library entry or a structure file, made into an ordered cell."""

    name: Name = Field(description="Name of the system in folders, tables and figures.")
    structure: str = Field(
        description="Library name (`dpa-sse structures list`), a file (CIF, POSCAR, extxyz) or a composition."
    )
    supercell: tuple[int, int, int] = Field((1, 1, 1), description="Repetitions along a, b, c.")
    site_disorder: float | None = Field(
        None, ge=0, le=1, description="Argyrodites: fraction of the 4c sites that hold the halide (0 = ordered)."
    )


class PerturbSettings(Settings):
    """Seeded strain of the cell and displacement of the atoms."""

    count: int = Field(4, ge=1, le=10_000, description="Perturbed cells per system.")
    strain: float = Field(0.03, ge=0, le=0.3, description="Largest absolute component of the strain tensor.")
    displacement_A: float = Field(0.1, ge=0, le=1.0, description="Largest displacement of an atom, Angstrom.")
