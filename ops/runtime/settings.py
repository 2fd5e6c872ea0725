"""Settings that each task gets from its project."""

from __future__ import annotations

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class TaskSettings(Settings):
    """Seed and elements of the project; an OP declares the sections that it needs in a derived class."""

    seed: int = Field(1, ge=0, description="Seed from which all random numbers of the task are derived.")
    type_map: list[str] = Field(default=[], description="Elements of the project, in the order that the models use.")


class FanInSettings(TaskSettings):
    """Settings of a step that gathers the results of a fan-out and applies the failure policy."""

    min_success_ratio: float = Field(
        1.0, ge=0, le=1, description="Fraction of the tasks that must have succeeded (failure.min_success_ratio)."
    )
