"""The steps of many targets as one fan-out: each task is a task of a step of one target, with its inputs.

A step that every target has (the training of its student, ...) is one step of the DAG, whose tasks know their target
from the settings. So a project of thirty targets has as many steps as one with a single target, and a target that fails
leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from dpa_sse.ops.core.errors import FatalError, InputError, TransientError
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.results.status import LEFT_OUT, TaskStatus
from dpa_sse.ops.results.task_record import OutputValue
from dpa_sse.ops.runtime.groups import Tasks, results
from dpa_sse.ops.runtime.identity import TaskIdentity, TaskInput
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, Inputs, TaskOP

AFTER = "after"
"""Input of a step: tasks that must have ended well, though their results are not read."""
SHARED, OTHER = "_shared", "_other"


class TargetInput(Settings):
    """Where a target finds an input.

    Attributes
    ----------
    source : str
        Artifact of the step.
    kind : {"all", "folder", "task", "tasks"}
        The artifact itself, a folder or file in it (``path``), the result of task ``first`` of a fan-out, or those of
        ``count`` tasks from ``first``.
    """

    source: str
    kind: Literal["all", "folder", "task", "tasks"] = "all"
    path: str = ""
    first: int = 0
    count: int = 1


class TargetMember(Settings):
    """The share of one target in a step.

    Attributes
    ----------
    target : str
    step : str
        Name of the step in a project with one compound.
    tasks : int
        Tasks of the target.
    numbered : bool
        The step of the target is a fan-out; otherwise it has one task, named after the step.
    serves : list of str
        Other targets that use its results as their own.
    settings, inputs
        Of the step of the target.
    after : list of TargetInput
        Tasks that must have ended well, though their results are not read.
    """

    target: str
    step: str
    tasks: int = 1
    numbered: bool = False
    serves: list[str] = Field(default_factory=list)
    settings: dict[str, Any]
    inputs: dict[str, TargetInput] = Field(default_factory=dict)
    after: list[TargetInput] = Field(default_factory=list)


class TargetsSettings(TaskSettings):
    """Settings of a step of all targets.

    Attributes
    ----------
    common : dict
        Settings that are the same for all targets.
    members : list of TargetMember
        Of each target what it has besides.
    """

    common: dict[str, Any] = Field(default_factory=dict)
    members: list[TargetMember]

    def settings_of(self, member: TargetMember) -> dict[str, Any]:
        """Return the settings of the step of one target; equal ones in an equal order, for they identify the result."""
        return dict(sorted({**self.common, **member.settings}.items()))

    def locate(self, index: int) -> tuple[TargetMember, int]:
        """Return the member that a task belongs to, and the index of the task among those of the member."""
        first = 0
        for member in self.members:
            if index < first + member.tasks:
                return member, index - first
            first += member.tasks
        raise FatalError(f"the step has no task {index}: its settings are of another configuration")


@dataclass(frozen=True)
class Share:
    """What a task of a step of all targets works on.

    Attributes
    ----------
    member : TargetMember
    inputs : dict
        As the wrapped OP knows them.
    left_out : str
        Why there is nothing to work on; empty if there is.
    """

    member: TargetMember
    inputs: Inputs
    left_out: str = ""


class OverTargets(FanOutOP):
    """Tasks of another OP, for several targets.

    Class attributes
    ----------------
    wrapped : type of TaskOP
        Does the work.
    """

    wrapped: ClassVar[type[TaskOP]]
    settings_class = TargetsSettings

    def share(self, step: TargetsSettings, inputs: Inputs) -> Share:
        """Return what a task works on, by its ``index``."""
        index = inputs["index"]
        assert isinstance(index, int)  # noqa: S101  (for the type checker)
        member, local = step.locate(index)
        share = share_of(self.wrapped, step, member, inputs, tolerant=False)
        own = {name: inputs[name] for name in self.wrapped.parameters}
        if issubclass(self.wrapped, FanOutOP):
            own["index"] = local
        return Share(member, {**share.inputs, **own}, share.left_out)

    def versions(self, settings: TargetsSettings) -> dict[str, str]:
        """Return the versions of the programs that decide the numbers, by program."""
        own = settings.settings_of(settings.members[0])
        return self.wrapped().versions(self.wrapped.settings_class.model_validate(own))

    def identity(self, task: str, inputs: Inputs) -> TaskIdentity:
        """Return what the result depends on: the share of the target, not the other targets or the task's number."""
        share = self.share(self._settings(inputs), inputs)
        if share.left_out:
            subject = f"{share.member.target}, {task}: {share.left_out}"
            return TaskIdentity(type(self).__name__, self.version, task, {}, subject=subject)
        return TaskIdentity(
            self.wrapped.__name__, self.version, task, share.inputs, self.wrapped.keyed_by, share.member.target
        )

    def run(self, out: Path, settings: TargetsSettings, **inputs: Any) -> Mapping[str, OutputValue] | None:
        """Do the work of the wrapped OP."""
        share = self.share(settings, inputs)
        if share.left_out:
            TaskStatus(status="empty", reason=share.left_out).write(out)
            return None
        given = {name: value for name, value in share.inputs.items() if name != "settings"}
        own = self.wrapped.settings_class.model_validate(settings.settings_of(share.member))
        try:
            values = self.wrapped().run(out, own, **given)
        except Exception as error:
            raise _named(error, share.member.target) from error
        if TaskStatus.read_if_there(out) is None:
            TaskStatus(status="ok").write(out)
        return values


