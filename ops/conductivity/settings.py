"""Settings of the conductivity analysis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from dpa_sse.ops.core.settings import Settings, unique


class ConductivitySettings(Settings):
    """The mobile species, their charges, and the temperatures of the results."""

    model_config = ConfigDict(allow_inf_nan=False)

    mobile: list[str] = Field(default=["Li"], min_length=1, description="Mobile species, by element.")
    charges: dict[str, float] = Field(default_factory=lambda: {"Li": 1.0}, description="Charge of each species, e.")
    hop_distance_A: float = Field(3.0, gt=0, description="Distance between neighbouring sites of the mobile ion, A.")
    extrapolate_to_K: list[Annotated[float, Field(ge=100)]] = Field(
        default=[300.0], description="Temperatures to extrapolate the conductivity to, K."
    )
    reference: Literal["framework", "barycentre", "laboratory"] = Field(
        "framework", description="Frame of reference of the displacements."
    )
    skip_ps: float = Field(0.0, ge=0, description="Time discarded at the start of each trajectory, ps.")
    start_ps: float | None = Field(None, gt=0, description="Start of the diffusive regime, ps; detected by default.")
    arrhenius_exponent: float = Field(-1.0, description="m in sigma = sigma0 T^m exp(-Ea / kB T).")
    direct_below_K: float | None = Field(
        None, gt=0, description="Runs below this temperature, K, are compared with the Arrhenius line, not fitted; "
        "by default 25 K above the temperature of the extrapolation."
    )
    figures: bool = Field(True, description="Write figures.")

    @field_validator("mobile")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        """Refuse duplicates: the current of a species would be counted twice."""
        return unique(names)


class SourceOptions(Settings):
    """What a trajectory file does not contain; the MD folders of the pipeline need none of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    temperature_K: float | None = Field(None, gt=0, description="Temperature of the run, K.")
    timestep_fs: float | None = Field(None, ge=0.05, description="MD time step, fs; converts step numbers to time.")
    frame_every: int | None = Field(None, ge=1, description="MD steps between frames, for files without step numbers.")
    elements: list[str] | None = Field(None, description="Elements of the atom types 1, 2, ..., for files with types.")
    system: str | None = Field(None, description="Name of the system.")
    cell: list[float] | None = Field(
        None, description="a, b, c (A), alpha, beta, gamma (degrees), for files without a cell."
    )
    topology: str | None = Field(
        None, description="Structure or LAMMPS data file with the elements of a DCD or XTC trajectory."
    )
    wrapped: bool | None = Field(None, description="Whether positions are wrapped into the cell; detected by default.")
