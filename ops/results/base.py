"""Base class of the result files: declared fields, a format version, one way to write and read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json, write_json


class ResultPart(BaseModel):
    """A part of a result file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Result(ResultPart):
    """A JSON file that one step writes and others read.

    Class attributes
    ----------------
    FILE : str
        Name of the file in the folder of the result.
    VERSION : int
        Raised if a reader of the old format would misread the new one.
    """

    FILE: ClassVar[str]
    VERSION: ClassVar[int] = 1

    format_version: int = 0

    @model_validator(mode="before")
    @classmethod
    def _version(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        version = data.get("format_version", cls.VERSION)
        if version != cls.VERSION:
            raise ValueError(f"format version {version}; this program reads version {cls.VERSION}")
        return {**data, "format_version": version}

    @classmethod
    def path_in(cls, place: Path) -> Path:
        """Return the path of the file, given a folder of results or the file itself."""
        return place if place.suffix == ".json" else place / cls.FILE

    @classmethod
    def read(cls, place: Path) -> Self:
        """Read the file, or the one in a folder.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        FatalError
            The content is invalid: damaged, or written by another version of the program.
        """
        path = cls.path_in(place)
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            earlier = "" if _has_version(path) else "damaged, or written by an earlier version of the program: "
            raise FatalError(f"{path}: {earlier}{where + ': ' if where else ''}{first['msg']}") from error
        except ValueError as error:
            raise FatalError(f"{path}: not a JSON file: {error}") from error

    @classmethod
    def read_if_there(cls, place: Path | None) -> Self | None:
        """Read the file; None if there is none."""
        return cls.read(place) if place is not None and cls.path_in(place).is_file() else None

    def write(self, place: Path) -> None:
        """Write the file, or the one in a folder; NaN and infinity become null."""
        write_json(self.path_in(place), self.model_dump(mode="python"))


def _has_version(path: Path) -> bool:
    content = read_json(path)
    return isinstance(content, dict) and "format_version" in content
