"""G9: diffusion of the mobile ions relative to the reference, or how many picoseconds are missing for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.conductivity.estimate import Estimate, estimate_self
from dpa_sse.ops.conductivity.replica_msd import add_hop_statistics, measure_replica
from dpa_sse.ops.validation.gates.base import GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.dynamics import Trajectory
from dpa_sse.ops.validation.gates.shared import heated

if TYPE_CHECKING:
    from ase import Atoms

FEWEST_FRAMES = 20


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Compare diffusion coefficients at the highest temperature, with the analysis of `dpa-sse conductivity`."""
    if reference.potential is None:
        return Measurement(not_run="needs a reference that can run MD: --reference MODEL or LABELER")
    found = Measurement()
    names = sorted({one for atoms in structures for one in atoms.get_chemical_symbols()} & set(settings.mobile))
    if not names:
        return Measurement(not_run=f"the structures have no mobile ions ({', '.join(settings.mobile)})")
    worst: Value | None = None
    for atoms in structures:
        for name in names:
            if name not in atoms.get_chemical_symbols():
                continue
            value = _ratio(model, reference.potential, atoms, name, settings, found)
            if value is not None and (worst is None or abs(value.value) > abs(worst.value)):
                worst = value
    if worst is not None:
        found.values["ln_D_ratio"] = worst
    return found


def _ratio(
    model: Potential, reference: Potential, atoms: Atoms, name: str, settings: GateSettings, found: Measurement
) -> Value | None:
    runs = (heated(model, atoms, settings).hold, heated(reference, atoms, settings).hold)
    estimates = []
    for whose, run in zip(("model", "reference"), runs, strict=True):
        estimate = diffusion(run, name, settings)
        if estimate is None:
            found.missing["ln_D_ratio"] = f"the MD of the {whose} has too few frames or did not reach its end"
            return None
        estimates.append((whose, estimate))
    for whose, estimate in estimates:
        if estimate.D_cm2_s is None or estimate.ln_half95 is None:
            more = "" if estimate.more_ps is None else f"; {estimate.more_ps:g} ps more of each run at least"
            why = estimate.reasons[0] if estimate.reasons else estimate.verdict
            found.missing["ln_D_ratio"] = (
                f"{name} in the {whose} at {settings.temperature_K:g} K after {runs[0].length_ps:.2g} ps: {why}{more}"
            )
            return None
    (_, own), (_, other) = estimates
    assert own.D_cm2_s and other.D_cm2_s and own.ln_half95 and other.ln_half95  # noqa: S101  (checked above)
    value = math.log(own.D_cm2_s / other.D_cm2_s)
    half = math.hypot(own.ln_half95, other.ln_half95)
    wanted = settings.protocol["ln_half_width"]
    missing = runs[0].length_ps * ((half / wanted) ** 2 - 1)
    found.notes.append(
        f"D({name}) of the model {own.D_cm2_s:.2g}, of the reference {other.D_cm2_s:.2g} cm2/s at "
        f"{settings.temperature_K:g} K"
    )
    return Value(
        value, (value - half, value + half), len(runs[0].ended), more=f"{max(missing, 0):.0f} ps more of each run"
    )


def diffusion(run: Trajectory, name: str, settings: GateSettings) -> Estimate | None:
    """Return the diffusion of an element relative to the framework; None for too few frames."""
    if not run.whole or len(run.positions) < FEWEST_FRAMES:
        return None
    symbols = np.array(run.symbols)
    fixed = ~np.isin(symbols, settings.mobile)
    hop = settings.protocol["hop_A"]
    replicas = []
    for copy in run.whole:
        path = run.positions[:, copy]
        if fixed.any():
            path = path - path[:, fixed].mean(axis=1, keepdims=True)
        series = np.ascontiguousarray(path[:, symbols == name].transpose(1, 2, 0), dtype=np.float32)
        series -= series[:, :, :1]
        replicas.append(add_hop_statistics(measure_replica(series, run.dt_fs / 1000), series, hop))
    return estimate_self(replicas, hop)
