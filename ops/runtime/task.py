"""The bridge between a plain function and an OP of dflow: signature, working folder, reuse, retries, events.

A :class:`TaskOP` declares its inputs and does its work in :meth:`TaskOP.run`. Where it works, and whether an earlier
result is reused, is decided by a :mod:`~dpa_sse.ops.runtime.workspace` from the
:mod:`~dpa_sse.ops.runtime.identity` of the task.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, List, Protocol, TypeAlias  # noqa: UP035  (dflow knows typing.List only)

from dflow.python import OP, OPIO, Artifact, OPIOSign, Parameter
from dflow.python import FatalError as DflowFatalError
from dflow.python import TransientError as DflowTransientError

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import PipelineError, TransientError
from dpa_sse.ops.core.files import jsonable, read_json, walk_files
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.results.task_record import OutputValue, TaskRecord
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.groups import members
from dpa_sse.ops.runtime.identity import TaskIdentity, TaskInput
from dpa_sse.ops.runtime.inline import decode
from dpa_sse.ops.runtime.manifest import Manifest
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.versions import deciding_versions, other_versions
from dpa_sse.ops.runtime.workspace import TaskFolder, Workspace, choose_workspace

TERMINATION_LOG = Path("/dev/termination-log")  # Kubernetes and Argo show its content as the reason of a failure
TERMINATION_BYTES = 4000
ABSENT: dict[type, bool | int | float] = {bool: False, int: 0, float: math.nan}
"""Output parameters that a result does not have."""
Inputs: TypeAlias = dict[str, TaskInput]
"""Inputs of an OP by name."""


Outcome: TypeAlias = tuple[Path, Mapping[str, OutputValue]]
"""Folder of a finished task and its output parameters."""


class Elsewhere(Protocol):
    """A place for tasks outside this process: the jobs of a batch system."""

    def run(self, op: TaskOP, tasks: Sequence[tuple[str, Inputs]]) -> Iterator[Outcome]:
        """Yield the outcome of each task, by its name and inputs, in their order."""


class TaskOP(OP):
    """One task, or a group of equal tasks of a fan-out.

    Class attributes
    ----------------
    artifacts : tuple of str
        Input artifacts: files or folders. A name that ends in ``*`` receives the list of results of a fan-out,
        one that ends in ``?`` may be absent.
    parameters : tuple of str
        Small integer parameters.
    returns : dict
        Small output parameters and their types.
    logs : tuple of str
        Subfolders whose files are kept but are not results: they hold times and names of machines.
    version : int
        Raised when the meaning of the result changes, so that old results are not reused.
    cached : bool
        Whether an earlier result may be reused.
    image : str
        What the task needs in addition to this package: nothing (``base``), DeePMD-kit and LAMMPS (``deepmd``), or
        the program of the project's labeler (``labeler``). Selects the image of a pod.
    resource_class : str
        The kind of work: ``light``, ``analysis``, ``train``, ``infer`` (a model on many frames), ``md`` or ``label``.
        Selects the resources of a pod.
    keyed_by : dict
        For the tasks of a fan-out: inputs of which each task uses some files only, and their paths there (with
        ``{index}``). The task is then identified by the files it works on, not by its number: adding a temperature or
        a system does not repeat the others.
    settings_class : type
        Declares the settings of the task: :meth:`run` gets an object of this class as ``settings``.
    html_page : str
        HTML file of the result that a person may want to look at, empty for none.
    elsewhere : Elsewhere, optional
        Where the tasks run, if not in this process.
    """

    artifacts: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[tuple[str, ...]] = ()
    returns: ClassVar[dict[str, type]] = {}
    logs: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    keyed_by: ClassVar[dict[str, tuple[str, ...]]] = {}
    image: ClassVar[str] = "base"
    resource_class: ClassVar[str] = "light"
    html_page: ClassVar[str] = ""
    elsewhere: ClassVar[Elsewhere | None] = None
    settings_class: ClassVar[type[TaskSettings]] = TaskSettings

    def run(self, out: Path, settings: Any, **inputs: Any) -> Mapping[str, OutputValue] | None:
        """Do the work: write files into ``out`` and return the output parameters."""
        raise NotImplementedError

    @classmethod
    def get_input_sign(cls) -> OPIOSign:
        """Return dflow's description of the inputs."""
        sign: dict[str, Any] = {"settings": Artifact(Path)}
        for name in cls.artifacts:
            kind = List[Path] if "*" in name else Path  # noqa: UP006
            sign[name.rstrip("*?")] = Artifact(kind, optional=name.endswith("?"))
        for name in (*cls.parameters, *cls._group_parameters()):
            sign[name] = Parameter(int)
        return OPIOSign(sign)

    @classmethod
    def get_output_sign(cls) -> OPIOSign:
        """Return dflow's description of the outputs: one folder, and the small parameters."""
        sign: dict[str, Any] = {"out": Artifact(Path)}
        sign.update({name: Parameter(kind, default=ABSENT[kind]) for name, kind in cls.returns.items()})
        return OPIOSign(sign)

    @classmethod
    def _group_parameters(cls) -> tuple[str, ...]:
        return ()

    def execute(self, op_in: OPIO) -> OPIO:
        """Run the task (called by dflow in a separate process)."""
        inputs = prepare_inputs(op_in, self)
        try:
            ((out, values),) = self._run_all([(self._step_name(inputs), inputs)])
        except (TransientError, TimeoutError) as error:
            write_termination_message(error)
            raise DflowTransientError(str(error)) from error
        except PipelineError as error:
            write_termination_message(error)
            raise DflowFatalError(str(error)) from error
        except Exception as error:
            write_termination_message(error)
            raise
        publish_html(out, self.html_page)
        given = {name: value for name, value in values.items() if value is not None}
        absent = {name: ABSENT[kind] for name, kind in self.returns.items()}
        return OPIO({"out": _publish(out, Path("out")), **absent, **given})

    def _step_name(self, inputs: Inputs) -> str:
        step = env.STEP.read() or type(self).__name__
        return f"{step}-i{inputs['iteration']:03d}" if "iteration" in inputs else step

    def _run_all(self, tasks: Sequence[tuple[str, Inputs]]) -> Iterator[Outcome]:
        """Yield the outcome of each task, here or elsewhere."""
        if self.elsewhere is not None:
            yield from self.elsewhere.run(self, tasks)
            return
        workspace = choose_workspace(reuse=self.cached)
        for task, inputs in tasks:
            yield self.run_one(workspace, task, inputs)

    def identity(self, task: str, inputs: Inputs) -> TaskIdentity:
        """Return what the result of a task depends on."""
        return TaskIdentity(type(self).__name__, self.version, task, inputs, self.keyed_by)

    def reuse(self, task: str, inputs: Inputs, opened: TaskFolder) -> Outcome | None:
        """Return the outcome of a task that has finished earlier, and report it; None if it has not."""
        if opened.record is None:
            return None
        made = opened.record.versions
        remark = other_versions(made, self.versions(self._settings(inputs))) if made else None
        events.emit("cached", env.STAGE.read(), task, folder=opened.path, reason=remark)
        return opened.path, opened.record.values

    def run_one(self, workspace: Workspace, task: str, inputs: Inputs) -> Outcome:
        """Return the outcome of a task, computed now or earlier."""
        stage = env.STAGE.read()
        identity = self.identity(task, inputs)
        opened = workspace.open(identity)
        folder = opened.path
        if (earlier := self.reuse(task, inputs, opened)) is not None:
            return earlier
        TaskStatus.path_in(folder).unlink(missing_ok=True)  # of an attempt that failed
        events.emit("start", stage, task, folder=folder, checkpoint=opened.resumed or None)
        start = time.monotonic()
        try:
            with workspace.checkpoints(identity, folder):
                values = self._attempts(task, folder, inputs)
        except Exception as error:
            events.emit("failed", stage, task, folder=folder, reason=str(error) or type(error).__name__)
            raise
        seconds = time.monotonic() - start
        Manifest.of_folder(folder, producer=type(self).__name__, version=self.version, logs=self.logs).write(folder)
        status = TaskStatus.read_if_there(folder) or TaskStatus(status="ok")
        failed = status.status == "failed"
        versions = {} if failed else self.versions(self._settings(inputs))
        record = TaskRecord(
            values=jsonable(values), seconds=seconds, versions=versions, subject=identity.subject
        )
        if not failed or status.final:
            workspace.keep(identity, folder, record)
        reason = status.reason or ("failed" if failed else None)
        events.emit("failed" if failed else "done", stage, task, folder=folder, seconds=record.seconds, reason=reason)
        return folder, record.values

    def versions(self, settings: Any) -> dict[str, str]:
        """Return the versions of the programs that decide the numbers of the task, by program."""
        return deciding_versions(self.resource_class) if self.image != "base" else {}

    def _settings(self, inputs: Inputs) -> Any:
        path = inputs["settings"]
        assert isinstance(path, Path)  # noqa: S101  (for the type checker)
        settings = read_json(path)
        return self.settings_class.model_validate(settings) if self.settings_class else settings

    def _attempts(self, task: str, folder: Path, inputs: Inputs) -> Mapping[str, OutputValue]:
        """Call :meth:`run`, again after a transient error, each time within the time limit."""
        retries = env.RETRIES.read()
        others = {name: value for name, value in inputs.items() if name != "settings"}
        settings = self._settings(inputs)
        for attempt in range(retries + 1):
            try:
                with _time_limit(env.TASK_TIMEOUT_S.read()):
                    return self.run(folder, settings, **others) or {}
            except TransientError as error:
                if attempt == retries:
                    raise
                events.emit("retry", env.STAGE.read(), task, folder=folder, reason=str(error))
        raise AssertionError("unreachable")


