"""Training data for the student: perturbed frames of the teacher's trajectories, labelled by the teacher."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import SystemData, write_dataset
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.labelers.model_level import model_level
from dpa_sse.ops.results.distillation import TeacherFilter, TrajectoryFilter
from dpa_sse.ops.results.md import MdRun, RunStatus

if TYPE_CHECKING:
    from ase import Atoms

DATASET = "dataset"
BATCH = 20  # frames per call of the teacher: enough to be fast, few enough for any memory
GAP = 0.05  # share of a single trajectory left out between its training and test parts


@dataclass(frozen=True)
class TeacherRun:
    """Perturbed frames of one teacher trajectory, or perturbed cells (``train_only``: never held out for testing)."""

    system: str
    name: str
    frames: list[Atoms]
    status: RunStatus = "ok"
    reason: str = ""
    train_only: bool = False


def label_with_teacher(
    teacher: Path,
    trajectories: Sequence[Path],
    type_map: Sequence[str],
    settings: DistillSettings,
    seed: int,
    out: Path,
    *,
    cells: Path | None = None,
) -> TeacherFilter:
    """Write the data set of the student.

    Every ``sample_every``-th step of each trajectory is strained and displaced slightly (the student also sees forces
    off the teacher's path) and labelled with the teacher's energy, forces and virial. Frames with a force above
    ``max_force_eV_A``, or with labels that are not finite, are dropped and counted.

    Parameters
    ----------
    teacher : Path
        Frozen model (.pth) or checkpoint (.pt).
    trajectories : sequence of Path
        MD folders (``traj.lammpstrj``, ``run.json``). One that has exploded gives the frames it has: the force limit
        decides on them.
    type_map : sequence of str
        Elements of the project.
    settings : DistillSettings
        Sampling, perturbation, force limit, share of test frames.
    seed : int
        Seed of the project.
    out : Path
        Receives ``dataset/`` and ``filter.json``.
    cells : Path, optional
        Perturbed cells (extxyz) that are labelled as they are and trained on.

    Returns
    -------
    TeacherFilter
        Content of ``filter.json``; a finished one is returned as it is.

    Raises
    ------
    InputError
        There is no trajectory, or the teacher does not know one of its elements.
    FatalError
        No frame is left for training or for testing.
    """
    if (found := TeacherFilter.read_if_there(out)) is not None:
        return found
    if not trajectories:
        raise InputError("distillation needs at least one teacher trajectory; none was given")
    runs = [_read_run(folder, settings, seed) for folder in trajectories]
    runs += _read_cells(cells) if cells else []
    return label_runs(teacher, runs, type_map, settings, seed, out)


def label_runs(
    teacher: Path, runs: Sequence[TeacherRun], type_map: Sequence[str], settings: DistillSettings, seed: int, out: Path
) -> TeacherFilter:
    """Label frames in memory and write the data set, as :func:`label_with_teacher` does.

    Raises
    ------
    InputError
        The teacher does not know an element.
    FatalError
        No frame is left for training or for testing.
    """
    from dpa_sse.ops.potential.inference import open_model

    model = open_model(teacher)
    blocks: list[SystemData] = []
    cells: list[SystemData] = []
    per_run: list[TrajectoryFilter] = []
    for run in runs:
        labelled, record = _label(model, run, type_map, settings.max_force_eV_A)
        (cells if run.train_only else blocks).extend(labelled)
        per_run.append(record)
    blocks, split = split_runs(blocks, settings.test, seed)
    if cells:
        split += f"; {sum(len(block) for block in cells)} perturbed cells, for training only"
        blocks += [block for block in cells if len(block)]
    found = TeacherFilter(
        teacher=teacher.name,
        max_force_limit_eV_A=settings.max_force_eV_A,
        n_frames=sum(record.n_frames for record in per_run),
        n_kept=sum(record.n_kept for record in per_run),
        n_dropped=sum(record.n_dropped for record in per_run),
        split=split,
        n_train=sum(len(block) for block in blocks if block.split == "train"),
        n_test=sum(len(block) for block in blocks if block.split == "test"),
        trajectories=tuple(per_run),
    )
    if not found.n_train or not found.n_test:
        raise FatalError(
            f"distillation: {found.n_kept} of {found.n_frames} frames have all forces below "
            f"{settings.max_force_eV_A:g} eV/A; too few to train and test a student (is the teacher stable at "
            f"{', '.join(f'{t:g}' for t in settings.temperatures_K)} K?)"
        )
    write_dataset(out / DATASET, type_map, blocks, split_by=split, level=model_level(teacher, None))
    found.write(out)
    return found


def _read_run(folder: Path, settings: DistillSettings, seed: int) -> TeacherRun:
    """Read and perturb the frames of one MD folder; the seeds depend only on trajectory and step."""
    from dpa_sse.ops.md.trajectory import read_dump
    from dpa_sse.ops.structures.perturb import perturb_atoms

    run = MdRun.read(folder)
    system = run.system
    name = run.trajectory or f"{system}.{folder.name}"
    label = f"{name}.T{run.temperature_K:g}"
    frames = []
    for frame in read_dump(folder / "traj.lammpstrj"):
        if frame.step % settings.sample_every == 0:
            rng = np.random.default_rng(derive_seed(seed, "distill", label, run.seed, frame.step))
            frames.append(perturb_atoms(frame.atoms(), settings.frame_strain, settings.frame_displacement_A, rng))
    return TeacherRun(system, label, frames, run.status, run.reason)


def _read_cells(cells: Path) -> list[TeacherRun]:
    """Read the perturbed cells of each system."""
    from dpa_sse.ops.structures.extxyz import read_frames

    found: dict[str, list[Atoms]] = defaultdict(list)
    for atoms in read_frames(cells):
        found[str(atoms.info["system"])].append(atoms)
    return [TeacherRun(system, f"{system}.perturbed", frames, train_only=True) for system, frames in found.items()]


def _label(
    model: Any, run: TeacherRun, type_map: Sequence[str], max_force: float
) -> tuple[list[SystemData], TrajectoryFilter]:
    """Label the frames of one trajectory in batches and drop those with extreme forces."""
    blocks: list[SystemData] = []
    largest: list[float] = []
    for types, frames in _same_atoms(run.frames, type_map):
        for first in range(0, len(frames), BATCH):
            block, forces = _label_batch(model, run, types, frames[first : first + BATCH])
            largest += forces.tolist()
            blocks.append(block.select(np.flatnonzero(forces <= max_force)))
    values = np.array(largest)
    kept = values <= max_force  # NaN compares false: dropped
    return blocks, TrajectoryFilter(
        name=run.name,
        system=run.system,
        n_frames=len(values),
        n_kept=int(kept.sum()),
        n_dropped=int((~kept).sum()),
        max_force_kept_eV_A=float(values[kept].max()) if kept.any() else None,
        max_force_dropped_eV_A=float(values[~kept].max()) if (~kept).any() else None,
        status=run.status,
        reason=run.reason,
    )


def _same_atoms(frames: Sequence[Atoms], type_map: Sequence[str]) -> Iterator[tuple[NDArray[np.int_], list[Atoms]]]:
    groups: dict[tuple[str, ...], list[Atoms]] = defaultdict(list)
    for atoms in frames:
        groups[tuple(atoms.get_chemical_symbols())].append(atoms)
    for symbols, members in groups.items():
        if unknown := set(symbols) - set(type_map):
            raise InputError(f"element {', '.join(sorted(unknown))} is not in the type map {list(type_map)}")
        yield np.array([list(type_map).index(symbol) for symbol in symbols]), members


def _label_batch(
    model: Any, run: TeacherRun, types: NDArray[np.int_], frames: Sequence[Atoms]
) -> tuple[SystemData, NDArray[np.float64]]:
    """Return the labelled frames and the largest force on an atom of each (eV/A)."""
    from dpa_sse.ops.labelers.deepmd import predict_atoms

    energy, force, virial = predict_atoms(model, frames)
    largest = np.sqrt((force**2).sum(axis=2)).max(axis=1)
    largest[~np.isfinite(energy) | ~np.isfinite(virial).all(axis=(1, 2))] = np.nan
    names = [run.name] * len(frames)
    coords = np.array([atoms.positions for atoms in frames])
    cells = np.array([atoms.cell.array for atoms in frames])
    return SystemData(run.system, "train", types, coords, cells, energy, force, virial, names), largest


def split_runs(blocks: Sequence[SystemData], test: float, seed: int) -> tuple[list[SystemData], str]:
    """Divide labelled frames into training and test sets, by trajectory where a system has several.

    Frames of one trajectory resemble each other, so a test set from the training trajectory flatters the student.
    Where a system has a single trajectory, its last part is the test set and a gap before it is not used.

    Returns
    -------
    tuple of list of SystemData and str
        The blocks with their split, and a description of how they were divided.
    """
    runs: dict[str, dict[str, list[SystemData]]] = defaultdict(lambda: defaultdict(list))
    for block in blocks:
        if len(block):
            runs[block.system][block.trajectories[0]].append(block)
    result: list[SystemData] = []
    notes = []
    for system, own in runs.items():
        if len(own) == 1:
            result += _split_by_time(next(iter(own.values())), test)
            notes.append(f"{system}: by time (single trajectory; its last part is the test set, after a gap)")
            continue
        names = sorted(own)
        n_test = min(len(names) - 1, max(1, round(test * len(names))))
        chosen = np.random.default_rng(derive_seed(seed, "distill", "split", system)).permutation(len(names))[:n_test]
        held_out = {names[k] for k in chosen}
        for name in names:
            for block in own[name]:
                block.split = "test" if name in held_out else "train"
                result.append(block)
        notes.append(f"{system}: by trajectory ({n_test} of {len(names)} held out)")
    return result, "; ".join(notes)


def _split_by_time(blocks: Sequence[SystemData], test: float) -> list[SystemData]:
    total = sum(len(block) for block in blocks)
    n_test = max(1, round(test * total))
    first_test = total - n_test
    last_train = first_test - max(1, round(GAP * total))
    parts = []
    position = 0
    for block in blocks:
        index = np.arange(position, position + len(block))
        for split, mask in (("train", index < last_train), ("test", index >= first_test)):
            if mask.any():
                part = block.select(np.flatnonzero(mask))
                part.split = "train" if split == "train" else "test"
                parts.append(part)
        position += len(block)
    return parts
