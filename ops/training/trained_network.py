"""The network of a checkpoint as the section ``model`` of a training input, and which of its weights are trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.potential.describe import DPA4
from dpa_sse.ops.results.training import TrainTask

DPA4_KEYS = (
    "type", "type_map", "use_compile", "enable_tf32", "bridging_method", "bridging_r_inner", "bridging_r_outer",
)
"""What a DPA-4 is besides its descriptor and fitting net."""


def restrict(model: dict[str, Any], task: TrainTask) -> None:  # foreign: the section `model` of DeePMD-kit's input
    """Let DeePMD-kit train only the weights that the task names.

    Raises
    ------
    InputError
        It has no low-rank additions for this network.
    """
    if task.trainable == "fitting_net":
        for node in model["descriptor"].get("list", [model["descriptor"]]):
            node["trainable"] = False
    elif task.trainable == "lora":
        if str(model.get("type")).lower() not in DPA4:
            raise InputError("DeePMD-kit trains low-rank additions (LoRA) of a DPA-4 only; remove `trainable: lora`")
        model["lora"] = {"rank": task.lora_rank}


def params_of(checkpoint: Path, branch: str) -> dict[str, Any]:
    """Return the section ``model`` of a checkpoint, or of one of its branches."""
    import torch

    params: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]["_extra_state"][
        "model_params"
    ]
    branches = params.get("model_dict")
    return params if branches is None else branches.get(branch) or next(iter(branches.values()))


def as_dpa4(model: dict[str, Any], pretrained: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section ``model`` with what makes a pre-trained DPA-4 one: DeePMD-kit takes over its two networks only.

    Its elements stay, too: DeePMD-kit cannot rearrange those of a DPA-4.
    """
    if str(pretrained.get("type")).lower() not in DPA4:
        return model
    return {**model, **{key: pretrained[key] for key in DPA4_KEYS if key in pretrained}}


def network_of(checkpoint: Path, own: Mapping[str, Any], branch: str) -> dict[str, Any]:
    """Return the network of a checkpoint with the elements and seeds of ``own``."""
    params = params_of(checkpoint, branch)
    params.pop("info", None)
    params["type_map"] = own["type_map"]
    for part in ("descriptor", "fitting_net"):
        if "seed" in own[part]:
            params[part]["seed"] = own[part]["seed"]
    return params
