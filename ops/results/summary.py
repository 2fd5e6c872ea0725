"""``summary.json``: the figures of a run's report, for programs."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.base import Result, ResultPart


class StageSummary(ResultPart):
    """One stage of the run: ``seconds`` is the time during which its tasks were at work."""

    name: str
    status: str
    seconds: float
    tasks: int
    tasks_failed: int


class ErrorSummary(ResultPart):
    """Errors of one model on held-out frames; the virial is None where the labels have none."""

    energy_mae_meV_atom: float
    force_mae_meV_A: float
    virial_mae_meV_atom: float | None
    n_frames: int


class IterationSummary(ResultPart):
    """One iteration of concurrent learning: number of frames by trust level, and of those that got labels."""

    iteration: int
    accurate: int
    candidate: int
    failed: int
    labelled: int | None


class MdSummary(ResultPart):
    """One production run."""

    name: str
    system: str
    temperature_K: float
    status: str
    steps_per_s: float | None


class ConductivitySummary(ResultPart):
    """Conductivity at one temperature; ``sigma_mS_cm`` is None unless the verdict is ``diffusive``.

    ``sigma_ci95_mS_cm`` is its 95 % interval.
    """

    temperature_K: float | None
    replicas: int
    verdict: str | None
    sigma_mS_cm: float | None
    sigma_ci95_mS_cm: tuple[float, float] | None


class Summary(Result):
    """Figures of a run.

    Attributes
    ----------
    name : str
        Name of the project.
    status : str or None
        ``ok``, ``partial`` (a task was lost or a stage was not reached) or ``failed``; the state of the run where it
        has not finished; None where the stages are not recorded.
    stages : tuple of StageSummary
        In the order of the workflow.
    errors : dict of str to ErrorSummary
        Errors by evaluation.
    concurrent_learning : tuple of IterationSummary
        In order.
    md : tuple of MdSummary
        Production runs by system, temperature and replica.
    conductivity : tuple of ConductivitySummary
        By temperature.
    """

    FILE: ClassVar[str] = "summary.json"

    name: str
    status: str | None
    stages: tuple[StageSummary, ...]
    errors: dict[str, ErrorSummary]
    concurrent_learning: tuple[IterationSummary, ...]
    md: tuple[MdSummary, ...]
    conductivity: tuple[ConductivitySummary, ...]
