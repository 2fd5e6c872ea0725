"""One training task in one Python process: train, freeze, compress, compare. Started by `dpa_sse.ops.training.train`.

The command line of DeePMD-kit is not used because it would be started four times (seconds of imports each), and because
a restart must continue exactly: DeePMD-kit repeats one step after a restart and draws new batches. Here the batches
depend only on the seed and on the number of the step, so an interrupted run ends with the same weights, bit for bit
(one thread), as an uninterrupted one.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import FatalError, InputError, PipelineError
from dpa_sse.ops.core.files import atomic_path, write_json, write_text
from dpa_sse.ops.potential.folder import BASE_MODEL, CHECKPOINT, COMPRESSED, FROZEN, frozen_model
from dpa_sse.ops.results.model import NeighbourCounts, Parity
from dpa_sse.ops.results.training import ChildError, TrainingNeighbours, TrainOutcome, TrainTask
from dpa_sse.ops.training.deepmd_input import DeepmdInput
from dpa_sse.ops.training.freeze import freeze_checkpoint
from dpa_sse.ops.training.neighbours import cutoffs_of, fit_neighbour_lists, neighbour_counts
from dpa_sse.ops.training.parity import parity
from dpa_sse.ops.training.tables import with_lines, with_table_of, with_word
from dpa_sse.ops.training.trained_network import as_dpa4, network_of, params_of, restrict
from dpa_sse.ops.training.two_tasks import BASE, NEW, TASKS, one_task, order_of_tasks, separate, with_two_tasks

log = logging.getLogger("dpa-sse")
STEPS = "checkpoint"
MERGED = "merged.pt"
DIVERGED = "the training diverged (its loss is not a number); lower start_lr, or check the labels of the data"
BIAS_FRAMES = 200  # per data folder: more would cost time and not change the mean


def main(argv: Sequence[str]) -> int:
    """Run the task that a JSON file describes; an error is left in ``error.json`` for the parent process."""
    task_file = Path(argv[1]).resolve()
    os.chdir(task_file.parent)
    try:
        run_training(TrainTask.read(task_file), task_file.parent)
    except PipelineError as error:
        ChildError(kind=type(error).__name__, message=str(error)).write(Path())
        log.error("%s", error)
        return 1
    return 0


def run_training(task: TrainTask, work: Path) -> None:
    """Train, freeze, compress and compare; parts that are finished already are not repeated."""
    from deepmd.loggers.loggers import set_log_handles

    set_log_handles(20, None)
    out = work.parent
    if not TrainOutcome.path_in(work).is_file():
        train(task, work).write(work)
    if not (out / CHECKPOINT).is_file():
        last = work / (MERGED if task.trainable == "lora" else f"{STEPS}-{task.input['training']['numb_steps']}.pt")
        if task.base_systems:
            separate(last, BASE, work / BASE_MODEL)
            _write_model(work / BASE_MODEL, out / BASE_MODEL)
            separate(last, NEW, work / MERGED)
            last = work / MERGED
        _write_model(_change_bias(last, task, work) if task.change_bias else last, out / CHECKPOINT)
    _freeze(out, work, compress=task.compress)
    if not Parity.path_in(out).is_file():
        files = [out / CHECKPOINT, frozen_model(out)] + ([out / COMPRESSED] if task.compress else [])
        parity(files, task).write(out)


def train(task: TrainTask, work: Path) -> TrainOutcome:
    """Train from the newest readable checkpoint in ``work``, or from the start.

    Raises
    ------
    InputError
        DeePMD-kit rejects the input, or a neighbour list is too short and may not be widened.
    FatalError
        The loss became NaN.
    """
    start = time.monotonic()
    newest = newest_checkpoint(work)
    trainer, messages = _trainer(task, work, newest)
    steps = int(trainer.num_steps)
    if newest is not None:
        # DeePMD-kit stores the number of the last step and would repeat it
        trainer.start_step += 1
        trainer.scheduler = trainer._create_lr_scheduler(trainer.optimizer, trainer.lr_schedule, trainer.start_step)
        cut_lcurve(work / "lcurve.out", trainer.start_step)
        log.info("resuming after step %d of %d", trainer.start_step, steps)
    _use_own_batches(trainer, task.input["training"])
    if trainer.start_step < steps:
        _run(trainer)
    check_lcurve(work / "lcurve.out")
    if getattr(trainer, "_lora_enabled", False):
        _merge_additions(trainer, work / MERGED, steps)
    return TrainOutcome(
        n_parameters=sum(parameter.numel() for parameter in _networks(trainer)[0].parameters()),
        messages=tuple(messages),
        seconds=time.monotonic() - start,
        resumed_at_step=trainer.start_step if newest is not None else None,
    )


def _networks(trainer: Any) -> list[Any]:
    """Return the networks of a training: one, or that of the new compound and that of the base systems."""
    return [trainer.model[key] for key in TASKS] if isinstance(trainer.model, Mapping) else [trainer.model]


def _merge_additions(trainer: Any, target: Path, steps: int) -> None:
    """Write a checkpoint of the plain network: its weights with the low-rank additions."""
    import torch
    from deepmd.pt.model.descriptor.sezm_nn import build_merged_state_dict, strip_lora_from_extra_state

    state = build_merged_state_dict(trainer._get_inner_module(), state_dict=trainer._get_inner_module().state_dict())
    state["_extra_state"] = strip_lora_from_extra_state(state["_extra_state"])
    with atomic_path(target) as temporary:
        torch.save({"model": state}, temporary)
    log.info("low-rank additions merged into the weights after %d steps", steps)


def _run(trainer: Any) -> None:
    """Run the training; DeePMD-kit checks for NaN whenever it writes a line of the learning curve."""
    try:
        trainer.run()
    except RuntimeError as error:
        if "NaN detected" in str(error):
            raise FatalError(f"{DIVERGED} ({str(error).partition(':')[0]})") from error
        raise


def newest_checkpoint(work: Path) -> Path | None:
    """Return the newest checkpoint that can be read; a kill may have left an incomplete one."""
    import torch

    found = sorted(work.glob(f"{STEPS}-*.pt"), key=lambda path: int(path.stem.rpartition("-")[2]), reverse=True)
    for path in found:
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and OS errors alike mean: not usable
            log.warning("checkpoint %s is damaged (%s) and is not used", path.name, type(error).__name__)
            path.unlink()
            continue
        return path
    return None


def _trainer(task: TrainTask, work: Path, newest: Path | None) -> tuple[Any, list[str]]:
    """Return DeePMD-kit's trainer with checked neighbour lists, and remarks for the user."""
    import torch
    from deepmd.pt.entrypoints.main import get_trainer
    from deepmd.pt.utils import env
    from deepmd.pt.utils.finetune import get_finetune_rules
    from deepmd.utils.argcheck import normalize
    from deepmd.utils.compat import update_deepmd_input

    env.CUSTOM_OP_USE_JIT = True
    data, links = copy.deepcopy(task.input), None
    start = Path(task.start_model) if task.start_model else None
    source = newest or (start if task.start == "init_model" else None)
    if source is not None:
        # the network of the checkpoint, also after a fine-tuning that took its network from the pre-trained model
        # (deepmd issue 3986)
        data["model"] = torch.load(source, map_location="cpu", weights_only=True)["model"]["_extra_state"][
            "model_params"
        ]
        if task.base_systems:
            data["model"] = one_task(data["model"])
    elif start is not None and task.start == "same_network":
        data["model"] = network_of(start, data["model"], task.branch)
    elif task.start == "finetune":
        pretrained = params_of(Path(task.start_model or ""), task.branch)
        data["model"], links = get_finetune_rules(
            task.start_model, with_table_of(as_dpa4(data["model"], pretrained), pretrained),
            model_branch=task.branch, change_model_params=True,
        )
        restrict(data["model"], task)
    counts = _counts(data, work)
    fixed = source is not None or task.start in ("finetune", "same_network")
    data, messages = _fit(data, counts, fixed=fixed, widen=task.widen)
    data["model"] = with_word(data["model"])
    shared = None
    if task.base_systems:
        from deepmd.pt.utils.multi_task import preprocess_shared_params

        data = with_two_tasks(data, task.base_systems, task.branch)
        data["model"], shared = preprocess_shared_params(data["model"])
        data["model"], links = get_finetune_rules(task.start_model, data["model"], change_model_params=newest is None)
    try:
        data = normalize(update_deepmd_input(data, warning=False), multi_task=bool(task.base_systems))
    except Exception as error:  # dargs raises many classes
        raise InputError(f"DeePMD-kit refuses the training input: {' '.join(str(error).split())}") from error
    if not (work / "used_input.json").is_file():  # a restart adds entries of DeePMD-kit to the network
        write_json(work / "used_input.json", data)
    data["model"] = with_lines(data["model"])
    trainer = get_trainer(
        data,
        task.start_model if newest is None and task.start == "init_model" else None,
        str(newest) if newest else None,
        task.start_model if newest is None and task.start == "finetune" else None,
        shared_links=shared,
        finetune_links=links if newest is None else None,
    )
    # compression tabulates from this distance on; DeePMD-kit would compute it with its own, slower statistics
    for network in _networks(trainer):
        network.min_nbor_dist = torch.tensor(counts.minimum_distance_A, dtype=torch.float64, device=env.DEVICE)
    return trainer, messages


