"""The analysis of one run, and of replicas together: everything that goes into ``conductivity.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity.correlation import cross_msd, fourth_moments, log_lags, msd_tensor
from dpa_sse.ops.conductivity.estimate import (
    A2_PS_TO_CM2_S,
    DIFFUSIVE,
    Estimate,
    estimate_collective,
    estimate_self,
)
from dpa_sse.ops.conductivity.host_lattice import check_framework, framework_msd, sublattice_rms
from dpa_sse.ops.conductivity.motion import Motion, describe, net_displacements
from dpa_sse.ops.conductivity.replica_msd import Part
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.tracks import Tracks

E_CHARGE = 1.602176634e-19
K_BOLTZMANN = 1.380649e-23
COLLECTIVE_MAX_RSD = 0.75
FORMAL = {
    "Li": 1.0, "Na": 1.0, "K": 1.0, "Ag": 1.0, "Cu": 1.0, "Mg": 2.0, "Ca": 2.0, "Zn": 2.0, "B": 3.0, "Al": 3.0,
    "Ga": 3.0, "La": 3.0, "Y": 3.0, "In": 3.0, "Si": 4.0, "Ge": 4.0, "Sn": 4.0, "Ti": 4.0, "Zr": 4.0, "P": 5.0,
    "Nb": 5.0, "Ta": 5.0, "O": -2.0, "S": -2.0, "Se": -2.0, "F": -1.0, "Cl": -1.0, "Br": -1.0, "I": -1.0,
}


@dataclass
class Run:
    """One analysed trajectory, without its positions."""

    source: str
    system: str
    temperature_K: float
    verdict: str = ""
    reasons: list[str] = field(default_factory=list)
    dt_ps: float = 0.0
    n_frames: int = 0
    volume_A3: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    charge_msd: dict[str, np.ndarray] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)
    framework: dict[str, Any] = field(default_factory=dict)
    framework_msd: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.array([]), np.array([])))
    motion: Motion | None = None
    host_rms: dict[str, np.ndarray] = field(default_factory=dict)
    drift: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.array([]), np.array([])))
    mobile_fraction: float | None = None
    folder: Path | None = None
    notes: list[str] = field(default_factory=list)
    bad_input: bool = False

    @property
    def length_ps(self) -> float:
        """Length of the analysed part."""
        return max(0, self.n_frames - 1) * self.dt_ps

    @property
    def usable(self) -> bool:
        """False for a run that was refused before any estimate."""
        return not self.verdict.startswith("unreliable") and self.verdict != "melted"


def nernst_einstein(D_cm2_s: float, count: int, charge: float, volume_A3: float, temperature_K: float) -> float:
    """Return N (z e)^2 D / (V kB T) in mS/cm for one species.

    ``count`` carriers in the volume; the factor N is missing in the relation as some papers print it.
    """
    per_m3 = count / (volume_A3 * 1e-30)
    return per_m3 * (charge * E_CHARGE) ** 2 * D_cm2_s * 1e-4 / (K_BOLTZMANN * temperature_K) * 10


def charge_of(settings: ConductivitySettings, species: str) -> float:
    """Return the charge of a species in e: the given or the formal one, +1 for what has neither."""
    return settings.charges.get(species, FORMAL.get(species, 1.0))


def measure(tracks: Tracks, settings: ConductivitySettings, run: Run) -> Run:
    """Fill a run with mean squared displacements, estimates and checks.

    Parameters
    ----------
    tracks : Tracks
    settings : ConductivitySettings
    run : Run
        With source, system and temperature; changed and returned.
    """
    run.dt_ps, run.n_frames, run.volume_A3 = tracks.dt_ps, tracks.n_frames, tracks.volume_A3
    run.counts, run.notes = tracks.counts, tracks.notes
    max_lag = tracks.n_frames // 2
    for species in settings.mobile:
        series = tracks.of(species)
        lags = log_lags(1, max_lag, 1.25)
        second, fourth = fourth_moments(series, lags)
        run.parts[species] = Part(
            len(series), tracks.n_frames, tracks.dt_ps, msd_tensor(series, max_lag), (lags, second, fourth), series
        )
    run.charge_msd = charge_msd(tracks, settings, max_lag)
    run.mobile_fraction = float((net_displacements(tracks.of(settings.mobile[0])) > settings.hop_distance_A).mean())
    if settings.figures:
        run.motion = describe(tracks, settings.mobile[0], settings.hop_distance_A)
        run.host_rms = sublattice_rms(tracks, settings.mobile)
        frames = np.unique(np.linspace(0, tracks.n_frames - 1, 400).astype(int))
        run.drift = frames * tracks.dt_ps, tracks.drift[frames]
    run.framework = check_framework(tracks, settings.mobile)
    run.framework_msd = framework_msd(tracks, settings.mobile)
    run.reasons = list(tracks.notes) + run.framework.pop("notes", [])
    melted = run.framework.pop("melted", [])
    if tracks.problems:
        run.verdict = f"unreliable: {tracks.problems[0]}"
        run.reasons = tracks.problems + run.reasons
    elif melted:
        run.verdict = "melted"
        run.reasons = melted + run.reasons
    if run.usable:
        run.estimates = {
            name: estimate_self([part], settings.hop_distance_A, settings.start_ps) for name, part in run.parts.items()
        }
        run.verdict = run.estimates[settings.mobile[0]].verdict
        run.reasons = run.estimates[settings.mobile[0]].reasons + run.reasons  # what decided comes first
    for part in run.parts.values():
        part.tracks = None
    return run


def charge_msd(tracks: Tracks, settings: ConductivitySettings, max_lag: int) -> dict[str, np.ndarray]:
    """Return collective displacements <dP_a . dP_b> (A^2) per pair of mobile species, and ``total`` in e^2 A^2."""
    result: dict[str, np.ndarray] = {}
    total = np.zeros(max_lag + 1)
    for k, a in enumerate(settings.mobile):
        for b in settings.mobile[k:]:
            pair = cross_msd(tracks.sums[a], tracks.sums[b], max_lag)
            result[f"{a}-{b}"] = pair
            total += (1 if a == b else 2) * charge_of(settings, a) * charge_of(settings, b) * pair
    result["total"] = total
    charges = formal_charges(tracks.counts, settings)
    if charges is not None:
        everything = np.sum([charges[name] * tracks.sums[name] for name in tracks.sums], axis=0)
        result["all ions"] = cross_msd(everything, everything, max_lag)
    return result


def formal_charges(counts: dict[str, int], settings: ConductivitySettings) -> dict[str, float] | None:
    """Return the charge of every species when they are known and the cell is neutral, else None.

    The current of all ions of a neutral cell does not depend on the frame of reference, which tests the framework
    frame.
    """
    charges = FORMAL | settings.charges
    if any(name not in charges for name in counts):
        return None
    known = {name: charges[name] for name in counts}
    return known if abs(sum(known[name] * count for name, count in counts.items())) < 1e-6 else None


def report(runs: Sequence[Run], estimates: dict[str, Estimate], settings: ConductivitySettings) -> dict[str, Any]:
    """Return the numbers of one run, or of replicas pooled into ``estimates``, for ``conductivity.json``."""
    first = runs[0]
    main = estimates.get(settings.mobile[0])
    volume = float(np.average([run.volume_A3 for run in runs], weights=[max(run.n_frames, 1) for run in runs]))
    numbers: dict[str, Any] = dict.fromkeys(
        (
            "D_cm2_s", "D_ci95_cm2_s", "D_upper95_cm2_s", "sigma_NE_mS_cm", "sigma_NE_ci95_mS_cm",
            "sigma_NE_upper95_mS_cm", "sigma_collective_mS_cm", "sigma_collective_ci95_mS_cm", "haven_ratio",
            "haven_ci95", "t_start_ps", "n_hops", "chi2_red", "fit_window_ps", "D_axes_cm2_s", "D_tensor_cm2_s",
            "onsager_mS_cm", "sigma_all_ions_mS_cm", "collective_window_ps",
        )
    )
    numbers["volume_A3"] = volume or None
    if main is None:
        return numbers
    numbers.update(
        D_cm2_s=main.D_cm2_s, D_ci95_cm2_s=main.D_ci95_cm2_s, D_upper95_cm2_s=main.D_upper95_cm2_s, n_hops=main.n_hops,
        chi2_red=main.line.chi2_red if main.line else None, estimator=main.details,
    )
    if main.start is not None:
        numbers.update(t_start_ps=main.start.start_ps, fit_window_ps=main.start.window)
    _add_nernst_einstein(numbers, estimates, first, settings, volume)
    if main.verdict == DIFFUSIVE and main.start is not None:
        tensor = tensor_of(runs, main, settings.mobile[0])
        numbers["D_axes_cm2_s"], numbers["D_tensor_cm2_s"] = tensor[:3], tensor
        _add_collective(numbers, runs, main, settings, volume)
    if len(settings.mobile) > 1:
        numbers["species"] = {
            name: {"verdict": e.verdict, "D_cm2_s": e.D_cm2_s, "D_ci95_cm2_s": e.D_ci95_cm2_s,
                   "D_upper95_cm2_s": e.D_upper95_cm2_s}
            for name, e in estimates.items()
        }
    return numbers


def _add_nernst_einstein(
    numbers: dict[str, Any], estimates: dict[str, Estimate], run: Run, settings: ConductivitySettings, volume: float
) -> None:
    """Add the Nernst-Einstein conductivity: the sum over species, when each of them has a number."""
    def sigma(D: float, name: str) -> float:
        return nernst_einstein(D, run.counts[name], charge_of(settings, name), volume, run.temperature_K)

    found = {name: e for name, e in estimates.items() if e.D_cm2_s is not None}
    if len(found) == len(estimates):
        values = np.array([sigma(e.D_cm2_s or 0.0, name) for name, e in found.items()])
        halves = np.array([e.ln_half95 or 0.0 for e in found.values()])
        total = float(values.sum())
        half = float(np.sqrt(((values * halves) ** 2).sum())) / total
        numbers["sigma_NE_mS_cm"] = total
        numbers["sigma_NE_ci95_mS_cm"] = (total * float(np.exp(-half)), total * float(np.exp(half)))
    elif not found and all(e.D_upper95_cm2_s is not None for e in estimates.values()):
        numbers["sigma_NE_upper95_mS_cm"] = sum(sigma(e.D_upper95_cm2_s or 0.0, n) for n, e in estimates.items())


def tensor_of(runs: Sequence[Run], main: Estimate, species: str) -> list[float]:
    """Return the diffusion tensor xx, yy, zz, xy, xz, yz (cm^2/s) with the weights of the total."""
    if main.line is None or main.curve is None:
        return []
    lags = main.curve.lags
    weights = [run.parts[species].n_ions * run.n_frames for run in runs]
    mean = np.average([run.parts[species].components[:, lags] for run in runs], axis=0, weights=weights)
    return [float(main.line.weights @ row) / 2 * A2_PS_TO_CM2_S for row in mean]


def _add_collective(
    numbers: dict[str, Any], runs: Sequence[Run], main: Estimate, settings: ConductivitySettings, volume: float
) -> None:
    """Add the collective conductivity and the Haven ratio where their interval makes sense."""
    if main.start is None:
        return
    frames, dt_ps, begin = [run.n_frames for run in runs], runs[0].dt_ps, main.start.collective_ps
    fit = estimate_collective([run.charge_msd["total"] for run in runs], frames, dt_ps, begin)
    if fit is None or fit[0].slope <= 0 or fit[0].birge_sigma / fit[0].slope > COLLECTIVE_MAX_RSD:
        return
    line, curve = fit
    half = 1.96 * line.birge_sigma / line.slope
    factor = nernst_einstein(A2_PS_TO_CM2_S / 6, 1, 1.0, volume, runs[0].temperature_K)
    value = factor * line.slope
    numbers["sigma_collective_mS_cm"] = value
    numbers["sigma_collective_ci95_mS_cm"] = (value * float(np.exp(-half)), value * float(np.exp(half)))
    numbers["collective_window_ps"] = (float(curve.times[0]), float(curve.times[-1]))
    numbers["onsager_mS_cm"] = {
        name: factor * float(line.weights @ _mean(runs, name, frames)[curve.lags]) * _charges_of_pair(name, settings)
        for name in runs[0].charge_msd if name not in {"total", "all ions"}
    }
    if all("all ions" in run.charge_msd for run in runs):
        other = factor * float(line.weights @ _mean(runs, "all ions", frames)[curve.lags])
        numbers["sigma_all_ions_mS_cm"] = other
        if abs(other - value) > 2 * value * half / 1.96:
            numbers["remarks"] = ["the current of all ions differs from that of the mobile ions: the framework moves"]
    if numbers["sigma_NE_mS_cm"] is not None:
        haven = numbers["sigma_NE_mS_cm"] / value
        spread = float(np.hypot(half, main.ln_half95 or 0.0))
        numbers["haven_ratio"] = haven
        numbers["haven_ci95"] = (haven * float(np.exp(-spread)), haven * float(np.exp(spread)))


def _mean(runs: Sequence[Run], name: str, frames: list[int]) -> np.ndarray:
    """Return a collective displacement averaged over replicas up to the shortest."""
    last = min(len(run.charge_msd[name]) for run in runs)
    return np.average([run.charge_msd[name][:last] for run in runs], axis=0, weights=frames)


def _charges_of_pair(name: str, settings: ConductivitySettings) -> float:
    """Return the factor q_a q_b (twice for different species) that belongs to a pair of the conductivity."""
    a, b = name.split("-")
    return (1 if a == b else 2) * charge_of(settings, a) * charge_of(settings, b)
