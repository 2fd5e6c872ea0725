"""OPs that train and evaluate models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.data.dataset import level_of
from dpa_sse.ops.data.npy import split_systems
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.potential.folder import BASE_MODEL, checkpoint_or_frozen
from dpa_sse.ops.results.learning import LearningState
from dpa_sse.ops.results.model import Variant
from dpa_sse.ops.results.status import TaskStatus, require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.ops.training.job import FromScratch, InitModel, Start, TrainJob
from dpa_sse.ops.training.presets import dataset_input
from dpa_sse.ops.training.settings import FinetuneSettings, ResolvedPretraining, ResolvedTraining
from dpa_sse.ops.training.train import train_model

TRAINING_FRAMES = "_train"
"""Ending of the names of evaluations on training frames: errors as large as on test frames mean that steps are missing,
not frames."""
FORGETTING = "fine_tuned_base"
"""Evaluation of the fine-tuned model on the base systems: beside that of the pre-trained one, what is forgotten."""
EVALUATION_NAMES: dict[Variant, str] = {
    "naive": "fine_tuned", "replay": "fine_tuned", "multitask": "fine_tuned",
    "from_scratch": "from_scratch",
}


class TrainMemberSettings(TaskSettings):
    """Settings of :class:`TrainMember`."""

    train: ResolvedTraining | list[ResolvedTraining]
    reuse_models: bool
    reuse_steps: int | None

    def of(self, index: int) -> ResolvedTraining:
        """Return network and training of a model; several are taken in turn."""
        return self.train[index % len(self.train)] if isinstance(self.train, list) else self.train


class TrainMember(FanOutOP):
    """One model of the ensemble; from the second iteration on it starts from its predecessor.

    After an iteration without new labels it is its predecessor.
    """

    image = "deepmd"
    resource_class = "train"
    artifacts = ("training_data",)
    parameters = ("iteration",)
    settings_class = TrainMemberSettings

    def run(self, out: Path, settings: TrainMemberSettings, **inputs: Any) -> None:
        """Write a model folder."""
        iteration, index = inputs["iteration"], inputs["index"]
        seed = derive_seed(settings.seed, "ensemble", iteration, index)
        train = settings.of(index)
        before = inputs["training_data"] / "models" / f"model.{index:03d}" / "model.pt"
        state = LearningState.read_if_there(inputs["training_data"])
        if state is not None and state.unchanged and before.is_file():
            shutil.copytree(before.parent, out, dirs_exist_ok=True)
            TaskStatus(status="ok").write(out)
            return
        reuse = settings.reuse_models and before.is_file()
        if reuse and settings.reuse_steps:
            train = train.model_copy(update={"steps": settings.reuse_steps})
        data = dataset_input(train, settings.type_map, dataset_of(inputs["training_data"]), seed)
        start: Start = FromScratch()
        if reuse:
            start, data = InitModel(before), data.with_lower_start_rate()
        train_model(TrainJob(data, start, preset=train.preset, seed=seed), out)
        TaskStatus(status="ok").write(out)


class PretrainTaskSettings(TaskSettings):
    """Settings of :class:`Pretrain`."""

    pretrain: ResolvedPretraining


class Pretrain(TaskOP):
    """The large model on all collected data."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("training_data",)
    settings_class = PretrainTaskSettings

    def run(self, out: Path, settings: PretrainTaskSettings, **inputs: Any) -> None:
        """Write a model folder."""
        pretrain = settings.pretrain
        seed = derive_seed(settings.seed, "pretrain")
        data = dataset_input(pretrain, settings.type_map, dataset_of(inputs["training_data"]), seed)
        train_model(TrainJob(data, preset=pretrain.preset, seed=seed, widen=pretrain.widen_nsel), out)


class AdoptModelSettings(TaskSettings):
    """Settings of :class:`AdoptModel`: a file, or the name of a built-in model; and the branch to freeze."""

    model: str
    branch: str = ""


class AdoptModel(TaskOP):
    """An existing model, instead of pre-training."""

    image = "deepmd"
    artifacts = ("model?",)
    settings_class = AdoptModelSettings

    def run(self, out: Path, settings: AdoptModelSettings, **inputs: Any) -> None:
        """Write a model folder around the file, or around DeePMD-kit's built-in model of that name."""
        from dpa_sse.ops.training.existing_model import adopt_model

        adopt_model(inputs["model"] or settings.model, settings.type_map, out, settings.branch, name=settings.model)


class CompileModel(AdoptModel):
    """An existing DPA-4: freezing compiles it for the kind of machine on which it is then used."""

    resource_class = "infer"


class TrainVariantSettings(TaskSettings):
    """Settings of :class:`TrainVariant`; the index of a task selects one of ``variants``."""

    finetune: FinetuneSettings
    pretrain: ResolvedPretraining
    variants: list[Variant]


