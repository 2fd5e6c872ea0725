"""Settings of the structure steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.settings import Settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]


class SystemSettings(Settings):
    """One composition: a library entry or a structure file, from which an ordered cell is built."""

    name: Name = Field(description="Name of the system in folders, tables and figures.")
    structure: str = Field(
        description="Library name (`dpa-sse structures list`), a file (CIF, POSCAR, extxyz, CP2K, LAMMPS data) or a "
        "composition; with `series`, its amounts may be written like Ge{1-x}Sn{x}."
    )
    supercell: tuple[int, int, int] = Field((1, 1, 1), description="Repetitions of the cell along a, b, c.")
    atoms: tuple[int, int] | None = Field(
        None, description="Smallest and largest number of atoms of a near-cubic supercell, instead of `supercell`."
    )
    min_edge_A: float | None = Field(
        None, gt=0, le=60, description="Smallest distance between opposite faces of the supercell, A, instead of "
        "`supercell`."
    )
    orthogonal: bool = Field(False, description="Only supercells with right angles; needs `atoms` or `min_edge_A`.")
    site_disorder: float | None = Field(
        None, ge=0, le=1, description="Argyrodites: fraction of the 4c sites occupied by the halide; 0: ordered."
    )
    contact_A: float = Field(
        2.0, ge=0.5, le=4, description="Partly occupied sites closer than this are never occupied together, A."
    )
    mixing: Literal["random", "sqs"] = Field(
        "random", description="Solid solutions: sites occupied at random, or as a special quasi-random structure."
    )
    series: dict[str, list[float]] | None = Field(
        None,
        description="One system per value: {x: [0, 0.25, 0.5]} for a variable in `structure`, or site_disorder.",
    )
    count: int = Field(
        1, ge=1, le=100, description="Distinct arrangements of the atoms, each with separate runs; the conductivity is "
        "that of all together, with their spread in its interval."
    )
    arrangement: int | None = Field(
        None, ge=0, lt=100, description="Index of the arrangement, best first; set by `count`, else the best."
    )

    @field_validator("atoms")
    @classmethod
    def _range(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not 1 <= value[0] <= value[1] <= 100_000:
            raise ValueError(f"must be the smallest and the largest number of atoms, not {value[0]}, {value[1]}")
        return value

    @field_validator("orthogonal")
    @classmethod
    def _free_size(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("atoms") is None and info.data.get("min_edge_A") is None:
            raise ValueError("needs the size of the supercell: give `atoms` or `min_edge_A`")
        return value

    @field_validator("series")
    @classmethod
    def _possible(cls, value: dict[str, list[float]] | None, info: ValidationInfo) -> dict[str, list[float]] | None:
        from dpa_sse.ops.structures.series import expand_system

        if value is not None and "structure" in info.data:
            try:
                expand_system({"name": "x", "structure": info.data["structure"], "series": value})
            except InputError as error:
                raise ValueError(str(error)) from error
        return value


class PerturbSettings(Settings):
    """Random, seeded strain of the cell and displacement of the atoms."""

    count: int = Field(4, ge=1, le=10_000, description="Perturbed cells per system.")
    arrangements: int = Field(
        1, ge=1, le=100, description="Distinct arrangements of partly occupied or mixed sites from which the cells of "
        "a system are made, each an equal share. With two or more, whole arrangements are held out for testing; the "
        "best one, with which production starts, is always trained on."
    )
    strain: float = Field(0.03, ge=0, le=0.3, description="Largest absolute component of the strain tensor.")
    volume_preserving: bool = Field(False, description="Strain changes only the shape of the cell.")
    displacement_A: float = Field(0.1, ge=0, le=1.0, description="Largest displacement of an atom, A.")
    distribution: Literal["uniform", "normal"] = Field(
        "uniform", description="Displacements uniform in a sphere, or normal (standard deviation displacement_A / 3)."
    )
    min_distance_A: float = Field(
        0.0, ge=0, le=4, description="Atoms never come closer than this, A, nor than 0.8 times the distance of "
        "nearest neighbours."
    )
    element_displacement_A: dict[str, float] = Field(
        default={}, description="Largest displacement by element, A, e.g. {Li: 0.3}; displacement_A for the others."
    )

    def arrangement_of(self, index: int, found: int) -> int:
        """Return the arrangement, of ``found``, from which the perturbed cell ``index`` is made."""
        return index * min(found, self.count) // self.count

    @field_validator("element_displacement_A")
    @classmethod
    def _amplitudes(cls, value: dict[str, float]) -> dict[str, float]:
        for element, amplitude in value.items():
            if not 0 <= amplitude <= 1.0:
                raise ValueError(f"the displacement of {element} must be between 0 and 1 Angstrom, not {amplitude:g}")
        return value
