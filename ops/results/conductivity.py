"""``conductivity.json``: diffusion coefficients, conductivities, Arrhenius lines, and the verdict on every run.

Units are in the names of the fields; absent numbers are null; intervals are [low, high] at 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, JsonValue

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.numbers import Interval, Number
from dpa_sse.ops.results.state_point import StatePoint
from dpa_sse.ops.results.trajectory import FrameworkState, KineticState

DIFFUSIVE = "diffusive"
_CAGED, _TOO_SHORT, _UNRELIABLE, _NOT_ANALYSED = "not diffusive", "too short", "unreliable", "not analysed"
NOT_DIFFUSIVE = f"{_CAGED} (upper limit)"
MELTED = "melted"


def too_short(more_ps: float) -> str:
    """Return the verdict on a run that has to be longer by ``more_ps``."""
    return f"{_TOO_SHORT} ({more_ps:.0f} more ps needed)"


def unreliable(why: str) -> str:
    """Return the verdict on a run in which something went wrong."""
    return f"{_UNRELIABLE}: {why}"


def unread(why: str) -> str:
    """Return the verdict on a trajectory that was not read; an option that is missing says nothing about the run."""
    return f"{_NOT_ANALYSED}: {why}" if "--" in why else unreliable(why)


def is_usable(verdict: str) -> bool:
    """Return whether a run was evaluated at all: a negative outcome counts, an error does not."""
    return not verdict.startswith((_UNRELIABLE, _NOT_ANALYSED)) and verdict != MELTED


def explained(verdict: str, reasons: Sequence[str]) -> str:
    """Return a verdict with what decided: ``unreliable: exploded: step 80: ...``, no word of it twice."""
    if not reasons:
        return verdict
    reason = reasons[0].removeprefix(f"{verdict.removeprefix(f'{_UNRELIABLE}: ')}: ")
    return verdict if reason in verdict else f"{verdict}: {reason}"


class PlateauPoint(ResultPart):
    """The fit from one start of the diffusive regime, with its weight in the average over starts."""

    start_ps: float
    D_cm2_s: Number
    sigma_cm2_s: Number
    chi2_red: Number
    curvature_sigma: Number
    weight: Number


class ErrorBudget(ResultPart):
    """What the 95 % interval of D is made of.

    Attributes
    ----------
    ln_half95 : float
        Half width of the interval of ln D.
    ln_half95_gls_birge, ln_half95_blocks, ln_half95_replicas : float
        From the fit, from the scatter of time blocks, and from that of three or more replicas; the largest counts.
    ln_half95_arrangements : float
        From the spread between arrangements of the atoms; counts if it is larger than the others together.
    ln_spread_of_starts : float
        Standard deviation of ln D between starts of the fit.
    ln_half95_bend : float
        Added where the MSD rises less at the end than the line.
    late_rise_over_line, late_rise_sigma : float
        Rise of the MSD up to T/2 over that of the line, and the difference in standard errors.
    block_scatter : float
        Observed over expected scatter of the time blocks.
    block_D_cm2_s, replica_D_cm2_s : tuple
        D of each time block, by run; D of each replica.
    """

    ln_half95: Number
    ln_half95_gls_birge: Number
    ln_half95_blocks: Number
    ln_half95_replicas: Number = None
    ln_half95_arrangements: Number = None
    ln_half95_bend: Number = None
    ln_spread_of_starts: Number
    late_rise_over_line: Number = None
    late_rise_sigma: Number = None
    block_scatter: Number
    block_D_cm2_s: tuple[tuple[Number, ...], ...] = ()
    replica_D_cm2_s: tuple[Number, ...] | None = None


class SpeciesDiffusion(ResultPart):
    """Diffusion of one of several mobile species."""

    verdict: str
    D_cm2_s: Number = None
    D_ci95_cm2_s: Interval = None
    D_upper95_cm2_s: Number = None


class TransportNumbers(ResultPart):
    """The numbers of one run, or of replicas pooled.

    Attributes
    ----------
    D_cm2_s, D_ci95_cm2_s, D_upper95_cm2_s : float, tuple, float
        Tracer diffusion coefficient of the first mobile species; a refused run has at most the upper limit.
    D_axes_cm2_s, D_tensor_cm2_s : tuple
        xx, yy, zz; and with xy, xz, yz.
    sigma_NE_mS_cm, sigma_NE_ci95_mS_cm, sigma_NE_upper95_mS_cm : float, tuple, float
        Nernst-Einstein conductivity of all mobile species.
    sigma_collective_mS_cm, sigma_collective_ci95_mS_cm, onsager_mS_cm : float, tuple, dict
        From the charge displacement, and by pair of species (their sum is the collective one).
    sigma_all_ions_mS_cm : float
        With the formal charges of all ions of a neutral cell.
    t_start_ps, fit_window_ps, collective_window_ps : float, tuple, tuple
        Start of the diffusive regime, and the lag times of the two fits.
    estimator : ErrorBudget
    species : dict
        By species, where several are mobile.
    """

    D_cm2_s: Number = None
    D_ci95_cm2_s: Interval = None
    D_upper95_cm2_s: Number = None
    D_axes_cm2_s: tuple[Number, Number, Number] | None = None
    D_tensor_cm2_s: tuple[Number, Number, Number, Number, Number, Number] | None = None
    sigma_NE_mS_cm: Number = None
    sigma_NE_ci95_mS_cm: Interval = None
    sigma_NE_upper95_mS_cm: Number = None
    sigma_collective_mS_cm: Number = None
    sigma_collective_ci95_mS_cm: Interval = None
    onsager_mS_cm: dict[str, Number] | None = None
    sigma_all_ions_mS_cm: Number = None
    haven_ratio: Number = None
    haven_ci95: Interval = None
    t_start_ps: Number = None
    fit_window_ps: Interval = None
    collective_window_ps: Interval = None
    n_hops: Number = None
    chi2_red: Number = None
    volume_A3: Number = None
    estimator: ErrorBudget | None = None
    species: dict[str, SpeciesDiffusion] | None = None
    remarks: tuple[str, ...] = ()


class TransportEntry(TransportNumbers):
    """The numbers of a run or a temperature with the verdict on it.

    Attributes
    ----------
    verdict : str
        ``diffusive``, ``not diffusive (upper limit)``, ``too short (N more ps needed)``, ``melted``,
        ``unreliable: why``, ``not analysed: why`` (an option is missing), or, for a row of a table, ``from a table``.
    reasons : tuple of str
        What decided comes first; warnings follow.
    more_ps_needed : float
        Where the run is too short.
    state : StatePoint or None
        Pressure, ensemble and size; None for trajectories that do not state them.
    """

    system: str
    verdict: str
    reasons: tuple[str, ...] = ()
    length_ps: Number = None
    more_ps_needed: Number = None
    state: StatePoint | None = None

    @property
    def diffusive(self) -> bool:
        """Whether the analysis found a diffusion coefficient."""
        return self.verdict == DIFFUSIVE

    @property
    def limited(self) -> bool:
        """Whether the upper limit means something: not where the run went wrong."""
        return self.verdict.startswith((_CAGED, _TOO_SHORT))


class RunTransport(TransportEntry):
    """One trajectory.

    Attributes
    ----------
    source : str
        Unique name of the trajectory.
    file : str
        Its MSD table.
    mobile_fraction : float
        Ions with a net displacement of more than one hop.
    plateau : tuple of PlateauPoint
        D for every start of the fit.
    bad_input : bool
        The trajectory could not be read.
    n_frames : int
        Frames that were used.
    left_out : dict
        Reason -> frames of the file that were not used; with ``n_frames`` they are all that the file holds.
    kinetics : KineticState
    """

    source: str
    temperature_K: Number = None
    n_frames: int | None = None
    left_out: dict[str, int] = Field(default_factory=dict)
    kinetics: KineticState | None = None
    dt_ps: Number = None
    framework: FrameworkState | None = None
    mobile_fraction: Number = None
    plateau: tuple[PlateauPoint, ...] = ()
    bad_input: bool = False
    file: str | None = None


class PooledTransport(TransportEntry):
    """All replicas of one system at one temperature, or one row of a table.

    Attributes
    ----------
    sources : tuple of str
        The runs that were pooled; ``n_runs`` of them.
    n_arrangements : int or None
        Arrangements of the atoms from which the runs started; None for a row of a table.
    n_runs_refused : int
        Runs at this temperature that were not used.
    length_ps : float
        Of all runs together.
    ln_D_sigma : float
        Standard error of ln D, the weight in the Arrhenius fit.
    n_carriers : float
        Mobile ions in ``volume_A3``; of a table only.
    """

    temperature_K: float
    n_runs: int
    n_arrangements: int | None = None
    n_runs_refused: int | None = None
    sources: tuple[str, ...] = ()
    ln_D_sigma: Number = None
    n_carriers: Number = None


class Extrapolation(ResultPart):
    """Numbers at one temperature of the line, with their range when one point at a time is left out of the fit."""

    temperature_K: float
    D_cm2_s: Number
    D_ci95_cm2_s: Interval
    sigma_mS_cm: Number = None
    sigma_ci95_mS_cm: Interval = None
    D_leave_one_out_cm2_s: Interval = None
    sigma_leave_one_out_mS_cm: Interval = None


class ArrheniusCurve(ResultPart):
    """The line and its 95 % band, evenly spaced in 1/T, for drawing."""

    temperature_K: tuple[float, ...]
    D_cm2_s: tuple[Number, ...]
    D_low95_cm2_s: tuple[Number, ...]
    D_high95_cm2_s: tuple[Number, ...]


class ArrheniusResult(ResultPart):
    """The Arrhenius line of one system; everything is null below two temperatures.

    Attributes
    ----------
    D0_cm2_s : float
        Prefactor; for an exponent of -1 only.
    exponent_m : float
        m in sigma = sigma0 T^m exp(-Ea / kB T).
    curvature_p : float
        p value of a quadratic term.
    points_used, points_refused, points_compared : tuple of float
        Temperatures, K: fitted, without D, and below ``direct_below_K``.
    extrapolated : tuple of Extrapolation
        Empty where the activation energy is not distinguishable from zero.
    """

    Ea_eV: Number = None
    Ea_ci95_eV: Interval = None
    D0_cm2_s: Number = None
    exponent_m: float
    chi2_red: Number = None
    curvature_p: Number = None
    points_used: tuple[float, ...] = ()
    points_refused: tuple[float, ...] = ()
    points_compared: tuple[float, ...] = ()
    extrapolated: tuple[Extrapolation, ...] = ()
    curve: ArrheniusCurve | None = None
    notes: tuple[str, ...] = ()

    @property
    def determined(self) -> bool:
        """Whether the 95 % interval of the activation energy excludes zero."""
        return self.Ea_ci95_eV is not None and self.Ea_ci95_eV[0] > 0

    def at(self, temperature_K: float) -> Extrapolation | None:
        """Return the extrapolation to a temperature; None where there is none."""
        return next((one for one in self.extrapolated if one.temperature_K == temperature_K), None)


class RankedSystem(ResultPart):
    """A system among others, by its extrapolated conductivity.

    Attributes
    ----------
    rank_ci95 : tuple of int
        Best and worst rank, 95 %; equal where the rank is known.
    better_than : dict
        Probability, by the name of another system, that this one conducts better.
    """

    system: str
    temperature_K: float
    sigma_mS_cm: float
    sigma_ci95_mS_cm: tuple[float, float]
    rank_ci95: tuple[int, int]
    better_than: dict[str, float]

    @property
    def rank_text(self) -> str:
        """The rank, or the range of ranks: ``1``, ``2-4``."""
        best, worst = self.rank_ci95
        return f"{best}" if best == worst else f"{best}-{worst}"


class ConductivityResult(Result):
    """Result of the conductivity analysis.

    Attributes
    ----------
    settings : dict
        Settings of the analysis, for the record.
    runs : tuple of RunTransport
        Every trajectory, also those that were refused.
    temperatures : tuple of PooledTransport
        Replicas pooled, by system and temperature.
    arrhenius : ArrheniusResult
        That of the only system; empty with several.
    arrhenius_by_system : dict
    ranking : tuple of RankedSystem
        Systems with an extrapolated conductivity, the highest first; empty with fewer than two.
    labels : LevelOfTheory or None
        Level of theory of the labels behind the potential of the runs, where it is known.
    """

    FILE: ClassVar[str] = "conductivity.json"

    settings: dict[str, JsonValue] = Field(default_factory=dict)
    runs: tuple[RunTransport, ...]
    temperatures: tuple[PooledTransport, ...]
    arrhenius: ArrheniusResult
    arrhenius_by_system: dict[str, ArrheniusResult]
    ranking: tuple[RankedSystem, ...] = ()
    labels: LevelOfTheory | None = None

    @property
    def has_values(self) -> bool:
        """Whether at least one temperature has a diffusion coefficient."""
        return any(entry.D_cm2_s is not None for entry in self.temperatures)

    @property
    def unreadable(self) -> bool:
        """Whether there were trajectories, and none could be read."""
        return bool(self.runs) and all(run.bad_input for run in self.runs)
