"""``evaluation.json``: errors of a model on one split of a data set."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.level import LevelOfTheory

PARITY_COLUMNS = {
    "energy": ("system", "formula", "label_eV_atom", "model_eV_atom"),
    "force": ("system", "element", "label_eV_A", "model_eV_A"),
    "virial": ("system", "formula", "label_eV_atom", "model_eV_atom"),
}
"""Columns of the tables ``parity_<quantity>.csv`` next to the file."""


class TrajectoryErrors(ResultPart):
    """Errors on the frames of one trajectory.

    Attributes
    ----------
    system, trajectory : str
    temperature_K : float or None
        Of its first frame, where it is known.
    n_frames : int
    energy_mae_meV_atom, force_mae_meV_A : float
        Mean absolute errors over its frames, and over the force components of these.
    force_components : int
        Number of force components.
    distance_to_training_A : float or None
        Smallest distance of its frames to a training frame: the root mean square displacement of the atoms; None where
        no training frame has the same atoms.
    """

    system: str
    trajectory: str
    temperature_K: float | None
    n_frames: int
    energy_mae_meV_atom: float
    force_mae_meV_A: float
    force_components: int
    distance_to_training_A: float | None


class Evaluation(Result):
    """Errors of a model on labelled frames.

    Attributes
    ----------
    name : str
        What was evaluated, e.g. ``zero_shot``.
    split : str
        Split of the data set: ``train``, ``validation`` or ``test``.
    n_frames : int
        Number of frames.
    energy_mae_meV_atom, energy_rmse_meV_atom : float
        Errors of the energy per atom.
    energy_offset_meV_atom : float
        Mean of predicted minus reference energy per atom.
    energy_mae_shifted_meV_atom : float
        MAE of the energy after the mean offset of each composition is removed.
    force_mae_meV_A, force_rmse_meV_A : float
        Errors of the force components.
    virial_mae_meV_atom, virial_rmse_meV_atom : float or None
        Errors of the virial components per atom; None where the labels have no virial.
    force_mae_per_element_meV_A : dict of str to float
        MAE of the force components on the atoms of each element.
    energy_mae_ci95_meV_atom, force_mae_ci95_meV_A, virial_mae_ci95_meV_atom : tuple of float or None
        95 % interval of each MAE, over trajectories (blocks of a single one): frames of one trajectory are correlated.
        None where there are too few.
    trajectories : tuple of TrajectoryErrors
    level : LevelOfTheory or None
        Level of theory of the labels, where the data set records it.
    """

    FILE: ClassVar[str] = "evaluation.json"

    name: str
    split: str
    n_frames: int
    energy_mae_meV_atom: float
    energy_rmse_meV_atom: float
    energy_offset_meV_atom: float
    energy_mae_shifted_meV_atom: float
    force_mae_meV_A: float
    force_rmse_meV_A: float
    virial_mae_meV_atom: float | None
    virial_rmse_meV_atom: float | None
    force_mae_per_element_meV_A: dict[str, float]
    energy_mae_ci95_meV_atom: tuple[float, float] | None = None
    force_mae_ci95_meV_A: tuple[float, float] | None = None
    virial_mae_ci95_meV_atom: tuple[float, float] | None = None
    trajectories: tuple[TrajectoryErrors, ...] = ()
    level: LevelOfTheory | None = None
