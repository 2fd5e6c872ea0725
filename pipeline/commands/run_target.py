"""What the commands about existing runs need from a run, whether it is local or on a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path


class RunTarget(ABC):
    """A run that a user named. Every method prints for a person and returns the exit code of its command."""

    @abstractmethod
    def show_status(self, *, as_json: bool, only: Sequence[str] = ()) -> int:
        """Print the stages with their progress, and which tasks failed; ``only``: those of some targets."""

    @abstractmethod
    def watch(self) -> int:
        """Show the progress until the run ends."""

    @abstractmethod
    def show_logs(self, task: str | None, lines: int) -> int:
        """Print the last ``lines`` lines of the logs of a task, or of all failed tasks; else the names of the tasks."""

    @abstractmethod
    def stop(self) -> int:
        """Stop the run; what has finished is kept."""

    @abstractmethod
    def resume(self) -> int:
        """Continue an interrupted, failed or waiting run; finished tasks are not repeated."""

    @abstractmethod
    def download(self, steps: Sequence[str], out: Path | None) -> int:
        """Bring the results of ``steps`` (none: the main results) into a run folder on this machine."""

    @abstractmethod
    def rebuild_report(self, out: Path | None) -> int:
        """Write the report from the tasks that have finished so far into ``out``, or into the run folder."""
