"""How a model is named: ``name@version``; and where the registry of a user is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.results.model_card import NAME

RULE = "letters, digits and . _ -, at most 64, starting with a letter or digit"
SIGN = "@"


class ModelName(NamedTuple):
    """Name and version; an empty version is the latest one."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}{SIGN}{self.version}" if self.version else self.name


def parse_name(text: str) -> ModelName:
    """Return the parts of ``name`` or ``name@version``.

    Raises
    ------
    InputError
        They cannot be parts of a path.
    """
    name, sign, version = text.partition(SIGN)
    for what, part in (("name", name), ("version", version)):
        if (part or what == "name" or sign) and not re.fullmatch(NAME, part):
            shown = printable(text[:100], keep="")
            raise InputError(f"'{shown}': the {what} of a model consists of {RULE} (NAME{SIGN}VERSION)")
    return ModelName(name, version)


def names_version(text: str) -> bool:
    """Return whether a text is meant as ``name@version``: it has the sign, and is neither a path nor an address."""
    return SIGN in text and "/" not in text and "\\" not in text


def registry_folder() -> Path:
    """Return the folder of the user's own registry."""
    data = os.environ.get("XDG_DATA_HOME", "")
    home = Path(data) if data.startswith("/") else Path.home() / ".local" / "share"
    return home / "dpa-sse" / "models"
