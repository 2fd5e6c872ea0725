"""The stages of many targets, as steps that do them for all targets: fine-tuning, distillation, MD, conductivity.

Each target is itself a project (:func:`dpa_sse.pipeline.config.targets.target_project`), whose steps are
written down by the same functions that add those of a project with one compound. Equal steps are then joined.
"""

from __future__ import annotations

import graphlib
import itertools
import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import jsonable
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.runtime.over_targets import AFTER, OTHER, SHARED, TargetInput, TargetMember
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.ops.targets.op import of_targets
from dpa_sse.pipeline.config.registered import with_names
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import shared_project, sharing, target_project
from dpa_sse.pipeline.flows.data import add_downstream
from dpa_sse.pipeline.flows.models import add_finetuning, add_model_of_md
from dpa_sse.pipeline.flows.production import add_production, add_report
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef, Artifacts
from dpa_sse.pipeline.report.op import Report, ReportOnTargets

_ABSENT = object()
GATES, FIRST_STEP_OF_MD, REPORT = "gates", "prepare-md", "report"
T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class LocalFile:
    """A file or folder of this machine that a step of one target reads."""

    path: Path


@dataclass(frozen=True)
class Output:
    """The result of a step of one target: of its single task, or of all of a fan-out."""

    target: str
    step: str
    single: bool


@dataclass(frozen=True)
class Recorded:
    """A step of one target, not yet a part of the DAG."""

    name: str
    stage: str
    title: str
    op: type[TaskOP]
    settings: Mapping[str, object]
    artifacts: Artifacts
    tasks: int
    single: bool
    gpu: bool
    grouped: bool
    serves: tuple[str, ...] = ()


class TargetFlow(ProjectFlow):
    """Writes down the steps of one target.

    Attributes
    ----------
    target : str
    serves : tuple of str
        Other targets that use the results of its steps: those that share its student.
    recorded : list of Recorded
        In the order in which they run.
    """

    def __init__(
        self, flow: ProjectFlow, target: str, project: Project | None = None, serves: Sequence[str] = ()
    ) -> None:
        project = project or target_project(flow.project, target)
        super().__init__(project, flow.base_dir, flow.folder / "targets" / target, flow.resources)
        self.target = target
        self.serves = tuple(serves)
        self.recorded: list[Recorded] = []
        self.built = flow.built
        self._main = flow

    def upload(self, path: Path) -> ArtifactRef:
        """Return an artifact for a file or folder of this machine."""
        return ArtifactRef(LocalFile(path))

    def remote(self, address: str) -> ArtifactRef:
        """Return an artifact that is already on the cluster."""
        return self._main.remote(address)

    def step(
        self, name: str, op: type[TaskOP], settings: Mapping[str, object], *, title: str,
        artifacts: Artifacts | None = None, gpu: bool = False,
    ) -> ArtifactRef:
        """Write down a step with one task."""
        return self._record(
            Recorded(name, self._stage, title, op, settings, artifacts or {}, 1, single=True, gpu=gpu, grouped=False)
        )

    def fan_out(
        self, name: str, op: type[TaskOP], settings: Mapping[str, object], count: int, *, title: str,
        artifacts: Artifacts | None = None, gpu: bool = False, grouped: bool = True,
    ) -> ArtifactRef:
        """Write down a fan-out."""
        return self._record(
            Recorded(name, self._stage, title, op, settings, artifacts or {}, count, single=False, gpu=gpu,
                     grouped=grouped)
        )

    def _record(self, one: Recorded) -> ArtifactRef:
        self.recorded.append(replace(one, serves=self.serves))
        return ArtifactRef(Output(self.target, one.name, one.single), one.name)


def add_targets(flow: ProjectFlow, base: Artifacts) -> None:
    """Add the stages of all targets, and the report.

    Parameters
    ----------
    flow : ProjectFlow
        Of the project; has the steps that make the pre-trained model.
    base : mapping
        ``training_data``, ``pretrained`` and ``errors``, as far as they exist.
    """
    targets = [TargetFlow(flow, one.name) for one in flow.project.chosen_targets]
    shared = sharing(flow.project)
    common: Artifacts = {}
    for one in targets:
        if shared[:1] == [one.target]:  # its steps come first, so that the MD of all follows them
            student = TargetFlow(flow, one.target, shared_project(flow.project), shared[1:])
            common = {**base, **add_model_of_md(student, base)}
            one.recorded += student.recorded
        _add_stages(one, common if one.target in shared else base, student=one.target not in shared)
    joined = Joined(flow, targets)
    for name, op in joined_order([[(step.name, step.op) for step in one.recorded] for one in targets]):
        if op is not Report:
            joined.add(name, op)
    joined.add_report()


