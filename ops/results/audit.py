"""``audit.json``: the result of an audit of data sets."""

from __future__ import annotations

from typing import ClassVar, Literal

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.level import LevelOfTheory

Severity = Literal["unusable", "warning", "note"]
Verdict = Literal["sound", "warnings", "unusable"]
SEVERITIES: tuple[Severity, ...] = ("unusable", "warning", "note")
LISTED = 20


class Finding(ResultPart):
    """One finding of an audit.

    Attributes
    ----------
    level : {"unusable", "warning", "note"}
        ``unusable``: a model trained on this data would be wrong, or its test meaningless.
    check : str
        The check that found it.
    message : str
        What and where, in one line.
    frames : tuple of str
        The frames concerned (at most the first twenty).
    """

    level: Severity
    check: str
    message: str
    frames: tuple[str, ...] = ()


class ForceNumbers(ResultPart):
    """Forces of all frames: largest on any atom, median over the frames of the largest, largest net force."""

    largest_eV_A: float
    median_largest_eV_A: float
    largest_net_force_per_atom_eV_A: float
    above_10_eV_A: int


class VirialNumbers(ResultPart):
    """Frames with a virial, and lowest and highest pressure of these."""

    frames_with_virial: int
    pressure_GPa: tuple[float, float] | None


class DuplicateNumbers(ResultPart):
    """Frames that repeat an earlier one: all, in another split, in another orientation, with other labels.

    ``near_across_splits``: held-out frames that are nearer than 0.1 A to a training frame.
    """

    copies: int
    across_splits: int
    reoriented: int
    conflicting: int
    near_across_splits: int = 0


class Slope(ResultPart):
    """Slope of energy differences against the work of forces or virials (1 is right), and its standard error."""

    slope: float
    error: float


class SignNumbers(ResultPart):
    """Fit of energy differences; None: not determined by these frames."""

    pairs: int
    explained: float | None = None
    forces: Slope | None = None
    virials: Slope | None = None


class BulkModulus(ResultPart):
    """Slope of pressure against volume of one composition."""

    system: str
    frames: int
    bulk_modulus_GPa: float
    error_GPa: float


class StrainNumbers(ResultPart):
    """Virials against the finite strain derivative of the energy of a calculator; None without frames."""

    frames: int
    slope: float | None = None
    correlation: float | None = None
    largest_difference_eV_atom: float | None = None


class EnergyNumbers(ResultPart):
    """Fit of one energy per element.

    ``per_element_eV`` is None if the compositions do not determine it; ``offset_eV_atom`` is the median residual of
    each system.
    """

    per_element_eV: dict[str, float] | None
    elements: int
    rank: int
    compositions: int
    offset_eV_atom: dict[str, float]
    outliers: int


class DistanceNumbers(ResultPart):
    """Shortest distance of each pair of elements, e.g. ``Li-S``."""

    shortest_A: dict[str, float]


class SystemNumbers(ResultPart):
    """One system: frames in each split, and ranges of its labels."""

    system: str
    n_atoms: tuple[int, ...]
    train: int
    validation: int
    test: int
    trajectories: int
    energy_eV_atom: float
    max_force_eV_A: float
    pressure_GPa: tuple[float, float] | None
    temperatures_K: tuple[float, ...]


class DataSetAudit(ResultPart):
    """The audit of one data set; the numbers are None if no frame could be examined."""

    title: str
    formats: tuple[str, ...]
    type_map: tuple[str, ...]
    n_frames: int
    levels: tuple[LevelOfTheory, ...]
    findings: tuple[Finding, ...]
    systems: tuple[SystemNumbers, ...] = ()
    splits: dict[str, int] | None = None
    temperatures_K: dict[str, int] | None = None
    forces: ForceNumbers | None = None
    virials: VirialNumbers | None = None
    duplicates: DuplicateNumbers | None = None
    signs: SignNumbers | None = None
    energies: EnergyNumbers | None = None
    distances: DistanceNumbers | None = None
    strain: StrainNumbers | None = None
    bulk_moduli: tuple[BulkModulus, ...] | None = None


class Audit(Result):
    """Verdict on all data sets, and the audit of each."""

    FILE: ClassVar[str] = "audit.json"

    verdict: Verdict
    data_sets: tuple[DataSetAudit, ...]
