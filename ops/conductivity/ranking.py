"""Which system conducts better, and how sure that is.

The extrapolated values y_i = ln sigma_i with standard errors s_i are taken as measurements of true values that scatter
around an unknown centre: N(centre, (tau * lambda_i)^2), with half-Cauchy priors of lambda_i (the horseshoe of Carvalho,
Polson and Scott, Biometrika 97, 465 (2010)) and of tau (one unit of ln sigma). Without any such prior, the best of many
equal systems, which is best by chance, would seem to be better with high probability. The heavy tails of lambda_i keep
single bad conductors from spreading the others as much as a normal distribution would. Where the true values scatter
normally, probabilities of 0.9 are right in nine of ten pairs. Where some are nearly equal beside one that is very
different, they are still too sure: of five equal systems (errors 0.3), one pair in seven is given 0.85 or more, and six
of ten of these are right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dpa_sse.ops.results.conductivity import ArrheniusResult, RankedSystem

DRAWS = 20_000
SPREAD = 1.0
"""Scale of the prior of tau, in units of ln sigma."""
CENTRES, SPREADS, TAILS = 80, 30, 24
"""Points of the grids of the centre, tau and lambda."""


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


def posterior(values: np.ndarray, errors: np.ndarray, seed: int = 1, draws: int = DRAWS) -> np.ndarray:
    """Return draws (draws, N) of the true values behind ``values`` (N,) with standard errors ``errors`` (N,)."""
    rng = np.random.default_rng(seed)
    errors = np.maximum(errors, 1e-9)
    spread = SPREAD * _half_cauchy(SPREADS)
    scatter = (spread[:, None] * _half_cauchy(TAILS)) ** 2  # (SPREADS, TAILS)
    centre, share = _centres(values, errors)
    log_p = np.empty((SPREADS, CENTRES))
    for k, variances in enumerate(scatter):
        total = errors[:, None] ** 2 + variances
        density = _normal((values[:, None] - centre)[:, :, None], total[:, None, :]).mean(axis=-1)
        log_p[k] = np.log(np.maximum(density, 1e-300)).sum(axis=0) + np.log(share)
    weight = np.exp(log_p - log_p.max())
    chosen = rng.choice(weight.size, size=draws, p=weight.ravel() / weight.sum())
    of_spread, of_centre = scatter[chosen // CENTRES], centre[chosen % CENTRES]
    drawn = np.empty((draws, len(values)))
    for i, (value, error) in enumerate(zip(values, errors, strict=True)):
        up_to = np.cumsum(_normal((value - of_centre)[:, None], error**2 + of_spread), axis=1)
        tail = (up_to < rng.random((draws, 1)) * up_to[:, -1:]).sum(axis=1)
        variance = of_spread[np.arange(draws), np.minimum(tail, TAILS - 1)]
        precision = 1 / error**2 + 1 / variance
        drawn[:, i] = (value / error**2 + of_centre / variance) / precision
        drawn[:, i] += rng.standard_normal(draws) / np.sqrt(precision)
    return drawn


def _half_cauchy(count: int) -> np.ndarray:
    """Return points that each stand for an equal share of the distribution."""
    return np.asarray(np.tan(np.pi / 2 * (np.arange(count) + 0.5) / count))


def _centres(values: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of centres, dense where the values are, and the width that each point stands for."""
    from scipy.stats import norm

    within = norm.ppf((np.arange(CENTRES) + 0.5) / CENTRES)
    around = (values[:, None] + errors[:, None] * within).ravel()
    grid = np.quantile(around, (np.arange(CENTRES) + 0.5) / CENTRES)
    return grid, np.maximum(np.gradient(grid), 1e-12)


def _normal(difference: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * difference**2 / variance) / np.sqrt(variance))
