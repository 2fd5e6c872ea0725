"""What DeePMD-kit would reject in a training input, found before anything is computed."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import question
from dpa_sse.ops.training.deepmd_input import DeepmdInput
from dpa_sse.ops.training.presets import load_preset, preset_names, with_packed_table
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.ops.training.tables import OVERRIDE

DPA2_PARTS = ("repinit", "repformer")
_PLACE = re.compile(r"^\[at location `([^`]*)`\] *")
_UNKNOWN = re.compile(r"undefined key `([^`]*)` is not allowed in strict mode\.?(?: *Did you mean: ([^?]*)\?)?")


def input_faults(
    settings: TrainSettings, type_map: Sequence[str], base_dir: Path | None = None
) -> list[tuple[str, str]]:
    """Return everything that is wrong with the overrides of a training, or with your own preset.

    Parameters
    ----------
    settings : TrainSettings
        Preset and what differs from it.
    type_map : sequence of str
        Elements of the project.
    base_dir : Path, optional
        Folder that a file name in ``settings.preset`` refers to.

    Returns
    -------
    list of tuple
        The override at fault (its dotted key; empty for the preset itself) and what is wrong. Empty for a preset of the
        package without overrides, which is valid: DeePMD-kit is imported for others only. Empty also for a preset that
        cannot be read, which :func:`dpa_sse.ops.training.presets.check_preset` reports.
    """
    if not settings.overrides and settings.preset in preset_names():
        return []
    try:
        preset = load_preset(settings.preset, base_dir)
    except InputError:
        return []
    preset.section("model")["type_map"] = list(type_map)
    preset = preset.with_given(settings)
    faults: list[tuple[str, str]] = []
    try:
        with_packed_table(settings, base_dir)
    except InputError as error:
        faults.append((OVERRIDE, str(error).removeprefix(f"overrides: {OVERRIDE}: ")))
    left = dict(settings.overrides)
    while found := _first_fault(preset, left):
        # DeePMD-kit stops at the first fault: to blame is the override without which that fault disappears
        named = sorted(left, key=lambda key: key.split(".")[-1] not in found)
        culprit = next((key for key in named if _first_fault(preset, _without(left, key)) != found), "")
        faults.append((culprit, found))
        if not culprit:
            break
        del left[culprit]
    return faults


def _without(overrides: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in overrides.items() if name != key}


def _first_fault(preset: DeepmdInput, overrides: Mapping[str, Any]) -> str:
    """Return the first fault of a preset with overrides, empty if there is none."""
    try:
        data = preset.with_overrides(overrides)
    except InputError as error:
        return str(error).removeprefix("overrides: ")
    training = data.section("training")
    training.pop("validation_data", None)
    own = training.get("training_data") or {}
    if isinstance(own, dict):
        training["training_data"] = {**own, "systems": ["data"]}  # the pipeline sets them
    try:
        problems = validate_input(data)
    except ImportError:  # planning and rendering work without DeePMD-kit
        problems = []
    model = data.section("model")
    faults = [*_cutoff_faults(model, "model"), *_selection_faults(model, "model", len(model.get("type_map") or ()))]
    return next(iter([*problems, *faults]), "")


def _selection_faults(node: Any, place: str, elements: int) -> Iterator[str]:
    """Yield lists of neighbours per element that have not one entry for each element."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _selection_faults(item, f"{place}.{index}", elements)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == "sel" and isinstance(value, list) and len(value) > 1 and len(value) != elements:
            yield (
                f"{place}.sel has {len(value)} entries, but type_map has {elements} elements: give the neighbours of "
                "each of them, in this order, or 'auto:1.1'"
            )
        yield from _selection_faults(value, f"{place}.{key}", elements)


def _cutoff_faults(node: Any, place: str) -> Iterator[str]:
    """Yield cutoff radii that DeePMD-kit's argument check accepts and its networks do not."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _cutoff_faults(item, f"{place}.{index}")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        yield from _cutoff_faults(value, f"{place}.{key}")
        if not key.endswith("rcut") or not _is_number(value):
            continue
        smooth = node.get(f"{key}_smth")
        if value <= 0:
            yield f"{place}.{key} must be larger than 0 A, not {value:g}"
        elif _is_number(smooth) and smooth >= value:
            yield f"{place}.{key}_smth ({smooth:g} A) must be smaller than {key} ({value:g} A)"
    wide, narrow = (part.get("rcut") if isinstance(part := node.get(name), dict) else None for name in DPA2_PARTS)
    if _is_number(wide) and _is_number(narrow) and wide <= narrow:
        yield f"{place}: the rcut of repinit ({wide:g} A) must be larger than that of repformer ({narrow:g} A)"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def validate_input(data: DeepmdInput) -> list[str]:
    """Return the first problem that DeePMD-kit's argument check finds, in a list (imports deepmd)."""
    from deepmd.utils.argcheck import normalize
    from deepmd.utils.compat import update_deepmd_input

    try:
        normalize(update_deepmd_input(copy.deepcopy(data.data), warning=False))
    except Exception as error:  # dargs raises many classes; each message is for the user
        return [_refusal(" ".join(str(error).split()))]
    return []


def _refusal(message: str) -> str:
    """Return a message of DeePMD-kit's argument check in the wording of the other problems."""
    place = _PLACE.match(message)
    where = place[1].replace("/", ".") if place else ""
    text = message[place.end() :] if place else message
    if unknown := _UNKNOWN.search(text):
        hint = question(unknown[2]) if unknown[2] else ""
        return f"DeePMD-kit has no key '{unknown[1]}'{f' in {where}' if where else ''}{hint}"
    return f"DeePMD-kit refuses {where or 'the training input'}: {text}"
