"""``.engine/batch.json``: how a run uses its batch system, for the processes of its steps."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.resources import import_root
from dpa_sse.pipeline.config.batch import BatchSettings, Job, Kind, System

FILE = "batch.json"
MOST_MEMBERS = 1000
"""Of an array; Slurm's default limit is 1001."""


class BatchPlan(BaseModel):
    """How a run uses its batch system.

    Attributes
    ----------
    system : str
    settings : BatchSettings
    jobs : dict
        What the jobs of each kind of work ask for.
    dflow : str
        Folder below ``.engine`` that the inputs of the tasks are in.
    most_members : int
        Of an array.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: System
    settings: BatchSettings
    jobs: dict[Kind, Job]
    dflow: str = "dflow"
    most_members: int = MOST_MEMBERS

    @classmethod
    def read(cls, engine: Path) -> BatchPlan:
        """Return that of a run."""
        return cls.model_validate_json((engine / FILE).read_bytes())

    def write(self, engine: Path) -> None:
        """Write that of a run."""
        write_text(engine / FILE, self.model_dump_json(indent=1))

    def command(self, folder: Path, run: Path) -> list[str]:
        """Return the command of a job; the number of the member follows.

        Parameters
        ----------
        folder : Path
            Of the submission.
        run : Path
            The run folder, which a container has to show.
        """
        container = self.settings.container
        if container is None:
            return [self.settings.python or sys.executable, "-P", "-m", MODULE, str(folder)]
        inside = [self.settings.python or "python3", "-P", "-m", MODULE, str(folder)]
        return [container.runtime, "exec", "--bind", f"{run}:{run}", *container.options, container.image, *inside]

    def exports(self) -> dict[str, str]:
        """Return the environment variables of a job's script; a container has the package inside."""
        common = {"PYTHONUNBUFFERED": "1"}
        if self.settings.container is not None:
            return common
        return common | {"PYTHONPATH": os.environ.get("PYTHONPATH") or str(import_root())}


MODULE = "dpa_sse.pipeline.engines.slurm.job"
