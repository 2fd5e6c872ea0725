"""``plan.json``: the steps of the DAG, and what a changed plan invalidates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from dpa_sse.ops.core.files import write_json

PLAN = "plan.json"


class PlannedStep(BaseModel):
    """A step of the DAG.

    Attributes
    ----------
    name : str
        Of the step; its tasks are named after it.
    stage : str
        Folder below ``tasks/``, and line of the progress display.
    title : str
        For people.
    tasks : int
        Number of tasks; in a loop, per iteration.
    depends : tuple of str
        Steps whose results it reads.
    settings : str
        Its settings as JSON.
    loop : str, optional
        Loop that it is a part of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    stage: str
    title: str
    tasks: int
    depends: tuple[str, ...] = ()
    settings: str = ""
    loop: str | None = None


_PLAN = TypeAdapter(list[PlannedStep])


@dataclass(frozen=True)
class PlanChange:
    """What differs between two plans.

    Attributes
    ----------
    changed : list of str
        Steps whose settings differ, and new ones.
    invalidated : list of str
        Those and all steps that depend on them, in the order of the DAG.
    kept : list of str
        The others.
    """

    changed: list[str]
    invalidated: list[str]
    kept: list[str]


def parse_plan(text: str | bytes) -> list[PlannedStep]:
    """Return the steps of a plan from their JSON.

    Raises
    ------
    ValueError
        It is not a plan.
    """
    return _PLAN.validate_json(text)


def read_plan(folder: Path) -> list[PlannedStep]:
    """Return the plan of a run folder, an empty list before the first start."""
    try:
        return parse_plan((folder / PLAN).read_bytes())
    except FileNotFoundError:
        return []


def write_plan(folder: Path, plan: Sequence[PlannedStep]) -> None:
    """Write the plan of a run folder."""
    write_json(folder / PLAN, [step.model_dump() for step in plan])


def compare_plans(old: Sequence[PlannedStep], new: Sequence[PlannedStep]) -> PlanChange:
    """Return which steps of a new plan have to be computed again."""
    before = {step.name: step.settings for step in old}
    changed = [step.name for step in new if step.name not in before or not _as_before(before[step.name], step.settings)]
    affected = set(changed)
    loops = {step.loop for step in new if step.name in affected and step.loop}
    for step in new:
        if affected.intersection(step.depends) or step.loop in loops:
            affected.add(step.name)
            if step.loop:
                loops.add(step.loop)
    invalidated = [step.name for step in new if step.name in affected]
    return PlanChange(changed, invalidated, [step.name for step in new if step.name not in affected])


def _as_before(old: str, new: str) -> bool:
    """Return whether the results of a step remain; of targets, whether those that are left remain, in any order."""
    if old == new:
        return True
    before, now = _of_targets(old), _of_targets(new)
    return bool(now) and all(before.get(target) == own for target, own in now.items())


def _of_targets(settings: str) -> dict[str, object]:
    """Return what a step of many targets does for each, without the places of its tasks; empty for other steps."""
    found = json.loads(settings or "{}")
    members = found.get("members") if isinstance(found, dict) else None
    return {
        member["target"]: (
            {**found.get("common", {}), **member["settings"]}, member["step"], member.get("tasks"),
            {name: {**given, "first": 0} for name, given in member.get("inputs", {}).items()},
        )
        for member in members or ()
    }