class TrainVariant(FanOutOP):
    """The pre-trained model adapted to the new compound, and the same network from scratch."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("pretrained", "downstream", "training_data?")
    settings_class = TrainVariantSettings

    def run(self, out: Path, settings: TrainVariantSettings, **inputs: Any) -> None:
        """Write a model folder."""
        from dpa_sse.ops.training.finetune import Adaptation, fine_tune, train_from_scratch

        job = Adaptation(
            inputs["pretrained"] / "model.pt", settings.pretrain, settings.finetune, dataset_of(inputs["downstream"]),
            settings.type_map, settings.seed,
        )
        variant = settings.variants[inputs["index"]]
        if variant == "from_scratch":
            train_from_scratch(job, out)
        elif variant == "naive":
            fine_tune(job, out)
        else:
            if not inputs["training_data"]:
                raise InputError(f"fine-tuning ({variant}) needs the data of the pre-training, none was given")
            base = dataset_of(inputs["training_data"])
            fine_tune(job, out, replay_from=base, two_tasks=variant == "multitask")
        TaskStatus(status="ok").write(out)


class CurveModel(Settings):
    """A model of the curve."""

    variant: Variant
    frames: int
    seed: int


class TrainCurveSettings(TaskSettings):
    """Settings of :class:`TrainCurve`; the index of a task selects one of ``models``."""

    finetune: FinetuneSettings
    pretrain: ResolvedPretraining
    models: list[CurveModel]


class TrainCurve(FanOutOP):
    """A model on some of the frames, for the curve of errors against labels."""

    image = "deepmd"
    resource_class = "train"
    artifacts = ("pretrained", "downstream")
    settings_class = TrainCurveSettings

    def run(self, out: Path, settings: TrainCurveSettings, **inputs: Any) -> None:
        """Write ``curve.json``."""
        from dpa_sse.ops.training.curve import curve_point
        from dpa_sse.ops.training.finetune import Adaptation

        one = settings.models[inputs["index"]]
        job = Adaptation(
            inputs["pretrained"] / "model.pt", settings.pretrain, settings.finetune, dataset_of(inputs["downstream"]),
            settings.type_map, settings.seed,
        )
        curve_point(job, one.variant, one.frames, one.seed, out)
        TaskStatus(status="ok").write(out)


class EvaluateVariantsSettings(TaskSettings):
    """Settings of :class:`EvaluateVariants`: the variants in the order of their model folders."""

    variants: list[Variant]


class EvaluateVariants(TaskOP):
    """Errors on held-out trajectories: pre-trained, zero-shot, fine-tuned, from scratch."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("pretrained", "variants*", "downstream", "training_data?")
    returns: ClassVar[dict[str, type]] = {"force_mae_meV_A": float}
    version = 3
    settings_class = EvaluateVariantsSettings

    def run(self, out: Path, settings: EvaluateVariantsSettings, **inputs: Any) -> dict[str, float]:
        """Write a folder with ``evaluation.json`` per model."""
        from dpa_sse.ops.training.evaluate import evaluate
        from dpa_sse.ops.training.train import change_bias

        new, pretrained = dataset_of(inputs["downstream"]), inputs["pretrained"] / "model.pt"
        if inputs["training_data"] and split_systems(dataset_of(inputs["training_data"]), "test"):
            evaluate(pretrained, dataset_of(inputs["training_data"]), "test", out, "pretrain")
        evaluate(pretrained, new, "test", out, "zero_shot")
        folders = variant_folders(inputs["variants"], settings.variants)
        chosen = split_systems(next(iter(folders.values())) / "data" / "new")
        change_bias(pretrained, chosen, out / "bias")
        evaluate(out / "bias" / "model.pt", new, "test", out, "zero_shot_bias")
        errors = [
            evaluate(folder / "model.pt", new, "test", out, EVALUATION_NAMES[variant])
            for variant, folder in folders.items()
        ]
        base = inputs["training_data"]
        adapted = next(folder for variant, folder in folders.items() if variant != "from_scratch")
        if base and split_systems(dataset_of(base), "test"):
            own = adapted / BASE_MODEL  # with two tasks, the base systems have a separate model
            evaluate(own if own.is_file() else adapted / "model.pt", dataset_of(base), "test", out, FORGETTING,
                     parity=False)
        for variant, folder in folders.items():
            systems = split_systems(folder / "data" / "new")
            name = EVALUATION_NAMES[variant] + TRAINING_FRAMES
            evaluate(folder / "model.pt", systems, "train", out, name, parity=False, level=level_of(new))
        return {"force_mae_meV_A": errors[0].force_mae_meV_A}


class EvaluatePretrained(TaskOP):
    """Errors of the pre-trained model on held-out trajectories of the base systems."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("pretrained", "training_data")
    returns: ClassVar[dict[str, type]] = {"force_mae_meV_A": float}
    version = 2
    settings_class = TaskSettings

    def run(self, out: Path, settings: TaskSettings, **inputs: Any) -> dict[str, float]:
        """Write ``pretrain/evaluation.json``."""
        from dpa_sse.ops.training.evaluate import evaluate

        labelled = dataset_of(inputs["training_data"])
        errors = evaluate(checkpoint_or_frozen(inputs["pretrained"]), labelled, "test", out, "pretrain")
        return {"force_mae_meV_A": errors.force_mae_meV_A}


def variant_folders(groups: list[Path], variants: list[Variant]) -> dict[Variant, Path]:
    """Return the model folder of each variant.

    Raises
    ------
    FatalError
        One of them failed; the message lists the reasons.
    """
    folders = results(groups)
    require_success(folders, 1.0, "training")
    return dict(zip(variants, folders, strict=True))
