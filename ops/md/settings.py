"""Settings of the production molecular dynamics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, ClassVar

from pydantic import Field

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.results.md import MdTask

TEACHER = "teacher"


class MdSettings(Settings):
    """Equilibration in NPT, then production in NVT at the mean volume; one run per system, temperature and replica."""

    text_files: ClassVar[tuple[str, ...]] = ("lammps_template",)

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        min_length=1, description="Temperatures of the runs, K."
    )
    replicas: int = Field(1, ge=1, le=1000, description="Independent runs at each temperature.")
    pressure_GPa: float = Field(0.0, ge=-10, le=200, description="Pressure of the equilibration, GPa.")
    timestep_fs: float = Field(2.0, ge=0.05, le=5, description="Time step, fs.")
    equilibration_ps: float = Field(2.0, ge=0, description="Length of the NPT equilibration, ps.")
    production_ps: float = Field(10.0, gt=0, description="Length of the NVT production run, ps.")
    dump_every_fs: float = Field(20.0, gt=0, description="Time between frames of the trajectory, fs.")
    supercell: tuple[int, int, int] = Field(
        (1, 1, 1), description="Repetitions of the cell of the system along a, b, c."
    )
    restart_every_ps: float = Field(1.0, gt=0, description="Time between restart files, ps.")
    lammps_template: str | None = Field(
        None, description="Your own LAMMPS input for the production runs, with placeholders for what the pipeline "
        "needs (docs/exploration.md); relative to the configuration file."
    )
    model: str | None = Field(
        None, description="Your own Deep Potential: a frozen model (.pth) or a checkpoint (.pt), relative to the "
        "configuration file. Nothing is then labelled or trained; `systems` are simulated with it. Or `teacher`: the "
        "fine-tuned or pre-trained model itself, without distillation; slower than a student."
    )

    @property
    def own_model(self) -> str | None:
        """File of the user's own model."""
        return None if self.model == TEACHER else self.model

    @property
    def with_teacher(self) -> bool:
        """Whether the large model itself runs the MD."""
        return self.model == TEACHER

    def state_points(self) -> list[tuple[float, int]]:
        """Return temperature (K) and replica of each run of a system."""
        return list(product(self.temperatures_K, range(self.replicas)))

    def n_runs(self, n_systems: int) -> int:
        """Return the number of runs of that many systems."""
        return n_systems * len(self.state_points())

    def tasks(self, system: str, seed: int) -> Iterator[MdTask]:
        """Yield the runs of one system, in the order of :meth:`state_points`; ``seed`` is that of the project."""
        for temperature, replica in self.state_points():
            yield MdTask(
                system=system,
                ensemble="nvt",
                temperature_K=temperature,
                pressure_GPa=self.pressure_GPa,
                replica=replica,
                timestep_fs=self.timestep_fs,
                equilibration_steps=round(self.equilibration_ps * 1000 / self.timestep_fs),
                steps=self.whole_steps(self.production_ps * 1000),
                dump_every=self.dump_every,
                restart_every=max(1, round(self.restart_every_ps * 1000 / self.timestep_fs)),
                supercell=self.supercell,
                template=self.lammps_template,
                seed=derive_seed(seed, "md", system, repr(float(temperature)), replica),
            )

    @property
    def dump_every(self) -> int:
        """Steps between frames."""
        return max(1, round(self.dump_every_fs / self.timestep_fs))

    def whole_steps(self, duration_fs: float) -> int:
        """Return the steps of a run: a multiple of the dump interval, so that its end is the last frame."""
        return max(1, round(duration_fs / self.timestep_fs / self.dump_every)) * self.dump_every
