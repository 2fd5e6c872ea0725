"""Do the gates separate a good student from known-bad ones? Trained, spoiled and judged here.

The bad ones: trained on 5 % of the data, on the first frames of one trajectory only, or for too few steps; forces
scaled by 0.9; two elements exchanged; a hole in the wall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import write_csv, write_text
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.data.subset import limit_frames
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.training.deepmd_input import DeepmdInput
from dpa_sse.ops.training.job import TrainJob
from dpa_sse.ops.training.train import train_model
from dpa_sse.ops.validation.gates.base import GateSettings, ModelFiles, Potential, Reference
from dpa_sse.ops.validation.gates.inputs import find_model, open_found
from dpa_sse.ops.validation.gates.potentials import Holed, Relabelled, Scaled
from dpa_sse.ops.validation.gates.registry import Thresholds
from dpa_sse.ops.validation.gates.run import Candidate, run_gates

if TYPE_CHECKING:
    from ase import Atoms

SHARE = 0.05
FEW_FRAMES = 6
UNDERTRAINED = 25
"""The steps of the training are divided by this."""
SOFT = 0.9
HOLE_EV, HOLE_SHARE = 20.0, 0.75
"""Depth of the hole, and its radius over the sum of covalent radii."""


@dataclass(frozen=True)
class Setup:
    """What the calibration starts from.

    Attributes
    ----------
    student : Path
        Model folder, with the input of its training.
    data : Path
        Data set that it was trained on; its test frames are held out.
    reference : Potential
        The teacher.
    structures : sequence of Atoms
    settings : GateSettings
    thresholds : Thresholds
    """

    student: Path
    data: Path
    reference: Potential
    structures: Sequence[Atoms]
    settings: GateSettings
    thresholds: Thresholds


class Trial(NamedTuple):
    """One model of the calibration, judged."""

    kind: str
    seed: int
    verdict: Gates

    @property
    def caught_by(self) -> list[str]:
        """Required gates that failed."""
        return [gate.key for gate in self.verdict.gates if gate.required and gate.verdict == "FAIL"]


KINDS = ("good", "5 % of the data", "few structures", "undertrained", "forces x 0.9", "elements exchanged", "hole")


def calibrate(setup: Setup, seeds: int, out: Path, tell: Callable[[Trial], None]) -> list[Trial]:
    """Train, spoil and judge; the good model must not fail, and every bad one must.

    Parameters
    ----------
    setup : Setup
    seeds : int
        Trainings of each kind; the first good model is the student itself.
    out : Path
        Receives ``models/``, ``verdicts/`` and ``calibration.csv``; what is there is reused.
    tell : callable
        Gets each trial when it is done.
    """
    type_map, blocks = read_dataset(setup.data)
    held_out = [block for block in blocks if block.split == "test" and len(block)]
    reference = Reference(setup.reference.name, setup.reference, held_out, type_map)
    trials = []
    for seed in range(seeds):
        for kind, model, files in _models(setup, seed, out):
            settings = replace(setup.settings, seed=derive_seed(setup.settings.seed, "calibrate", seed), files=files)
            place = out / VERDICTS / f"{kind.replace(' ', '-').replace('%', 'percent')}.{seed}.json"
            found = _judged_before(place, setup)
            if found is None:
                found = run_gates(Candidate(model, reference, setup.structures, settings), setup.thresholds)
                place.parent.mkdir(parents=True, exist_ok=True)
                found.write(place)
            trials.append(Trial(kind, seed, found))
            tell(trials[-1])
            write_csv(out / "calibration.csv", list(rows(trials)), COLUMNS)
    return trials


def _judged_before(place: Path, setup: Setup) -> Gates | None:
    """Return the verdict of a calibration that was interrupted; None if there is none by these thresholds."""
    try:
        found = Gates.read_if_there(place)
    except FatalError:
        return None
    same = found is not None and (found.thresholds_sha256, found.temperature_K, found.tier) == (
        setup.thresholds.sha256, setup.settings.temperature_K, setup.settings.tier
    )
    return found if same else None


VERDICTS = "verdicts"
COLUMNS = ("kind", "seed", "verdict", "failed", "gate", "metric", "value", "low", "high", "gate_verdict")


def rows(trials: Sequence[Trial]) -> Iterator[dict[str, object]]:
    """Yield one row for each number of each trial."""
    for trial in trials:
        for gate in trial.verdict.gates:
            for metric in gate.metrics:
                low, high = metric.ci95 or (None, None)
                yield {
                    "kind": trial.kind, "seed": trial.seed, "verdict": trial.verdict.verdict,
                    "failed": " ".join(trial.caught_by), "gate": gate.key, "metric": metric.name, "value": metric.value,
                    "low": low, "high": high, "gate_verdict": metric.verdict,
                }


def table(trials: Sequence[Trial], command: str) -> dict[str, Any]:
    """Return the table of a calibration for ``configs/gates``: each trial with what failed and its numbers."""
    return {
        "command": command,
        "thresholds_sha256": trials[0].verdict.thresholds_sha256 if trials else "",
        "trials": [
            {
                "model": trial.kind, "seed": trial.seed, "verdict": trial.verdict.verdict,
                "failed": " ".join(trial.caught_by),
                "numbers": {
                    f"{gate.key}.{metric.name}": float(f"{metric.value:.3g}")
                    for gate in trial.verdict.gates for metric in gate.metrics if metric.value is not None
                },
            }
            for trial in trials
        ],
    }


def write_table(trials: Sequence[Trial], command: str, path: Path) -> None:
    """Write the table of a calibration as YAML."""
    import yaml

    text = yaml.safe_dump(table(trials, command), sort_keys=False, width=118, default_flow_style=None)
    write_text(path, text)


def _models(setup: Setup, seed: int, out: Path) -> Iterator[tuple[str, Potential, ModelFiles]]:
    """Yield the good model and the bad ones of one seed."""
    work = out / "models"
    good = _trained(setup, setup.data, seed, work / f"good.{seed}") if seed else setup.student
    yield "good", *_opened(good, setup)
    few = _few_data(setup, seed, work / f"few-data.{seed}")
    yield "5 % of the data", *_opened(_trained(setup, few, seed, work / f"few.{seed}"), setup)
    near = _near_data(setup, seed, work / f"near-data.{seed}")
    yield "few structures", *_opened(_trained(setup, near, seed, work / f"near.{seed}"), setup)
    short = _trained(setup, setup.data, seed, work / f"short.{seed}", steps=1 / UNDERTRAINED)
    yield "undertrained", *_opened(short, setup)
    sound, _ = _opened(good, setup)
    # spoiled in memory: there are no files to compare
    yield "forces x 0.9", Scaled(sound, SOFT), ModelFiles()
    used = sorted({symbol for atoms in setup.structures for symbol in atoms.get_chemical_symbols()})
    rng = np.random.default_rng(derive_seed(setup.settings.seed, "exchange", seed))
    one, other = rng.choice(used, 2, replace=False)
    yield "elements exchanged", Relabelled(sound, {str(one): str(other), str(other): str(one)}), ModelFiles()
    yield "hole", Holed(sound, HOLE_EV, HOLE_SHARE), ModelFiles()


def _opened(folder: Path, setup: Setup) -> tuple[Potential, ModelFiles]:
    found = find_model(folder)
    return open_found(found), replace(found.files, precision=setup.settings.files.precision)


def _trained(setup: Setup, data: Path, seed: int, out: Path, steps: float = 1.0) -> Path:
    """Train the network of the student again, with other data, another seed or fewer steps."""
    from dpa_sse.ops.core.files import read_json

    given = DeepmdInput(read_json(setup.student / "input.json")).copy()
    training = given.section("training")
    training["training_data"]["systems"] = [str(path) for path in split_systems(data, "train")]
    training.pop("validation_data", None)
    training["numb_steps"] = max(1, round(training["numb_steps"] * steps))
    for part in (training, given.section("model")["descriptor"], given.section("model")["fitting_net"]):
        if "seed" in part:
            part["seed"] = derive_seed(setup.settings.seed, "train", seed)
    train_model(TrainJob(given, seed=seed, compress=False), out)
    return out


def _few_data(setup: Setup, seed: int, out: Path) -> Path:
    """Write a data set with 5 % of the training frames."""
    _, blocks = read_dataset(setup.data)
    total = sum(len(block) for block in blocks if block.split == "train")
    limit_frames(setup.data, "train", max(1, round(SHARE * total)), derive_seed(setup.settings.seed, "few", seed), out)
    return out


def _near_data(setup: Setup, seed: int, out: Path) -> Path:
    """Write a data set whose training frames are the first ones of one trajectory: nearly the same structure."""
    type_map, blocks = read_dataset(setup.data)
    runs = [(k, name) for k, block in enumerate(blocks) if block.split == "train"
            for name in dict.fromkeys(block.trajectories)]
    chosen, name = runs[int(np.random.default_rng(derive_seed(setup.settings.seed, "near", seed)).integers(len(runs)))]
    kept: list[SystemData] = [block for block in blocks if block.split != "train"]
    block = blocks[chosen]
    own = [k for k, one in enumerate(block.trajectories) if one == name][:FEW_FRAMES]
    write_dataset(out, type_map, [block.select(own), *kept])
    return out
