"""From errors on single frames to means with intervals, and to the verdict of each conductivity.

A mean error is judged by its size and by its interval. The error of all runs of a system is well determined and is
judged by both; that of one temperature rests on a few frames, so only an error that its interval cannot explain counts
against it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from dpa_sse.ops.results.self_check import ErrorEstimate, ModelErrors, Trust

Judgement = Literal["beyond", "within", "unclear"]
Key = TypeVar("Key", bound=Hashable)
EXCLUDED = 3.0
"""The labels must exclude an error of this many times the bar, or there are too few of them."""
TOLERATED = 2.0
"""A single temperature may be off by this many times the bar, if its interval reaches below the bar."""


@dataclass(frozen=True)
class Metric:
    """A mean error and its bar.

    Attributes
    ----------
    name, unit : str
    bar : float
    overall : ErrorEstimate or None
        Over all runs of the system; None if it could not be computed.
    local : ErrorEstimate or None
        Over the runs at one temperature.
    """

    name: str
    unit: str
    bar: float
    overall: ErrorEstimate | None
    local: ErrorEstimate | None


def estimates(values: Mapping[Key, Sequence[float]]) -> dict[Key, ErrorEstimate]:
    """Return the mean of each group with its interval, from the common scatter within the groups.

    Few frames of one temperature do not determine their own scatter; that of all temperatures together does. Where each
    group has a single value, the scatter between the groups is taken for it.
    """
    arrays = {key: np.asarray(own, float) for key, own in values.items() if len(own)}
    sd, factor = _common_scatter(list(arrays.values()))
    return {key: _estimate(own, sd, factor) for key, own in arrays.items()}


def _common_scatter(groups: Sequence[np.ndarray]) -> tuple[float | None, float | None]:
    """Return the standard deviation within the groups, and Student's t for its 95 % interval; None for a single value.

    Where each group has a single value, the scatter between the groups is taken for it.
    """
    from scipy.stats import t

    total = sum(map(len, groups))
    squares, freedom = sum(float(((own - own.mean()) ** 2).sum()) for own in groups), total - len(groups)
    if freedom < 1 and total > 1:
        every = np.concatenate(groups)
        squares, freedom = float(((every - every.mean()) ** 2).sum()), total - 1
    return (float(np.sqrt(squares / freedom)), float(t.ppf(0.975, freedom))) if freedom else (None, None)


def overall_estimate(values: Sequence[float], runs: Sequence[Hashable]) -> ErrorEstimate | None:
    """Return the mean of all values with its interval; None without values.

    Frames of one run may be more alike than those of several. The interval is the wider one of that from the scatter of
    all values and that from the means of the runs, with Student's t for the number of either; two runs, whose means say
    little about their scatter, widen the former by the design effect instead. In simulations with three to six runs of
    two to twelve frames it holds the mean in 94 to 99 % of cases, whatever the correlation; the scatter of all values
    alone does so in 36 to 96 %.

    Parameters
    ----------
    values : sequence of float
    runs : sequence
        The run of each value.
    """
    if not len(values):
        return None
    found = estimates({"": values})[""]
    groups: dict[Hashable, list[float]] = {}
    for run, value in zip(runs, values, strict=True):
        groups.setdefault(run, []).append(value)
    half, count = found.half_width, len(groups)
    if half is None or count < 2 or count == len(values):
        return found
    if count == 2:
        half *= _design_effect(list(groups.values())) ** 0.5
    else:
        from scipy.stats import t

        sums = np.array([sum(own) - len(own) * found.mean for own in groups.values()])
        error = float(np.sqrt((sums**2).sum() * count / (count - 1))) / len(values)
        half = max(half, float(t.ppf(0.975, count - 1)) * error)
    return found.model_copy(update={"ci95": (found.mean - half, found.mean + half)})


def mean_of_groups(groups: Sequence[Sequence[float]]) -> ErrorEstimate:
    """Return the mean of all values; its interval is from the scatter within the groups, which are given, not drawn."""
    arrays = [np.asarray(own, float) for own in groups]
    return _estimate(np.concatenate(arrays), *_common_scatter(arrays))


def _design_effect(groups: Sequence[Sequence[float]]) -> float:
    """Return by how much the correlation within groups raises the variance of the mean: 1 + (m - 1) rho.

    Kish, Survey Sampling (1965); rho is the intraclass correlation from the analysis of variance, at least zero.
    """
    arrays = [np.asarray(own, float) for own in groups]
    every, sizes = np.concatenate(arrays), np.array([len(own) for own in arrays])
    between = sum(len(own) * float(own.mean() - every.mean()) ** 2 for own in arrays) / (len(arrays) - 1)
    within = (_common_scatter(arrays)[0] or 0.0) ** 2
    size = (len(every) - float((sizes**2).sum()) / len(every)) / (len(arrays) - 1)
    scale = between + (size - 1) * within
    return 1 + (size - 1) * max(0.0, (between - within) / scale) if scale > 0 else 1.0


def _estimate(values: np.ndarray, sd: float | None, factor: float | None) -> ErrorEstimate:
    """Return the mean of values with this scatter, and its interval for this value of Student's t."""
    mean = float(values.mean())
    half = None if sd is None or factor is None else factor * sd / float(np.sqrt(len(values)))
    return ErrorEstimate(mean=mean, ci95=None if half is None else (mean - half, mean + half), sd=sd, n=len(values))


