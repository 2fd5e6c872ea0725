"""``evaluation.json``: errors of a model on one split of a data set."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.base import Result

PARITY_COLUMNS = {
    "energy": ("system", "formula", "label_eV_atom", "model_eV_atom"),
    "force": ("system", "element", "label_eV_A", "model_eV_A"),
    "virial": ("system", "formula", "label_eV_atom", "model_eV_atom"),
}
"""Columns of the tables ``parity_<quantity>.csv`` next to the file."""


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
