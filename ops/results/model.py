"""Files of a model folder: ``model.json``, ``parity.json`` and what they contain; ``bias.json``."""

from __future__ import annotations

from typing import ClassVar, Literal

from dpa_sse.ops.results.base import Result, ResultPart

Variant = Literal["naive", "replay", "multitask", "from_scratch"]
"""Ways to adapt a network to a new compound."""


class CutoffNeighbours(ResultPart):
    """Largest number of neighbours of any atom within a cutoff: of all elements together, and of each element."""

    total: int
    per_type: tuple[int, ...]


class NeighbourCounts(ResultPart):
    """Neighbours in a data set.

    Attributes
    ----------
    type_map : tuple of str
        Elements, in the order of ``CutoffNeighbours.per_type``.
    minimum_distance_A : float
        Smallest distance of two atoms, Angstrom.
    cutoffs : dict
        Cutoff radius in Angstrom (as text, ``"6"``) -> counts.
    """

    type_map: tuple[str, ...]
    minimum_distance_A: float
    cutoffs: dict[str, CutoffNeighbours]

    def within(self, radius_A: float) -> CutoffNeighbours:
        """Return the counts for one of the cutoff radii."""
        return self.cutoffs[f"{radius_A:g}"]


class LearningRates(ResultPart):
    """Learning rate at the start and at the end; the end may be left to DeePMD-kit."""

    start_lr: float
    stop_lr: float | None


class ModelInfo(Result):
    """What a model folder contains.

    Attributes
    ----------
    type_map : tuple of str
        Elements, in the order of the model's types.
    branch : str or None
        Branch of a multi-task checkpoint (``model.pt``) that is used.
    preset : str or None
        Name of the network, for a model that was trained here.
    adopted : str or None
        Name of the file or built-in model, for a model that was not.
    descriptor : str or None
        DeePMD-kit's type of the descriptor.
    rcut_A : float or None
        Largest cutoff radius, Angstrom.
    n_parameters, steps, seed, threads : int or None
    seconds : float or None
        Training time of the last attempt.
    resumed_at_step : int or None
        Where the last attempt resumed; None if it did the whole training.
    neighbours : NeighbourCounts or None
        Of the training data.
    messages : tuple of str
        Remarks on the neighbour lists.
    compressed : bool
        Whether there is a ``model_compressed.pth``.
    deepmd_version : str or None
    strategy : {"naive", "replay", "multitask", "from_scratch"} or None
        How the model was adapted to a new compound; None if it was not.
    frames, replay_frames : int or None
        Training frames of the new compound, and of the base systems.
    learning_rate : LearningRates or None
        Of the adaptation.
    own_rates : LearningRates or None
        Of the training of a model that was trained elsewhere, also after its adaptation: later trainings start from
        them.
    """

    FILE: ClassVar[str] = "model.json"

    type_map: tuple[str, ...]
    branch: str | None = None
    preset: str | None = None
    adopted: str | None = None
    descriptor: str | None = None
    rcut_A: float | None = None
    n_parameters: int | None = None
    steps: int | None = None
    seed: int | None = None
    seconds: float | None = None
    resumed_at_step: int | None = None
    threads: int | None = None
    neighbours: NeighbourCounts | None = None
    messages: tuple[str, ...] = ()
    compressed: bool = False
    deepmd_version: str | None = None
    strategy: Variant | None = None
    frames: int | None = None
    replay_frames: int | None = None
    learning_rate: LearningRates | None = None
    own_rates: LearningRates | None = None


class ModelDifference(ResultPart):
    """Largest difference of two files of the same network; None where it is not a number."""

    max_force_difference_eV_A: float | None
    max_energy_difference_meV_atom: float | None


class Parity(ModelDifference, Result):
    """Agreement of the files of a model folder on a few training frames; the differences are the largest of all files.

    Attributes
    ----------
    reference : str
        File with which the others are compared.
    n_frames : int
    files : dict
        File name -> difference from the reference.
    """

    FILE: ClassVar[str] = "parity.json"

    reference: str
    n_frames: int
    files: dict[str, ModelDifference]


class BiasFit(Result):
    """Energy bias per element before and after a fit to new data, eV, in the order of ``type_map``."""

    FILE: ClassVar[str] = "bias.json"

    type_map: tuple[str, ...]
    bias_before_eV: tuple[float, ...]
    bias_after_eV: tuple[float, ...]


class ChosenFrames(Result):
    """Frames of a data set that were chosen for a fine-tuning: their indices, and the number of all frames."""

    FILE: ClassVar[str] = "chosen.json"

    frames: tuple[int, ...]
    of: int
