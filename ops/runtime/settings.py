"""Settings that each task gets from its project."""

from __future__ import annotations

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class TaskSettings(Settings):
    """Seed and elements of the project; an OP declares the sections that it needs in a derived class."""

    seed: int = Field(1, ge=0, description="All random numbers of the task derive from it.")
    type_map: list[str] = Field(default=[], description="Elements of the project, in the order the models use.")
