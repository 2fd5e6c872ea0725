"""Frames of the MD of a round that are worth a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.frames import SystemData, evenly
from dpa_sse.ops.exploration.diversity import MOST_COMPARED, arrays_of_blocks, diverse_order
from dpa_sse.ops.exploration.similarity import KnownFrames, objection
from dpa_sse.ops.exploration.tasks import write_tasks
from dpa_sse.ops.md.trajectory import read_dump
from dpa_sse.ops.potential.inference import open_model, predict
from dpa_sse.ops.results.active import Selection
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.training.settings import RoundSettings

if TYPE_CHECKING:
    from ase import Atoms

TRAJECTORY = "traj.lammpstrj"


@dataclass(frozen=True)
class Candidates:
    """Frames of the MD of a round, and how many of the runs ended early."""

    frames: list[Atoms]
    runs: int
    exploded: int


def candidates_of(folders: Sequence[Path], round_number: int) -> Candidates:
    """Return the frames of MD folders, without the first of each run: all start from cells that are hardly new."""
    frames: list[Atoms] = []
    runs = exploded = 0
    for folder in folders:
        run = MdRun.read_if_there(folder)
        if run is None or not run.n_frames:
            continue
        runs += 1
        exploded += run.status != "ok"
        for frame in list(read_dump(folder / TRAJECTORY))[1 : run.n_frames]:
            atoms = frame.atoms()
            atoms.info = {
                "system": run.system, "trajectory": f"{run.trajectory or run.system}.round{round_number}",
                "temperature_K": run.temperature_K, "step": frame.step,
            }
            frames.append(atoms)
    return Candidates(frames, runs, exploded)


def select_frames(
    found: Candidates, models: Sequence[Path], dataset: Path, training: Sequence[SystemData], type_map: Sequence[str],
    settings: RoundSettings, seed: int, out: Path,
) -> Selection:
    """Choose frames, and write ``tasks/task.NNN/frames.extxyz`` with one each, and ``selection.json``.

    Parameters
    ----------
    found : Candidates
    models : sequence of Path
        Frozen models of the round; the first one ran the MD.
    dataset : Path
        Labelled frames so far; those in it are not labelled again.
    training : sequence of SystemData
        Frames that the models were trained on.
    type_map : sequence of str
        Elements of ``training``.
    settings : RoundSettings
    seed : int
    out : Path
    """
    order, deviation = _order(found.frames, models, training, type_map, settings, seed)
    known = KnownFrames(dataset)
    chosen: list[Atoms] = []
    taken: dict[str, list[NDArray[np.float64]]] = {}
    left_out = {"unphysical": 0, "known": 0, "similar": 0}
    for number in order:
        if len(chosen) == settings.frames:
            break
        atoms = found.frames[number]
        if reason := objection(atoms, known, taken):
            left_out[reason] += 1
        else:
            chosen.append(atoms)
    write_tasks(chosen, 1, out / "tasks")
    result = Selection(
        selection=settings.selection, runs=found.runs, runs_exploded=found.exploded, candidates=len(found.frames),
        selected=len(chosen), committee_deviation_eV_A=deviation, **left_out,
    )
    result.write(out)
    return result


def _order(
    frames: Sequence[Atoms], models: Sequence[Path], training: Sequence[SystemData], type_map: Sequence[str],
    settings: RoundSettings, seed: int,
) -> tuple[list[int], float | None]:
    """Return the numbers of the candidates, the best first, and the mean deviation of the committee."""
    if not frames:
        return [], None
    compared = evenly(len(frames), MOST_COMPARED)
    random = np.random.default_rng(derive_seed(seed, "choose frames")).permutation(compared)
    if settings.selection == "random":
        return random.tolist(), None
    if settings.selection == "committee":
        deviations = committee_deviations([frames[k] for k in compared], models)
        return compared[np.argsort(-deviations, kind="stable")].tolist(), float(deviations.mean())
    known = arrays_of_blocks(training, type_map)
    return diverse_order(frames, random, settings.frames, known, models[0]).tolist(), None


def committee_deviations(frames: Sequence[Atoms], models: Sequence[Path]) -> NDArray[np.float64]:
    """Return for each frame the largest deviation of a force within the committee, eV/A (``max_devi_f`` of DP-GEN)."""
    from deepmd.infer.model_devi import calc_model_devi_f

    forces: list[list[NDArray[np.float64]]] = []
    for path in models:
        model = open_model(path)
        index = {element: k for k, element in enumerate(model.get_type_map())}
        forces.append([])
        for atoms in frames:
            types = np.array([index[one] for one in atoms.get_chemical_symbols()])
            forces[-1].append(predict(model, types, atoms.positions[None], atoms.cell.array[None])[1][0])
    return np.array([calc_model_devi_f(np.array(own)[:, None])[0][0] for own in zip(*forces, strict=True)])
