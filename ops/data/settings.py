"""Settings of the data steps."""

from __future__ import annotations

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class SplitSettings(Settings):
    """Whole trajectories, never single frames, are held out for validation and test."""

    validation: float = Field(
        0.0, ge=0, lt=1, description="Share of the trajectories of a system held out for validation."
    )
    test: float = Field(0.25, ge=0, lt=1, description="Share of the trajectories of a system held out as test set.")
