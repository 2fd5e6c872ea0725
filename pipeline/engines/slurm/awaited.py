"""The tasks of a step that have to be computed, and the jobs that are waited for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from dpa_sse.ops.runtime.identity import TaskIdentity
from dpa_sse.ops.runtime.task import Inputs
from dpa_sse.pipeline.engines.slurm.queue import Snapshot
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, BatchTask, now
from dpa_sse.pipeline.engines.slurm.verdict import Sight


@dataclass(frozen=True)
class Wanted:
    """A task that has to be computed."""

    name: str
    inputs: Inputs
    identity: TaskIdentity
    folder: Path
    losses: dict[str, int] = field(default_factory=dict)

    @property
    def plain(self) -> BatchTask:
        """The task as a part of a submission."""
        index = self.inputs.get("index")
        return BatchTask(
            name=self.name, key=self.identity.key, index=index if isinstance(index, int) else None, losses=self.losses
        )


@dataclass
class Awaited:
    """A job that is waited for, and the tasks that it still owes."""

    folder: BatchFolder
    member: int
    owes: set[str]
    seen: object = None
    since: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """How many tasks it had."""
        return len(self.folder.batch.members[self.member])

    @property
    def label(self) -> str:
        """Number of the job, with that of the member of an array."""
        job, member = self.folder.handle(self.member)
        return job if member is None else f"{job}_{member}"

    def node(self, snapshot: Snapshot) -> str:
        """Return the node that the job was on; empty if it is not known, or one of several."""
        ended = self.folder.ended(self.member)
        name = ended[2] if ended is not None else snapshot.spot(self.folder.job or "", self.member)[0]
        return "" if any(mark in name for mark in "[,+:") else name

    def sight(self, snapshot: Snapshot, patience_s: float, *, left: bool) -> Sight:
        """Return what is known about the job.

        Parameters
        ----------
        snapshot : Snapshot
            Latest answer of the batch system.
        patience_s : float
            How late a new file may be seen.
        left : bool
            The job has left an exit file.
        """
        view = snapshot.view(self.folder.job or "", self.member)
        ended = self.folder.ended(self.member) if left else None
        answered = snapshot.time if not snapshot.fault else 0.0
        seen = (view and (view.state, view.word, view.reason), ended)
        if seen != self.seen:
            self.seen, self.since = seen, time.monotonic()
        return Sight(
            view=view, asked_after_s=answered - self.folder.batch.created, ended=ended,
            unchanged_s=time.monotonic() - self.since, now=now(), patience_s=patience_s,
            begun=self.folder.begun(self.member), node=self.node(snapshot),
        )
