"""Settings of the conductivity analysis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator

from dpa_sse.ops.core.settings import Settings, unique


class ConductivitySettings(Settings):
    """Mobile species, their charges, and the temperatures to extrapolate to."""

    model_config = ConfigDict(allow_inf_nan=False)

    mobile: list[str] = Field(default=["Li"], min_length=1, description="Mobile species.")
    charges: dict[str, float] = Field(default_factory=lambda: {"Li": 1.0}, description="Charge of each, in e.")
    hop_distance_A: float = Field(3.0, gt=0, description="Distance between neighbouring sites of the mobile ion.")
    extrapolate_to_K: list[Annotated[float, Field(gt=0)]] = Field(default=[300.0])
    reference: Literal["framework", "barycentre", "laboratory"] = Field(
        "framework", description="What displacements are measured against."
    )
    skip_ps: float = Field(0.0, ge=0, description="Part of each trajectory left out at its beginning.")
    start_ps: float | None = Field(None, gt=0, description="Start of the diffusive regime; found when not given.")
    arrhenius_exponent: float = Field(-1.0, description="m in sigma = sigma0 T^m exp(-Ea / kB T).")
    direct_below_K: float | None = Field(
        None, gt=0, description="Runs below are compared with the Arrhenius line, not fitted (extrapolation T + 25 K)."
    )
    figures: bool = Field(True, description="Write the figures.")

    @field_validator("mobile")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        """Refuse duplicates: the current of a species would be counted twice."""
        return unique(names)


class SourceOptions(Settings):
    """What a trajectory file may not contain; MD folders of the pipeline need none of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    temperature_K: float | None = Field(None, gt=0, description="Temperature of the run.")
    timestep_fs: float | None = Field(None, gt=0, description="MD time step; step numbers are counted in it.")
    frame_every: int | None = Field(None, ge=1, description="MD steps between frames, for files without step numbers.")
    elements: list[str] | None = Field(None, description="Elements of the atom types 1, 2, ... (files with types).")
    system: str | None = Field(None, description="Name of the system.")
    cell: list[float] | None = Field(None, description="a, b, c, alpha, beta, gamma for files without a cell.")
    topology: str | None = Field(None, description="File with the elements of a DCD or XTC trajectory.")
    wrapped: bool | None = Field(None, description="False: positions are unwrapped already. Found when not given.")
