"""Networks by name: deepmd training inputs in readable files, completed with data, elements, seeds and settings."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.training.settings import TrainSettings

SUFFIXES = (".yaml", ".yml", ".json")
REUSE_SHARE = 0.3
SECTIONS = ("model", "learning_rate", "loss", "training")


def presets_dir() -> Path:
    """Return the folder of the presets."""
    return configs_folder("presets")


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(path.stem for path in presets_dir().iterdir() if path.suffix in SUFFIXES)


def preset_path(name_or_path: str, base_dir: Path | None = None) -> Path:
    """Return the file of a preset: a known name, or a file of the user's (relative to ``base_dir``).

    Raises
    ------
    InputError
        Neither a known name nor an existing file.
    """
    for suffix in SUFFIXES:
        if (path := presets_dir() / f"{name_or_path}{suffix}").is_file():
            return path
    path = Path(base_dir or ".") / Path(name_or_path).expanduser()
    if path.is_file():
        return path
    raise InputError(
        f"preset {name_or_path!r} is neither a known name ({', '.join(preset_names())}) nor a file (looked for {path})"
    )


def load_preset(name_or_path: str, base_dir: Path | None = None) -> dict[str, Any]:
    """Return the deepmd input of a preset, or of a deepmd ``input.json`` of the user's.

    Parameters
    ----------
    name_or_path : str
        A name of `preset_names`, or a JSON or YAML file with deepmd's sections.
    base_dir : Path, optional
        Folder that relative files refer to; the present one by default.

    Raises
    ------
    InputError
        The file is missing, no valid JSON or YAML, or lacks a section of a training input.
    """
    path = preset_path(name_or_path, base_dir)
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else _load_yaml(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: can not be read as a training input: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: a training input has sections ({', '.join(SECTIONS)}), this file has not")
    if missing := [section for section in SECTIONS if not isinstance(data.get(section), dict)]:
        raise InputError(f"{path}: section {', '.join(missing)} is missing or no mapping")
    if "model_dict" in data["model"]:
        raise InputError(f"{path}: multi-task inputs (model.model_dict) are not supported")
    if not isinstance(data["model"].get("descriptor"), dict) or "type" not in data["model"]["descriptor"]:
        raise InputError(f"{path}: model.descriptor.type is missing")
    return data


def _load_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def check_preset(settings: TrainSettings, type_map: Sequence[str], base_dir: Path | None = None) -> list[str]:
    """Return what is wrong with a network choice, quickly: file, sections, elements, override keys.

    What deepmd itself refuses is found by :func:`dpa_sse.ops.training.input_check.input_faults`, which imports it.
    """
    try:
        data = load_preset(settings.preset, base_dir)
        merged = apply_overrides(data, settings.overrides)
    except InputError as error:
        return [str(error)]
    problems = []
    own = merged["model"].get("type_map")
    if own is not None and list(own) != list(type_map):
        problems.append(f"{settings.preset}: model.type_map {list(own)} differs from the project's {list(type_map)}")
    for section, key in (("learning_rate", "start_lr"), ("training", "numb_steps")):
        if key not in merged[section] and getattr(settings, "steps" if key == "numb_steps" else key) is None:
            problems.append(f"{settings.preset}: {section}.{key} is missing")
    start, stop = (
        getattr(settings, key) or merged["learning_rate"].get(key) for key in ("start_lr", "stop_lr")
    )
    if isinstance(start, (int, float)) and isinstance(stop, (int, float)) and stop > start:
        problems.append(f"{settings.preset}: stop_lr {stop:g} is larger than start_lr {start:g}")
    return problems


def apply_overrides(data: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``data`` with dotted keys replaced, e.g. ``model.descriptor.rcut``.

    Raises
    ------
    InputError
        The first part is no section of a training input, or a part in the middle is no mapping.
    """
    result = copy.deepcopy(dict(data))
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        if not parents or parents[0] not in (*SECTIONS, "optimizer", "validating"):
            raise InputError(f"overrides: {dotted!r} must start with one of {', '.join(SECTIONS)}")
        node = result
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise InputError(f"overrides: {dotted!r}: {part!r} is no mapping in the preset")
        node[last] = value
    return result


