"""Settings of the conductivity analysis."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ops.settings import Settings


class ConductivitySettings(Settings):
    """What moves, what it carries, and where the Arrhenius line is read off."""

    mobile: list[str] = Field(default=["Li"], min_length=1, description="Mobile species.")
    charges: dict[str, float] = Field(default_factory=lambda: {"Li": 1.0}, description="Charge of each, in e.")
    hop_distance_A: float = Field(3.0, gt=0, description="Distance between neighbouring sites of the mobile ion.")
    extrapolate_to_K: list[Annotated[float, Field(gt=0)]] = Field(default=[300.0])
