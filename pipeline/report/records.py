"""What the report shows of a run, of its configuration and of files that hold more than it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dpa_sse.ops.results.dataset import FailedTask

StageState = Literal["ok", "partial", "failed", "unfinished", "skipped"]

EVALUATIONS = {
    "pretrain": "pre-trained",
    "fine_tuned_base": "fine-tuned, base systems",
    "zero_shot": "zero-shot",
    "zero_shot_bias": "zero-shot, refitted bias",
    "fine_tuned": "fine-tuned",
    "from_scratch": "from scratch",
    "fine_tuned_train": "fine-tuned, training frames",
    "from_scratch_train": "from scratch, training frames",
    "student": "student",
    "student_vs_teacher": "student vs teacher",
}
"""Name and label of the evaluations, in the order in which the models are made; others follow by name."""


def evaluation_label(name: str) -> str:
    """Return the label of an evaluation."""
    return EVALUATIONS.get(name, name)


@dataclass(frozen=True)
class StageRecord:
    """One stage of the workflow.

    Attributes
    ----------
    name, title : str
        Name in the run folder, and title for people.
    status : {"ok", "partial", "failed", "unfinished", "skipped"}
        ``partial``: tasks were lost, but the stage has its result.
    seconds : float
        Time during which its tasks were at work, in all starts of the run.
    ended_after_s : float
        Time from the last start of the run to the end of the stage.
    tasks, tasks_failed, tasks_earlier : int
        Number of tasks: all, failed, and finished in an earlier start.
    failures : sequence of FailedTask
        Failed tasks with their reasons.
    core_hours, gpu_hours : float, optional
        That its jobs have used; None without jobs of a batch system.
    hours_by : str
        By which clocks.
    """

    name: str
    title: str
    status: StageState
    seconds: float
    ended_after_s: float
    tasks: int
    tasks_failed: int = 0
    tasks_earlier: int = 0
    failures: Sequence[FailedTask] = ()
    other_versions: Sequence[str] = ()
    core_hours: float | None = None
    gpu_hours: float | None = None
    hours_by: str = ""


class Excerpt(BaseModel):
    """The keys of a larger file that the report shows; others are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SystemExcerpt(Excerpt):
    """A system of the configuration."""

    name: str
    structure: str = ""
    site_disorder: float | None = None
    mixing: str = "random"


class PerturbExcerpt(Excerpt):
    """How the cells were made from which the labeler started."""

    count: int
    strain: float
    displacement_A: float


class AimdExcerpt(Excerpt):
    """Molecular dynamics with the labeler."""

    temperatures_K: tuple[float, ...]
    end_temperatures_K: tuple[float, ...] | None = None
    steps: int
    timestep_fs: float
    sample_every: int
    ensemble: str
    pressure_GPa: float = 0.0


class DownstreamExcerpt(Excerpt):
    """Section ``downstream`` of the configuration."""

    system: SystemExcerpt | None = None
    data: tuple[str, ...] = ()
    perturb: PerturbExcerpt | None = None
    aimd: AimdExcerpt | None = None


class ConductivityExcerpt(Excerpt):
    """Section ``conductivity`` of the configuration."""

    mobile: tuple[str, ...] = ()


class DistillExcerpt(Excerpt):
    """The distillation: only whether a first student explored."""

    self_exploration: dict[str, Any] | None = None  # foreign: a section of the configuration


class TargetExcerpt(Excerpt):
    """One of the targets."""

    name: str
    systems: tuple[SystemExcerpt, ...] = ()


class FailureExcerpt(Excerpt):
    """Section ``failure`` of the configuration."""

    min_success_ratio: float = 1.0


class ConfigExcerpt(Excerpt):
    """The resolved configuration."""

    name: str = ""
    seed: int | None = None
    systems: tuple[SystemExcerpt, ...] = ()
    perturb: PerturbExcerpt | None = None
    aimd: AimdExcerpt | None = None
    downstream: DownstreamExcerpt | None = None
    simulate: tuple[SystemExcerpt, ...] = ()
    targets: tuple[TargetExcerpt, ...] = ()
    distill: DistillExcerpt | None = None
    conductivity: ConductivityExcerpt = ConductivityExcerpt()
    md: dict[str, Any] | None = None  # foreign: a section of the configuration
    failure: FailureExcerpt = FailureExcerpt()

    @property
    def new_systems(self) -> tuple[SystemExcerpt, ...]:
        """Systems of the compound to fine-tune for."""
        if self.downstream is None:
            return ()
        return (self.downstream.system,) if self.downstream.system else self.simulate

    @property
    def all_systems(self) -> tuple[SystemExcerpt, ...]:
        """Systems that are trained on or simulated."""
        own = [one for target in self.targets for one in target.systems]
        new = () if self.new_systems == self.simulate else self.new_systems
        return (*self.systems, *new, *self.simulate, *own)
