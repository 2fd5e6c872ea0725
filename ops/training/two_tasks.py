"""Fine-tuning with two tasks: one descriptor, a fitting net for the new compound and one for the base systems.

What the descriptor knows of the base systems stays in use, and the labels of both may be of different levels of
theory, since each fitting net has its own energies. The result is two plain models.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import atomic_path

NEW, BASE = "new", "base"
TASKS = (NEW, BASE)
SHARED_TYPES, SHARED_DESCRIPTOR = "types", "descriptor"
PART = 0.5
"""Share of the steps of each task."""


# foreign: DeePMD-kit's input with one task, and with two
def with_two_tasks(data: Mapping[str, Any], base: Sequence[str], branch: str) -> dict[str, Any]:
    """Return a training input with two tasks.

    Parameters
    ----------
    data : mapping
        Input with one task; its folders are those of both.
    base : sequence of str
        Folders of the base systems.
    branch : str
        Branch of the pre-trained model; empty for a model with one task.
    """
    result = {key: copy.deepcopy(value) for key, value in data.items() if key not in ("model", "loss", "training")}
    model = copy.deepcopy(dict(data["model"]))
    types, descriptor = model.pop("type_map"), model.pop("descriptor")
    model.pop("info", None)
    own = {**model, "type_map": SHARED_TYPES, "descriptor": SHARED_DESCRIPTOR, "finetune_head": branch or "Default"}
    result["model"] = {
        "shared_dict": {SHARED_TYPES: types, SHARED_DESCRIPTOR: descriptor},
        "model_dict": {task: copy.deepcopy(own) for task in TASKS},
    }
    result["loss_dict"] = {task: copy.deepcopy(data["loss"]) for task in TASKS}
    training = copy.deepcopy(dict(data["training"]))
    given = training.pop("training_data")
    training.pop("validation_data", None)
    given.pop("auto_prob", None)
    parts = {NEW: [one for one in given["systems"] if one not in base], BASE: list(base)}
    training["data_dict"] = {task: {"training_data": {**given, "systems": parts[task]}} for task in TASKS}
    training["model_prob"] = dict.fromkeys(TASKS, PART)
    result["training"] = training
    return result


# foreign: the section `model` of a checkpoint of DeePMD-kit
def one_task(model: dict[str, Any], task: str = NEW) -> dict[str, Any]:
    """Return the section ``model`` of one of the tasks; that of a plain model as it is."""
    branches = model.get("model_dict")
    return model if branches is None else {k: v for k, v in branches[task].items() if k != "finetune_head"}


def separate(checkpoint: Path, task: str, target: Path) -> None:
    """Write the model of one of the tasks as a separate checkpoint.

    Parameters
    ----------
    checkpoint : Path
        With two tasks.
    task : {"new", "base"}
    target : Path
    """
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    prefix = f"model.{task}."
    own = {
        f"model.Default.{key.removeprefix(prefix)}": value for key, value in state.items() if key.startswith(prefix)
    }
    extra = copy.deepcopy(state["_extra_state"])
    # sorted, since the order of the keys differs after a restart
    extra["model_params"] = json.loads(json.dumps(one_task(extra["model_params"], task), sort_keys=True))
    own["_extra_state"] = extra
    with atomic_path(target) as temporary:
        torch.save({"model": own}, temporary)


def order_of_tasks(trainer: Any, seed: int) -> dict[str, int]:
    """Let the trainer draw its tasks in an order that depends on the seed only; return how many batches each has had.

    DeePMD-kit draws the task of a step from a generator that a restarted training would begin again. At the steps at
    which it writes a line of the learning curve, it also takes a batch of the other task.
    """
    import numpy as np
    from deepmd.utils import random as dp_random

    dp_random.seed(seed)
    taken = dict.fromkeys(trainer.model_keys, 0)
    for step in range(1, trainer.start_step + 1):
        number = int(dp_random.choice(np.arange(trainer.num_model, dtype=np.int_), p=trainer.model_prob))
        shown = step == 1 or step % trainer.disp_freq == 0
        for key in trainer.model_keys:
            taken[key] += shown or key == trainer.model_keys[number]
    return taken


def curve_of_new(columns: Sequence[str]) -> dict[str, str]:
    """Return, of the columns of a learning curve with two tasks, those of the new compound with their plain names."""
    ending = f"_{NEW}"
    return {name: name.removesuffix(ending) for name in columns if not name.endswith(f"_{BASE}")}
