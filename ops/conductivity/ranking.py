"""Which system conducts better, and how sure that is.

The extrapolated values y_i = ln sigma_i with standard errors s_i are taken as measurements of true values that scatter
normally between systems with an unknown mean and standard deviation tau (a normal hierarchical model; Gelman et al.,
Bayesian Data Analysis, 3rd ed., section 5.4). tau has a half-Cauchy prior of one unit of ln sigma. Without it, the best
of many equal systems, which is best by chance, would seem to be better with high probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dpa_sse.ops.results.conductivity import ArrheniusResult, RankedSystem

DRAWS = 20_000
SPREAD = 1.0
"""Scale of the prior of tau, in units of ln sigma."""


def rank_systems(lines: Mapping[str, ArrheniusResult], temperatures_K: Sequence[float]) -> tuple[RankedSystem, ...]:
    """Rank systems by their extrapolated conductivity.

    Parameters
    ----------
    lines : mapping
        Arrhenius line of each system.
    temperatures_K : sequence of float
        The ranking is made at the lowest one at which two systems or more have a conductivity.

    Returns
    -------
    tuple of RankedSystem
        Highest conductivity first; empty if fewer than two systems have one. The intervals are statistical: how wrong
        the model is, the self-check says.
    """
    for temperature in sorted(temperatures_K):
        found = {
            system: (point.sigma_mS_cm, point.sigma_ci95_mS_cm) for system, line in lines.items()
            if (point := line.at(temperature)) and point.sigma_mS_cm and point.sigma_ci95_mS_cm
        }
        if len(found) < 2:
            continue
        names = sorted(found, key=lambda name: -found[name][0])
        values = np.log([found[name][0] for name in names])
        errors = np.array([np.log(found[name][1][1] / found[name][1][0]) / (2 * 1.96) for name in names])
        draws = posterior(values, errors)
        better = (draws[:, :, None] > draws[:, None, :]).mean(axis=0)
        ranks = 1 + (draws[:, None, :] > draws[:, :, None]).sum(axis=2)
        ends = np.quantile(ranks, (0.025, 0.975), axis=0, method="nearest").astype(int)
        return tuple(
            RankedSystem(
                system=name, temperature_K=temperature, sigma_mS_cm=found[name][0],
                sigma_ci95_mS_cm=found[name][1], rank_ci95=(int(ends[0, k]), int(ends[1, k])),
                better_than={other: float(better[k, j]) for j, other in enumerate(names) if j != k},
            )
            for k, name in enumerate(names)
        )
    return ()


def posterior(values: np.ndarray, errors: np.ndarray, seed: int = 1) -> np.ndarray:
    """Return draws (DRAWS, N) of the true values behind ``values`` (N,) with standard errors ``errors`` (N,)."""
    rng = np.random.default_rng(seed)
    errors = np.maximum(errors, 1e-9)
    scale = SPREAD * np.tan(np.pi / 2 * (np.arange(400) + 0.5) / 400)  # equal shares of the prior of tau
    total = errors**2 + scale[:, None] ** 2
    weights = 1 / total
    centre = (weights * values).sum(axis=1) / weights.sum(axis=1)
    log_p = -0.5 * (
        np.log(weights.sum(axis=1)) + (np.log(total) + weights * (values - centre[:, None]) ** 2).sum(axis=1)
    )
    share = np.exp(log_p - log_p.max())
    chosen = rng.choice(len(scale), size=DRAWS, p=share / share.sum())
    tau, mean_of = scale[chosen, None], centre[chosen]
    mean = (mean_of + rng.standard_normal(DRAWS) / np.sqrt(weights.sum(axis=1)[chosen]))[:, None]
    shrunk = (values / errors**2 + mean / tau**2) / (1 / errors**2 + 1 / tau**2)
    width = np.sqrt(1 / (1 / errors**2 + 1 / tau**2))
    return np.asarray(shrunk + width * rng.standard_normal((DRAWS, len(values))))
