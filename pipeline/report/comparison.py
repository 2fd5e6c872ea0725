"""Whether one model is better than another on the same held-out trajectories, by intervals."""

from __future__ import annotations

from typing import Literal

from dpa_sse.ops.core.intervals import difference_with_interval
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.pipeline.report.inputs import ReportData

BETTER: Literal["better"] = "better"
NOT_CONVERGED = 0.9
"""Training error over test error above which a training lacks steps, not frames."""


def compare(one: Evaluation, other: Evaluation) -> str:
    """Return ``better``, ``worse`` or ``not shown to be better`` (in energies and forces), from paired differences.

    The errors of both on the same trajectory are subtracted: what makes a trajectory hard for both cancels. Only an
    interval that excludes zero counts.
    """
    signs = [_sign(one, other, quantity) for quantity in ("energy", "force")]
    if signs == [-1, -1]:
        return BETTER
    return "worse" if signs == [1, 1] else "not shown to be better in both energies and forces"


def _sign(one: Evaluation, other: Evaluation, quantity: str) -> int:
    """Return -1 if the first has smaller errors, 1 if it has larger ones, 0 if the interval contains zero."""
    mine, theirs = ({(t.system, t.trajectory): t for t in errors.trajectories} for errors in (one, other))
    common = [key for key in mine if key in theirs]
    field = "energy_mae_meV_atom" if quantity == "energy" else "force_mae_meV_A"
    weights = [
        float(mine[key].n_frames if quantity == "energy" else mine[key].force_components) for key in common
    ]
    if not common:
        return 0
    first, second = (
        [weight * getattr(errors[key], field) for key, weight in zip(common, weights, strict=True)]
        for errors in (mine, theirs)
    )
    _, ends = difference_with_interval(first, second, weights)
    return 0 if ends is None else -1 if ends[1] < 0 else 1 if ends[0] > 0 else 0


def not_converged(data: ReportData) -> set[str]:
    """Return the evaluations whose model has errors on its training frames about as large as on the test frames."""
    found = set()
    for name, evaluated in data.evaluations.items():
        training = data.evaluations.get(f"{name}_train")
        if training and training.errors.force_mae_meV_A > NOT_CONVERGED * evaluated.errors.force_mae_meV_A:
            found.add(name)
    return found
