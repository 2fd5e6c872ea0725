"""Thresholds, and verdicts from measurements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.results.gates import GateResult, JudgedMetric, Tier, Verdict, worst
from dpa_sse.ops.validation.gates.base import Measurement, Value

TIERS: tuple[Tier, ...] = ("smoke", "standard", "full")


def _range(value: object) -> object:
    """Return a range from a number (its magnitude is limited) or a list of two ends."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (-float(value), float(value))
    return value


Range = Annotated[tuple[float, float], BeforeValidator(_range)]


def at_or_below(protocols: Mapping[Tier, dict[str, float]], tier: Tier) -> dict[str, float]:
    """Return the protocol of a tier, else that of the next lower one that has any; empty if none has."""
    return next((protocols[name] for name in reversed(TIERS[: TIERS.index(tier) + 1]) if name in protocols), {})


class Limits(Settings):
    """Ranges of one metric at one tier."""

    passes: Range = Field(alias="pass", description="Range, or largest magnitude, for PASS.")
    warns: Range = Field(alias="warn", description="Range, or largest magnitude, for WARN; FAIL outside.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.warns[0] <= self.passes[0] <= self.passes[1] <= self.warns[1]:
            raise ValueError("`pass` must be a range [low, high] inside that of `warn`")
        return self


class Threshold(Limits):
    """Threshold of one metric of a gate."""

    unit: str = Field("", description="Unit of the metric.")
    why: str = Field(description="Why these numbers.")
    source: str = Field(description="Where they come from.")
    mend: str = Field("", description="What would mend a value outside.")
    optional: bool = Field(False, description="The gate can be judged without it.")
    tiers: dict[Tier, Limits] = Field(default={}, description="Other ranges at these tiers.")

    def at(self, tier: Tier) -> Limits:
        """Return the ranges at a tier."""
        return self.tiers.get(tier, self)


class GateThresholds(Settings):
    """Entry of a gate in the thresholds."""

    name: str = Field(description="Name in words.")
    tier: Tier = Field("smoke", description="Lowest tier that it belongs to.")
    required: bool = Field(True, description="Without it, a model has not passed.")
    about: str = Field(description="What it measures.")
    protocol: dict[Tier, dict[str, float]] = Field(default={}, description="Numbers of the protocol by tier.")
    metrics: dict[str, Threshold] = Field(min_length=1, description="Thresholds by metric.")

    def protocol_at(self, tier: Tier) -> dict[str, float]:
        """Return the protocol at a tier: that of the tier, else that of the next lower one."""
        return at_or_below(self.protocol, tier)


def judge_value(found: Value, limits: Limits) -> Verdict:
    """Return the verdict on a number.

    FAIL if its whole interval is outside the range for WARN. INCONCLUSIVE if the interval reaches both into that range
    and out of it: it is wider than the tolerance, or too near to its end. Else the number itself decides. A sample
    whose runs are all outside fails, however wide its interval; one that is too small for an interval is INCONCLUSIVE
    otherwise.
    """
    low, high = found.ci95 or found.spread or (found.value, found.value)
    if math.isnan(found.value) or math.isnan(low) or math.isnan(high):
        return "FAIL"
    least, most = limits.warns
    if high < least or low > most:
        return "FAIL"
    if found.spread and (found.spread[1] < least or found.spread[0] > most):
        return "FAIL"  # each run by itself, however wide the interval of three is
    if found.lacking or low < least or high > most:
        return "INCONCLUSIVE"
    return "PASS" if limits.passes[0] <= found.value <= limits.passes[1] else "WARN"


def judge(
    key: str, measurement: Measurement, entry: GateThresholds, tier: Tier, seconds: float = 0.0
) -> GateResult:
    """Return the verdict of a gate: the worst of its metrics.

    A metric that could not be measured makes the gate inconclusive, unless it is optional.
    """
    metrics = [] if measurement.not_run else [
        _judged(name, measurement, threshold, tier) for name, threshold in entry.metrics.items()
        if name in {**measurement.values, **measurement.missing, **measurement.broken}
    ]
    found = {**measurement.values, **measurement.broken}
    counted = [one for one in metrics if one.name in found or not entry.metrics[one.name].optional]
    if measurement.not_run or not counted:
        verdict: Verdict = "NOT_RUN"
        reason = measurement.not_run or "; ".join(dict.fromkeys(measurement.missing.values())) or "nothing was measured"
        mend = ""
    else:
        verdict = worst(*(one.verdict for one in counted))
        decisive = [one for one in counted if one.verdict == verdict]
        reason = "; ".join(_together([one.reason for one in decisive])) if verdict != "PASS" else _best_words(counted)
        mend = " ".join(dict.fromkeys(entry.metrics[one.name].mend for one in decisive if entry.metrics[one.name].mend))
    return GateResult(
        key=key, name=entry.name, tier=entry.tier, required=entry.required, verdict=verdict, reason=reason,
        mend="" if verdict == "PASS" else mend, metrics=tuple(metrics), notes=tuple(measurement.notes), table=None,
        seconds=round(seconds, 2),
    )


def _judged(name: str, measurement: Measurement, threshold: Threshold, tier: Tier) -> JudgedMetric:
    limits = threshold.at(tier)
    found = measurement.values.get(name)
    verdict: Verdict = "NOT_RUN" if threshold.optional else "INCONCLUSIVE"
    reason = f"{words_of(name)} not measured: {measurement.missing.get(name, '')}"
    if name in measurement.broken:
        verdict, reason, found = "FAIL", f"{words_of(name)} not measured: {measurement.broken[name]}", None
    if found is not None:
        verdict = judge_value(found, limits)
        reason = _reason(name, found, threshold, limits, verdict)
    finite = found is not None and math.isfinite(found.value)
    return JudgedMetric(
        name=name, unit=threshold.unit, value=found.value if found and finite else None,
        ci95=found.ci95 if found and found.ci95 and all(map(math.isfinite, found.ci95)) else None,
        n=found.n if found else 0, passes=_ends(limits.passes), warns=_ends(limits.warns), verdict=verdict,
        reason=reason, why=threshold.why, source=threshold.source,
    )


def _ends(ends: tuple[float, float]) -> tuple[float | None, float | None]:
    low, high = ends
    return (low if math.isfinite(low) else None, high if math.isfinite(high) else None)


def words_of(name: str) -> str:
    """Return the name of a metric in words."""
    return name.replace("_", " ")


def _reason(name: str, found: Value, threshold: Threshold, limits: Limits, verdict: Verdict) -> str:
    unit = f" {threshold.unit}" if threshold.unit else ""
    spread = ""
    if found.ci95 is not None:
        spread = f" (95 %: {short(found.ci95[0])} to {short(found.ci95[1])})"
    where = f" at {found.where}" if found.where else ""
    text = f"{words_of(name)} {short(found.value)}{unit}{spread}{where}"
    if verdict == "PASS":
        return text
    if verdict == "WARN":
        return f"{text}; PASS needs {_range_words(limits.passes)}{unit}"
    if found.lacking and verdict == "INCONCLUSIVE":
        return f"{text}{NO_INTERVAL}{found.lacking}"
    if verdict == "FAIL":
        return f"{text}; allowed is {_range_words(limits.warns)}{unit}"
    more = f": {found.more}" if found.more else ""
    return f"{text}: cannot be told from {_range_words(limits.warns)}{unit}{more}"


NO_INTERVAL = ": no interval from "


def _together(reasons: Sequence[str]) -> Iterator[str]:
    """Yield reasons; numbers that lack an interval for the same reason become one."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        number, _, lacking = reason.partition(NO_INTERVAL)
        groups.setdefault(lacking, []).append(number)
    for lacking, numbers in groups.items():
        if lacking:
            yield f"{', '.join(numbers)}{NO_INTERVAL}{lacking}"
        else:
            yield from numbers


def _range_words(ends: tuple[float, float]) -> str:
    low, high = ends
    if low == -high:
        return f"at most {short(high)}"
    if math.isinf(high):
        return f"at least {short(low)}"
    if math.isinf(low) or low == 0 == high:
        return f"at most {short(high)}"
    return f"{short(low)} to {short(high)}"


def short(value: float) -> str:
    """Return a number with three digits."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _best_words(metrics: Sequence[JudgedMetric]) -> str:
    """Return the two numbers that are nearest to the ends of their ranges."""
    return "; ".join(one.reason for one in sorted(metrics, key=_margin)[:2])


def _margin(metric: JudgedMetric) -> float:
    """Return the distance of a number from the nearer end of its range for PASS, in units of that range."""
    low, high = metric.passes
    if metric.value is None or low == high:
        return 1.0
    width = abs(high - low) / 2 if low is not None and high is not None else abs(high or low or 1.0)
    ends = [abs(metric.value - end) for end in (low, high) if end is not None]
    return min(ends, default=width) / (width or 1.0)


def overall(gates: Sequence[GateResult]) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on a model, with a sentence for each gate that keeps it from PASS.

    A required gate that failed or was not run fails the model. What is wrong at a gate that is not required is a
    warning.
    """
    parts: list[Verdict] = []
    reasons = []
    for gate in gates:
        verdict = gate.verdict
        if gate.required:
            verdict = "FAIL" if verdict == "NOT_RUN" else verdict
        elif verdict == "FAIL":
            verdict = "WARN"
        elif verdict in ("NOT_RUN", "INCONCLUSIVE"):
            verdict = "PASS"
        parts.append(verdict)
        if verdict != "PASS" or gate.verdict == "INCONCLUSIVE":
            state = "was not run" if gate.verdict == "NOT_RUN" else gate.verdict
            reasons.append(f"{gate.key} {gate.name} {state}: {gate.reason}")
    if not parts:
        return "FAIL", ("no gate was run",)
    return worst(*parts), tuple(reasons)