def _add_stages(flow: TargetFlow, base: Artifacts, *, student: bool) -> None:
    """Write down the steps of a target, and its page of the report; without its own student, ``base`` has it."""
    project = flow.project
    artifacts = dict(base)
    if project.downstream:
        artifacts["downstream"] = add_downstream(flow)
    if project.finetune:
        artifacts |= add_finetuning(flow, artifacts)
    if student:
        artifacts |= add_model_of_md(flow, artifacts)
    if project.md:
        artifacts |= add_production(flow, artifacts)
    add_report(flow, artifacts)


def joined_order(sequences: Sequence[Sequence[T]]) -> list[T]:
    """Return all items of some sequences, each once, in an order that keeps that of each sequence.

    Raises
    ------
    graphlib.CycleError
        There is none.
    """
    before: dict[T, list[T]] = {item: [] for sequence in sequences for item in sequence}
    for sequence in sequences:
        for earlier, item in itertools.pairwise(sequence):
            before[item].append(earlier)
    return list(graphlib.TopologicalSorter(before).static_order())


@dataclass
class JoinedStep:
    """A step of all targets in the DAG, and which of its tasks are whose (first task, number of tasks)."""

    ref: ArtifactRef
    places: dict[str, tuple[int, int]] = field(default_factory=dict)


class Joined:
    """The steps of all targets, added to the DAG one by one."""

    def __init__(self, flow: ProjectFlow, targets: Sequence[TargetFlow]) -> None:
        self.flow = flow
        self.targets = targets
        self.made: dict[tuple[str, type[TaskOP]], JoinedStep] = {}
        self._uploaded: dict[Path, ArtifactRef] = {}

    def upload(self, path: Path) -> ArtifactRef:
        """Return the artifact of a file that several targets read."""
        if path not in self._uploaded:
            self._uploaded[path] = self.flow.upload(path)
        return self._uploaded[path]

    def add(self, name: str, op: type[TaskOP]) -> None:
        """Add the step of this name and kind of all targets that have it."""
        first = next(step for one in self.targets for step in one.recorded if (step.name, step.op) == (name, op))
        step_name = name if not any(known == name for known, _ in self.made) else f"{name}-2"
        members, artifacts = self._members(name, op, step_name)
        self.flow.stage(first.stage)
        ref = self.flow.fan_out(
            step_name, of_targets(op), self.flow.settings(**_shared_settings(members)),
            sum(one.tasks for one in members), title=first.title, artifacts=artifacts, gpu=first.gpu,
            grouped=first.grouped,
        )
        places, start = {}, 0
        for one in members:
            places[one.target] = (start, one.tasks)
            start += one.tasks
        self.made[name, op] = JoinedStep(ref, places)

    def add_report(self) -> None:
        """Add the report, which reads the results of all targets."""
        members, artifacts = self._members(REPORT, Report, REPORT)
        project = with_names(self.flow.project).model_copy(update={"on_end": [], "on_end_url": None})
        self.flow.stage("09-report")
        self.flow.step(
            REPORT, ReportOnTargets, self.flow.settings(
                config=project, **_shared_settings([one.model_copy(update={"settings": {}}) for one in members]),
            ),
            title="Report", artifacts=artifacts,
        )

    def _members(
        self, name: str, op: type[TaskOP], step_name: str
    ) -> tuple[list[TargetMember], dict[str, ArtifactRef]]:
        """Return the shares of the targets in a step, and its artifacts."""
        inputs = _Inputs(self, step_name)
        members = [
            TargetMember(
                target=flow.target, step=name, tasks=step.tasks, numbered=not step.single, settings=dict(step.settings),
                inputs={key: inputs.find(flow, key, ref) for key, ref in step.artifacts.items() if ref is not None},
                serves=list(step.serves),
                after=inputs.after(flow) if name == FIRST_STEP_OF_MD else [],
            )
            for flow in self.targets for step in flow.recorded if (step.name, step.op) == (name, op)
        ]
        return members, inputs.artifacts()

    def step_of(self, target: str, name: str) -> JoinedStep | None:
        """Return the step of all targets that does a step of this one."""
        flow = next(one for one in self.targets if one.target == target)
        op = next((step.op for step in flow.recorded if step.name == name), None)
        return self.made.get((name, op)) if op is not None else None

    def owner(self, flow: TargetFlow, name: str) -> str:
        """Return the target whose step of this name it is: its own, or that of the student that it shares."""
        for one in self.targets:
            for step in one.recorded:
                if step.name == name and flow.target in (one.target, *step.serves):
                    return one.target
        return flow.target