def share_of(
    op: type[TaskOP], step: TargetsSettings, member: TargetMember, inputs: Mapping[str, TaskInput], *,
    tolerant: bool, wanted: Sequence[str] = (),
) -> Share:
    """Return what a step works on for one target: its settings as a file, and its artifacts.

    Parameters
    ----------
    op : type of TaskOP
        Does the work.
    step : TargetsSettings
        Of the step of all targets.
    member : TargetMember
        The target.
    inputs : mapping
        Artifacts of the step of all targets.
    tolerant : bool
        An input whose task has failed is absent; otherwise there is nothing to do for the target.
    wanted : sequence of str
        Inputs that are there even if their task has failed, for what it has left.
    """
    settings = Path.cwd() / "inputs" / "targets" / member.target / "settings.json"
    write_json(settings, step.settings_of(member))
    found: Inputs = {"settings": settings}
    why = [reason for one in member.after if (reason := lost(_resolve(inputs, one), one.kind))]
    for name in op.artifacts:
        plain = name.rstrip("*?")
        given = member.inputs.get(plain)
        value = _resolve(inputs, given) if given else None
        reason = lost(value, given.kind) if given else ""
        if reason:
            why.append(reason)
        found[plain] = None if reason and tolerant and not (plain in wanted and value is not None) else value
    return Share(member, found, next(iter(why), ""))


def _resolve(inputs: Mapping[str, TaskInput], given: TargetInput) -> Path | list[Path] | None:
    value = inputs[given.source]
    if given.kind == "all" or value is None:
        assert not isinstance(value, int)  # noqa: S101  (for the type checker)
        return value
    if given.kind == "folder":
        assert isinstance(value, Path)  # noqa: S101  (for the type checker)
        return value / given.path
    assert isinstance(value, list)  # noqa: S101  (for the type checker)
    folders = {int(folder.name.rpartition(".")[2]): folder for folder in results(value)}
    wanted = [folders.get(number) for number in range(given.first, given.first + given.count)]
    if given.kind == "task":
        return wanted[0]
    return Tasks(folder for folder in wanted if folder is not None)


def lost(value: Path | list[Path] | None, kind: str) -> str:
    """Return why an input is not there, empty if it is: its task failed, or was left out itself."""
    if kind == "task":
        if not isinstance(value, Path):
            return f"{LEFT_OUT}an earlier task did not finish"
        return _reason(value)
    if kind == "tasks" and isinstance(value, list):
        reasons = [_reason(folder) for folder in value]
        own = [one for one in reasons if one.startswith(LEFT_OUT)]
        return own[0] if reasons and len(own) == len(reasons) else ""  # else the policy of the step decides
    return ""


def _reason(folder: Path) -> str:
    status = TaskStatus.of_folder(folder)
    if status.status == "failed" and not status.final:
        return f"{LEFT_OUT}{status.reason.splitlines()[0] if status.reason else 'an earlier task failed'}"
    return status.reason if status.status == "empty" and status.reason.startswith(LEFT_OUT) else ""


def _named(error: Exception, target: str) -> Exception:
    """Return the same kind of error with the name of the target, if its text is for people."""
    for_people = type(error) in (FatalError, InputError, TransientError)
    return type(error)(f"{target}: {error}") if for_people else error


def over_targets(op: type[TaskOP], name: str, module: str) -> type[OverTargets]:
    """Return the OP that runs the tasks of ``op`` for several targets; it must be found as ``module.name``."""
    return type(name, (OverTargets,), {
        "__module__": module, "__doc__": f"{(op.__doc__ or '').strip()} For several targets.", "wrapped": op,
        "version": op.version, "cached": op.cached, "image": op.image,
        "resource_class": op.resource_class, "logs": op.logs, "parameters": op.parameters,
        "artifacts": sources(op),
    })


def sources(op: type[TaskOP]) -> tuple[str, ...]:
    """Return the artifacts of a step of all targets: for each input, results of such steps, or one for all."""
    plain = [name.rstrip("*?") for name in op.artifacts]
    each = [(f"{name}*?", f"{name}{OTHER}*?", f"{name}{SHARED}?") for name in plain]
    return (*(one for three in each for one in three), f"{AFTER}*?")


__all__ = ["AFTER", "OTHER", "SHARED", "OverTargets", "TargetInput", "TargetMember", "TargetsSettings",
           "lost", "over_targets", "share_of", "sources"]
