"""``gates.json``: the verdict on a model, gate by gate."""

from __future__ import annotations

from typing import ClassVar, Literal

from dpa_sse.ops.results.base import Result, ResultPart

Verdict = Literal["PASS", "WARN", "INCONCLUSIVE", "NOT_RUN", "FAIL"]
Tier = Literal["smoke", "standard", "full"]
SEVERITY: tuple[Verdict, ...] = ("PASS", "WARN", "INCONCLUSIVE", "NOT_RUN", "FAIL")
"""From the best to the worst."""


def worst(*verdicts: Verdict) -> Verdict:
    """Return the least favourable of several verdicts; PASS of none."""
    return max(verdicts, key=SEVERITY.index, default="PASS")


class JudgedMetric(ResultPart):
    """One number of a gate, and its verdict.

    Attributes
    ----------
    name, unit : str
    value : float or None
        None where it could not be measured.
    ci95 : tuple of float or None
        95 % interval; None for a number that is not a sample.
    n : int
        Independent values behind it: frames, runs, pairs.
    passes, warns : tuple of float
        Ranges for PASS and for WARN; None for an open end.
    verdict : Verdict
    reason : str
        In plain words.
    why, source : str
        Of the threshold.
    """

    name: str
    unit: str
    value: float | None
    ci95: tuple[float, float] | None
    n: int
    passes: tuple[float | None, float | None]
    warns: tuple[float | None, float | None]
    verdict: Verdict
    reason: str
    why: str
    source: str


class GateResult(ResultPart):
    """One gate.

    Attributes
    ----------
    key, name : str
        ``G3``, ``deployment parity``.
    tier : Tier
        The lowest one that it belongs to.
    required : bool
        Without a passed required gate, a model has not passed.
    verdict : Verdict
    reason : str
        One sentence: the worst number, or why it was not run.
    mend : str
        What would mend it; empty for PASS.
    metrics : tuple of JudgedMetric
    notes : tuple of str
        What was found on the way.
    table : str or None
        CSV file with the numbers of its figure, next to ``gates.json``.
    seconds : float
    """

    key: str
    name: str
    tier: Tier
    required: bool
    verdict: Verdict
    reason: str
    mend: str
    metrics: tuple[JudgedMetric, ...]
    notes: tuple[str, ...]
    table: str | None
    seconds: float


class Approvals(Result):
    """Verdicts with which a person has let a run continue, by the SHA-256 of ``gates.json``; in the run folder."""

    FILE: ClassVar[str] = "approvals.json"

    gates: tuple[str, ...]


class Gates(Result):
    """The verdict on a model.

    Attributes
    ----------
    model, reference : str
        Names; of no reference: empty.
    model_sha256 : str or None
    structures : tuple of str
        Names and formulas of the cells.
    tier : Tier
    temperature_K : float
        Highest intended temperature.
    verdict : Verdict
    reasons : tuple of str
        One sentence for each gate that keeps it from PASS.
    gates : tuple of GateResult
    thresholds_sha256 : str
        Of the thresholds and protocols.
    deepmd_version : str
    seconds : float
    """

    FILE: ClassVar[str] = "gates.json"

    model: str
    reference: str
    model_sha256: str | None
    structures: tuple[str, ...]
    tier: Tier
    temperature_K: float
    verdict: Verdict
    reasons: tuple[str, ...]
    gates: tuple[GateResult, ...]
    thresholds_sha256: str
    deepmd_version: str
    seconds: float

    def gate(self, key: str) -> GateResult | None:
        """Return a gate by its key; None if it is not in this tier."""
        return next((one for one in self.gates if one.key == key), None)
