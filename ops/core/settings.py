"""Base class of all settings: unknown keys are refused, values can not be changed afterwards."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings of one step; a section of the configuration file is one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def unique(values: list[str]) -> list[str]:
    """Return the values; for fields in which nothing may be named twice.

    Raises
    ------
    ValueError
        Something is.
    """
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return values