def widened(estimate: ErrorEstimate, half: float | None) -> ErrorEstimate:
    """Return an estimate whose interval also holds an independent uncertainty (half of its 95 % interval)."""
    if estimate.half_width is None or half is None:
        return estimate
    both = float(np.hypot(estimate.half_width, half))
    return estimate.model_copy(update={"ci95": (estimate.mean - both, estimate.mean + both)})


def relative(estimate: ErrorEstimate, unit: float) -> ErrorEstimate:
    """Return an estimate in other units."""
    ends = estimate.ci95
    return ErrorEstimate(
        mean=estimate.mean / unit, ci95=None if ends is None else (ends[0] / unit, ends[1] / unit),
        sd=None if estimate.sd is None else estimate.sd / unit, n=estimate.n,
    )


def judge_mean(estimate: ErrorEstimate, bar: float) -> Judgement:
    """Return whether a mean error is beyond the bar (its whole interval is), within it, or neither."""
    half = estimate.half_width
    if half is not None and abs(estimate.mean) - half > bar:
        return "beyond"
    return "within" if abs(estimate.mean) <= bar else "unclear"


def judge_overall(estimate: ErrorEstimate, bar: float) -> Judgement:
    """Return the same for the mean over all runs; twice the bar is beyond it, too, unless that may be chance."""
    half = estimate.half_width
    if half is not None and abs(estimate.mean) > max(half, TOLERATED * bar):
        return "beyond"
    return judge_mean(estimate, bar)


def judge_system(metrics: Sequence[Metric]) -> tuple[Trust, tuple[str, ...]]:
    """Return the verdict of a system from the errors over all its runs, with the reasons."""
    bad, unsure = [], []
    for metric in metrics:
        found = metric.overall
        if found is None:
            continue
        judgement = judge_overall(found, metric.bar)
        if judgement == "beyond":
            bad.append(f"{_words(metric, found)}; at most {metric.bar:g} is allowed")
        elif judgement == "unclear":
            unsure.append(f"{_words(metric, found)}; it should be at most {metric.bar:g}")
        elif found.half_width is None or abs(found.mean) + found.half_width > EXCLUDED * metric.bar:
            unsure.append(f"{_words(metric, found)}: too few labels to exclude an error of {EXCLUDED * metric.bar:g}")
    return _verdict(bad, unsure)


def judge_point(metrics: Sequence[Metric]) -> tuple[Trust, tuple[str, ...]]:
    """Return the verdict of one temperature, with the reasons."""
    bad, unsure = [], []
    for metric in metrics:
        found = metric.local or metric.overall
        if found is None:
            continue
        judgement = judge_mean(found, metric.bar)
        half = found.half_width
        good = half is not None and abs(found.mean) + half <= metric.bar
        common = judge_overall(metric.overall, metric.bar) if metric.overall else judgement
        if judgement == "beyond":
            bad.append(f"{_words(metric, found)}; at most {metric.bar:g} is allowed")
        elif common == "beyond" and not good and metric.overall:
            bad.append(f"{_words(metric, metric.overall)} over all temperatures; at most {metric.bar:g} is allowed")
        elif abs(found.mean) > TOLERATED * metric.bar or (judgement == "unclear" and common != "within"):
            unsure.append(f"{_words(metric, found)}; it should be at most {metric.bar:g}")
        elif half is None or half > EXCLUDED * metric.bar:
            unsure.append(f"{_words(metric, found)}: too few labels to tell")
    return _verdict(bad, unsure)


def _verdict(bad: Sequence[str], unsure: Sequence[str]) -> tuple[Trust, tuple[str, ...]]:
    verdict: Trust = "not trusted" if bad else "to be taken with care" if unsure else "trusted"
    return verdict, (*bad, *unsure)


def _words(metric: Metric, found: ErrorEstimate) -> str:
    spread = "" if found.half_width is None else f" ± {_short(found.half_width)}"
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{metric.name} {_short(found.mean)}{spread}{unit}"


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def worst(*verdicts: Trust) -> Trust:
    """Return the least favourable of several verdicts."""
    order: tuple[Trust, ...] = ("trusted", "to be taken with care", "not checked", "not trusted")
    return max(verdicts, key=order.index)


def model_errors(
    energy: ErrorEstimate | None, energies: Sequence[float], force: ErrorEstimate, pressure: ErrorEstimate | None
) -> ModelErrors:
    """Return the errors of a model; ``energies`` are the single errors behind ``energy``."""
    return ModelErrors(
        energy_bias_meV_atom=energy,
        energy_mae_meV_atom=float(np.abs(energies).mean()) if energy is not None and len(energies) else None,
        force_mae_meV_A=force, pressure_error_GPa=pressure,
    )