class FanOutOP(TaskOP):
    """Equal tasks, ``group_size`` of them in one process (or pod).

    A task that fails writes ``status.json`` and does not stop its siblings; the step that collects them decides.
    """

    @classmethod
    def _group_parameters(cls) -> tuple[str, ...]:
        return ("group", "group_size", "count")

    def execute(self, op_in: OPIO) -> OPIO:
        """Run all tasks of this group, one after the other."""
        inputs = prepare_inputs(op_in, self)
        group, size, count = (int(op_in[name]) for name in self._group_parameters())
        inputs = {name: value for name, value in inputs.items() if name not in self._group_parameters()}
        step = self._step_name(inputs)
        target = Path(f"group.{group:03d}")
        target.mkdir()
        indices = members(group, size, count)
        outcomes = self._run_all([(f"{step}-{index:03d}", {**inputs, "index": index}) for index in indices])
        try:
            for number, (index, (out, _)) in enumerate(zip(indices, outcomes, strict=True)):
                _publish(out, target / f"task.{index:03d}")
                report_progress(number + 1, len(indices))
        except TransientError as error:  # the store does not answer: the pod may be restarted later
            write_termination_message(error)
            raise DflowTransientError(str(error)) from error
        return OPIO({"out": target})

    def _attempts(self, task: str, folder: Path, inputs: Inputs) -> Mapping[str, OutputValue]:
        try:
            return super()._attempts(task, folder, inputs)
        except Exception as error:  # no error of one task may stop its siblings
            reason = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            (folder / "error.log").write_text(traceback.format_exc())
            TaskStatus(status="failed", reason=reason).write(folder)
            return {}


