"""Short molecular dynamics with the labeler, from one perturbed cell."""

from __future__ import annotations

from pathlib import Path

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.labelers.base import AimdRun
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import AimdSettings, LabelerSettings
from dpa_sse.ops.results.status import EMPTY, is_finished
from dpa_sse.ops.structures.extxyz import read_frames


def run_aimd(task: Path, labeler: LabelerSettings, settings: AimdSettings, seed: int, out: Path) -> None:
    """Run molecular dynamics and keep every ``sample_every``-th frame with its labels.

    Parameters
    ----------
    task : Path
        Folder with ``cell.extxyz`` (one perturbed cell); if it does not exist, nothing is done.
    labeler : LabelerSettings
        Source of energies and forces; its program runs the dynamics, or ASE does with its calculator.
    settings : AimdSettings
        Perturbed cell i of a system runs at temperature i modulo their number.
    seed : int
        Seed of the project; velocities and thermostat derive theirs from the name of the trajectory.
    out : Path
        Receives ``frames.extxyz`` (frame 0 is the perturbed cell itself) and ``status.json``; files of the labeler go
        into a folder named after its kind. A finished run is not repeated, an interrupted one resumes.

    Raises
    ------
    TransientError, FatalError, InputError
        See :meth:`dpa_sse.ops.labelers.base.Labeler.label`.
    """
    out.mkdir(parents=True, exist_ok=True)
    if is_finished(out):
        return
    if not (task / "cell.extxyz").is_file():
        EMPTY.write(out)
        return
    atoms = read_frames(task / "cell.extxyz")[0]
    start, end = settings.temperatures_of(int(atoms.info.get("perturbation", 0)))
    atoms.info["temperature_K"] = start
    run = AimdRun(atoms, settings, start, end, derive_seed(seed, "aimd", str(atoms.info.get("trajectory", ""))))
    make_labeler(labeler).run_trajectory(run, out, out / labeler.kind).write(out)
