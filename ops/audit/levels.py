"""Check that all labels of a data set are of one level of theory, as far as the data record it."""

from __future__ import annotations

from collections.abc import Sequence

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.level_of_theory import MIXED, join_levels, level_notes
from dpa_sse.ops.results.audit import Finding
from dpa_sse.ops.results.level import LevelOfTheory


def check_levels(levels: Sequence[tuple[str, LevelOfTheory]]) -> tuple[tuple[LevelOfTheory, ...], list[Finding]]:
    """Return the distinct levels, and a finding if they must not be mixed."""
    distinct: list[LevelOfTheory] = []
    findings: list[Finding] = []
    for number, (name, level) in enumerate(levels):
        if level not in distinct:
            distinct.append(level)
        try:
            join_levels(one for _, one in levels[: number + 1])
        except FatalError as error:
            if not findings:
                findings.append(
                    Finding(level="unusable", check="settings", message=f"{error} ({name})", frames=(name,))
                )
    if any(one.code == MIXED for one in distinct):
        findings.append(Finding(
            level="warning", check="settings", message="labels of several levels of theory were mixed on request",
        ))
    notes = level_notes(one for _, one in levels)
    findings += [Finding(level="note", check="settings", message=note) for note in notes]
    return tuple(distinct), findings

