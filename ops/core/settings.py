"""Base class of all settings: unknown keys are refused, values cannot be changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.core.limits import read_small, regular


class Settings(BaseModel):
    """Immutable settings of one step; a section of the configuration file is one of these.

    Class attributes
    ----------------
    text_files : tuple of str
        Keys that name a file of the user (an INCAR, a template). Tasks may run elsewhere, so the name is replaced by
        the text of the file: :meth:`with_texts`.
    """

    text_files: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def with_texts(self, base_dir: Path) -> Self:
        """Return the settings with the text of the user's files instead of their names.

        A value with a line break is text already.

        Raises
        ------
        OSError, ValueError
            A file cannot be read, or is too large.
        """
        texts = {}
        for key in self.text_files:
            value = getattr(self, key)
            if value is not None and "\n" not in value:
                texts[key] = read_small(regular(base_dir / Path(value).expanduser())).rstrip("\n") + "\n"
        return self.model_copy(update=texts)


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
