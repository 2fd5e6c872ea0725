"""Networks by name: DeePMD-kit training inputs in readable files, completed with data, elements, seeds and settings."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.limits import read_small, require_bounded
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.potential.describe import DPA4
from dpa_sse.ops.training.deepmd_input import EPOCHS, SECTIONS, DeepmdInput
from dpa_sse.ops.training.purpose import composed, unusable
from dpa_sse.ops.training.settings import PretrainSettings, ResolvedPretraining, ResolvedTraining, TrainSettings
from dpa_sse.ops.training.tables import OVERRIDE, TABLE, packed_table, table_faults

SUFFIXES = (".yaml", ".yml", ".json")


def presets_dir() -> Path:
    """Return the folder of the presets."""
    return configs_folder("presets")


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the package."""
    return sorted(path.stem for path in presets_dir().iterdir() if path.suffix in SUFFIXES)


def preset_path(name_or_path: str, base_dir: Path | None = None) -> Path:
    """Return the file of a preset: a known name, or your own file (relative to ``base_dir``).

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


def load_preset(name_or_path: str, base_dir: Path | None = None) -> DeepmdInput:
    """Return the training input of a preset, or of your own ``input.json``.

    Parameters
    ----------
    name_or_path : str
        A name of `preset_names`, or a JSON or YAML file with DeePMD-kit's sections.
    base_dir : Path, optional
        Folder that relative paths refer to; the current one by default.

    Raises
    ------
    InputError
        The file is missing, is not valid JSON or YAML, or lacks a section of a training input.
    """
    path = preset_path(name_or_path, base_dir)
    try:
        text = read_small(path)
        data = require_bounded(json.loads(text) if path.suffix == ".json" else _load_yaml(text))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a training input: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: not a training input, it has no sections ({', '.join(SECTIONS)})")
    if reason := composed(data.get("model")):
        raise InputError(f"{path}: {reason}")
    if missing := [section for section in SECTIONS if not isinstance(data.get(section), dict)]:
        raise InputError(f"{path}: section {', '.join(missing)} is missing or not a mapping")
    if str(data["model"].get("type")).lower() in DPA4 and isinstance(data["model"].get("descriptor"), dict):
        data["model"]["descriptor"].setdefault("type", "dpa4")  # the type of the model says it
    if TABLE in data["model"]:
        data["model"][TABLE] = _table(data["model"][TABLE], path)
    if not isinstance(data["model"].get("descriptor"), dict) or "type" not in data["model"]["descriptor"]:
        raise InputError(f"{path}: model.descriptor.type is missing")
    return DeepmdInput(data)


def _table(value: Any, path: Path) -> Any:
    try:
        return packed_table(value, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def complete_preset(path: Path) -> str | None:
    """Return a preset file with its table inside; None for one that names no table, or cannot be read."""
    try:
        word = load_preset(str(path)).section("model").get(TABLE)
        data = load_preset(str(path)).data if isinstance(word, str) and word not in read_small(path) else None
    except (InputError, OSError, ValueError):
        return None
    return None if data is None else json.dumps(data, indent=1) + "\n"


def with_packed_table(settings: TrainSettings, base_dir: Path | None = None) -> dict[str, Any]:
    """Return the overrides of a training, with the text of a table that they name (relative to ``base_dir``).

    Raises
    ------
    InputError
        The file is missing, or is not a text.
    """
    if OVERRIDE not in settings.overrides:
        return dict(settings.overrides)
    try:
        word = packed_table(settings.overrides[OVERRIDE], Path(base_dir or "."))
    except InputError as error:
        raise InputError(f"overrides: {error}") from error
    return {**settings.overrides, OVERRIDE: word}


def _load_yaml(text: str) -> Any:
    return copy.deepcopy(_parse_yaml(text))


@functools.lru_cache(maxsize=16)
def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def resolve(settings: TrainSettings, base_dir: Path | None = None) -> ResolvedTraining:
    """Return the settings with their preset inside, so that a task needs no other file.

    Raises
    ------
    InputError
        See :func:`load_preset`.
    """
    kind = ResolvedPretraining if isinstance(settings, PretrainSettings) else ResolvedTraining
    given = {**settings.model_dump(), "overrides": with_packed_table(settings, base_dir)}
    return kind(**given, network=load_preset(settings.preset, base_dir).data)


def check_preset(settings: TrainSettings, type_map: Sequence[str], base_dir: Path | None = None) -> list[str]:
    """Return what is wrong with a network choice, quickly: file, sections, elements, override keys.

    What DeePMD-kit would reject is found by :func:`dpa_sse.ops.training.input_check.input_faults`, which imports it.
    """
    try:
        training = settings if isinstance(settings, ResolvedTraining) else resolve(settings, base_dir)
        merged = DeepmdInput(training.network).with_overrides(training.overrides)
    except InputError as error:
        return [str(error)]
    problems = [f"{settings.preset}: {reason}"] if (reason := unusable(merged.data)) else []
    problems += [f"{settings.preset}: {fault}" for fault in table_faults(merged.section("model"), type_map)]
    own = merged.section("model").get("type_map")
    if own is not None and list(own) != list(type_map):
        problems.append(f"{settings.preset}: model.type_map {list(own)} differs from the project's {list(type_map)}")
    for section, key, value in (
        ("learning_rate", "start_lr", settings.start_lr), ("training", "numb_steps", settings.steps)
    ):
        if key not in merged.section(section) and value is None and not reason:
            problems.append(f"{settings.preset}: {_missing(merged, section, key)}")
    start, stop = (
        getattr(settings, key) or merged.section("learning_rate").get(key) for key in ("start_lr", "stop_lr")
    )
    if isinstance(start, (int, float)) and isinstance(stop, (int, float)) and stop > start:
        problems.append(f"{settings.preset}: stop_lr {stop:g} is larger than start_lr {start:g}")
    return problems


def _missing(data: DeepmdInput, section: str, key: str) -> str:
    """Return what is wrong with an input that lacks a number."""
    if section == "training" and (epochs := next((one for one in EPOCHS if one in data.section(section)), None)):
        return (
            f"training.{epochs} counts passes through the data, whose size is not known before they are labelled; give "
            "training steps instead (`steps: 100000`)"
        )
    return f"{section}.{key} is missing"


def ignored_keys(settings: TrainSettings, base_dir: Path | None = None) -> list[str]:
    """Return the keys of a preset and its overrides that name files to be written, which the pipeline does not use.

    Empty for a preset that cannot be read, which :func:`check_preset` reports.
    """
    try:
        return load_preset(settings.preset, base_dir).with_overrides(settings.overrides).ignored_keys()
    except InputError:
        return []


def training_input(
    training: ResolvedTraining,
    type_map: Sequence[str],
    train_systems: Sequence[Path | str],
    validation_systems: Sequence[Path | str],
    seed: int,
) -> DeepmdInput:
    """Return a complete training input.

    Parameters
    ----------
    training : ResolvedTraining
        Preset and what differs from it.
    type_map : sequence of str
        Elements of the project, in order.
    train_systems, validation_systems : sequence of Path
        Folders in deepmd/npy format; the second may be empty.
    seed : int
        Seed of this model; descriptor, fitting net and batches get seeds derived from it.

    Raises
    ------
    InputError
        Other elements than the preset's, an invalid override, or no training data.
    """
    if problems := check_preset(training, type_map):
        raise InputError("\n".join(problems))
    if not train_systems:
        raise InputError("no data folder to train on")
    data = DeepmdInput(training.network).with_schedule(training).with_overrides(training.overrides)
    data.section("model")["type_map"] = list(type_map)
    return data.with_data(train_systems, validation_systems, training.batch_size).with_seeds(seed)


def dataset_input(training: ResolvedTraining, type_map: Sequence[str], dataset: Path, seed: int) -> DeepmdInput:
    """Return the complete training input for the training and validation parts of a data set.

    Raises
    ------
    InputError
        See :func:`training_input`.
    """
    train, validation = split_systems(dataset, "train"), split_systems(dataset, "validation")
    return training_input(training, type_map, train, validation, seed)