def _counts(data: Mapping[str, Any], work: Path) -> NeighbourCounts:
    if (known := TrainingNeighbours.read_if_there(work)) is not None:
        return known.counts
    systems = [Path(path) for path in data["training"]["training_data"]["systems"]]
    counts = neighbour_counts(systems, cutoffs_of(data["model"]) or [6.0], data["model"]["type_map"])
    TrainingNeighbours(counts=counts).write(work)
    return counts


def _fit(
    data: dict[str, Any], counts: NeighbourCounts, *, fixed: bool, widen: bool
) -> tuple[dict[str, Any], list[str]]:
    """Fit the neighbour lists; those of an existing network are fixed (its output depends on their length)."""
    fitted, messages = fit_neighbour_lists(DeepmdInput(data), counts, widen=fixed or widen)
    if fixed:
        kept = "(kept, because the network exists already)"
        return data, [f"{message.rpartition('; widened')[0]} {kept}" for message in messages]
    return fitted.data, messages


class Batches:
    """Endless batches that are a pure function of seed and position.

    Each system is traversed in shuffled rounds; systems are drawn with ``weights``.
    """

    def __init__(self, loader: Any, weights: Sequence[float], seed: int, skip: int) -> None:
        self.loader = loader
        self.order = batch_order(
            [len(system) for system in loader.systems], [int(size) for size in loader.batch_sizes], weights, seed
        )
        for _ in range(skip):
            next(self.order)

    def __iter__(self) -> Batches:
        """Return itself."""
        return self

    def __next__(self) -> dict[str, Any]:
        """Return the next batch as DeePMD-kit's loader would."""
        import torch
        from deepmd.pt.utils.dataloader import collate_batch

        index, frames = next(self.order)
        with torch.device("cpu"):
            batch = collate_batch([self.loader.systems[index][frame] for frame in frames])
        batch["sid"] = index
        return batch


