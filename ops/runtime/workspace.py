"""Where a task works and where its result is kept: a run folder, a pod with a store, or just the current folder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.ops.runtime import events
from dpa_sse.ops.runtime.identity import TaskIdentity
from dpa_sse.ops.runtime.store import TaskStore, store_from_environment

KEY_DIGITS = 10


@dataclass(frozen=True)
class TaskFolder:
    """The folder of a task.

    Attributes
    ----------
    path : Path
        Exists.
    record : TaskRecord, optional
        Of a finished task: its result is there.
    resumed : bool
        It holds a checkpoint from the store.
    """

    path: Path
    record: TaskRecord | None = None
    resumed: bool = False


class Workspace(Protocol):
    """A place for the folders of tasks."""

    def open(self, identity: TaskIdentity) -> TaskFolder:
        """Return the folder of a task, with its earlier result or checkpoint if there is one."""

    def checkpoints(self, identity: TaskIdentity, folder: Path) -> AbstractContextManager[None]:
        """Keep checkpoints of the folder while the block runs."""

    def keep(self, identity: TaskIdentity, folder: Path, record: TaskRecord) -> None:
        """Keep the folder as the result of the task."""


@dataclass(frozen=True)
class CurrentFolder:
    """Works below the current folder and keeps nothing elsewhere."""

    root: Path

    def open(self, identity: TaskIdentity) -> TaskFolder:
        """Return an empty folder; an interrupted task leaves its files there."""
        path = self.root / identity.task
        path.mkdir(parents=True, exist_ok=True)
        return TaskFolder(path)

    def checkpoints(self, identity: TaskIdentity, folder: Path) -> AbstractContextManager[None]:
        """Do nothing: the folder is all there is."""
        return nullcontext()

    def keep(self, identity: TaskIdentity, folder: Path, record: TaskRecord) -> None:
        """Mark the folder as complete."""
        record.write(folder)


@dataclass(frozen=True)
class RunFolder:
    """Works in a run folder, where every result has a folder named after the hash of its inputs.

    A finished task is never computed again, an interrupted one resumes from its checkpoints, and a changed input leads
    to another folder.
    """

    stage: Path
    reuse: bool

    def open(self, identity: TaskIdentity) -> TaskFolder:
        """Return the folder of the task; it may have been made under another task number."""
        name = f"--{identity.key[:KEY_DIGITS]}"
        path = self.stage / f"{identity.task}{name}"
        if identity.movable and not path.exists():
            path = next((found.parent for found in sorted(self.stage.glob(f"*{name}/{TaskRecord.FILE}"))), path)
        path.mkdir(parents=True, exist_ok=True)
        return TaskFolder(path, TaskRecord.read_if_there(path) if self.reuse else None)

    def checkpoints(self, identity: TaskIdentity, folder: Path) -> AbstractContextManager[None]:
        """Do nothing: what the task has written stays in its folder."""
        return nullcontext()

    def keep(self, identity: TaskIdentity, folder: Path, record: TaskRecord) -> None:
        """Mark the folder as complete."""
        record.write(folder)


@dataclass(frozen=True)
class StoredFolder:
    """Works below the current folder of a pod; results and checkpoints are kept in a store."""

    root: Path
    store: TaskStore

    def open(self, identity: TaskIdentity) -> TaskFolder:
        """Download the result or the last checkpoint of the task.

        Raises
        ------
        TransientError
            The store does not answer.
        """
        path = self.root / identity.task
        path.mkdir(parents=True, exist_ok=True)
        stored = self.store.restore(identity.key, path)
        path.mkdir(parents=True, exist_ok=True)  # an incomplete download has been removed
        record = None
        if stored and stored.done:
            record = TaskRecord(values=stored.values, seconds=0.0, versions=stored.versions)
        return TaskFolder(path, record, resumed=stored is not None)

    def checkpoints(self, identity: TaskIdentity, folder: Path) -> AbstractContextManager[None]:
        """Upload the folder at intervals, and when the block is terminated."""
        return self.store.checkpoints(identity.key, folder)

    def keep(self, identity: TaskIdentity, folder: Path, record: TaskRecord) -> None:
        """Upload the folder; if that fails, the result itself is still here."""
        record.write(folder)
        try:
            self.store.save(identity.key, folder, values=record.values, versions=record.versions)
        except TransientError as error:
            events.emit("note", reason=str(error))


def choose_workspace(*, reuse: bool) -> Workspace:
    """Return the workspace that the environment asks for.

    Parameters
    ----------
    reuse : bool
        Whether earlier results may be reused; those of a task that shows the present state of a run may not.
    """
    run = env.RUN.read()
    if run is not None:
        return RunFolder(run / "tasks" / env.STAGE.read(), reuse)
    work = Path.cwd() / "work"
    store = store_from_environment() if reuse else None
    return StoredFolder(work, store) if store else CurrentFolder(work)