def training_input(
    settings: TrainSettings,
    type_map: Sequence[str],
    train_systems: Sequence[Path | str],
    validation_systems: Sequence[Path | str],
    seed: int,
    base_dir: Path | None = None,
) -> dict[str, Any]:
    """Return a complete deepmd training input.

    Parameters
    ----------
    settings : TrainSettings
        Preset and what differs from it.
    type_map : sequence of str
        Elements of the project, in their order.
    train_systems, validation_systems : sequence of Path
        Folders in deepmd/npy format; the second may be empty.
    seed : int
        Seed of this model; descriptor, fitting net and batches get seeds derived from it.
    base_dir : Path, optional
        Folder that a file name in ``settings.preset`` refers to.

    Raises
    ------
    InputError
        Unknown preset, other elements, or no training data.
    """
    if problems := check_preset(settings, type_map, base_dir):
        raise InputError("\n".join(problems))
    if not train_systems:
        raise InputError("training needs at least one data folder, none was given")
    data = load_preset(settings.preset, base_dir)
    _set_schedule(data, settings)
    data = apply_overrides(data, settings.overrides)
    data["model"]["type_map"] = list(type_map)
    _set_data(data["training"], settings, train_systems, validation_systems)
    set_seeds(data, seed)
    return data


def set_given(data: dict[str, Any], settings: TrainSettings) -> None:
    """Put the steps and learning rates of the settings in, and nothing else."""
    training, rate = data["training"], data["learning_rate"]
    for key in ("start_lr", "stop_lr"):
        if (value := getattr(settings, key)) is not None:
            rate[key] = value
            rate.pop("stop_lr_ratio", None) if key == "stop_lr" else None
    if settings.steps is not None:
        training.pop("numb_epoch", None)
        training["numb_steps"] = settings.steps


def _set_schedule(data: dict[str, Any], settings: TrainSettings) -> None:
    """Put steps and learning rates in; decay, display and saving intervals keep their share of the run."""
    training, rate = data["training"], data["learning_rate"]
    own = training.get("numb_steps")
    set_given(data, settings)
    if settings.steps is None:
        return
    if own and "decay_steps" in rate:
        rate["decay_steps"] = max(1, round(rate["decay_steps"] * settings.steps / own))
    if own and rate.get("warmup_steps"):
        rate["warmup_steps"] = math.floor(rate["warmup_steps"] * settings.steps / own)
    for key in ("disp_freq", "save_freq"):
        training[key] = max(1, min(training.get(key, 1000), math.ceil(settings.steps / 10)))


def lower_start_rate(data: dict[str, Any], share: float = REUSE_SHARE) -> None:
    """Lower the start learning rate of a training input, for a network that starts from a trained model.

    Measured with se_e2_a-tiny, 500 steps and then 300 more: held-out force MAE 98, then 82 meV/A with 0.3 of the
    rate, but 100 meV/A when it starts again with the full one.
    """
    rate = data["learning_rate"]
    stop = rate.get("stop_lr") or 0.0
    rate["start_lr"] = max(stop, share * rate["start_lr"])


def _set_data(
    training: dict[str, Any], settings: TrainSettings, train: Sequence[Path | str], validation: Sequence[Path | str]
) -> None:
    own = dict(training.get("training_data") or {})
    own["systems"] = [str(path) for path in train]
    own["batch_size"] = settings.batch_size if settings.batch_size is not None else own.get("batch_size", "auto")
    training["training_data"] = own
    training.pop("validation_data", None)
    if validation:
        training["validation_data"] = {"systems": [str(path) for path in validation], "batch_size": own["batch_size"]}


def set_seeds(data: dict[str, Any], seed: int) -> None:
    """Put seeds derived from ``seed`` into every part of a training input that draws random numbers."""
    for name, node in _seeded(data):
        node["seed"] = derive_seed(seed, name)


def _seeded(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    descriptor = data["model"]["descriptor"]
    members = descriptor.get("list") if descriptor["type"] == "hybrid" else None
    for index, node in enumerate(members or [descriptor]):
        yield (f"descriptor.{index}" if members else "descriptor"), node
    yield "fitting", data["model"].setdefault("fitting_net", {})
    yield "training", data["training"]


def read_settings(data: dict[str, Any], folder: Path) -> TrainSettings:
    """Return training settings whose preset travels inside them (``network``), as a file in ``folder``."""
    path = folder / "preset.json"
    write_json(path, data["network"])
    values = {key: value for key, value in data.items() if key in TrainSettings.model_fields}
    return TrainSettings(**{**values, "preset": str(path)})


def preset_input(data: dict[str, Any], type_map: list[str], dataset: Path, seed: int) -> dict[str, Any]:
    """Return the complete deepmd input for the training and validation parts of a data set."""
    return preset_input_of(data, type_map, split_systems(dataset, "train"), split_systems(dataset, "validation"), seed)


def preset_input_of(
    data: dict[str, Any], type_map: list[str], train: Sequence[Path | str], validation: Sequence[Path | str], seed: int
) -> dict[str, Any]:
    """Return the complete deepmd input for the given data folders."""
    with tempfile.TemporaryDirectory() as folder:
        return training_input(read_settings(data, Path(folder)), type_map, train, validation, seed)
