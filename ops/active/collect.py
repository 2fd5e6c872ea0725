"""The labels of a round: errors of the model that has not seen them, and the data of the next round."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import level_of, read_dataset, write_dataset
from dpa_sse.ops.data.frames import SystemData, drop_duplicates, evenly, select_across
from dpa_sse.ops.data.level_of_theory import merged_level
from dpa_sse.ops.data.near import keep_new_apart
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.data.results import gather_frames
from dpa_sse.ops.results.active import FinetuneRound, FinetuneRounds, Selection
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.training.evaluate import evaluate, named_blocks

if TYPE_CHECKING:
    from ase import Atoms

ON_POLICY, HELD_OUT = "on_policy", "held_out"


@dataclass(frozen=True)
class RoundData:
    """What a round starts from: labelled frames, and the rounds before.

    Attributes
    ----------
    dataset : Path
        Data set; of the first round that of the short MD with the labeler.
    rounds : FinetuneRounds
    """

    dataset: Path
    rounds: FinetuneRounds

    @classmethod
    def of(cls, folder: Path) -> RoundData:
        """Return what the result of a step holds."""
        return cls(dataset_of(folder), FinetuneRounds.read_if_there(folder) or FinetuneRounds())

    def training(self, frames: int) -> tuple[list[str], list[SystemData]]:
        """Return the type map and the frames to train on: in the first round ``frames`` of them, then all."""
        type_map = list(DatasetInfo.read(self.dataset).type_map)
        blocks = named_blocks(self.dataset, "train", type_map)
        if not self.rounds.rounds:  # as dpa_sse.ops.training.finetune.choose_frames chooses them
            blocks = [block for _, block in select_across(blocks, evenly(sum(map(len, blocks)), frames))]
        return type_map, blocks


def collect_round(
    before: RoundData, model: Path, selected: Path, labelled: Sequence[Path], *, frames: int, max_force_eV_A: float,
    enough_meV_A: float | None, min_success_ratio: float, out: Path,
) -> FinetuneRounds:
    """Write the data set with the new labels in its training frames, and ``rounds.json``.

    Parameters
    ----------
    before : RoundData
    model : Path
        Checkpoint of the model that ran the MD of the round.
    selected : Path
        Folder of the selection.
    labelled : sequence of Path
        Folders of the labels.
    frames : int
        Training frames of the first round.
    max_force_eV_A : float
        Labelled frames with a larger force are left out.
    enough_meV_A : float, optional
        Force MAE on the new labels below which no further round follows.
    min_success_ratio : float
        Share of the labels that must have succeeded.
    out : Path

    Raises
    ------
    FatalError
        Too many labels failed, or are of another level of theory.
    """
    found = gather_frames(labelled, min_success_ratio)
    type_map, training = before.training(frames)
    kept = [atoms for atoms in found.frames if np.abs(atoms.get_forces()).max() <= max_force_eV_A]
    level = merged_level([level_of(before.dataset), found.level])
    errors = _errors(before.dataset, model, kept, type_map, level, out)
    _write(before.dataset, training, kept, type_map, level, out / DATASET)
    chosen = Selection.read(selected)
    record = FinetuneRound(
        training_frames=sum(map(len, training)), selection=chosen.selection, candidates=chosen.candidates,
        labelled=len(found.frames), extreme=len(found.frames) - len(kept), failed=chosen.selected - len(found.frames),
        committee_deviation_eV_A=chosen.committee_deviation_eV_A, **errors,
    )
    error = record.on_policy_force_mae_meV_A
    result = FinetuneRounds(
        rounds=(*before.rounds.rounds, record), wanted_force_mae_meV_A=enough_meV_A,
        enough=enough_meV_A is not None and error is not None and error < enough_meV_A,
        label_failures=(*before.rounds.label_failures, *found.failed),
    )
    result.write(out)
    return result


def pass_on(before: RoundData, out: Path) -> None:
    """Write what an earlier round has found good enough."""
    shutil.copytree(before.dataset, out / DATASET, dirs_exist_ok=True)
    before.rounds.write(out)


def _errors(
    dataset: Path, model: Path, frames: Sequence[Atoms], type_map: Sequence[str], level: LevelOfTheory | None, out: Path
) -> dict[str, float | tuple[float, float] | None]:
    """Return the errors of a model on frames from its MD, and on held-out trajectories."""
    found: dict[str, float | tuple[float, float] | None] = {}
    if frames:
        write_dataset(out / ".new", type_map, frames_to_blocks(frames, type_map), level=level)
        own = evaluate(model, out / ".new", "train", out, ON_POLICY, parity=False)
        found = {
            "on_policy_force_mae_meV_A": own.force_mae_meV_A,
            "on_policy_force_mae_ci95_meV_A": own.force_mae_ci95_meV_A,
            "on_policy_energy_mae_meV_atom": own.energy_mae_shifted_meV_atom,
        }
        shutil.rmtree(out / ".new")
    if split_systems(dataset, "test"):
        held_out = evaluate(model, dataset, "test", out, HELD_OUT, parity=False)
        found["held_out_force_mae_meV_A"] = held_out.force_mae_meV_A
    return found


def _write(
    dataset: Path, training: Sequence[SystemData], frames: Sequence[Atoms], type_map: Sequence[str],
    level: LevelOfTheory | None, out: Path,
) -> None:
    """Write the data set of the next round: what was trained on, what was held out, and the new frames."""
    held_out = [block for block in read_dataset(dataset)[1] if block.split != "train"]
    apart = keep_new_apart(held_out, frames_to_blocks(frames, type_map))
    blocks, dropped, _ = distinct = drop_duplicates([*training, *held_out, *apart.blocks])
    write_dataset(
        out, type_map, blocks, duplicates_dropped=dropped, labelled=len(frames), level=level,
        added=sum(map(len, blocks)) - sum(map(len, [*training, *held_out])),
        notes=(*distinct.notes(), *apart.notes()),
    )