def batch_order(
    lengths: Sequence[int], batch_sizes: Sequence[int], weights: Sequence[float], seed: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield (system, frames) endlessly; the sequence depends on the seed only."""
    rng = np.random.default_rng(seed)
    shares = np.cumsum(np.asarray(weights, dtype=float) / np.sum(weights))
    left: list[list[int]] = [[] for _ in lengths]
    while True:
        index = min(int(np.searchsorted(shares, rng.random(), side="right")), len(lengths) - 1)
        if not left[index]:
            left[index] = rng.permutation(lengths[index]).tolist()
        size = batch_sizes[index]
        frames, left[index] = left[index][:size], left[index][size:]
        yield index, frames


def _batches(loader: Any, seed: int, done: int) -> Batches:
    return Batches(loader.dataset, loader.sampler.weights.tolist(), seed, done)


def _use_own_batches(trainer: Any, training: Mapping[str, Any]) -> None:
    """Replace the trainer's shuffled loaders by `Batches` at the position of the trainer."""
    done, seed = trainer.start_step, training["seed"]
    if trainer.multi_task:  # without validation data
        taken = order_of_tasks(trainer, seed)
        loaders = trainer.training_dataloader
        trainer.training_data = {
            key: _batches(loaders[key], seed + number, taken[key]) for number, key in enumerate(TASKS)
        }
        return
    trainer.training_data = _batches(trainer.training_dataloader, seed, done)
    if trainer.validation_data is not None:
        shown = done // trainer.disp_freq + (1 if done and trainer.disp_freq > 1 else 0)
        trainer.validation_data = _batches(trainer.validation_dataloader, seed + 1, shown * trainer.valid_numb_batch)


def cut_lcurve(path: Path, step: int) -> None:
    """Remove the lines after ``step``, which will be written again, and a last line cut off by a kill."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    width = len(lines[0].lstrip("# ").split()) if lines else 0
    rows = [line.split() for line in lines]
    kept = [
        line
        for line, row in zip(lines, rows, strict=True)
        if line.startswith("#") or (len(row) == width and int(row[0]) <= step)
    ]
    write_text(path, "".join(f"{line}\n" for line in kept))


def check_lcurve(path: Path) -> None:
    """Check the loss on the training data.

    Raises
    ------
    FatalError
        It became NaN or infinite.
    """
    columns: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        if line.startswith("#"):
            columns = columns or line.lstrip("# ").split()
            continue
        row = dict(zip(columns, line.split(), strict=False))
        own = [value for name, value in row.items() if name.startswith(("rmse_trn", "mae_trn"))]
        if not all(np.isfinite(float(value)) for value in own):
            raise FatalError(f"{DIVERGED} (step {row['step']})")


def _change_bias(checkpoint: Path, task: TrainTask, work: Path) -> Path:
    """Fit the energy per element of the trained network to the training data again; return the new checkpoint.

    Forces dominate a short training, which leaves the mean energy of each composition off by some ten meV/atom.
    """
    from dpa_sse.ops.training.bias import fit_bias

    systems = [one for one in task.input["training"]["training_data"]["systems"] if one not in task.base_systems]
    return fit_bias(checkpoint, systems, work, BIAS_FRAMES)


def _write_model(checkpoint: Path, target: Path) -> None:
    """Copy a checkpoint such that equal content gives equal bytes, also after a restart.

    The pickle of a restarted run differs in which equal strings are the same object; a round trip through JSON
    makes every string a separate object.
    """
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state["model"]["_extra_state"] = json.loads(json.dumps(state["model"]["_extra_state"]))
    for group in (state.get("optimizer") or {}).get("param_groups", ()):
        for key, value in group.items():
            group[key] = tuple(value) if isinstance(value, tuple) else json.loads(json.dumps(value))
    with atomic_path(target) as temporary, temporary.open("wb") as stream:
        torch.save(state, stream)  # a stream: else the archive contains the name of the temporary file


def _freeze(out: Path, work: Path, *, compress: bool) -> None:
    """Write the frozen and the compressed model.

    Both or none: names inside a TorchScript file depend on what was scripted earlier in the same process.
    """
    if any((out / name).is_file() for name in FROZEN) and (not compress or (out / COMPRESSED).is_file()):
        return
    from deepmd.pt.entrypoints.compress import enable_compression

    start = time.monotonic()
    frozen = freeze_checkpoint(out / CHECKPOINT, work)
    log.info("frozen in %.1f s", time.monotonic() - start)
    if compress:
        start = time.monotonic()
        enable_compression(str(frozen), str(work / "compressed.pth"))
        log.info("compressed in %.1f s", time.monotonic() - start)
        (work / "compressed.pth").replace(out / COMPRESSED)
    frozen.replace(out / f"model{frozen.suffix}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
