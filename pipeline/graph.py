"""The only place, beside the engines, that knows dflow's Step, Slices and templates.

Flow files describe the DAG with :meth:`Flow.step`, :meth:`Flow.fan_out` and :meth:`Flow.loop`. The rules that make a
DAG run on a laptop and on Argo alike are kept here: unique keys (with the iteration inside loops), steps added as
lists of one, explicit commands, small parameters only, settings as files, fan-outs of a fixed length.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.files import jsonable, write_text
from dpa_sse.pipeline.engines.local.platform import LocalPlatform
from dpa_sse.pipeline.engines.platform import Platform, Resources, StepSpec

if TYPE_CHECKING:
    from dflow import Step

    from dpa_sse.ops.runtime.task import TaskOP


@dataclass
class Node:
    """A step of the DAG as `plan`, `status` and the invalidation message see it."""

    name: str
    stage: str
    title: str
    tasks: int
    depends: tuple[str, ...]
    settings: str
    loop: str | None = None


@dataclass
class Flow:
    """A DAG under construction.

    Parameters
    ----------
    name : str
        Name of the workflow.
    folder : Path
        Receives the settings files of the steps.
    resources : Resources
        Of the machine.
    platform : Platform, optional
        Where it is to run; this machine by default.
    """

    name: str
    folder: Path
    resources: Resources
    platform: Platform | None = None
    nodes: list[Node] = field(default_factory=list)
    _owner: dict[int, str] = field(default_factory=dict)
    _loop: str | None = None
    _stage: str = ""
    _iteration: Any = None
    _group: list[Any] | None = None
    _low_priority: bool = False

    def __post_init__(self) -> None:
        from dflow import Workflow

        self.workflow = Workflow(name=self.name)
        self._steps: Any = self.workflow
        self._place: Platform = self.platform or LocalPlatform(self.resources)

    def stage(self, name: str) -> None:
        """Begin a stage: the folder below ``tasks/`` and the line of the progress display for the next steps."""
        self._stage = name

    def json_artifact(self, name: str, data: Any) -> Any:
        """Return an artifact that holds ``data`` as JSON (settings of a step)."""
        text = json.dumps(jsonable(data), indent=1, sort_keys=True) + "\n"
        path = self.folder / f"{name}.json"
        write_text(path, text)
        return self.upload(path)

    def upload(self, path: Path) -> Any:
        """Return an artifact for a file or folder of this machine."""
        return self._place.artifact(path)

    def remote(self, address: str) -> Any:
        """Return an artifact for ``s3://KEY`` or ``pvc://CLAIM/PATH``, an input that the cluster has."""
        return self._place.remote(address)

    def bucket_input(self, name: str, description: str) -> Any:
        """Return an artifact whose key in the bucket is given when the workflow is submitted."""
        return self._place.bucket_input(name, description)

    def step(
        self,
        name: str,
        op: type[TaskOP],
        settings: Mapping[str, Any],
        *,
        title: str,
        artifacts: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        gpu: bool = False,
    ) -> Step:
        """Add one task; it may use all cores."""
        spec = StepSpec(name, self._stage, title, op, gpu, low_priority=self._low_priority)
        step = self._make(spec, settings, artifacts, parameters, side_by_side=1)
        self._add(step, name, settings, title, 1, artifacts)
        return step

    def fan_out(
        self,
        name: str,
        op: type[TaskOP],
        settings: Mapping[str, Any],
        count: int,
        *,
        title: str,
        artifacts: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        gpu: bool = False,
        grouped: bool = True,
    ) -> Step:
        """Add ``count`` equal tasks.

        Parameters
        ----------
        grouped : bool
            Several tasks share a process, so that start-up and loading of a model are paid once; for tasks of
            very different length say False.
        """
        from dflow.python import Slices

        if count < 1:
            raise ValueError(f"{name}: a fan-out needs at least one task")
        size = self._place.group_size(op, count, gpu=gpu, grouped=grouped)
        groups = math.ceil(count / size)
        step = self._make(
            StepSpec(name, self._stage, title, op, gpu, count, size, self._low_priority),
            settings,
            artifacts,
            {**(parameters or {}), "group": "{{item}}", "group_size": size, "count": count},
            side_by_side=groups,
            slices=Slices("{{item}}", output_artifact=["out"]),
            with_param=list(range(groups)),
        )
        self._add(step, name, settings, title, count, artifacts)
        return step

    def loop(
        self,
        name: str,
        artifacts: Mapping[str, Any],
        body: Callable[[Mapping[str, Any]], tuple[Step, str]],
    ) -> Any:
        """Add a loop: ``body`` is repeated, its result fed back, until its last step says that it has finished.

        Parameters
        ----------
        artifacts : mapping
            Inputs of the loop. Those whose name is the one returned by ``body`` are replaced by the result of the
            previous iteration.
        body : callable
            ``body(artifacts)`` adds the steps of an iteration and returns the last one, whose OP has
            the parameters ``finished`` and ``next_iteration``, and the name of the input that its result replaces.

        Returns
        -------
        artifact
            The result of the last iteration.
        """
        from dflow import InputArtifact, InputParameter, Inputs, OutputArtifact, Outputs, Step, Steps, if_expression

        inner = Steps(
            name=f"{name}-loop",
            inputs=Inputs(
                parameters={"iteration": InputParameter(type=int)},
                artifacts={key: InputArtifact() for key in artifacts},
            ),
            outputs=Outputs(artifacts={"out": OutputArtifact()}),
        )
        for key, source in artifacts.items():
            self._owner[id(inner.inputs.artifacts[key])] = self._owner.get(id(source), "")
        iteration = inner.inputs.parameters["iteration"]
        outer, self._steps, self._loop, self._iteration = self._steps, inner, name, iteration
        last, fed_back = body(inner.inputs.artifacts)
        again = Step(
            name=f"{name}-next",
            template=inner,
            parameters={"iteration": last.outputs.parameters["next_iteration"]},
            artifacts={
                key: last.outputs.artifacts["out"] if key == fed_back else inner.inputs.artifacts[key]
                for key in artifacts
            },
            when=f"{last.outputs.parameters['finished']} == false",
            key=f"{name}-next-{iteration}",
        )
        inner.add([again])
        inner.outputs.artifacts["out"].from_expression = if_expression(
            _if=(last.outputs.parameters["finished"] == True),  # noqa: E712  (an expression, not a comparison)
            _then=last.outputs.artifacts["out"],
            _else=again.outputs.artifacts["out"],
        )
        self._steps, self._loop, self._iteration = outer, None, None
        start = Step(name=name, template=inner, parameters={"iteration": 0}, artifacts=dict(artifacts), key=name)
        outer.add([start])
        result = start.outputs.artifacts["out"]
        self._owner[id(result)] = self._owner[id(last.outputs.artifacts["out"])]
        return result

    @contextmanager
    def side_by_side(self) -> Iterator[None]:
        """Let what is added in this block run at the same time: a step, and branches beside it."""
        group: list[Any] = []
        self._group = group
        try:
            yield
        finally:
            self._group = None
        self._steps.add(group)

    def branch(self, name: str, body: Callable[[], Any]) -> Any:
        """Add a chain of steps that runs beside a step, see :meth:`side_by_side`, on what that leaves of the cores.

        Parameters
        ----------
        name : str
            Of the chain.
        body : callable
            Adds its steps, which need no result of others, and returns the artifact that the last one makes.

        Returns
        -------
        artifact
            The same, for steps outside of the chain.
        """
        from dflow import OutputArtifact, Outputs, Step, Steps

        inner = Steps(name=f"{name}-branch", outputs=Outputs(artifacts={"out": OutputArtifact()}))
        outer, group = self._steps, self._group
        if group is None:
            raise ValueError(f"{name}: a branch needs a step that it runs beside")
        self._steps, self._group, self._low_priority = inner, None, True
        last = body()
        self._steps, self._group, self._low_priority = outer, group, False
        inner.outputs.artifacts["out"]._from = last
        step = Step(name=name, template=inner, key=name)
        group.append(step)
        result = step.outputs.artifacts["out"]
        self._owner[id(result)] = self._owner[id(last)]
        return result

    def _make(
        self,
        spec: StepSpec,
        settings: Mapping[str, Any],
        artifacts: Mapping[str, Any] | None,
        parameters: Mapping[str, Any] | None,
        *,
        side_by_side: int,
        slices: Any = None,
        with_param: Sequence[int] | None = None,
    ) -> Step:
        from dflow import Step
        from dflow.python import PythonOPTemplate

        from dpa_sse.ops.runtime.task import TaskOP

        name, op, place = spec.name, spec.op, self._place
        if any(node.name == name for node in self.nodes):
            raise ValueError(f"two steps are called {name}")
        template = PythonOPTemplate(
            op,
            image=place.image(op),
            command=list(place.command),
            upload_dflow=False,
            slices=slices,
            envs=self._environment(spec, place.threads(spec, side_by_side)),
        )
        place.configure_template(template, spec)
        values = dict(parameters or {})
        key = name
        if self._iteration is not None:
            values["iteration"] = self._iteration
            key += f"-i{self._iteration}"
            if "iteration" not in op.parameters:
                raise ValueError(f"{name}: an OP inside a loop must take the number `iteration`")
        if with_param is not None:
            key += "-{{item}}"
        absent = {item.rstrip("*?"): None for item in op.artifacts if item.endswith("?")}
        return Step(
            name=name,
            template=template,
            parameters=values,
            artifacts={**absent, "settings": self.json_artifact(name, settings), **(artifacts or {})},
            with_param=with_param,  # type: ignore[arg-type]
            key=key,
            util_image=place.image(TaskOP),
            util_command=list(place.util_command),
        )

    def _environment(self, spec: StepSpec, threads: int) -> dict[str, str]:
        return {
            "DPA_SSE_STEP": spec.name,
            "DPA_SSE_STAGE": spec.stage,
            "DPA_SSE_THREADS": str(threads),
            "DPA_SSE_NEEDS_GPU": "1" if spec.gpu else "0",
            "PYTHONUNBUFFERED": "1",
            **self._place.environment(spec),
        }

    def _add(
        self,
        step: Step,
        name: str,
        settings: Mapping[str, Any],
        title: str,
        tasks: int,
        artifacts: Mapping[str, Any] | None,
    ) -> None:
        depends = sorted({self._owner.get(id(source), "") for source in (artifacts or {}).values()} - {""})
        text = json.dumps(jsonable(settings), sort_keys=True)
        self.nodes.append(Node(name, self._stage, title, tasks, tuple(depends), text, self._loop))
        self._owner[id(step.outputs.artifacts["out"])] = name
        if self._group is not None:
            self._group.append(step)
        else:
            self._steps.add([step])
