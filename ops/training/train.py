"""Training of one model in a child process that can be killed and restarted at any time."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError, InputError, PipelineError, TransientError
from dpa_sse.ops.core.files import read_json, sha256_file, sha256_tree, write_csv, write_json, write_text
from dpa_sse.ops.core.resources import import_root
from dpa_sse.ops.core.tools import available_threads, run_tool
from dpa_sse.ops.potential.folder import BASE_MODEL, CHECKPOINT, COMPRESSED, FROZEN
from dpa_sse.ops.results.model import BiasFit, ModelInfo, Parity
from dpa_sse.ops.results.training import BiasTask, ChildError, StartKind, TrainingNeighbours, TrainOutcome, TrainTask
from dpa_sse.ops.training.deepmd_input import BIAS, DATA, DeepmdInput
from dpa_sse.ops.training.job import FineTune, FromScratch, InitModel, SameNetwork, TrainJob
from dpa_sse.ops.training.two_tasks import curve_of_new, one_task

WORK = ".work"
PARITY_FORCE_EV_A = 1e-3
PARITY_ENERGY_MEV_ATOM = 0.1
START_KINDS: dict[type, StartKind] = {
    FromScratch: "from_scratch", InitModel: "init_model", FineTune: "finetune", SameNetwork: "same_network",
}


def train_model(job: TrainJob, out: Path, *, threads: int | None = None) -> ModelInfo:
    """Train, freeze and (where possible) compress one model; resume where an earlier call was interrupted.

    Parameters
    ----------
    job : TrainJob
    out : Path
        Model folder: ``model.pt`` (checkpoint), ``model.pth`` (frozen; ``model.pt2`` of a DPA-4),
        ``model_compressed.pth``, ``input.json``,
        ``lcurve.csv``, ``parity.json``, ``train.log``, ``model.json``; ``.work/`` contains what a restart needs.
    threads : int, optional
        Threads of the training; all of this task by default.

    Returns
    -------
    ModelInfo

    Raises
    ------
    InputError
        The input is wrong, a model is missing, or a neighbour list is too short and ``widen`` is false.
    FatalError
        The loss became NaN, DeePMD-kit failed, or the frozen or the compressed model differs from the checkpoint.
    TransientError
        The child process was killed; the next call resumes.
    """
    task, fingerprint = _task(job)
    work = out / WORK
    if _is_fresh(work, fingerprint) and (done := ModelInfo.read_if_there(out)) is not None:
        return done
    _prepare(out, work, fingerprint, task)
    _run_worker(out, work, threads)
    info = _finish(job, out, work, threads=threads or available_threads())
    for path in work.glob("*.pt"):
        path.unlink()
    return info


def _task(job: TrainJob) -> tuple[TrainTask, str]:
    """Return what the child process does, and a hash of all that its result depends on."""
    source = job.source()
    worker_input = _worker_input(job.input)
    # done by the worker: DeePMD-kit would use randomly drawn frames, others after a restart
    fit_bias = bool(worker_input.section("training").pop(BIAS, False))
    task = TrainTask(
        input=worker_input.data,
        change_bias=fit_bias,
        start=START_KINDS[type(job.start)],
        start_model=str(source.resolve()) if source else None,
        branch=job.start.branch if isinstance(job.start, (FineTune, SameNetwork)) else "",
        trainable=job.start.trainable if isinstance(job.start, FineTune) else "all",
        lora_rank=job.start.lora_rank if isinstance(job.start, FineTune) else 0,
        base_systems=(
            tuple(str(Path(path).resolve()) for path in job.start.base) if isinstance(job.start, FineTune) else ()
        ),
        widen=job.widen,
        # a network taken over from another model is not examined here, so it is compressed on request only
        compress=job.input.compressible and source is None if job.compress is None else job.compress,
        parity_frames=job.parity_frames,
        parity_systems=tuple(
            str(Path(path).resolve())
            for path in job.parity_systems or worker_input.section("training")["training_data"]["systems"]
        ),
    )
    return task, _fingerprint(task)


def _worker_input(data: DeepmdInput) -> DeepmdInput:
    """Return the input with absolute data folders and fixed names of checkpoint and learning curve."""
    result = data.without_own_files()
    training = result.section("training")
    for part in DATA:
        if training.get(part):
            training[part]["systems"] = [str(Path(path).resolve()) for path in training[part]["systems"]]
    if missing := [path for path in training["training_data"]["systems"] if not (Path(path) / "type.raw").is_file()]:
        raise InputError(f"no deepmd/npy data (type.raw) in {', '.join(missing)}")
    if not training.get("numb_steps"):
        raise InputError("training.numb_steps is missing; set the number of steps (numb_epoch is not supported)")
    if "seed" not in training:
        raise InputError("training.seed is missing; without it a run cannot be reproduced")
    training.update(save_ckpt="checkpoint", disp_file="lcurve.out", max_ckpt_keep=2)
    return result


def _fingerprint(task: TrainTask) -> str:
    """Return a hash of all that the result depends on: contents, not paths, which may differ after a restart."""
    plain = task.model_dump(exclude={"start_model"})
    for key in ("parity_systems", "base_systems"):
        plain[key] = [sha256_tree(Path(path)) for path in plain[key]]
    if not plain["base_systems"]:  # an interrupted training of an earlier version continues
        del plain["base_systems"]
    training = plain["input"]["training"] = copy.deepcopy(plain["input"]["training"])
    for part in DATA:
        if training.get(part):
            training[part]["systems"] = [sha256_tree(Path(path)) for path in training[part]["systems"]]
    source = sha256_file(task.start_model) if task.start_model else None
    return hashlib.sha256(json.dumps([plain, source], sort_keys=True).encode()).hexdigest()


def _is_fresh(work: Path, fingerprint: str) -> bool:
    stored = work / "fingerprint"
    return stored.is_file() and stored.read_text(encoding="utf-8") == fingerprint


def _prepare(out: Path, work: Path, fingerprint: str, task: TrainTask) -> None:
    """Keep the files of the same task, remove those of another one."""
    if not _is_fresh(work, fingerprint):
        if work.exists():
            shutil.rmtree(work)
        for name in ("model.json", CHECKPOINT, BASE_MODEL, *FROZEN, COMPRESSED, "parity.json", "lcurve.csv"):
            (out / name).unlink(missing_ok=True)
        work.mkdir(parents=True)
        write_text(work / "fingerprint", fingerprint)
    task.write(work)
    ChildError.path_in(work).unlink(missing_ok=True)


def child_environment() -> dict[str, str]:
    """Return the environment variables of a child process, besides the thread settings."""
    root = str(import_root())
    return {
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "NUM_WORKERS": "0",  # loader processes cost more than they save, and their number would change the batches
    }


def _run_worker(out: Path, work: Path, threads: int | None) -> None:
    from dpa_sse.ops.training import worker

    argv: list[str | Path] = [sys.executable, "-P", "-m", worker.__name__, TrainTask.path_in(work).resolve()]
    try:
        run_tool(argv, out / "train.log", work, env=child_environment(), threads=threads)
    except TransientError:
        raise
    except FatalError as error:
        if (found := ChildError.read_if_there(work)) is not None:
            kinds: dict[str, type[PipelineError]] = {"InputError": InputError, "TransientError": TransientError}
            raise kinds.get(found.kind, FatalError)(found.message) from error
        raise


def _finish(job: TrainJob, out: Path, work: Path, *, threads: int) -> ModelInfo:
    """Write the readable files of the model folder; ``model.json`` is written last and marks it as complete."""
    used, trained = DeepmdInput(read_json(work / "used_input.json")), TrainOutcome.read(work)
    _check_parity(Parity.read(out))
    training = used.section("training")
    for own in (training, *(training.get("data_dict") or {}).values()):
        for part in DATA:
            if own.get(part):
                own[part]["systems"] = [relative_system(Path(path)) for path in own[part]["systems"]]
    if job.input.section("training").get(BIAS):
        training[BIAS] = True
    write_json(out / "input.json", used.data)
    _write_lcurve(work / "lcurve.out", out / "lcurve.csv")
    from dpa_sse.ops.training.neighbours import cutoffs_of

    model = one_task(used.section("model"))
    info = ModelInfo(
        type_map=model["type_map"],
        preset=job.preset,
        descriptor=model["descriptor"]["type"],
        steps=training["numb_steps"],
        seed=job.seed,
        rcut_A=max(cutoffs_of(model), default=None),
        n_parameters=trained.n_parameters,
        seconds=round(trained.seconds, 1),
        resumed_at_step=trained.resumed_at_step,
        threads=threads,
        neighbours=TrainingNeighbours.read(work).counts,
        messages=trained.messages,
        compressed=(out / COMPRESSED).is_file(),
        deepmd_version=deepmd_version(),
    )
    info.write(out)
    return info


def _check_parity(parity: Parity) -> None:
    for name, found in parity.files.items():
        force, energy = found.max_force_difference_eV_A, found.max_energy_difference_meV_atom
        if force is None or energy is None or force >= PARITY_FORCE_EV_A or energy >= PARITY_ENERGY_MEV_ATOM:
            raise FatalError(
                f"{name} differs from {parity.reference}: force {force} eV/A, energy {energy} meV/atom (allowed "
                f"{PARITY_FORCE_EV_A:g} and {PARITY_ENERGY_MEV_ATOM:g}); see parity.json"
            )


def deepmd_version() -> str:
    """Return the version of DeePMD-kit without importing it."""
    try:
        return version("deepmd-kit")
    except PackageNotFoundError:
        return "unknown"


def relative_system(path: Path) -> str:
    """Return a data folder relative to its data set, to keep paths of the host out of artifacts."""
    for parent in path.parents:
        if (parent / "dataset.json").is_file():
            return path.relative_to(parent).as_posix()
    return "/".join(path.parts[-2:])


def _write_lcurve(source: Path, target: Path) -> None:
    """Convert DeePMD-kit's learning curve to CSV; a missing label (nan) becomes an empty field."""
    columns: list[str] = []
    rows: list[dict[str, str | None]] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            columns = columns or line.lstrip("# ").split()
        elif values := line.split():
            rows.append({
                key: None if value == "nan" else value for key, value in zip(columns, values, strict=True)
            })
    kept = curve_of_new(columns)
    write_csv(target, [{kept[key]: row[key] for key in kept} for row in rows], list(kept.values()))


