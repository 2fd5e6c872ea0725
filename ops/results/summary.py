"""``summary.json``: the figures of a run's report, for programs."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.active import CurvePoint, FinetuneRound
from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.conductivity import RankedSystem
from dpa_sse.ops.results.self_check import CheckedSystem, Trust
from dpa_sse.ops.results.simplify import SimplifyIteration
from dpa_sse.ops.results.state_point import StatePoint


class StageSummary(ResultPart):
    """One stage of the run: ``seconds`` is the time during which its tasks were at work.

    ``core_hours`` and ``gpu_hours`` are those of its jobs on a batch system, None without any.
    """

    name: str
    status: str
    seconds: float
    tasks: int
    tasks_failed: int
    core_hours: float | None = None
    gpu_hours: float | None = None


class ErrorSummary(ResultPart):
    """Errors of one model on frames of a split, with 95 % intervals over trajectories.

    The virial is None where the labels have none, an interval where there are too few trajectories. ``labels`` names
    the level of theory of the labels.
    """

    split: str
    labels: str | None
    energy_mae_meV_atom: float
    energy_mae_ci95_meV_atom: tuple[float, float] | None
    force_mae_meV_A: float
    force_mae_ci95_meV_A: tuple[float, float] | None
    virial_mae_meV_atom: float | None
    virial_mae_ci95_meV_atom: tuple[float, float] | None
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
    """Conductivity at one temperature; ``sigma_mS_cm`` and ``D_cm2_s`` are None unless the verdict is ``diffusive``.

    Attributes
    ----------
    state : StatePoint or None
        Pressure, ensemble and size; None where they are not recorded.
    labels : str or None
        Level of theory of the labels of the model.
    trust : Trust
        Verdict of the self-check of the production runs.
    trust_reasons : tuple of str
        Why it is not ``trusted``.
    sigma_ci95_mS_cm, D_ci95_cm2_s : tuple of float or None
        95 % intervals.
    """

    system: str
    temperature_K: float | None
    state: StatePoint | None
    labels: str | None
    replicas: int
    verdict: str | None
    trust: Trust
    trust_reasons: tuple[str, ...]
    sigma_mS_cm: float | None
    sigma_ci95_mS_cm: tuple[float, float] | None
    D_cm2_s: float | None
    D_ci95_cm2_s: tuple[float, float] | None


class ArrheniusSummary(ResultPart):
    """The Arrhenius line of one system; None where it is not determined. Intervals are 95 %.

    ``trust`` is the lowest verdict of the self-check among the temperatures of the line.
    """

    system: str
    state: StatePoint | None
    labels: str | None
    trust: Trust
    Ea_eV: float | None
    Ea_ci95_eV: tuple[float, float] | None
    sigma_300K_mS_cm: float | None
    sigma_300K_ci95_mS_cm: tuple[float, float] | None


class TargetSummary(ResultPart):
    """One of the targets of a project; its folder holds a ``summary.json`` with everything about it.

    Attributes
    ----------
    name, folder : str
        The folder is relative to that of this file.
    status : str
        ``done``, ``inconclusive`` or ``failed``; ``unfinished`` while the run is at work.
    reason : str
        Why it is not ``done``.
    systems : tuple of str
        What was simulated.
    labels_trained_on : int or None
        Labelled frames that its model was fine-tuned on; None without fine-tuning.
    gates : str or None
        Verdict on its student.
    force_mae_meV_A : float or None
        Of the student on held-out frames of its teacher.
    """

    name: str
    folder: str
    status: str
    reason: str
    systems: tuple[str, ...]
    labels_trained_on: int | None
    gates: str | None
    force_mae_meV_A: float | None


class Summary(Result):
    """Figures of a run.

    Attributes
    ----------
    name : str
        Name of the project.
    status : str or None
        ``done``, ``inconclusive`` (no temperature has a conductivity), ``refused`` (by a gate), ``suspended`` (until a
        person decides), ``failed``, ``interrupted`` or ``running``, as `dpa-sse status` says; the stages show what was
        lost. None where the stages are not recorded.
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
    arrhenius : tuple of ArrheniusSummary
        By system.
    ranking : tuple of RankedSystem
        Systems by their extrapolated conductivity, the highest first; empty with fewer than two.
    self_check : tuple of CheckedSystem
        Errors of the model in its production runs, by system.
    self_check_rounds : int
        Rounds of the loop back to labels that were made.
    finetune_rounds : tuple of FinetuneRound
        Rounds of active fine-tuning.
    finetune_curve : tuple of CurvePoint
        Models on parts of the frames.
    simplify : tuple of SimplifyIteration
        The thinning of the data.
    targets : tuple of TargetSummary
        Of a project with targets; its conductivities, Arrhenius lines and ranking are those of all targets.
    """

    FILE: ClassVar[str] = "summary.json"

    name: str
    status: str | None
    stages: tuple[StageSummary, ...]
    errors: dict[str, ErrorSummary]
    concurrent_learning: tuple[IterationSummary, ...]
    md: tuple[MdSummary, ...]
    conductivity: tuple[ConductivitySummary, ...]
    arrhenius: tuple[ArrheniusSummary, ...]
    ranking: tuple[RankedSystem, ...]
    self_check: tuple[CheckedSystem, ...]
    self_check_rounds: int
    finetune_rounds: tuple[FinetuneRound, ...] = ()
    finetune_curve: tuple[CurvePoint, ...] = ()
    simplify: tuple[SimplifyIteration, ...] = ()
    targets: tuple[TargetSummary, ...] = ()
