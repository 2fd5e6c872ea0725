"""The analysis of one run: what is measured on its displacements, the estimates, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.continuation import Ends
from dpa_sse.ops.conductivity.correlation import cross_msd
from dpa_sse.ops.conductivity.displacements import Displacements
from dpa_sse.ops.conductivity.estimate import Estimate, estimate_self
from dpa_sse.ops.conductivity.framework import (
    FrameworkCheck,
    SublatticeMotion,
    check_framework,
    framework_msd,
    sublattice_motion,
)
from dpa_sse.ops.conductivity.kinetics import check_kinetics
from dpa_sse.ops.conductivity.motion import IonMotion, ion_motion, net_displacements
from dpa_sse.ops.conductivity.nernst_einstein import charge_of, neutral_charges
from dpa_sse.ops.conductivity.replica_msd import ReplicaMsd, add_hop_statistics, measure_replica
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.results.conductivity import MELTED, is_usable, unreliable
from dpa_sse.ops.results.trajectory import FrameworkState, KineticState

_DRIFT_POINTS = 400


@dataclass(frozen=True)
class FigureData:
    """What only the figures of a run need.

    Attributes
    ----------
    motion : IonMotion
        Of the first mobile species.
    sublattices : SublatticeMotion or None
        None without a framework.
    drift : tuple of numpy.ndarray
        Times (ps) and drift of the reference (A), (K,) each.
    """

    motion: IonMotion
    sublattices: SublatticeMotion | None
    drift: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class RunData:
    """What was measured on one trajectory, without its positions.

    Attributes
    ----------
    counts : dict
        Species -> number of atoms.
    replicas : dict
        Mobile species -> MSD.
    charge_msd : dict
        See :func:`charge_msd`.
    mobile_fraction : float
        Ions of the first mobile species with a net displacement of more than one hop.
    framework_msd : tuple of numpy.ndarray
        Lag times (ps) and MSD (A^2), (K,) each.
    kinetics : KineticState
        Of the first mobile species.
    left_out : dict
        Reason -> frames of the file that were not used.
    ends : Ends or None
        First and last frame.
    figures : FigureData or None
        None without figures.
    """

    dt_ps: float
    n_frames: int
    volume_A3: float
    counts: dict[str, int]
    replicas: dict[str, ReplicaMsd]
    charge_msd: dict[str, np.ndarray]
    mobile_fraction: float
    framework: FrameworkState
    framework_msd: tuple[np.ndarray, np.ndarray]
    kinetics: KineticState
    left_out: dict[str, int]
    ends: Ends | None = None
    figures: FigureData | None = None

    @property
    def length_ps(self) -> float:
        """Length of the analysed part."""
        return max(0, self.n_frames - 1) * self.dt_ps


@dataclass(frozen=True)
class RunSource:
    """Where a run comes from.

    Attributes
    ----------
    label : str
        Unique short name.
    system : str
        Runs of one system and temperature are pooled.
    arrangement : str
        Name of the arrangement of its atoms; empty where there is one only.
    folder : Path or None
        MD folder with ``thermo.csv``.
    """

    label: str
    system: str
    temperature_K: float
    folder: Path | None = None
    arrangement: str = ""


@dataclass(frozen=True)
class AnalysedRun:
    """One analysed trajectory.

    Attributes
    ----------
    reasons : tuple of str
        What decided comes first; warnings follow.
    data : RunData or None
        None for a run that was not read.
    estimates : dict
        Mobile species -> estimate; empty for a run that was refused before.
    bad_input : bool
        The trajectory could not be read.
    notes : tuple of str
        What was left out or assumed; also among the reasons.
    ends : Ends or None
        First and last frame, where the file could be read.
    """

    source: RunSource
    verdict: str
    reasons: tuple[str, ...] = ()
    data: RunData | None = None
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    bad_input: bool = False
    notes: tuple[str, ...] = ()
    ends: Ends | None = None

    @property
    def usable(self) -> bool:
        """False for a run that was refused before any estimate."""
        return is_usable(self.verdict)


def analyse_run(displacements: Displacements, settings: ConductivitySettings, source: RunSource) -> AnalysedRun:
    """Measure a run, check it, and estimate diffusion where nothing went wrong.

    Parameters
    ----------
    displacements : Displacements
    settings : ConductivitySettings
    source : RunSource
    """
    max_lag = displacements.n_frames // 2
    series = {name: displacements.of(name) for name in settings.mobile}
    replicas = {name: measure_replica(one, displacements.dt_ps, max_lag) for name, one in series.items()}
    check = check_framework(displacements, settings.mobile)
    kinetics, impossible = check_kinetics(displacements, settings.mobile[0], source.temperature_K)
    verdict, reasons = _refusal(displacements, check, impossible)
    estimates: dict[str, Estimate] = {}
    if not verdict:
        hop_A = settings.hop_distance_A
        replicas = {name: add_hop_statistics(one, series[name], hop_A) for name, one in replicas.items()}
        estimates = {name: estimate_self([one], hop_A, settings.start_ps) for name, one in replicas.items()}
        main = estimates[settings.mobile[0]]
        verdict, reasons = main.verdict, main.reasons
    net = net_displacements(series[settings.mobile[0]])
    data = RunData(
        dt_ps=displacements.dt_ps,
        n_frames=displacements.n_frames,
        volume_A3=displacements.volume_A3,
        counts=displacements.counts,
        replicas=replicas,
        charge_msd=charge_msd(displacements, settings, max_lag),
        mobile_fraction=float((net > settings.hop_distance_A).mean()),
        framework=check.state,
        framework_msd=framework_msd(displacements, settings.mobile),
        kinetics=kinetics,
        left_out=displacements.left_out,
        ends=displacements.ends,
        figures=_figure_data(displacements, settings) if settings.figures else None,
    )
    notes = (*frames_note(data.n_frames, data.left_out), *displacements.notes)
    return AnalysedRun(
        source, verdict, (*reasons, *notes, *check.notes), data, estimates, notes=notes, ends=displacements.ends
    )


def frames_note(used: int, left_out: Mapping[str, int]) -> tuple[str, ...]:
    """Return how many frames of a file were used and why others were not; empty where all were."""
    if not left_out:
        return ()
    why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return (f"{used} of {used + sum(left_out.values())} frames used ({why})",)


def _refusal(
    displacements: Displacements, check: FrameworkCheck, impossible: str
) -> tuple[str, tuple[str, ...]]:
    """Return the verdict on a run from which nothing can be estimated, with its reasons; empty for a good run."""
    if displacements.problems:
        return unreliable(displacements.problems[0]), tuple(displacements.problems)
    if impossible:
        return unreliable(impossible), (impossible,)
    return (MELTED, check.melted) if check.melted else ("", ())


def _figure_data(displacements: Displacements, settings: ConductivitySettings) -> FigureData:
    frames = np.unique(np.linspace(0, displacements.n_frames - 1, _DRIFT_POINTS).astype(int))
    return FigureData(
        ion_motion(displacements, settings.mobile[0], settings.hop_distance_A),
        sublattice_motion(displacements, settings.mobile),
        (frames * displacements.dt_ps, displacements.drift[frames]),
    )


def charge_msd(
    displacements: Displacements, settings: ConductivitySettings, max_lag: int
) -> dict[str, np.ndarray]:
    """Return collective displacements up to ``max_lag`` frames, (max_lag + 1,) each.

    ``a-b`` for each pair of mobile species is <dP_a . dP_b> (A^2); ``total`` and, for neutral cells, ``all ions`` are
    those of the charge (e^2 A^2).
    """
    result: dict[str, np.ndarray] = {}
    total = np.zeros(max_lag + 1)
    for k, a in enumerate(settings.mobile):
        for b in settings.mobile[k:]:
            pair = cross_msd(displacements.sums[a], displacements.sums[b], max_lag)
            result[f"{a}-{b}"] = pair
            total += (1 if a == b else 2) * charge_of(settings, a) * charge_of(settings, b) * pair
    result["total"] = total
    charges = neutral_charges(displacements.counts, settings)
    if charges is not None:
        everything = np.sum([charges[name] * displacements.sums[name] for name in displacements.sums], axis=0)
        result["all ions"] = cross_msd(everything, everything, max_lag)
    return result