def read_lcurve(path: Path) -> list[dict[str, float | None]]:
    """Return the rows of ``lcurve.csv`` as numbers."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [{key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(stream)]


def change_bias(model: Path, dataset: Path | Sequence[Path], out: Path, split: str = "train") -> BiasFit:
    """Fit the energy per element of a model to new data (DeePMD-kit's ``change-bias``); the network is unchanged.

    Parameters
    ----------
    model : Path
        Checkpoint (.pt) of the model.
    dataset : Path or sequence of Path
        Labelled frames of the new compound.
    out : Path
        Receives ``model.pt``, ``bias.json`` and ``bias.log``.
    split : str
        Split of ``dataset``.

    Returns
    -------
    BiasFit

    Raises
    ------
    InputError
        There are no frames, or the model does not exist.
    FatalError
        DeePMD-kit failed.
    """
    from dpa_sse.ops.data.npy import split_systems
    from dpa_sse.ops.potential.inference import branch_of
    from dpa_sse.ops.training import bias

    if (done := BiasFit.read_if_there(out)) is not None:
        return done
    systems = split_systems(dataset, split) if isinstance(dataset, Path) else list(dataset)
    if not systems:
        raise InputError(f"{dataset}: no {split} frames to fit the energy bias to")
    if not model.is_file():
        raise InputError(f"model file does not exist: {model}")
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    branch = branch_of(model)
    paths = tuple(str(path.resolve()) for path in systems)
    BiasTask(model=str(model.resolve()), systems=paths, branch=branch).write(work)
    argv: list[str | Path] = [sys.executable, "-P", "-m", bias.__name__, BiasTask.path_in(work).resolve()]
    run_tool(argv, out / "bias.log", work, env=child_environment())
    fit = BiasFit.read(work)
    if branch:  # needed to open the new checkpoint
        ModelInfo(type_map=fit.type_map, branch=branch).write(out)
    fit.write(out)
    return fit
