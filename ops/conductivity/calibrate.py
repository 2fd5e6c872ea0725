"""Calibration of the error bars: repeated synthetic runs of which the truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.conductivity.correlation import cross_msd, fourth_moments, log_lags, msd_tensor
from dpa_sse.ops.conductivity.estimate import DIFFUSIVE, estimate_collective, estimate_self
from dpa_sse.ops.conductivity.replica_msd import Part
from dpa_sse.ops.conductivity.run import COLLECTIVE_MAX_RSD
from dpa_sse.ops.conductivity.synthetic import HopModel, simulate


def models() -> dict[str, HopModel]:
    """Return the diffusive ensembles: concerted hops (two sizes), independent ions, slow cage, rare hops."""
    return {
        "small": HopModel(),
        "medium": HopModel(n_ions=100, n_frames=5000),
        "independent": HopModel(shared=0.0, group=1),
        "slow cage": HopModel(cage_ps=8.0),
        "rare hops": HopModel(D_A2_ps=0.02),
    }


def caged_models() -> dict[str, HopModel]:
    """Return ensembles in which D is zero."""
    return {
        "caged": HopModel(D_A2_ps=0.0),
        "slow cage": HopModel(D_A2_ps=0.0, cage_ps=30.0, cage_A=1.0),
        "back-jumps": HopModel(back_jumps=True),
        # 12 sites 2.6 A apart, relaxation times of 9 and 18 ps in 200 ps
        "cage of sites": HopModel(cage_sites=True, hop_A=2.6, D_A2_ps=0.225, shared=0.0, cage_A=0.0),
        "slow cage of sites": HopModel(cage_sites=True, hop_A=2.6, D_A2_ps=0.112, shared=0.0, cage_A=0.0),
        "fast back-jumps": HopModel(back_jumps=True, D_A2_ps=0.5, vibration_A=0.4),
    }


@dataclass
class Coverage:
    """What repeated runs of one ensemble gave.

    Attributes
    ----------
    runs, reported : int
        All runs, and those with a diffusion coefficient.
    covered, rmse, bias : float
        Share of 95 % intervals of D that hold the truth, relative root mean square error, relative bias.
    collective_reported : int
        Runs with a collective number; ``collective_covered`` and ``collective_rmse`` are about those.
    """

    runs: int
    reported: int
    covered: float
    rmse: float
    bias: float
    collective_reported: int
    collective_covered: float
    collective_rmse: float


def parts_of(model: HopModel, seed: int) -> Part:
    """Return the analysed displacements of one synthetic run."""
    return analysed(simulate(model, seed), model.dt_ps)


def analysed(tracks: np.ndarray, dt_ps: float) -> Part:
    """Return what the estimators need of tracks (M, 3, T)."""
    tracks = tracks.astype(np.float32)
    lags = log_lags(1, tracks.shape[2] // 2, 1.25)
    second, fourth = fourth_moments(tracks, lags)
    tensor = msd_tensor(tracks, tracks.shape[2] // 2)
    return Part(len(tracks), tracks.shape[2], dt_ps, tensor, (lags, second, fourth), tracks)


def coverage(model: HopModel, seeds: Iterable[int]) -> Coverage:
    """Analyse one synthetic run per seed and compare with the truth."""
    own, together, count = [], [], 0
    for seed in seeds:
        count += 1
        tracks = simulate(model, seed)
        estimate = estimate_self([analysed(tracks, model.dt_ps)], model.hop_A)
        if estimate.verdict != DIFFUSIVE or estimate.start is None:
            continue
        ratio = (estimate.D_cm2_s or 0.0) * 1e4 / model.D_A2_ps
        own.append((ratio, abs(np.log(ratio)) < (estimate.ln_half95 or 0.0)))
        total = tracks.sum(axis=0)
        value = cross_msd(total, total, tracks.shape[2] // 2)
        fit = estimate_collective([value], [tracks.shape[2]], model.dt_ps, estimate.start.collective_ps)
        if fit is None or fit[0].slope <= 0 or fit[0].birge_sigma / fit[0].slope > COLLECTIVE_MAX_RSD:
            continue
        ratio = fit[0].slope / 6 / (model.n_ions * model.collective_diffusion)
        together.append((ratio, abs(np.log(ratio)) < 1.96 * fit[0].birge_sigma / fit[0].slope))
    ratios, covered = np.array(own).T if own else (np.ones(1), np.zeros(1))
    others, inside = np.array(together).T if together else (np.ones(1), np.zeros(1))
    return Coverage(
        count, len(own), float(covered.mean()), float(np.sqrt(((ratios - 1) ** 2).mean())), float(ratios.mean() - 1),
        len(together), float(inside.mean()), float(np.sqrt(((others - 1) ** 2).mean())),
    )
