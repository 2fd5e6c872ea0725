"""Each target of a project as a project with one compound, which the flows, checks and pages then treat as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.md.settings import TEACHER
from dpa_sse.pipeline.config.breach import Breach
from dpa_sse.pipeline.config.messages import faults
from dpa_sse.pipeline.config.problems import KeyPath, dotted
from dpa_sse.pipeline.config.sections import ProjectSections, TargetSettings

P = TypeVar("P", bound=ProjectSections)
OVERRIDES = ("distill", "md", "conductivity", "validate")
"""Sections of the project of which a target may change single values."""
RESERVED = ("pretrained", "finetuned", "student", "base", "downstream", "distilled")
"""Names of links in a run folder, which targets cannot have."""
LABELLED = ("perturb", "aimd", "split", "data")
"""Keys of a target about its own labels."""


def target_project(project: P, name: str) -> P:
    """Return the project of one target: the base of the whole project, and the target as its only compound."""
    target = next(one for one in project.targets if one.name == name)
    data = to_json(_target_data(project, target), inf_nan_mode="constants")
    return type(project).model_validate_json(data, strict=True)


def target_projects(project: P) -> dict[str, P]:
    """Return the project of each target that is to run now, by its name."""
    return {target.name: target_project(project, target.name) for target in project.chosen_targets}


def sharing(project: ProjectSections) -> list[str]:
    """Return the names of the targets to run now that share a student; its steps are those of the first one."""
    return [target.name for target in project.chosen_targets if target.student == "shared"]


def shared_project(project: P) -> P:
    """Return the project of the student that targets share: that of the first one, with the systems of all of them."""
    everywhere = [target for target in project.targets if target.student == "shared"]
    systems = [system for target in everywhere for system in target.systems]
    return target_project(project, sharing(project)[0]).model_copy(update={"simulate": systems})


def distilling_projects(project: P) -> dict[str, P]:
    """Return the projects of the distillations, by target; targets that share a student are in that of the first."""
    shared = sharing(project)
    return {
        name: shared_project(project) if shared[:1] == [name] else own
        for name, own in target_projects(project).items() if name not in shared[1:]
    }


def place_in_target(path: KeyPath, index: int, target: TargetSettings) -> KeyPath | None:
    """Return where a key of a target's project is in the configuration; None for one that all targets share."""
    head, rest = path[0] if path else "", path[1:]
    if head == "simulate":
        return ("targets", index, "systems", *rest)
    if head == "downstream":
        return ("targets", index, *(rest if rest[:1] != ("system",) else ("systems", *rest[1:])))
    if head == "finetune":
        return ("targets", index, *path)
    own: object = getattr(target, str(head)) if head in OVERRIDES else None
    for part in rest:
        if not isinstance(own, dict) or part not in own:
            return None
        own = own[part]
        if not isinstance(own, dict):
            break
    return ("targets", index, *path) if own and rest else None


def target_rules(project: ProjectSections) -> Iterator[Breach]:
    """Yield what a project with targets lacks, or has besides; see :func:`broken_targets` for the values."""
    names = [target.name for target in project.targets]
    for index, name in enumerate(project.only):
        if name not in names:
            known = f" (targets: {', '.join(names)})" if names else ": this project has no `targets`"
            yield Breach(("only", index), f"'{name}' is not the name of a target{did_you_mean(name, names)}{known}",
                         (("targets",),))
    if not project.targets:
        return
    for name in ("downstream", "finetune", "simulate"):
        if getattr(project, name):
            yield Breach((name,), "has no effect beside `targets`: each target says what it needs", (("targets",),))
    if not project.pretrain:
        yield Breach(("targets",), "need a `pretrain` section, or its defaults: the pre-trained model is that of all",
                     (("pretrain",),))
    if project.validate.rounds:
        yield Breach(("validate", "rounds"), "must be 0 with `targets`: their production is checked, not corrected",
                     (("targets",),))
    if project.validate.on_warn != "continue":
        yield Breach(("validate", "on_warn"), "must be `continue` with `targets`: a verdict concerns one target, "
                     "the others do not wait", (("targets",),))
    yield from _each_target(project)


def _each_target(project: ProjectSections) -> Iterator[Breach]:
    """Yield names that cannot be used, values that cannot differ, and targets without anything to do."""
    seen: dict[str, int] = {}
    for index, target in enumerate(project.targets):
        if not (project.distill or project.md or target.distill or target.md or target.finetune):
            yield Breach(("targets", index), "has nothing to do: there is no `distill`, no `md` (with "
                         "`model: teacher`, the pre-trained model runs it) and no `finetune`", (("distill",), ("md",)))
        if target.student == "shared":
            yield from _shared(project, index, target)
        if target.name.lower() in RESERVED:
            message = f"'{target.name}' is the name of a folder of the run; choose another"
            yield Breach(("targets", index, "name"), message)
        yield from (
            Breach(("targets", index, "validate", key), "cannot differ between targets", (("validate", key),))
            for key in ("rounds", "on_warn") if key in target.validate
        )
        first = seen.setdefault(target.name.lower(), index)
        if first != index:
            yield Breach(("targets", index, "name"), f"'{target.name}' is already the name of targets.{first}",
                         (("targets", first, "name"),))


def _shared(project: ProjectSections, index: int, target: TargetSettings) -> Iterator[Breach]:
    """Yield what keeps a target from sharing a student."""
    place: KeyPath = ("targets", index, "student")
    others = [one for one in project.targets if one.student == "shared"]
    if len(others) < 2:
        yield Breach(place, "no other target shares a student: remove it, or write it at the others, too",
                     (("targets",),))
    if target.finetune:
        yield Breach(place, "a fine-tuned target has its own teacher, and so its own student",
                     (("targets", index, "finetune"),))
    if target.distill:
        yield Breach(place, "a shared student is trained by the section `distill` of the project: remove that of the "
                     "target", (("targets", index, "distill"),))
    md = {**(project.md.model_dump() if project.md else {}), **target.md}
    if md.get("model") == TEACHER:
        yield Breach(place, "the MD runs with the teacher: there is no student", (("md", "model"),))


def broken_targets(project: ProjectSections, *, otherwise_sound: bool) -> Iterator[Breach]:
    """Yield what is wrong with the targets, each at its place.

    Parameters
    ----------
    project : ProjectSections
    otherwise_sound : bool
        The rest of the project is: then what is wrong with the project of a target is due to the target.
    """
    for index, target in enumerate(project.targets):
        data = _target_data(project, target)
        try:
            type(project).model_validate_json(to_json(data, inf_nan_mode="constants"), strict=True)
        except ValidationError as error:
            for fault in faults(error, data):
                place = place_in_target(fault.path, index, target)
                if place is not None:
                    yield Breach(place, fault.message, (("targets", index),))
                elif otherwise_sound:
                    yield Breach(("targets", index), f"{dotted(fault.path)}: {fault.message}", (fault.path,))


def _target_data(project: ProjectSections, target: TargetSettings) -> dict[str, Any]:
    data = project.model_dump(mode="json", exclude={"targets", "only"})
    own = target.model_dump(mode="json")
    data["name"] = f"{project.name}.{target.name}"[:50]
    data["simulate"] = own["systems"]
    data["finetune"] = own["finetune"]
    data["downstream"] = {name: own[name] for name in LABELLED} if target.finetune else None
    for section in OVERRIDES:
        if own[section]:
            data[section] = _merged(data[section] or {}, own[section])
    return data


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the values of ``own``; sections in it are merged, too."""
    found = dict(base)
    for key, value in own.items():
        before = found.get(key)
        found[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found
