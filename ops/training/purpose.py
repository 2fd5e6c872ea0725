"""Whether an input of DeePMD-kit trains what this pipeline needs, energies and forces, from the labels that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ENERGY = ("ener", "dpa4_ener", "sezm_ener")
TENSORFLOW = ("loc_frame", "se_a_tpe", "se_e2_a_tpe", "se_a_ebd", "se_a_ebd_v2", "se_a_mask")
"""Descriptors that DeePMD-kit has for TensorFlow only."""
COMPOSED = ("linear_ener", "pairwise_dprc", "pairtab", "frozen")
LABELS = {"gf": "generalized forces", "h": "Hessians", "pf": "weights of atomic forces", "ae": "energies of atoms"}
"""Labels, by the names of their weights in the loss, that the data sets of the pipeline do not have."""
READ_FILES = ("model_file", "tab_file")
"""Keys of the model that name files to be read."""


# foreign: a training input of DeePMD-kit
def unusable(data: Mapping[str, Any]) -> str:
    """Return why the pipeline cannot train with an input; empty if it can."""
    return next(_reasons(data), "")


def composed(model: Any) -> str:
    """Return why a section ``model`` is not that of a single network; empty if it is."""
    if not isinstance(model, dict):
        return ""
    if "model_dict" in model:
        return (
            "trains several branches at once (model.model_dict): give the input of one of them; a trained multi-task "
            "model is used as `pretrain.model` with its `branch`"
        )
    if "descriptor" not in model and ("models" in model or model.get("type") in COMPOSED):
        return (
            f"model.type {model.get('type')} is put together from several models or tables; the pipeline fits "
            "elements, seeds and neighbour lists of a single network"
        )
    return ""


def _reasons(data: Mapping[str, Any]) -> Iterator[str]:
    model = data["model"]
    yield from _model_reasons(model)
    yield from _loss_reasons(data.get("loss") or {})
    training = data.get("training") or {}
    if training.get("mixed_precision"):
        yield (
            "training.mixed_precision is of DeePMD-kit's TensorFlow backend; set `precision` of descriptor and "
            "fitting_net"
        )


def _model_reasons(model: Mapping[str, Any]) -> Iterator[str]:
    if model.get("spin"):
        yield "model.spin: magnetic moments, which the labels of the pipeline do not have"
    descriptor, fitting = model.get("descriptor"), model.get("fitting_net")
    for part in parts_of(descriptor):
        if (kind := part.get("type")) in TENSORFLOW:
            yield f"model.descriptor.type {kind} is of DeePMD-kit's TensorFlow backend; the pipeline uses PyTorch"
    if isinstance(fitting, dict):
        kind = fitting.get("type", "ener")
        if kind == "direct_force_ener":
            yield "fitting_net.type direct_force_ener: its forces are not a gradient; MD does not conserve energy"
        elif kind not in ENERGY:
            yield f"fitting_net.type {kind}: the model predicts no energies and forces"
        for key, what in (("numb_fparam", "of frames"), ("numb_aparam", "of atoms")):
            if fitting.get(key):
                yield f"fitting_net.{key}: parameters {what}, which the data of the pipeline do not have"
    if model.get("modifier"):
        yield "model.modifier: a second model for long-range charges, which the pipeline does not train or carry"
    for place in _files(model, "model"):
        yield (
            f"{place} names a file, which DeePMD-kit reads again from that path whenever it opens the checkpoint: "
            "other tasks, and other machines, would not find it. A repulsive wall without a file: a DPA-4 with "
            "model.bridging_method: zbl"
        )


def _loss_reasons(loss: Mapping[str, Any]) -> Iterator[str]:
    kind = loss.get("type", "ener")
    if kind != "ener":
        yield f"loss.type {kind}: not a training on energies, forces and virials"
    for name, what in LABELS.items():
        if any(loss.get(f"{end}_pref_{name}") for end in ("start", "limit")):
            yield f"loss.start_pref_{name}: {what}, which the data of the pipeline do not have"


def parts_of(descriptor: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a descriptor and, of a hybrid one, its parts."""
    if isinstance(descriptor, dict):
        yield descriptor
        for part in descriptor.get("list") or []:
            yield from parts_of(part)


def _files(node: Any, place: str) -> Iterator[str]:
    """Yield the dotted keys that name files to be read."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if key in READ_FILES and isinstance(value, str):
            yield f"{place}.{key}"
        yield from _files(value, f"{place}.{key}")
