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

    def held_out_of(self, count: int) -> tuple[int, int]:
        """Return how many of ``count`` trajectories go to test and to validation; at least one is kept to train on."""
        test = min(max(1, round(self.test * count)), count - 1) if self.test > 0 and count > 1 else 0
        return test, max(0, min(round(self.validation * count), count - 1 - test))
