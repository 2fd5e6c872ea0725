"""``dataset.json``: what a data set holds and where it comes from."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.level import LevelOfTheory

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class StoredSystem(ResultPart):
    """One deepmd/npy folder of a data set.

    Attributes
    ----------
    split, system : str
        Part of the data set, and name of the system.
    path : str
        Folder, relative to the data set.
    n_frames, n_atoms : int
        Frames in the folder, and atoms in each of them.
    trajectories : tuple of str
        Trajectory of each run of consecutive frames.
    frames_per_trajectory : tuple of int
        Length of each run.
    temperatures_K : tuple of float or None, optional
        Temperature of each run; null where unknown, absent where all are.
    """

    split: Split
    system: str
    path: str
    n_frames: int
    n_atoms: int
    trajectories: tuple[str, ...]
    frames_per_trajectory: tuple[int, ...]
    temperatures_K: tuple[float | None, ...] | None = None


class FailedTask(ResultPart):
    """A labelling task that did not succeed completely."""

    task: str
    reason: str


class DatasetInfo(Result):
    """Content and origin of a data set.

    Attributes
    ----------
    type_map : tuple of str
        Elements, in the order of the atom types.
    systems : tuple of StoredSystem
        Folders of the data set.
    n_frames : dict
        Number of frames in each split.
    duplicates_dropped : int, optional
        Frames that were left out because the data set already held them.
    labelled, added : int, optional
        Newly labelled frames, and how many of them were new (after :func:`dpa_sse.ops.data.merge.merge_labelled`).
    drawn_from : int, optional
        Number of frames that a subset was drawn from.
    failed : tuple of FailedTask
        Labelling tasks that failed, completely or in part.
    notes : tuple of str
        What a reader should know about the split.
    level : LevelOfTheory, optional
        Level of theory of the labels, where it is known.
    split_by : str, optional
        How the frames of a teacher were split, in words.
    """

    FILE: ClassVar[str] = "dataset.json"

    type_map: tuple[str, ...]
    systems: tuple[StoredSystem, ...]
    n_frames: dict[Split, int] = Field(default_factory=dict)
    duplicates_dropped: int | None = None
    labelled: int | None = None
    added: int | None = None
    drawn_from: int | None = None
    failed: tuple[FailedTask, ...] = ()
    notes: tuple[str, ...] = ()
    level: LevelOfTheory | None = None
    split_by: str | None = None
