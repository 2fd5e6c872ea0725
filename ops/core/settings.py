"""Base class of all settings: unknown keys are refused, values cannot be changed afterwards."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Immutable settings of one step; a section of the configuration file is one of these."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def unique(values: list[str]) -> list[str]:
    """Return the values; for fields that must not contain duplicates.

    Raises
    ------
    ValueError
        There are duplicates.
    """
    duplicates = sorted({value for value in values if values.count(value) > 1})
    if duplicates:
        raise ValueError(f"duplicate: {', '.join(duplicates)}")
    return values