def _shared_settings(members: Sequence[TargetMember]) -> dict[str, object]:
    """Return the settings of a step of all targets: what all of them have in common is there once."""
    first = jsonable(dict(members[0].settings))
    plain = [jsonable(dict(one.settings)) for one in members]
    common = {key: value for key, value in first.items() if all(one.get(key, _ABSENT) == value for one in plain)}
    return {
        "common": common,
        "members": [
            one.model_copy(update={"settings": {key: value for key, value in own.items() if key not in common}})
            .model_dump(mode="json", exclude_defaults=True)
            for one, own in zip(members, plain, strict=True)
        ],
    }


class _Inputs:
    """The artifacts of a step of all targets, collected from what each target's step reads."""

    def __init__(self, joined: Joined, step: str) -> None:
        self.joined = joined
        self.step = step
        self.found: dict[str, ArtifactRef] = {}
        self.files: dict[str, dict[str, Path]] = {}

    def find(self, flow: TargetFlow, name: str, ref: ArtifactRef) -> TargetInput:
        """Return where the step finds an input of one target; adds the artifact that it is in."""
        made = ref.artifact
        if isinstance(made, LocalFile) and not made.path.is_relative_to(flow.folder):
            self._put(name + SHARED, self.joined.upload(made.path))  # of the user: the same for all targets
            return TargetInput(source=name + SHARED)
        if isinstance(made, LocalFile):
            self.files.setdefault(name, {})[flow.target] = made.path
            return TargetInput(source=name + SHARED, kind="folder", path=f"{flow.target}/{made.path.name}")
        if not isinstance(made, Output):
            self._put(name + SHARED, ref)
            return TargetInput(source=name + SHARED)
        step = self.joined.step_of(made.target, made.step)
        assert step is not None  # noqa: S101  (steps are added in the order of their dependence)
        source = name
        if self.found.get(source, step.ref) is not step.ref:
            source += OTHER
        self._put(source, step.ref)
        first, count = step.places[made.target]
        return TargetInput(source=source, kind="task" if made.single else "tasks", first=first, count=count)

    def after(self, flow: TargetFlow) -> list[TargetInput]:
        """Return the verdict of the gates, if a failure is to stop the target."""
        owner = self.joined.owner(flow, GATES)
        step = self.joined.step_of(owner, GATES) if flow.project.validate.on_fail == "stop" else None
        if step is None:
            return []
        self._put(AFTER, step.ref)
        return [TargetInput(source=AFTER, kind="task", first=step.places[owner][0])]

    def _put(self, source: str, ref: ArtifactRef) -> None:
        if self.found.setdefault(source, ref).artifact is not ref.artifact:
            raise InputError(
                f"{self.step}: the targets read {source.removesuffix(SHARED)!r} from several places on the cluster, "
                "which one step cannot do: give these targets separate projects"
            )

    def artifacts(self) -> dict[str, ArtifactRef]:
        """Return the artifacts; files of single targets are put into one folder."""
        for name, paths in self.files.items():
            folder = self.joined.flow.folder / f"{self.step}-{name}"
            remove_tree(folder, self.joined.flow.folder)
            for target, path in paths.items():
                (folder / target).mkdir(parents=True)
                if path.is_dir():
                    shutil.copytree(path, folder / target / path.name)
                else:
                    shutil.copy2(path, folder / target / path.name)
            self._put(name + SHARED, self.joined.flow.upload(folder))
        return self.found
