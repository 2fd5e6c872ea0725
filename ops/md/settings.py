"""Settings of the production molecular dynamics."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class MdSettings(Settings):
    """Equilibration in NPT, then production in NVT at the mean volume; one run per system, temperature and replica."""

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        min_length=1, description="Temperatures of the runs, K."
    )
    replicas: int = Field(1, ge=1, description="Independent runs at each temperature.")
    pressure_GPa: float = Field(0.0, ge=-10, le=200, description="Pressure of the equilibration, GPa.")
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step, fs.")
    equilibration_ps: float = Field(2.0, ge=0, description="Length of the NPT equilibration, ps.")
    production_ps: float = Field(10.0, gt=0, description="Length of the NVT production run, ps.")
    dump_every_fs: float = Field(20.0, gt=0, description="Time between frames of the trajectory, fs.")
    supercell: tuple[int, int, int] = Field(
        (1, 1, 1), description="Repetitions of the cell of the system along a, b, c."
    )
    restart_every_ps: float = Field(1.0, gt=0, description="Time between restart files, ps.")
