"""Fine-tuning with few labels: ``selection.json`` and ``rounds.json`` of the rounds, ``curve.json``."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.model import Variant


class Selection(Result):
    """Which frames of the MD of a round are to be labelled.

    Attributes
    ----------
    selection : str
        How they were chosen: ``diverse``, ``random`` or ``committee``.
    runs, runs_exploded : int
        MD runs with frames, and those of them that ended early.
    candidates : int
        Frames that they left.
    unphysical, known, similar : int
        Candidates that were left out: with atoms too close, already in the data set, like another chosen one.
    selected : int
        Frames to label.
    committee_deviation_eV_A : float or None
        Mean over the candidates of the largest deviation of a force within the committee, eV/A.
    """

    FILE: ClassVar[str] = "selection.json"

    selection: str
    runs: int
    runs_exploded: int
    candidates: int
    unphysical: int = 0
    known: int = 0
    similar: int = 0
    selected: int
    committee_deviation_eV_A: float | None = None


class FinetuneRound(ResultPart):
    """A round: what the model of the round, trained on the labels before, is worth, and which labels it added.

    Attributes
    ----------
    training_frames : int
        Frames that the model of the round was trained on.
    selection : str
        How the frames were chosen.
    candidates, labelled, extreme, failed : int
        Frames of its MD, those that got labels, those of them with too large a force to train on, and labels that
        failed.
    on_policy_force_mae_meV_A, on_policy_force_mae_ci95_meV_A : float, pair of float, or None
        Errors on the newly labelled frames, which it was not trained on, and the interval of their mean over MD runs.
    on_policy_energy_mae_meV_atom : float or None
        The same for the energy, after one shift per composition.
    held_out_force_mae_meV_A : float or None
        Error on the held-out trajectories of the short MD with the labeler.
    committee_deviation_eV_A : float or None
        See :class:`Selection`.
    """

    training_frames: int
    selection: str
    candidates: int
    labelled: int
    extreme: int = 0
    failed: int
    on_policy_force_mae_meV_A: float | None = None
    on_policy_force_mae_ci95_meV_A: tuple[float, float] | None = None
    on_policy_energy_mae_meV_atom: float | None = None
    held_out_force_mae_meV_A: float | None = None
    committee_deviation_eV_A: float | None = None


class FinetuneRounds(Result):
    """All rounds so far.

    Attributes
    ----------
    rounds : tuple of FinetuneRound
    wanted_force_mae_meV_A : float or None
        Error on newly labelled frames below which no further round follows.
    enough : bool
        Whether it has been reached.
    label_failures : tuple of FailedTask
        Labels that failed, with their reasons.
    """

    FILE: ClassVar[str] = "rounds.json"

    rounds: tuple[FinetuneRound, ...] = ()
    wanted_force_mae_meV_A: float | None = None
    enough: bool = False
    label_failures: tuple[FailedTask, ...] = ()


class CurvePoint(Result):
    """A model trained on some of the frames, for the curve of errors against labels.

    Attributes
    ----------
    variant : {"naive", "from_scratch"}
        Fine-tuned, or the same network from random weights.
    frames, seed, steps : int
        Frames that it was trained on, seed of their choice and of the training, training steps.
    test_frames : int
        Held-out frames.
    force_mae_meV_A, energy_mae_meV_atom : float
        Errors on them; the energy after one shift per composition.
    """

    FILE: ClassVar[str] = "curve.json"

    variant: Variant
    frames: int
    seed: int
    steps: int
    test_frames: int
    force_mae_meV_A: float
    energy_mae_meV_atom: float
