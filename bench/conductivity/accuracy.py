"""Statistical quality: coverage and error of D and of the collective part, caged ions, breathing cells, 300 K."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# name: runs, largest RMSE of D, largest RMSE of the collective part (None: no bar)
BARS = {
    "small": (400, 0.11, 0.43), "medium": (120, 0.055, 0.25), "independent": (300, None, None),
    "slow cage": (300, None, None), "rare hops": (300, None, None),
}


def diffusive() -> tuple[dict, dict]:
    """Return coverage and RMSE of every ensemble, and whether the bars are met."""
    from dpa_sse.ops.conductivity.calibrate import coverage, models

    found, bars = {}, {}
    for name, (runs, own, collective) in BARS.items():
        one = coverage(models()[name], range(runs))
        found[name] = {key: round(value, 4) for key, value in dataclasses.asdict(one).items()}
        bars[f"{name}: 95 % interval of D covers 0.93-1.00"] = 0.93 <= one.covered <= 1.0
        if own is not None:
            bars[f"{name}: RMSE of D <= {own:.1%}"] = one.rmse <= own
        if collective is not None:
            bars[f"{name}: collective covers 0.90-0.99"] = 0.90 <= one.collective_covered <= 0.99
            bars[f"{name}: collective RMSE <= {collective:.0%}"] = one.collective_rmse <= collective
    return found, bars


def caged(runs: int = 150) -> tuple[dict, dict]:
    """Return the verdicts on ensembles without diffusion."""
    from dpa_sse.ops.conductivity.calibrate import caged_models, measure_synthetic
    from dpa_sse.ops.conductivity.estimate import estimate_self

    found = {}
    for name, model in caged_models().items():
        verdicts = [estimate_self([measure_synthetic(model, seed)], model.hop_A).verdict for seed in range(runs)]
        found[name] = {"runs": runs, "called diffusive": verdicts.count("diffusive")}
    return found, {"no run with D = 0 is called diffusive": not any(one["called diffusive"] for one in found.values())}


def breathing(strain: float = 0.005, n_frames: int = 20_000) -> tuple[dict, dict]:
    """Return the false diffusion coefficient of a framework whose cell breathes and drifts."""
    from dpa_sse.ops.conductivity.displacements import read_displacements
    from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory

    rng = np.random.default_rng(1)
    base = np.array([[20.0, 0, 0], [4.0, 19.0, 0], [2.0, 3.0, 21.0]])
    cells = base * (1 + strain * rng.standard_normal(n_frames))[:, None, None]
    reduced = rng.random((60, 3)) + np.arange(n_frames)[:, None, None] * 1e-4
    positions = np.einsum("tnc,tcd->tnd", reduced % 1.0, cells)
    chunks = (
        Chunk(positions[k : k + 64], cells[k : k + 64], np.zeros((64, 3)), np.arange(k, k + 64) * 0.1)
        for k in range(0, n_frames - n_frames % 64, 64)
    )
    displacements = read_displacements(Trajectory(["Li"] * 10 + ["S"] * 50, chunks), ["Li"])
    worst = float((displacements.mobile**2).sum(axis=1).mean(axis=0).max()) / (6 * displacements.length_ps) * 1e-4
    return {"false D (cm2/s)": worst}, {"false framework D < 1e-12 cm2/s": worst < 1e-12}


def extrapolation(trials: int = 2000) -> tuple[dict, dict]:
    """Return how often the interval of sigma(300 K) contains the true value."""
    from dpa_sse.ops.conductivity.arrhenius import KB_EV, ArrheniusPoint, analyse_arrhenius

    T = np.array([600.0, 700.0, 800.0, 900.0, 1000.0, 1100.0])
    rsd = np.array([0.18, 0.14, 0.11, 0.09, 0.07, 0.06])
    true = 2e-4 * np.exp(-0.25 / (KB_EV * T))
    rng = np.random.default_rng(7)

    def points(D: np.ndarray) -> list[ArrheniusPoint]:
        rows = zip(T, D, rsd, strict=True)
        return [ArrheniusPoint(float(t), float(d), float(s), density_A3=0.02) for t, d, s in rows]

    truth = analyse_arrhenius(points(true), [300.0]).at(300.0).sigma_mS_cm
    hits, ratios = 0, []
    for _ in range(trials):
        cold = analyse_arrhenius(points(true * np.exp(rsd * rng.standard_normal(6))), [300.0]).at(300.0)
        low, high = cold.sigma_ci95_mS_cm
        hits += low < truth < high
        ratios.append(cold.sigma_mS_cm / truth)
    covered = hits / trials
    found = {"trials": trials, "covered": covered, "median bias": float(np.median(ratios) - 1)}
    return found, {"sigma(300 K) covers 0.93-0.97": 0.93 <= covered <= 0.97}


def main() -> int:
    """Print one JSON object; return 1 if a bar is missed."""
    result: dict = {}
    bars: dict = {}
    for name, part in (("diffusive", diffusive), ("caged", caged), ("breathing", breathing), ("300 K", extrapolation)):
        result[name], held = part()
        bars |= held
    print(json.dumps({**result, "bars": bars}, indent=1))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
