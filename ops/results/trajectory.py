"""What the checks of a trajectory found: how far the framework moved, and how fast the ions move."""

from __future__ import annotations

from pydantic import Field

from dpa_sse.ops.results.base import ResultPart
from dpa_sse.ops.results.numbers import Number


class Sublattice(ResultPart):
    """How far the sites of one element of the framework moved during a run.

    Attributes
    ----------
    displaced : int
        Sites displaced by more than half of the anion spacing.
    """

    sites: int
    displaced: int
    rms_A: Number
    largest_A: Number


class FrameworkState(ResultPart):
    """State of the framework (all atoms that are not mobile) during a run; numbers are null for fewer than ten samples.

    Attributes
    ----------
    rmsd_A : float
        From the mean positions.
    spacing_A : float
        Distance between neighbouring anions, which displacements are compared with.
    largest_displacement_A, moved_fraction : float
        Of the sites; the fraction displaced by more than half of ``spacing_A``.
    turned_fraction : float
        Bonded anions displaced by more than 1.5 A.
    msd_slope_A2_ps, msd_slope_sigma_A2_ps : float
        Slope of the MSD and its standard error.
    whole_units_fraction, coordinated_fraction : float
        PS4-like units that keep their ligands, and that have as many as at the start; null without such units.
    drift_A : float
        Largest component of the drift that was removed.
    """

    n_atoms: int
    rmsd_A: Number = None
    spacing_A: Number = None
    largest_displacement_A: Number = None
    moved_fraction: Number = None
    sublattices: dict[str, Sublattice] = Field(default_factory=dict)
    turned_fraction: Number = None
    msd_slope_A2_ps: Number = None
    msd_slope_sigma_A2_ps: Number = None
    whole_units_fraction: Number = None
    coordinated_fraction: Number = None
    drift_A: Number = None


class KineticState(ResultPart):
    """How fast the first mobile species moves from frame to frame, against its temperature.

    Attributes
    ----------
    msd_A2 : float
        Mean squared displacement between two frames.
    exponent : float
        Of the rise of the MSD over the first two lags: 2 where frames resolve the velocity.
    lowest_K : float
        Temperature at which ions could move as fast as that at all: m MSD / (3 k t^2).
    temperature_K : float
        That of the motion, where frames resolve vibrations (exponent above 1.5).
    """

    msd_A2: Number = None
    exponent: Number = None
    lowest_K: Number = None
    temperature_K: Number = None
