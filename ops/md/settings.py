"""Settings of the production molecular dynamics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class MdSettings(Settings):
    """Equilibration in NPT, then production in NVT at the mean volume; temperatures x replicas."""

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(min_length=1)
    replicas: int = Field(1, ge=1)
    pressure_GPa: float = Field(0.0, ge=-10, le=200)
    timestep_fs: float = Field(2.0, gt=0, le=5)
    equilibration_ps: float = Field(2.0, ge=0)
    production_ps: float = Field(10.0, gt=0)
    dump_every_fs: float = Field(20.0, gt=0, description="Time between frames of the trajectory.")
    supercell: tuple[int, int, int] = Field((1, 1, 1), description="Repetitions of the system's cell.")
    restart_every_ps: float = Field(1.0, gt=0)
