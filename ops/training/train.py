"""Training of one model in a child process that can be killed and started again at any moment."""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import FatalError, InputError, PipelineError, TransientError
from dpa_sse.ops.core.files import read_json, sha256_file, sha256_tree, write_csv, write_json, write_text
from dpa_sse.ops.core.resources import import_root
from dpa_sse.ops.core.tools import available_threads, run_tool

WORK = ".work"
BIAS = "change_bias_after_training"
SOURCES = ("init_model", "finetune", "network_of")
COMPRESSIBLE = ("se_e2_a", "se_a", "se_e2_r", "se_r", "se_e3", "se_at")
BUILT_IN_PREFIX = "DPA-"
PARITY_FORCE_EV_A = 1e-3
PARITY_ENERGY_MEV_ATOM = 0.1


def train_model(
    data: Mapping[str, Any],
    out: Path,
    *,
    init_model: Path | None = None,
    finetune: Path | str | None = None,
    model_branch: str = "",
    network_of: Path | None = None,
    preset: str = "",
    seed: int | None = None,
    widen: bool = True,
    compress: bool | None = None,
    parity_frames: int = 5,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train, freeze and (where possible) compress one model; go on where an earlier call was interrupted.

    Parameters
    ----------
    data : mapping
        Complete deepmd input (`dpa_sse.ops.training.presets.training_input`). ``sel: auto`` is resolved here.
    out : Path
        Model folder: ``model.pt`` (checkpoint), ``model.pth`` (frozen), ``model_compressed.pth``, ``input.json``,
        ``lcurve.csv``, ``parity.json``, ``train.log``, ``model.json``; ``.work/`` holds what a restart needs.
    init_model : Path, optional
        Checkpoint whose weights and network are the starting point; no change of the energy bias.
    finetune : Path or str, optional
        Checkpoint of a pre-trained model (or a deepmd built-in name): its network and weights are taken over and the
        energy bias of the elements is fitted to the new data by least squares.
    model_branch : str
        Branch of a multi-task pre-trained model, or ``RANDOM`` for a new fitting net.
    network_of : Path, optional
        Checkpoint whose network (not its weights) is trained from scratch.
    preset, seed : optional
        Written into ``model.json``.
    widen : bool
        Widen neighbour lists that would drop neighbours (else refuse).
    compress : bool, optional
        Also write the compressed model; by default where the descriptor allows it without loss (se_e2_a and kin).
    parity_frames : int
        Frames on which checkpoint, frozen and compressed model are compared.
    threads : int, optional
        Threads of the training; all of this task by default.

    Returns
    -------
    dict
        The content of ``model.json``.

    Raises
    ------
    InputError
        Wrong input, missing model, neighbour lists too short and ``widen`` is false.
    FatalError
        The loss became NaN, deepmd failed, or the frozen and the compressed model disagree.
    TransientError
        The child was killed; the next call goes on.
    """
    if sum(given is not None for given in (init_model, finetune, network_of)) > 1:
        raise InputError("init_model, finetune and network_of exclude each other")
    sources = {
        "init_model": init_model,
        "finetune": resolve_model(finetune) if finetune is not None else None,
        "network_of": network_of,
    }
    given = [path for path in sources.values() if path is not None]
    if missing := [str(path) for path in given if not path.is_file()]:
        raise InputError(f"model file does not exist: {missing[0]}")
    # a network taken over from another model is not looked into here, so it is not compressed unasked
    compress = can_compress(data) and not given if compress is None else compress
    worker_input = _worker_input(data)
    task = {
        "input": worker_input,
        # done by the worker: deepmd would use randomly drawn frames, others after a restart
        "change_bias": bool(worker_input["training"].pop(BIAS, False)),
        **{key: str(path.resolve()) if path else None for key, path in sources.items()},
        "model_branch": model_branch, "widen": widen, "compress": compress, "parity_frames": parity_frames,
    }
    fingerprint = _fingerprint(task, given)
    work = out / WORK
    if _is_fresh(work, fingerprint) and (out / "model.json").is_file():
        return dict(read_json(out / "model.json"))
    _prepare(out, work, fingerprint, task)
    _run_worker(out, work, threads)
    result = _finish(data, out, work, preset=preset, seed=seed, threads=threads or available_threads())
    for path in work.glob("*.pt"):
        path.unlink()
    return result


def resolve_model(model: Path | str) -> Path:
    """Return the file of a model: a path, or a built-in name that deepmd has in its cache or can download.

    Raises
    ------
    InputError
        No such file, no such name, or the download failed (no network).
    """
    if Path(model).is_file():
        return Path(model)
    name = str(model)
    if os.sep in name or not name.upper().startswith(BUILT_IN_PREFIX):
        raise InputError(f"model file does not exist: {model}")
    from deepmd.pretrained.download import resolve_model_path
    from deepmd.pretrained.registry import MODEL_REGISTRY

    known = {key.lower(): key for key in MODEL_REGISTRY}
    if name.lower() not in known:
        names = ", ".join(sorted(MODEL_REGISTRY))
        raise InputError(f"{name!r} is no file and none of deepmd's built-in models: {names}")
    try:
        return Path(resolve_model_path(known[name.lower()]))
    except Exception as error:  # network errors of many kinds
        raise InputError(
            f"the built-in model {known[name.lower()]} is not in deepmd's cache and can not be downloaded "
            f"({type(error).__name__}: {error}); on a machine with internet run `dp pretrained download "
            f"{known[name.lower()]}` and give the file"
        ) from error


def can_compress(data: Mapping[str, Any]) -> bool:
    """Return whether deepmd can compress the network of an input without loss."""
    return data["model"]["descriptor"]["type"] in COMPRESSIBLE


def _worker_input(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input with absolute data folders and our own names of checkpoint and learning curve."""
    result = copy.deepcopy(dict(data))
    training = result["training"]
    for part in ("training_data", "validation_data"):
        if training.get(part):
            training[part]["systems"] = [str(Path(path).resolve()) for path in training[part]["systems"]]
    if missing := [path for path in training["training_data"]["systems"] if not (Path(path) / "type.raw").is_file()]:
        raise InputError(f"no deepmd/npy data (type.raw) in {', '.join(missing)}")
    if not training.get("numb_steps"):
        raise InputError("training.numb_steps is missing: give the number of steps (numb_epoch is not supported)")
    if "seed" not in training:
        raise InputError("training.seed is missing: without it no run can be repeated")
    training.update(save_ckpt="checkpoint", disp_file="lcurve.out", max_ckpt_keep=2)
    training.pop("save_dir", None)
    return result


def _fingerprint(task: Mapping[str, Any], models: Sequence[Path]) -> str:
    """Return a hash of all that the result depends on: contents, not places (a restart may see other paths)."""
    plain = copy.deepcopy({key: value for key, value in task.items() if key not in SOURCES})
    training = plain["input"]["training"]
    for part in ("training_data", "validation_data"):
        if training.get(part):
            training[part]["systems"] = [sha256_tree(Path(path)) for path in training[part]["systems"]]
    kinds = [key for key in SOURCES if task[key]]
    text = json.dumps([plain, kinds, [sha256_file(path) for path in models]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_fresh(work: Path, fingerprint: str) -> bool:
    stored = work / "fingerprint"
    return stored.is_file() and stored.read_text(encoding="utf-8") == fingerprint


def _prepare(out: Path, work: Path, fingerprint: str, task: Mapping[str, Any]) -> None:
    """Keep what belongs to the same task, remove the leftovers of another one."""
    if not _is_fresh(work, fingerprint):
        if work.exists():
            shutil.rmtree(work)
        for name in ("model.json", "model.pt", "model.pth", "model_compressed.pth", "parity.json", "lcurve.csv"):
            (out / name).unlink(missing_ok=True)
        work.mkdir(parents=True)
        write_text(work / "fingerprint", fingerprint)
    write_json(work / "task.json", task)
    (work / "error.json").unlink(missing_ok=True)


def child_environment() -> dict[str, str]:
    """Return what a child of this package needs besides the thread settings."""
    root = str(import_root())
    return {
        "PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "NUM_WORKERS": "0",  # loader processes cost more than they give, and their number would change the batches
    }


def _run_worker(out: Path, work: Path, threads: int | None) -> None:
    from dpa_sse.ops.training import worker

    argv: list[str | Path] = [sys.executable, "-m", worker.__name__, (work / "task.json").resolve()]
    try:
        run_tool(argv, out / "train.log", work, env=child_environment(), threads=threads)
    except TransientError:
        raise
    except FatalError as error:
        if (report := work / "error.json").is_file():
            found = read_json(report)
            kinds: dict[str, type[PipelineError]] = {"InputError": InputError, "TransientError": TransientError}
            raise kinds.get(found["kind"], FatalError)(found["message"]) from error
        raise


def _finish(
    data: Mapping[str, Any], out: Path, work: Path, *, preset: str, seed: int | None, threads: int
) -> dict[str, Any]:
    """Write the readable files of the model folder; ``model.json`` comes last and says: complete."""
    used, trained = read_json(work / "used_input.json"), read_json(work / "trained.json")
    parity = read_json(out / "parity.json")
    _check_parity(parity)
    training = used["training"]
    for part in ("training_data", "validation_data"):
        if training.get(part):
            training[part]["systems"] = [relative_system(Path(path)) for path in training[part]["systems"]]
    if data["training"].get(BIAS):
        training[BIAS] = True
    write_json(out / "input.json", used)
    _write_lcurve(work / "lcurve.out", out / "lcurve.csv")
    model = used["model"]
    result = {
        "type_map": model["type_map"],
        "preset": preset,
        "descriptor": model["descriptor"]["type"],
        "steps": training["numb_steps"],
        "seed": seed,
        "rcut_A": _cutoff(model),
        "n_parameters": trained["n_parameters"],
        "seconds": round(trained["seconds"], 1),
        "resumed_at_step": trained["resumed_at_step"],
        "threads": threads,
        "neighbours": read_json(work / "neighbours.json"),
        "messages": trained["messages"],
        "compressed": (out / "model_compressed.pth").is_file(),
        "deepmd_version": deepmd_version(),
    }
    write_json(out / "model.json", result)
    return result


def _check_parity(parity: Mapping[str, Any]) -> None:
    for name, found in parity["files"].items():
        force, energy = found["max_force_difference_eV_A"], found["max_energy_difference_meV_atom"]
        if not (force is not None and force < PARITY_FORCE_EV_A and energy < PARITY_ENERGY_MEV_ATOM):
            raise FatalError(
                f"{name} differs from {parity['reference']}: force {force} eV/A, energy {energy} meV/atom (allowed "
                f"{PARITY_FORCE_EV_A:g} and {PARITY_ENERGY_MEV_ATOM:g}); see parity.json"
            )


def _cutoff(model: Mapping[str, Any]) -> float | None:
    from dpa_sse.ops.training.neighbours import cutoffs_of

    found = cutoffs_of(model)
    return max(found) if found else None


def deepmd_version() -> str:
    """Return the version of DeePMD-kit without importing it."""
    try:
        return version("deepmd-kit")
    except PackageNotFoundError:
        return "unknown"


def relative_system(path: Path) -> str:
    """Return a data folder relative to its data set (no host paths in artifacts)."""
    for parent in path.parents:
        if (parent / "dataset.json").is_file():
            return path.relative_to(parent).as_posix()
    return "/".join(path.parts[-2:])


def _write_lcurve(source: Path, target: Path) -> None:
    """Turn deepmd's learning curve into CSV; a missing label (nan) becomes an empty field."""
    columns: list[str] = []
    rows: list[dict[str, str | None]] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            columns = columns or line.lstrip("# ").split()
        elif values := line.split():
            rows.append({
                key: None if value == "nan" else value for key, value in zip(columns, values, strict=True)
            })
    write_csv(target, rows, columns)


def read_lcurve(path: Path) -> list[dict[str, float | None]]:
    """Return the rows of ``lcurve.csv`` as numbers."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [{key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(stream)]


def change_bias(model: Path, dataset: Path | Sequence[Path], out: Path, split: str = "train") -> dict[str, Any]:
    """Fit the energy per element of a model to new data (deepmd's ``change-bias``); the network stays as it is.

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
    dict
        ``{"type_map", "bias_before_eV", "bias_after_eV"}``; energies per element in the type map's order.
    """
    from dpa_sse.ops.data.npy import split_systems
    from dpa_sse.ops.potential.inference import branch_of
    from dpa_sse.ops.training import bias

    if (out / "bias.json").is_file():
        return dict(read_json(out / "bias.json"))
    systems = split_systems(dataset, split) if isinstance(dataset, Path) else list(dataset)
    if not systems:
        raise InputError(f"{dataset}: no {split} frames to fit the energy bias to")
    if not model.is_file():
        raise InputError(f"model file does not exist: {model}")
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    branch = branch_of(model)
    task = {"model": str(model.resolve()), "systems": [str(path.resolve()) for path in systems], "branch": branch}
    write_json(work / "bias_task.json", task)
    argv: list[str | Path] = [sys.executable, "-m", bias.__name__, (work / "bias_task.json").resolve()]
    run_tool(argv, out / "bias.log", work, env=child_environment())
    result: dict[str, Any] = read_json(work / "bias.json")
    if branch:  # whoever opens the new checkpoint must know
        write_json(out / "model.json", {"type_map": result["type_map"], "branch": branch})
    write_json(out / "bias.json", result)
    return result
