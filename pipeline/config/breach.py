"""A broken rule between keys."""

from __future__ import annotations

from typing import NamedTuple

from dpa_sse.pipeline.config.problems import KeyPath


class Breach(NamedTuple):
    """A rule that a project breaks: where to look, what is wrong, and the other keys that the rule reads."""

    path: KeyPath
    message: str
    depends_on: tuple[KeyPath, ...] = ()
