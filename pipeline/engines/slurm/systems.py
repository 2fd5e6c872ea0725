"""The batch systems by name."""

from __future__ import annotations

from dpa_sse.pipeline.config.batch import System
from dpa_sse.pipeline.engines.slurm.dialect import Dialect
from dpa_sse.pipeline.engines.slurm.lsf import Lsf
from dpa_sse.pipeline.engines.slurm.pbs import Pbs
from dpa_sse.pipeline.engines.slurm.slurm import Slurm


def dialect_of(system: System) -> Dialect:
    """Return the dialect of a batch system."""
    dialects: dict[System, Dialect] = {"slurm": Slurm(), "pbs": Pbs(), "lsf": Lsf()}
    return dialects[system]
