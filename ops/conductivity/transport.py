"""The numbers of one run, or of replicas pooled, for ``conductivity.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.estimate import A2_PS_TO_CM2_S, Estimate, estimate_collective
from dpa_sse.ops.conductivity.gls import Curve, Line
from dpa_sse.ops.conductivity.nernst_einstein import charge_of, nernst_einstein
from dpa_sse.ops.conductivity.run import AnalysedRun, RunData
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.results.conductivity import DIFFUSIVE, SpeciesDiffusion, TransportNumbers

COLLECTIVE_MAX_RSD = 0.75


@dataclass(frozen=True)
class Conditions:
    """What turns a diffusion coefficient into a conductivity.

    Attributes
    ----------
    counts : dict
        Species -> number of ions in the volume.
    """

    counts: Mapping[str, int]
    volume_A3: float
    temperature_K: float


def transport_numbers(
    runs: Sequence[AnalysedRun], estimates: Mapping[str, Estimate], settings: ConductivitySettings
) -> TransportNumbers:
    """Return the numbers of one run, or of replicas that were pooled into ``estimates``.

    Parameters
    ----------
    runs : sequence of AnalysedRun
    estimates : dict
        Mobile species -> estimate; without any there is only the volume.
    settings : ConductivitySettings
    """
    volume = _mean_volume(runs)
    data = [run.data for run in runs if run.data is not None]
    if not estimates or not data:
        return TransportNumbers(volume_A3=volume or None)
    main, fit = estimates[settings.mobile[0]], estimates[settings.mobile[0]].fit
    conditions = Conditions(data[0].counts, volume, runs[0].source.temperature_K)
    tracer = _tracer_conductivity(estimates, settings, conditions)
    collective, tensor = _Collective(), None
    if main.verdict == DIFFUSIVE and fit is not None:
        tensor = diffusion_tensor(data, main, settings.mobile[0])
        collective = _collective_conductivity(data, main, settings, conditions, tracer.value)
    return TransportNumbers(
        D_cm2_s=main.D_cm2_s, D_ci95_cm2_s=main.D_ci95_cm2_s, D_upper95_cm2_s=main.D_upper95_cm2_s,
        D_axes_cm2_s=tensor[:3] if tensor else None, D_tensor_cm2_s=tensor,
        sigma_NE_mS_cm=tracer.value, sigma_NE_ci95_mS_cm=tracer.ci95, sigma_NE_upper95_mS_cm=tracer.upper95,
        sigma_collective_mS_cm=collective.value, sigma_collective_ci95_mS_cm=collective.ci95,
        onsager_mS_cm=collective.onsager, sigma_all_ions_mS_cm=collective.all_ions,
        haven_ratio=collective.haven, haven_ci95=collective.haven_ci95,
        t_start_ps=fit.start_ps if fit else None, fit_window_ps=fit.window if fit else None,
        collective_window_ps=collective.window, n_hops=main.n_hops,
        chi2_red=main.line.chi2_red if main.line else None, volume_A3=volume or None, estimator=main.error,
        species=_by_species(estimates), remarks=collective.remarks,
    )


def _mean_volume(runs: Sequence[AnalysedRun]) -> float:
    """Return the mean volume of the runs, weighted with their frames, A^3; zero where nothing was read."""
    volumes = [run.data.volume_A3 if run.data else 0.0 for run in runs]
    return float(np.average(volumes, weights=[max(run.data.n_frames, 1) if run.data else 1 for run in runs]))


def _by_species(estimates: Mapping[str, Estimate]) -> dict[str, SpeciesDiffusion] | None:
    """Return the diffusion of each species where there are several."""
    if len(estimates) < 2:
        return None
    return {
        name: SpeciesDiffusion(
            verdict=one.verdict, D_cm2_s=one.D_cm2_s, D_ci95_cm2_s=one.D_ci95_cm2_s, D_upper95_cm2_s=one.D_upper95_cm2_s
        )
        for name, one in estimates.items()
    }


@dataclass(frozen=True)
class _Tracer:
    """Nernst-Einstein conductivity, mS/cm."""

    value: float | None = None
    ci95: tuple[float, float] | None = None
    upper95: float | None = None


def _tracer_conductivity(
    estimates: Mapping[str, Estimate], settings: ConductivitySettings, conditions: Conditions
) -> _Tracer:
    """Return the Nernst-Einstein conductivity: the sum over species, if each of them has a number."""
    def sigma(D: float, name: str) -> float:
        charge = charge_of(settings, name)
        return nernst_einstein(D, conditions.counts[name], charge, conditions.volume_A3, conditions.temperature_K)

    found = {name: e for name, e in estimates.items() if e.D_cm2_s is not None}
    if len(found) == len(estimates):
        values = np.array([sigma(e.D_cm2_s or 0.0, name) for name, e in found.items()])
        halves = np.array([e.ln_half95 or 0.0 for e in found.values()])
        total = float(values.sum())
        half = float(np.sqrt(((values * halves) ** 2).sum())) / total
        return _Tracer(total, (total * float(np.exp(-half)), total * float(np.exp(half))))
    if not found and all(e.D_upper95_cm2_s is not None for e in estimates.values()):
        return _Tracer(upper95=sum(sigma(e.D_upper95_cm2_s or 0.0, name) for name, e in estimates.items()))
    return _Tracer()


def diffusion_tensor(
    data: Sequence[RunData], main: Estimate, species: str
) -> tuple[float, float, float, float, float, float] | None:
    """Return the diffusion tensor xx, yy, zz, xy, xz, yz (cm^2/s) with the weights of the total; None without a fit."""
    if main.fit is None or main.curve is None:
        return None
    line, lags = main.fit.line, main.curve.lags
    weights = [run.replicas[species].n_ions * run.n_frames for run in data]
    mean = np.average([run.replicas[species].components[:, lags] for run in data], axis=0, weights=weights)
    xx, yy, zz, xy, xz, yz = (float(line.weights @ row) / 2 * A2_PS_TO_CM2_S for row in mean)
    return xx, yy, zz, xy, xz, yz


@dataclass(frozen=True)
class _Collective:
    """Conductivity from the charge displacement, mS/cm, and what follows from it."""

    value: float | None = None
    ci95: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    onsager: dict[str, float] | None = None
    all_ions: float | None = None
    haven: float | None = None
    haven_ci95: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()


def collective_fit(
    values: Sequence[np.ndarray], n_frames: Sequence[int], dt_ps: float, start_ps: float
) -> tuple[Line, Curve] | None:
    """Return the fit of a collective MSD, see ``estimate_collective``, if its error is below 75 %."""
    fit = estimate_collective(values, n_frames, dt_ps, start_ps)
    if fit is None or fit[0].slope <= 0 or fit[0].birge_sigma / fit[0].slope > COLLECTIVE_MAX_RSD:
        return None
    return fit


def _collective_conductivity(
    data: Sequence[RunData], main: Estimate, settings: ConductivitySettings, conditions: Conditions,
    tracer_mS_cm: float | None,
) -> _Collective:
    """Return the collective conductivity and the Haven ratio if their interval is meaningful."""
    frames = [run.n_frames for run in data]
    if main.fit is None:
        return _Collective()
    found = collective_fit([run.charge_msd["total"] for run in data], frames, data[0].dt_ps, main.fit.collective_ps)
    if found is None:
        return _Collective()
    line, curve = found
    half = 1.96 * line.birge_sigma / line.slope
    factor = nernst_einstein(A2_PS_TO_CM2_S / 6, 1, 1.0, conditions.volume_A3, conditions.temperature_K)
    value = factor * line.slope

    def sigma(name: str) -> float:
        return factor * float(line.weights @ _mean(data, name, frames)[curve.lags])

    pairs = [name for name in data[0].charge_msd if name not in {"total", "all ions"}]
    all_ions = sigma("all ions") if all("all ions" in run.charge_msd for run in data) else None
    moves = all_ions is not None and abs(all_ions - value) > 2 * value * half / 1.96
    remark = "the current of all ions differs from that of the mobile ions: the framework moves"
    haven = None if tracer_mS_cm is None else tracer_mS_cm / value
    spread = float(np.hypot(half, main.ln_half95 or 0.0))
    return _Collective(
        value, (value * float(np.exp(-half)), value * float(np.exp(half))),
        window=(float(curve.times[0]), float(curve.times[-1])),
        onsager={name: sigma(name) * _charges_of_pair(name, settings) for name in pairs},
        all_ions=all_ions, haven=haven,
        haven_ci95=None if haven is None else (haven * float(np.exp(-spread)), haven * float(np.exp(spread))),
        remarks=(remark,) if moves else (),
    )


def _mean(data: Sequence[RunData], name: str, frames: list[int]) -> np.ndarray:
    """Return a collective displacement averaged over replicas up to the shortest."""
    last = min(len(run.charge_msd[name]) for run in data)
    return np.average([run.charge_msd[name][:last] for run in data], axis=0, weights=frames)


def _charges_of_pair(name: str, settings: ConductivitySettings) -> float:
    """Return the factor q_a q_b (twice for different species) with which a pair contributes to the conductivity."""
    a, b = name.split("-")
    return (1 if a == b else 2) * charge_of(settings, a) * charge_of(settings, b)
