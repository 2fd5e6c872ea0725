"""What one source contributes to labelled data."""

from __future__ import annotations

from dataclasses import dataclass

from dpa_sse.ops.data.account import SourceCount
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.results.level import LevelOfTheory


@dataclass
class DataPart:
    """Blocks of one source, counted in its own type map, with its account and its level of theory."""

    type_map: list[str]
    blocks: list[SystemData]
    count: SourceCount
    level: LevelOfTheory | None = None
