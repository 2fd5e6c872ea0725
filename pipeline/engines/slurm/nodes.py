"""Nodes that jobs are kept off because of what happened there, and what the nodes of a partition have."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.core.files import write_text
from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.partitions import most_memory_MB, read_partitions
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.runs.lock import alone

FILE, LOCK = "bad_nodes.json", "bad_nodes.lock"
MOST = 5
"""Nodes that are left out; if jobs fail on more, it is not the fault of the nodes."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: dict[str, str] = {}


class BadNodes:
    """Nodes that the jobs of a run are kept off until it is started again: at most five, and a quarter of a partition.

    Parameters
    ----------
    engine : Path
        They are written down here, for all steps of the run.
    scheduler : Scheduler
    job : Job
        What the jobs of the step ask for.
    """

    def __init__(self, engine: Path, scheduler: Scheduler, job: Job) -> None:
        self.file = engine / FILE
        self.scheduler = scheduler
        self.job = job

    def names(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(sorted(self._read()))

    def add(self, node: str, reason: str) -> bool:
        """Keep jobs off a node from now on; return whether they are, that is, whether enough others are left."""
        if not node or not self.scheduler.dialect.excludes:
            return False
        with alone(self.file.with_name(LOCK)):
            known = self._read()
            if node in known:
                return True
            try:
                everything, usable = self._nodes(), self._nodes("--responding")
            except PipelineError:
                return False
            others = usable - {node, *known}
            if len(others) < self.job.nodes or len(known & everything) >= min(MOST, max(1, len(everything) // 4)):
                return False
            write_text(self.file, _Record(nodes={**self._read_all(), node: reason}).model_dump_json(indent=1))
        return True

    def _nodes(self, *options: str) -> set[str]:
        place = [f"--partition={self.job.partition}"] if self.job.partition else []
        answer = self.scheduler.ask(["sinfo", "--noheader", "--Node", *options, *place, "--format=%N"])
        return set(answer.split())

    def _read(self) -> set[str]:
        return set(self._read_all())

    def _read_all(self) -> dict[str, str]:
        try:
            return _Record.model_validate_json(self.file.read_bytes()).nodes
        except FileNotFoundError:
            return {}


def forget_bad_nodes(engine: Path) -> None:
    """Use all nodes again."""
    (engine / FILE).unlink(missing_ok=True)


def most_memory_GB(scheduler: Scheduler, job: Job) -> float | None:  # noqa: N802
    """Return the memory of the largest node that a job could run on; None if the system does not tell."""
    if scheduler.dialect.system != "slurm":
        return None
    try:
        found = most_memory_MB(job, read_partitions(scheduler))
    except PipelineError:
        return None
    return None if found is None else found / 1024
