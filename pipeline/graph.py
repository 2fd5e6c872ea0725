"""The only module, apart from the engines, that knows dflow's Step, Slices and templates.

Flow files describe the DAG with :meth:`Flow.step`, :meth:`Flow.fan_out`, :meth:`Flow.loop` and :meth:`Flow.branch`;
artifacts are :class:`ArtifactRef`. The rules that make a DAG run on a laptop and on Argo alike are kept here: unique
keys (with the iteration inside loops), steps added as lists of one, explicit commands, small parameters only, settings
as files, fan-outs of a fixed length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.files import jsonable, write_text
from dpa_sse.pipeline.engines.local.platform import LocalPlatform
from dpa_sse.pipeline.engines.platform import Platform, Resources, StepSpec
from dpa_sse.pipeline.runs.plan import PlannedStep

if TYPE_CHECKING:
    from dflow import Step

    from dpa_sse.ops.runtime.task import TaskOP


@dataclass(frozen=True)
class ArtifactRef:
    """An artifact of the DAG.

    Attributes
    ----------
    artifact
        What dflow takes as the input of a step.
    producer : str
        Name of the step that makes it; empty for an input of the DAG.
    parameters : mapping
        Output parameters of that step, as dflow's references.
    """

    artifact: Any
    producer: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


Artifacts: TypeAlias = Mapping[str, ArtifactRef | None]
"""Input artifacts of a step by name; None for an optional one that is absent."""


class StepSequence(Protocol):
    """What steps are added to: groups run one after the other, the steps of a group at the same time."""

    def add(self, group: list[Step]) -> Any:
        """Add a group of steps."""


@dataclass(frozen=True)
class ParallelGroup:
    """Steps that are to run at the same time, see :meth:`Flow.side_by_side`."""

    steps: list[Step] = field(default_factory=list)

    def add(self, group: list[Step]) -> None:
        """Add steps."""
        self.steps.extend(group)


@dataclass(frozen=True)
class Scope:
    """Where in the DAG steps are added.

    Attributes
    ----------
    target : StepSequence
        The workflow, the body of a loop or of a branch, or a parallel group.
    loop : str, optional
        Name of the loop.
    iteration : optional
        dflow's reference to the iteration of the loop.
    low_priority : bool
        The steps run next to one that matters more.
    """

    target: StepSequence
    loop: str | None = None
    iteration: Any = None
    low_priority: bool = False


class Flow:
    """A DAG under construction.

    Parameters
    ----------
    name : str
        Name of the workflow.
    folder : Path
        Gets the settings files of the steps.
    resources : Resources
        Of the machine.
    platform : Platform, optional
        Where it is to run; this machine by default.

    Attributes
    ----------
    plan : list of PlannedStep
        The steps so far.
    workflow
        dflow's workflow.
    """

    def __init__(self, name: str, folder: Path, resources: Resources, platform: Platform | None = None) -> None:
        from dflow import Workflow

        self.name = name
        self.folder = folder
        self.plan: list[PlannedStep] = []
        self.workflow: Any = Workflow(name=name)
        self._platform: Platform = platform or LocalPlatform(resources)
        self._stage = ""
        self._scope = Scope(self.workflow)

    def stage(self, name: str) -> None:
        """Start a stage: the folder below ``tasks/`` and the line of the progress display for the steps that follow."""
        self._stage = name

    def upload(self, path: Path) -> ArtifactRef:
        """Return an artifact for a file or folder of this machine."""
        return ArtifactRef(self._platform.artifact(path))

    def remote(self, address: str) -> ArtifactRef:
        """Return an artifact for ``s3://KEY`` or ``pvc://CLAIM/PATH``, an input that is already on the cluster."""
        return ArtifactRef(self._platform.remote(address))

    def bucket_input(self, name: str, description: str) -> ArtifactRef:
        """Return an artifact whose key in the bucket is given when the workflow is submitted."""
        return ArtifactRef(self._platform.bucket_input(name, description))

    def step(
        self,
        name: str,
        op: type[TaskOP],
        settings: Mapping[str, object],
        *,
        title: str,
        artifacts: Artifacts | None = None,
        gpu: bool = False,
    ) -> ArtifactRef:
        """Add one task, which may use all cores; returns its result."""
        spec = StepSpec(name, self._stage, title, op, gpu, low_priority=self._scope.low_priority)
        step = self._make_step(spec, settings, artifacts or {}, concurrency=1)
        return self._add(step, spec, settings, artifacts or {})

    def fan_out(
        self,
        name: str,
        op: type[TaskOP],
        settings: Mapping[str, object],
        count: int,
        *,
        title: str,
        artifacts: Artifacts | None = None,
        gpu: bool = False,
        grouped: bool = True,
    ) -> ArtifactRef:
        """Add ``count`` equal tasks; returns the list of their results.

        Parameters
        ----------
        grouped : bool
            Several tasks share a process to save start-up and model loading; set False if run times differ widely.

        Raises
        ------
        ValueError
            ``count`` is not positive.
        """
        from dflow.python import Slices

        if count < 1:
            raise ValueError(f"{name}: a fan-out needs at least one task")
        size = self._platform.group_size(op, count, gpu=gpu, grouped=grouped)
        groups = math.ceil(count / size)
        spec = StepSpec(name, self._stage, title, op, gpu, count, size, self._scope.low_priority)
        step = self._make_step(
            spec,
            settings,
            artifacts or {},
            concurrency=groups,
            parameters={"group": "{{item}}", "group_size": size, "count": count},
            slices=Slices("{{item}}", output_artifact=["out"]),
            with_param=list(range(groups)),
        )
        return self._add(step, spec, settings, artifacts or {})

    def loop(
        self,
        name: str,
        artifacts: Artifacts,
        body: Callable[[Mapping[str, ArtifactRef]], Mapping[str, ArtifactRef]],
        *,
        feeds_back: str,
        also: Sequence[str] = (),
    ) -> dict[str, ArtifactRef]:
        """Add a loop: ``body`` is repeated, a result fed back, until its last step reports that it has finished.

        Parameters
        ----------
        artifacts : mapping
            Inputs of the loop.
        body : callable
            ``body(artifacts)`` adds the steps of an iteration and returns its results by name. That of ``feeds_back``
            is made by the last step, whose OP returns the parameters ``finished`` and ``next_iteration``.
        feeds_back : str
            The input that is replaced by the result of this name of the previous iteration.
        also : sequence of str
            Names of further results.

        Returns
        -------
        dict of str to ArtifactRef
            The results of the last iteration.
        """
        from dflow import InputArtifact, InputParameter, Inputs, OutputArtifact, Outputs, Step, Steps, if_expression

        given = {key: ref or ArtifactRef(None) for key, ref in artifacts.items()}
        inner = Steps(
            name=f"{name}-loop",
            inputs=Inputs(
                parameters={"iteration": InputParameter(type=int)},
                artifacts={key: InputArtifact() for key in given},
            ),
            outputs=Outputs(artifacts={"out": OutputArtifact(), **{name: OutputArtifact() for name in also}}),
        )
        iteration = inner.inputs.parameters["iteration"]
        inputs = {key: ArtifactRef(inner.inputs.artifacts[key], ref.producer) for key, ref in given.items()}
        with self._enter(Scope(inner, name, iteration, self._scope.low_priority)):
            found = body(inputs)
        last = found[feeds_back]
        again = Step(
            name=f"{name}-next",
            template=inner,
            parameters={"iteration": last.parameters["next_iteration"]},
            artifacts={key: ref.artifact for key, ref in {**inputs, feeds_back: last}.items()},
            when=f"{last.parameters['finished']} == false",
            key=f"{name}-next-{iteration}",
        )
        inner.add([again])
        results = {"out": last, **{key: found[key] for key in also}}
        for output, ref in results.items():
            inner.outputs.artifacts[output].from_expression = if_expression(
                _if=(last.parameters["finished"] == True),  # noqa: E712  (an expression, not a comparison)
                _then=ref.artifact,
                _else=again.outputs.artifacts[output],
            )
        first = {key: ref.artifact for key, ref in given.items()}
        start = Step(name=name, template=inner, parameters={"iteration": 0}, artifacts=first, key=name)
        self._scope.target.add([start])
        made = {key: ArtifactRef(start.outputs.artifacts[key], ref.producer) for key, ref in results.items()}
        return {feeds_back: made.pop("out"), **made}

    @contextmanager
    def side_by_side(self) -> Iterator[None]:
        """Run what is added in this block at the same time: a step, and branches next to it."""
        group = ParallelGroup()
        with self._enter(replace(self._scope, target=group)):
            yield
        self._scope.target.add(group.steps)

    def branch(self, name: str, body: Callable[[], ArtifactRef]) -> ArtifactRef:
        """Add a chain of steps that runs next to a step on the cores that this leaves, see :meth:`side_by_side`.

        Parameters
        ----------
        name : str
            Of the chain.
        body : callable
            Adds its steps, which need no results of other steps, and returns the result of the last one.

        Returns
        -------
        ArtifactRef
            The same result, for steps outside the chain.

        Raises
        ------
        ValueError
            There is no step next to which it could run.
        """
        from dflow import OutputArtifact, Outputs, Step, Steps

        if not isinstance(self._scope.target, ParallelGroup):
            raise ValueError(f"{name}: a branch needs a step to run next to: add it inside side_by_side()")
        inner = Steps(name=f"{name}-branch", outputs=Outputs(artifacts={"out": OutputArtifact()}))
        with self._enter(replace(self._scope, target=inner, low_priority=True)):
            last = body()
        inner.outputs.artifacts["out"]._from = last.artifact
        step = Step(name=name, template=inner, key=name)
        self._scope.target.add([step])
        return ArtifactRef(step.outputs.artifacts["out"], last.producer)

    @contextmanager
    def _enter(self, scope: Scope) -> Iterator[None]:
        """Add steps elsewhere during this block."""
        outer, self._scope = self._scope, scope
        try:
            yield
        finally:
            self._scope = outer

    def _make_step(
        self,
        spec: StepSpec,
        settings: Mapping[str, object],
        artifacts: Artifacts,
        *,
        concurrency: int,
        parameters: Mapping[str, object] | None = None,
        slices: Any = None,
        with_param: Sequence[int] | None = None,
    ) -> Step:
        from dflow import Step
        from dflow.python import PythonOPTemplate

        from dpa_sse.ops.runtime.task import TaskOP

        name, op, platform = spec.name, spec.op, self._platform
        if any(step.name == name for step in self.plan):
            raise ValueError(f"two steps are called {name}")
        template = PythonOPTemplate(
            op,
            image=platform.image(op),
            command=list(platform.command),
            upload_dflow=False,
            slices=slices,
            envs=self._environment(spec, platform.threads(spec, concurrency)),
        )
        platform.configure_template(template, spec)
        values = dict(parameters or {})
        key = name
        if self._scope.iteration is not None:
            values["iteration"] = self._scope.iteration
            key += f"-i{self._scope.iteration}"
            if "iteration" not in op.parameters:
                raise ValueError(f"{name}: an OP inside a loop must take the parameter `iteration`")
        elif "iteration" in op.parameters:  # a step of loops that is used once
            values["iteration"] = 0
        if with_param is not None:
            key += "-{{item}}"
        absent = {item.rstrip("*?"): None for item in op.artifacts if item.endswith("?")}
        return Step(
            name=name,
            template=template,
            parameters=values,
            artifacts={
                **absent,
                "settings": self._json_artifact(name, settings),
                **{key: ref.artifact if ref else None for key, ref in artifacts.items()},
            },
            with_param=with_param,  # type: ignore[arg-type]
            key=key,
            util_image=platform.image(TaskOP),
            util_command=list(platform.util_command),
        )

    def _json_artifact(self, name: str, data: Mapping[str, object]) -> Any:
        """Return dflow's artifact for ``data`` as a JSON file (settings of a step)."""
        path = self.folder / f"{name}.json"
        write_text(path, json.dumps(jsonable(data), indent=1, sort_keys=True) + "\n")
        return self._platform.artifact(path)

    def _environment(self, spec: StepSpec, threads: int) -> dict[str, str]:
        return {
            **dict([
                env.STEP.entry(spec.name),
                env.STAGE.entry(spec.stage),
                env.THREADS.entry(threads),
                env.NEEDS_GPU.entry(spec.gpu),
            ]),
            "PYTHONUNBUFFERED": "1",
            **self._platform.environment(spec),
        }

    def _add(self, step: Step, spec: StepSpec, settings: Mapping[str, object], artifacts: Artifacts) -> ArtifactRef:
        """Add a step to the DAG and to the plan; returns its result."""
        self.plan.append(PlannedStep(
            name=spec.name,
            stage=spec.stage,
            title=spec.title,
            tasks=spec.tasks,
            depends=tuple(sorted({ref.producer for ref in artifacts.values() if ref} - {""})),
            settings=json.dumps(jsonable(settings), sort_keys=True),
            loop=self._scope.loop,
        ))
        self._scope.target.add([step])
        return ArtifactRef(step.outputs.artifacts["out"], spec.name, step.outputs.parameters)
