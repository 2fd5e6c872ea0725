"""The bridge between a plain function and a dflow OP: signature, working folder, resume, retry, events.

A :class:`TaskOP` declares its inputs and does its work in :meth:`TaskOP.run`. Where the environment variable
``DPA_SSE_RUN`` names a run folder (local runs), every task has a working folder there whose name contains a hash of
all that the result depends on: a finished task is never computed again, an interrupted one goes on from its
checkpoints, and a changed input leads to another folder. Elsewhere (pods) the task works in the current folder, and
:mod:`dpa_sse.ops.runtime.store` keeps results and checkpoints under that hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, List  # noqa: UP035  (dflow knows typing.List only)

from dflow.python import OP, OPIO, Artifact, OPIOSign, Parameter
from dflow.python import FatalError as DflowFatalError
from dflow.python import TransientError as DflowTransientError

from dpa_sse.ops.core.errors import PipelineError, TransientError
from dpa_sse.ops.core.files import read_json, sha256_file, walk_files, write_json
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.groups import members, results
from dpa_sse.ops.runtime.inline import decode
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.store import TaskStore, store_from_environment

DONE = ".done.json"
MANIFEST = "manifest.json"
TERMINATION_LOG = Path("/dev/termination-log")  # what a container writes there, Kubernetes and Argo show as its reason
TERMINATION_BYTES = 4000
ABSENT: dict[type, Any] = {bool: False, int: 0, float: math.nan}  # output parameters that a result does not have


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
        Folders below the task's whose files are kept, but are no results: they hold times and names of machines.
    version : int
        Raised when the meaning of the result changes, so that old results are not taken for new ones.
    cached : bool
        Whether an earlier result may be taken.
    image : str
        What the task needs beside this package: nothing (``base``), DeePMD-kit and LAMMPS (``deepmd``), or the
        program of the project's labeler (``labeler``). Decides on the image of a pod.
    resource_class : str
        What sort of work it is: ``light``, ``analysis``, ``train``, ``infer`` (a model on many frames), ``md`` or
        ``label``. Decides on the resources of a pod.
    keyed_by : dict
        For the tasks of a fan-out: inputs of which each task uses some files only, and their paths there (with
        ``{index}``). The task is then found again by what it works on, not by its number: a temperature or a system
        more does not repeat the others.
    settings_class : type
        What the task has to be told: :meth:`run` gets an object of this class as ``settings``.
    html_page : str
        File of the result that a person may want to look at (HTML), empty for none.
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
    settings_class: ClassVar[type[TaskSettings] | None] = None

    def run(self, out: Path, settings: Any, **inputs: Any) -> dict[str, Any] | None:
        """Do the work: files into ``out``; returns the output parameters."""
        raise NotImplementedError

    @classmethod
    def get_input_sign(cls) -> OPIOSign:
        """Return dflow's description of the inputs."""
        sign: dict[str, Any] = {"settings": Artifact(Path)}
        for name in cls.artifacts:
            kind = List[Path] if "*" in name else Path  # noqa: UP006
            sign[name.rstrip("*?")] = Artifact(kind, optional=name.endswith("?"))
        for name in (*cls.parameters, *cls._loop_numbers()):
            sign[name] = Parameter(int)
        return OPIOSign(sign)

    @classmethod
    def get_output_sign(cls) -> OPIOSign:
        """Return dflow's description of the outputs: one folder, and the small parameters."""
        sign: dict[str, Any] = {"out": Artifact(Path)}
        sign.update({name: Parameter(kind, default=ABSENT[kind]) for name, kind in cls.returns.items()})
        return OPIOSign(sign)

    @classmethod
    def _loop_numbers(cls) -> tuple[str, ...]:
        return ()

    def execute(self, op_in: OPIO) -> OPIO:
        """Run the task (called by dflow in a process of its own)."""
        inputs = prepare(op_in, self)
        task = os.environ.get("DPA_SSE_STEP", type(self).__name__)
        if "iteration" in inputs:
            task += f"-i{inputs['iteration']:03d}"
        try:
            out, values = self._run_one(task, inputs)
        except (TransientError, TimeoutError) as error:
            say_why(error)
            raise DflowTransientError(str(error)) from error
        except PipelineError as error:
            say_why(error)
            raise DflowFatalError(str(error)) from error
        except Exception as error:
            say_why(error)
            raise
        show_page(out, self.html_page)
        given = {name: value for name, value in values.items() if value is not None}
        absent = {name: ABSENT[kind] for name, kind in self.returns.items()}
        return OPIO({"out": _publish(out, Path("out")), **absent, **given})

    def _run_one(self, task: str, inputs: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """Return the folder of the finished task and its output parameters, computed now or earlier."""
        stage = _stage()
        run = os.environ.get("DPA_SSE_RUN")
        store = store_from_environment() if run is None and self.cached else None
        key = self._key(task, inputs) if run or store else ""
        folder = self._folder(Path(run) / "tasks" / stage, task, key) if run else Path.cwd() / "work" / task
        if run and self.cached and (folder / DONE).exists():
            events.emit("cached", stage, task, folder=folder)
            return folder, read_json(folder / DONE)["values"]
        folder.mkdir(parents=True, exist_ok=True)
        saved = store.restore(key, folder) if store else None
        if saved and saved.done:
            events.emit("cached", stage, task, folder=folder)
            return folder, saved.values
        folder.mkdir(parents=True, exist_ok=True)
        TaskStatus.path_in(folder).unlink(missing_ok=True)  # of an attempt that failed
        events.emit("start", stage, task, folder=folder, checkpoint=bool(saved) or None)
        start = time.monotonic()
        try:
            with store.checkpoints(key, folder) if store else nullcontext():
                values = self._attempts(task, folder, inputs)
        except Exception as error:
            events.emit("failed", stage, task, folder=folder, reason=str(error) or type(error).__name__)
            raise
        seconds = time.monotonic() - start
        write_manifest(folder, producer=type(self).__name__, version=self.version, logs=self.logs)
        failed, final, remark = _outcome(folder)
        if failed is None or final:
            write_json(folder / DONE, {"values": values, "seconds": seconds})
            if store:
                _store_result(store, key, folder, values)
        kind = "failed" if failed else "done"
        events.emit(kind, stage, task, folder=folder, seconds=seconds, reason=failed or remark)
        return folder, values

    def _folder(self, stage: Path, task: str, key: str) -> Path:
        """Return the folder of a task in a run folder; a finished one may have had another number then."""
        folder = stage / f"{task}--{key[:10]}"
        if self.keyed_by and not folder.exists():
            return next((found.parent for found in sorted(stage.glob(f"*--{key[:10]}/{DONE}"))), folder)
        return folder

    def _attempts(self, task: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        """Call :meth:`run`, again after a transient error, each time within the time limit."""
        retries = int(os.environ.get("DPA_SSE_RETRIES", "0"))
        settings = read_json(inputs["settings"])
        if self.settings_class:
            settings = self.settings_class.model_validate(settings)
        others = {name: value for name, value in inputs.items() if name != "settings"}
        for attempt in range(retries + 1):
            try:
                with _time_limit(float(os.environ.get("DPA_SSE_TASK_TIMEOUT_S", "0"))):
                    return self.run(folder, settings, **others) or {}
            except TransientError as error:
                if attempt == retries:
                    raise
                events.emit("retry", _stage(), task, folder=folder, reason=str(error))
        raise AssertionError("unreachable")

    def _key(self, task: str, inputs: dict[str, Any]) -> str:
        """Return the hash of all that the result of this task depends on."""
        parts: dict[str, Any] = {"op": type(self).__name__, "version": self.version}
        others = dict(inputs)
        if self.keyed_by:
            index = others.pop("index")
            for name, paths in self.keyed_by.items():
                root = others.pop(name)
                parts[name] = [_digest_part(root, path.format(index=index)) for path in paths]
                if None in parts[name]:  # nothing to do: each such task keeps a folder of its own
                    parts["task"] = task
        else:
            parts["task"] = task
        for name, value in others.items():
            parts[name] = value if isinstance(value, int) else _digest(value)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class FanOutOP(TaskOP):
    """Equal tasks, ``group_size`` of them in one process (or pod).

    A task that fails writes ``status.json`` and does not stop its siblings; the step that gathers decides.
    """

    @classmethod
    def _loop_numbers(cls) -> tuple[str, ...]:
        return ("group", "group_size", "count")

    def execute(self, op_in: OPIO) -> OPIO:
        """Run all tasks of this group, one after the other."""
        inputs = prepare(op_in, self)
        group, size, count = (inputs.pop(name) for name in self._loop_numbers())
        step = os.environ.get("DPA_SSE_STEP", type(self).__name__)
        if "iteration" in inputs:
            step += f"-i{inputs['iteration']:03d}"
        target = Path(f"group.{group:03d}")
        target.mkdir()
        indices = members(group, size, count)
        for number, index in enumerate(indices):
            try:
                out, _ = self._run_one(f"{step}-{index:03d}", {**inputs, "index": index})
            except TransientError as error:  # the store does not answer: this process may, in a while, be started again
                say_why(error)
                raise DflowTransientError(str(error)) from error
            _publish(out, target / f"task.{index:03d}")
            show_progress(number + 1, len(indices))
        return OPIO({"out": target})

    def _attempts(self, task: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        try:
            return super()._attempts(task, folder, inputs)
        except Exception as error:  # whatever went wrong here must not stop the siblings
            reason = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            (folder / "error.log").write_text(traceback.format_exc())
            TaskStatus(status="failed", reason=reason).write(folder)
            return {}


def prepare(op_in: OPIO, op: TaskOP) -> dict[str, Any]:
    """Return the inputs, unpacked, and make SIGTERM end this process as a termination, not as a failed task.

    A folder of the user's in the bucket stands for the results of a fan-out: dflow, which finds no list of files in it,
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


def say_why(error: Exception) -> None:
    """In a pod: hand the reason of a failure to Kubernetes."""
    if "DPA_SSE_RUN" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
        reason = str(error) or type(error).__name__
        if not isinstance(error, PipelineError):
            reason = f"{type(error).__name__}: {reason}"
        with suppress(OSError):
            TERMINATION_LOG.write_bytes(reason.encode()[:TERMINATION_BYTES])


def show_page(out: Path, name: str) -> None:
    """In a pod: put the page of a result where its artifact of its own is taken from (``DPA_SSE_PAGE``)."""
    target = os.environ.get("DPA_SSE_PAGE")
    if target and name and (out / name).is_file():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, target)


def show_progress(done: int, total: int) -> None:
    """In a pod: tell Argo how many tasks of the group are done."""
    target = os.environ.get("ARGO_PROGRESS_FILE")
    if target:
        with suppress(OSError):
            Path(target).write_text(f"{done}/{total}")


def write_manifest(folder: Path, *, producer: str, version: int, logs: Sequence[str] = ()) -> None:
    """Write ``manifest.json``: what made the folder, and the SHA-256 of every file that is a result (not a log)."""
    files = {
        name: sha256_file(folder / name)
        for name in sorted(walk_files(folder))
        if name != MANIFEST and not name.endswith(".log") and name.split("/")[0] not in logs
    }
    write_json(folder / MANIFEST, {"producer": producer, "version": version, "files": files})


def _store_result(store: TaskStore, key: str, folder: Path, values: dict[str, Any]) -> None:
    try:
        store.save(key, folder, values=values)
    except TransientError as error:  # the result itself is here
        events.emit("note", "", "", reason=str(error))


def _stage() -> str:
    return os.environ.get("DPA_SSE_STAGE", "tasks")


def _digest(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [_digest(item) for item in results(value)]
    path = Path(value)
    if (path / MANIFEST).is_file():  # holds the hashes of all files: no need to read them again
        return sha256_file(path / MANIFEST)
    if path.is_dir():
        return {name: sha256_file(path / name) for name in sorted(walk_files(path))}
    return sha256_file(path)


def _digest_part(root: Path, part: str) -> Any:
    """Return the digest of a file or folder below an artifact; None where there is none (an empty task)."""
    if (root / MANIFEST).is_file():
        files = read_json(root / MANIFEST)["files"]
        inside = [name for name in files if Path(name).is_relative_to(part)]
        return {str(Path(name).relative_to(part)): files[name] for name in inside} or None  # without the task's number
    return _digest(root / part) if (root / part).exists() else None


def _outcome(folder: Path) -> tuple[str | None, bool, str | None]:
    """Return why a task failed, whether trying again would be useless, and a remark of one that succeeded in part."""
    status = TaskStatus.read_if_there(folder)
    if status is None:
        return None, False, None
    if status.status != "failed":
        return None, False, status.reason or None
    return status.reason or "failed", status.final, None


def _publish(source: Path, target: Path) -> Path:
    """Put the results of a task below the current folder, where dflow looks for them: links, no copies."""
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
