"""Base class of all settings: unknown keys are refused, values can not be changed afterwards."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings of one step; a section of the configuration file is one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
