"""Thinning of a data set: ``simplify.json`` of an iteration."""

from __future__ import annotations

from typing import ClassVar

from dpa_sse.ops.results.base import Result, ResultPart


class SimplifyIteration(ResultPart):
    """Models trained on some of the frames, judged on the others and on the test frames.

    Attributes
    ----------
    training_frames, other_frames : int
        Frames that the models were trained on, and frames of the data set that they have not seen.
    accurate, candidate, failed : int
        The frames that they have not seen: not needed, needed, and left out for a deviation that is too large.
    uncovered : int
        Frames that are needed only because they have environments outside of those of the training frames.
    selected : int
        Frames added after it.
    mean_devi_f_eV_A, max_devi_f_eV_A : float or None
        Deviation of the forces of the ensemble on the other frames; None where there are none.
    force_mae_meV_A, energy_mae_meV_atom : float or None
        Mean errors of the models on the test frames; None without test frames.
    force_mae_ci95_meV_A, energy_mae_ci95_meV_atom : tuple of float or None
        95 % intervals over trajectories; None where there are too few.
    other_force_mae_meV_A : float or None
        Mean force error on the frames that they have not seen.
    accurate_force_mae_meV_A : float or None
        The same on those that are not needed: what leaving them out relies on.
    """

    training_frames: int
    other_frames: int
    accurate: int
    candidate: int
    failed: int
    uncovered: int
    selected: int
    mean_devi_f_eV_A: float | None
    max_devi_f_eV_A: float | None
    force_mae_meV_A: float | None
    force_mae_ci95_meV_A: tuple[float, float] | None
    energy_mae_meV_atom: float | None
    energy_mae_ci95_meV_atom: tuple[float, float] | None
    other_force_mae_meV_A: float | None
    accurate_force_mae_meV_A: float | None


class Simplified(Result):
    """Which frames of a data set are kept, and what each iteration found.

    Attributes
    ----------
    pool_frames : int
        Training frames of the whole data set.
    chosen : tuple of int
        Numbers of the frames that are kept, in the order in which they were chosen.
    finished : bool
        No frames will be added.
    enough : bool
        So few of the other frames are needed that none is added.
    outcome : str
        Why it ended, in one sentence.
    history : tuple of SimplifyIteration
    """

    FILE: ClassVar[str] = "simplify.json"

    pool_frames: int
    chosen: tuple[int, ...]
    finished: bool = False
    enough: bool = False
    outcome: str = ""
    history: tuple[SimplifyIteration, ...] = ()
