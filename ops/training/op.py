"""OPs that train and evaluate models."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.results.status import TaskStatus, require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.ops.training.presets import lower_start_rate, preset_input, read_settings
from dpa_sse.ops.training.settings import FinetuneSettings


class TrainMember(FanOutOP):
    """One model of the ensemble; from the second iteration on it starts from its predecessor."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("training_data",)
    parameters = ("iteration",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a model folder."""
        from dpa_sse.ops.training.train import train_model

        iteration, index = inputs["iteration"], inputs["index"]
        seed = derive_seed(settings["seed"], "ensemble", iteration, index)
        train = dict(settings["train"])
        before = inputs["training_data"] / "models" / f"model.{index:03d}" / "model.pt"
        init = before if settings["reuse_models"] and before.is_file() else None
        if init is not None and settings["reuse_steps"]:
            train["steps"] = settings["reuse_steps"]
        data = preset_input(train, settings["type_map"], dataset_of(inputs["training_data"]), seed)
        if init is not None:
            lower_start_rate(data)
        train_model(data, out, init_model=init, preset=train["preset"], seed=seed)
        TaskStatus(status="ok").write(out)


class Pretrain(TaskOP):
    """The large model on all collected data."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("training_data",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a model folder."""
        from dpa_sse.ops.training.train import train_model

        seed = derive_seed(settings["seed"], "pretrain")
        pretrain = settings["pretrain"]
        data = preset_input(pretrain, settings["type_map"], dataset_of(inputs["training_data"]), seed)
        train_model(data, out, preset=pretrain["preset"], seed=seed, widen=pretrain["widen_nsel"])


class AdoptModel(TaskOP):
    """A model that exists already, instead of pre-training."""

    image = "deepmd"
    artifacts = ("model?",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a model folder around the file, or around deepmd's built-in model of that name."""
        from dpa_sse.ops.training.existing_model import adopt_model

        adopt_model(inputs["model"] or settings["model"], settings["type_map"], out, settings["branch"])


class TrainVariant(FanOutOP):
    """The pre-trained model adapted to the new compound; and the same network from scratch."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("pretrained", "downstream", "training_data?")

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write a model folder."""
        from dpa_sse.ops.training.finetune import finetune_model

        base = inputs["training_data"]
        with tempfile.TemporaryDirectory() as folder:
            finetune_model(
                inputs["pretrained"] / "model.pt",
                settings["variants"][inputs["index"]],
                FinetuneSettings(**settings["finetune"]),
                read_settings(settings["pretrain"], Path(folder)),
                dataset_of(inputs["downstream"]),
                settings["type_map"],
                settings["seed"],
                out,
                base_dataset=dataset_of(base) if base else None,
            )
        write_json(out / "model.json", {**read_json(out / "model.json"), "preset": settings["pretrain"]["preset"]})
        TaskStatus(status="ok").write(out)


class EvaluateVariants(TaskOP):
    """Errors on held-out trajectories: pre-trained, zero-shot, fine-tuned, from scratch."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("pretrained", "variants*", "downstream", "training_data?")
    returns: ClassVar[dict[str, type]] = {"force_mae_meV_A": float}

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        """Write a folder with ``evaluation.json`` per model."""
        from dpa_sse.ops.training.evaluate import evaluate
        from dpa_sse.ops.training.train import change_bias

        new, pretrained = dataset_of(inputs["downstream"]), inputs["pretrained"] / "model.pt"
        if inputs["training_data"] and split_systems(dataset_of(inputs["training_data"]), "test"):
            evaluate(pretrained, dataset_of(inputs["training_data"]), "test", out, "pretrain")
        evaluate(pretrained, new, "test", out, "zero_shot")
        frames = variant_folders(inputs["variants"], settings["variants"])
        chosen = split_systems(next(iter(frames.values())) / "data" / "new")
        change_bias(pretrained, chosen, out / "bias")
        evaluate(out / "bias" / "model.pt", new, "test", out, "zero_shot_bias")
        names = {"naive": "fine_tuned", "replay": "fine_tuned", "from_scratch": "from_scratch"}
        errors = [
            evaluate(folder / "model.pt", new, "test", out, names[variant]) for variant, folder in frames.items()
        ]
        return {"force_mae_meV_A": errors[0].force_mae_meV_A}


class EvaluatePretrained(TaskOP):
    """Errors of the pre-trained model on held-out trajectories of the base systems."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("pretrained", "training_data")
    returns: ClassVar[dict[str, type]] = {"force_mae_meV_A": float}

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        """Write ``pretrain/evaluation.json``."""
        from dpa_sse.ops.training.evaluate import evaluate

        labelled = dataset_of(inputs["training_data"])
        errors = evaluate(inputs["pretrained"] / "model.pt", labelled, "test", out, "pretrain")
        return {"force_mae_meV_A": errors.force_mae_meV_A}


def variant_folders(groups: list[Path], variants: list[str]) -> dict[str, Path]:
    """Return the model folder of each variant.

    Raises
    ------
    FatalError
        When one of them failed; with its reason.
    """
    folders = results(groups)
    require_success(folders, 1.0, "training")
    return dict(zip(variants, folders, strict=True))
