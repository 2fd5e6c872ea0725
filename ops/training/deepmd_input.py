"""The training input of DeePMD-kit."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.potential.describe import COMPRESSIBLE
from dpa_sse.ops.training.settings import TrainSettings

SECTIONS = ("model", "learning_rate", "loss", "training")
DATA = ("training_data", "validation_data")
OWN_FILES = {
    "training": (
        "stat_file", "stat_file_mode", "save_dir", "save_ckpt", "disp_file", "tensorboard", "tensorboard_log_dir",
        "tensorboard_freq", "profiling", "profiling_file", "enable_profiler", "enable_ema", "ema_decay",
        "ema_ckpt_keep",
    ),
    "validating": ("full_val_file", "save_best_dir"),
}
"""Keys that name files or folders to be written, or switch them on: the pipeline decides where a training writes. The
model of a training is that of its last step: mean weights (EMA) would be written beside it, and not used.

A file of statistics would carry those of one data set into the training on another one.
"""
EPOCHS = ("numb_epoch", "num_epoch", "numb_epochs", "num_epochs", "num_epoch_dict")
"""Names that DeePMD-kit has for the number of passes through the data."""
ALWAYS_SET = ("save_ckpt", "disp_file")
"""Of those, the ones that every input has and that change nothing but a name."""
REUSE_SHARE = 0.3
BIAS = "change_bias_after_training"


@dataclass(frozen=True)
class DeepmdInput:
    """A training input (``input.json``) of DeePMD-kit; methods return changed copies.

    Attributes
    ----------
    data : dict
        The input, in DeePMD-kit's own format.
    """

    data: dict[str, Any]

    def copy(self) -> DeepmdInput:
        """Return a deep copy."""
        return DeepmdInput(copy.deepcopy(self.data))

    # foreign: a section of DeePMD-kit's input
    def section(self, name: str) -> dict[str, Any]:
        """Return a section: ``model``, ``learning_rate``, ``loss`` or ``training``."""
        section: dict[str, Any] = self.data[name]
        return section

    @property
    def compressible(self) -> bool:
        """Whether DeePMD-kit can compress the network without loss."""
        return self.section("model")["descriptor"]["type"] in COMPRESSIBLE

    # foreign: values of DeePMD-kit's input by dotted keys
    def with_overrides(self, overrides: Mapping[str, Any]) -> DeepmdInput:
        """Return a copy with values replaced, by dotted keys such as ``model.descriptor.rcut``.

        Raises
        ------
        InputError
            A key does not start with a section of a training input, or a part in its middle is not a mapping.
        """
        result = self.copy()
        for dotted, value in overrides.items():
            *parents, last = dotted.split(".")
            if not parents or parents[0] not in (*SECTIONS, "optimizer", "validating"):
                raise InputError(f"overrides: {dotted!r} must start with one of {', '.join(SECTIONS)}")
            node = result.data
            for part in parents:
                node = node.setdefault(part, {})
                if not isinstance(node, dict):
                    raise InputError(f"overrides: {dotted!r}: {part!r} is not a mapping in the preset")
            node[last] = value
        return result

    def ignored_keys(self) -> list[str]:
        """Return the dotted keys of the input that :meth:`without_own_files` removes and that a user may miss."""
        return [
            f"{section}.{key}" for section, keys in OWN_FILES.items() for key in keys
            if key not in ALWAYS_SET and (self.data.get(section) or {}).get(key) not in (None, False)
        ]

    def without_own_files(self) -> DeepmdInput:
        """Return a copy without the keys that name files to be written."""
        result = self.copy()
        for section, keys in OWN_FILES.items():
            part = result.data.get(section)
            if isinstance(part, dict):
                for key in keys:
                    part.pop(key, None)
        return result

    def with_given(self, settings: TrainSettings) -> DeepmdInput:
        """Return a copy with the steps and the learning rates of the settings, where they are given."""
        result = self.copy()
        training, rate = result.section("training"), result.section("learning_rate")
        for key in ("start_lr", "stop_lr"):
            if (value := getattr(settings, key)) is not None:
                rate[key] = value
                rate.pop("stop_lr_ratio", None) if key == "stop_lr" else None
        if settings.steps is not None:
            for epochs in EPOCHS:
                training.pop(epochs, None)
            training["numb_steps"] = settings.steps
        return result

    def with_schedule(self, settings: TrainSettings) -> DeepmdInput:
        """Return a copy with steps and learning rates; decay, display and saving intervals keep their share of them."""
        own = self.section("training").get("numb_steps")
        result = self.with_given(settings)
        training, rate = result.section("training"), result.section("learning_rate")
        if settings.steps is None:
            return result
        if own and "decay_steps" in rate:
            rate["decay_steps"] = max(1, round(rate["decay_steps"] * settings.steps / own))
        if own and rate.get("warmup_steps"):
            rate["warmup_steps"] = math.floor(rate["warmup_steps"] * settings.steps / own)
        for key in ("disp_freq", "save_freq"):
            training[key] = max(1, min(training.get(key, 1000), math.ceil(settings.steps / 10)))
        return result

    def with_lower_start_rate(self, share: float = REUSE_SHARE) -> DeepmdInput:
        """Return a copy with a lower start learning rate, for a network that starts from a trained model.

        Measured with se_e2_a-tiny, 500 steps and then 300 more: held-out force MAE 98, then 82 meV/A with 0.3 of the
        rate, but 100 meV/A when it starts again with the full one.
        """
        result = self.copy()
        rate = result.section("learning_rate")
        rate["start_lr"] = max(rate.get("stop_lr") or 0.0, share * rate["start_lr"])
        return result

    def with_halves(self, first: int, total: int) -> DeepmdInput:
        """Return a copy that draws half of the steps from the first folders, the other half from the rest.

        Parameters
        ----------
        first, total : int
            Number of the first folders, and of all.
        """
        result = self.copy()
        result.section("training")["training_data"]["auto_prob"] = f"prob_sys_size;0:{first}:0.5;{first}:{total}:0.5"
        return result

    def with_data(
        self, train: Sequence[Path | str], validation: Sequence[Path | str], batch_size: int | str | None
    ) -> DeepmdInput:
        """Return a copy with the data folders; the batch size is the preset's where it is None."""
        result = self.copy()
        training = result.section("training")
        own = dict(training.get("training_data") or {})
        own["systems"] = [str(path) for path in train]
        own["batch_size"] = batch_size if batch_size is not None else own.get("batch_size", "auto")
        training["training_data"] = own
        training.pop("validation_data", None)
        if validation:
            systems = [str(path) for path in validation]
            training["validation_data"] = {"systems": systems, "batch_size": own["batch_size"]}
        return result

    def with_seeds(self, seed: int) -> DeepmdInput:
        """Return a copy with seeds derived from ``seed`` in every part that draws random numbers."""
        result = self.copy()
        for name, node in result._seeded():
            node["seed"] = derive_seed(seed, name)
        return result

    def _seeded(self) -> Iterator[tuple[str, dict[str, Any]]]:
        descriptor = self.section("model")["descriptor"]
        members = descriptor.get("list") if descriptor["type"] == "hybrid" else None
        for index, node in enumerate(members or [descriptor]):
            yield (f"descriptor.{index}" if members else "descriptor"), node
        yield "fitting", self.section("model").setdefault("fitting_net", {})
        yield "training", self.section("training")
