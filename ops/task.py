"""The bridge between a plain function and a dflow OP: signature, working folder, resume, retry, events.

A :class:`TaskOP` declares its inputs and does its work in :meth:`TaskOP.run`. Where the environment variable
``DPA_SSE_RUN`` names a run folder (local runs), every task has a working folder there whose name contains a hash of
all that the result depends on: a finished task is never computed again, an interrupted one goes on from its
checkpoints, and a changed input leads to another folder. Elsewhere (pods) the task works in the current folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, List  # noqa: UP035  (dflow knows typing.List only)

from dflow.python import OP, OPIO, Artifact, OPIOSign, Parameter
from dflow.python import FatalError as DflowFatalError
from dflow.python import TransientError as DflowTransientError

from ops import events
from ops.errors import PipelineError, TransientError
from ops.files import read_json, sha256_file, walk_files, write_json

DONE = ".done.json"
MANIFEST = "manifest.json"


class TaskOP(OP):
    """One task, or a group of equal tasks of a fan-out.

    Class attributes
    ----------------
    artifacts : tuple of str
        Input artifacts: files or folders. A name that ends in ``*`` receives the list of results of a fan-out,
        one that ends in ``?`` may be absent.
    numbers : tuple of str
        Small integer parameters.
    returns : dict
        Small output parameters and their types.
    logs : tuple of str
        Folders below the task's whose files are kept, but are no results: they hold times and names of machines.
    version : int
        Raised when the meaning of the result changes, so that old results are not taken for new ones.
    """

    artifacts: ClassVar[tuple[str, ...]] = ()
    numbers: ClassVar[tuple[str, ...]] = ()
    returns: ClassVar[dict[str, type]] = {}
    logs: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> dict[str, Any] | None:
        """Do the work: files into ``out``; returns the output parameters."""
        raise NotImplementedError

    @classmethod
    def get_input_sign(cls) -> OPIOSign:
        """Return dflow's description of the inputs."""
        sign: dict[str, Any] = {"settings": Artifact(Path)}
        for name in cls.artifacts:
            kind = List[Path] if "*" in name else Path  # noqa: UP006
            sign[name.rstrip("*?")] = Artifact(kind, optional=name.endswith("?"))
        for name in (*cls.numbers, *cls._loop_numbers()):
            sign[name] = Parameter(int)
        return OPIOSign(sign)

    @classmethod
    def get_output_sign(cls) -> OPIOSign:
        """Return dflow's description of the outputs: one folder, and the small parameters."""
        defaults: dict[type, Any] = {bool: False, int: 0}
        sign: dict[str, Any] = {"out": Artifact(Path)}
        sign.update({name: Parameter(kind, default=defaults[kind]) for name, kind in cls.returns.items()})
        return OPIOSign(sign)

    @classmethod
    def _loop_numbers(cls) -> tuple[str, ...]:
        return ()

    def execute(self, op_in: OPIO) -> OPIO:
        """Run the task (called by dflow in a process of its own)."""
        inputs = dict(op_in)
        task = os.environ.get("DPA_SSE_STEP", type(self).__name__)
        if "iteration" in inputs:
            task += f"-i{inputs['iteration']:03d}"
        try:
            out, values = self._run_one(task, inputs)
        except (TransientError, TimeoutError) as error:
            raise DflowTransientError(str(error)) from error
        except PipelineError as error:
            raise DflowFatalError(str(error)) from error
        return OPIO({"out": _publish(out, Path("out")), **values})

    def _run_one(self, task: str, inputs: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """Return the folder of the finished task and its output parameters, computed now or earlier."""
        stage = _stage()
        run = os.environ.get("DPA_SSE_RUN")
        if run is None:
            folder = Path.cwd() / "work" / task
        else:
            key = self._key(task, inputs)
            folder = Path(run) / "tasks" / stage / f"{task}--{key[:10]}"
            if self.cached and (folder / DONE).exists():
                events.emit("cached", stage, task, folder=folder)
                return folder, read_json(folder / DONE)["values"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").unlink(missing_ok=True)  # of an attempt that failed
        events.emit("start", stage, task, folder=folder)
        start = time.monotonic()
        try:
            values = self._attempts(task, folder, inputs)
        except Exception as error:
            events.emit("failed", stage, task, folder=folder, reason=str(error) or type(error).__name__)
            raise
        seconds = time.monotonic() - start
        write_manifest(folder, producer=type(self).__name__, version=self.version, logs=self.logs)
        failed, final, remark = _outcome(folder)
        if failed is None or final:
            write_json(folder / DONE, {"values": values, "seconds": seconds})
        kind = "failed" if failed else "done"
        events.emit(kind, stage, task, folder=folder, seconds=seconds, reason=failed or remark)
        return folder, values

    def _attempts(self, task: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        """Call :meth:`run`, again after a transient error, each time within the time limit."""
        retries = int(os.environ.get("DPA_SSE_RETRIES", "0"))
        settings = read_json(inputs["settings"])
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
        parts: dict[str, Any] = {"op": type(self).__name__, "version": self.version, "task": task}
        for name, value in inputs.items():
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
        inputs = dict(op_in)
        group, size, count = (inputs.pop(name) for name in self._loop_numbers())
        step = os.environ.get("DPA_SSE_STEP", type(self).__name__)
        if "iteration" in inputs:
            step += f"-i{inputs['iteration']:03d}"
        target = Path(f"group.{group:03d}")
        target.mkdir()
        for index in range(group * size, min(count, (group + 1) * size)):
            out, _ = self._run_one(f"{step}-{index:03d}", {**inputs, "index": index})
            _publish(out, target / f"task.{index:03d}")
        return OPIO({"out": target})

    def _attempts(self, task: str, folder: Path, inputs: dict[str, Any]) -> dict[str, Any]:
        try:
            return super()._attempts(task, folder, inputs)
        except Exception as error:  # whatever went wrong here must not stop the siblings
            reason = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            (folder / "error.log").write_text(traceback.format_exc())
            write_json(folder / "status.json", {"status": "failed", "reason": reason, "items": []})
            return {}


def results(groups: list[Path]) -> list[Path]:
    """Return the result folders of a fan-out in the order of their index."""
    folders = [folder for group in groups for folder in Path(group).glob("task.*")]
    return sorted(folders, key=lambda folder: int(folder.name.rpartition(".")[2]))


def write_manifest(folder: Path, *, producer: str, version: int, logs: Sequence[str] = ()) -> None:
    """Write ``manifest.json``: what made the folder, and the SHA-256 of every file that is a result (not a log)."""
    files = {
        name: sha256_file(folder / name)
        for name in sorted(walk_files(folder))
        if name != MANIFEST and not name.endswith(".log") and name.split("/")[0] not in logs
    }
    write_json(folder / MANIFEST, {"producer": producer, "version": version, "files": files})


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


def _outcome(folder: Path) -> tuple[str | None, bool, str | None]:
    """Return why a task failed, whether trying again would be useless, and a remark of one that succeeded in part."""
    try:
        status = read_json(folder / "status.json")
    except FileNotFoundError:
        return None, False, None
    reason = status.get("reason") or None
    if status.get("status") != "failed":
        return None, False, reason
    return reason or "failed", bool(status.get("final")), None


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