def prepare_inputs(op_in: OPIO, op: TaskOP) -> Inputs:
    """Return the inputs, unpacked, and let SIGTERM end this process as a termination, not as a failed task.

    A folder in the bucket that the user gives in place of the results of a fan-out has no list of files of dflow, which
    takes it for empty.
    """
    signal.signal(signal.SIGTERM, lambda _signum, _frame: sys.exit(128 + signal.SIGTERM))
    folder = Path.cwd() / "inputs"
    inputs = {name: decode(value, folder) if isinstance(value, Path) else value for name, value in op_in.items()}
    for name, value in inputs.items():
        plain = Path(getattr(op, "tmp_root", "")) / "inputs" / "artifacts" / name
        if value == [] and plain.exists():
            inputs[name] = [plain]
    return inputs


def write_termination_message(error: Exception) -> None:
    """In a pod, pass the reason of a failure to Kubernetes."""
    if env.RUN.read() is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        reason = str(error) or type(error).__name__
        if not isinstance(error, PipelineError):
            reason = f"{type(error).__name__}: {reason}"
        with suppress(OSError):
            TERMINATION_LOG.write_bytes(reason.encode()[:TERMINATION_BYTES])


def publish_html(out: Path, name: str) -> None:
    """In a pod, copy the HTML page of a result to the path that is exported as a separate artifact."""
    target = env.PAGE.read()
    if target is not None and name and (out / name).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, target)


def report_progress(done: int, total: int) -> None:
    """In a pod, report to Argo how many tasks of the group are done."""
    target = os.environ.get("ARGO_PROGRESS_FILE")
    if target:
        with suppress(OSError):
            Path(target).write_text(f"{done}/{total}")


def _publish(source: Path, target: Path) -> Path:
    """Put the results of a task below the current folder, where dflow looks for them: links instead of copies."""
    target.mkdir(parents=True, exist_ok=True)
    for name in walk_files(source):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / name, target / name)
        except OSError:  # another file system
            shutil.copy2(source / name, target / name)
    return target


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def expire(_signum: int, _frame: FrameType | None) -> None:
        raise TransientError(f"the task exceeded its limit of {seconds:.0f} s (failure.task_timeout_min)")

    if seconds <= 0:
        yield
        return
    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
