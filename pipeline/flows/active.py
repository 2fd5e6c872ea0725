"""Active fine-tuning: rounds of training, MD, labels on chosen frames, before the last fine-tuning."""

from __future__ import annotations

from dpa_sse.ops.active.op import CollectRound, PrepareRound, RunRoundMd, SelectRound, TrainRound
from dpa_sse.ops.labelers.op import LabelFrames
from dpa_sse.ops.training.settings import FinetuneSettings, RoundSettings
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef, Artifacts


def add_rounds(flow: ProjectFlow, artifacts: Artifacts) -> ArtifactRef | None:
    """Add the rounds; returns the labelled data after the last one, which the fine-tuning then takes.

    Each round has its own steps, which are empty once the model is good enough: a loop could not be shared by many
    targets.

    Parameters
    ----------
    flow : ProjectFlow
    artifacts : mapping
        ``pretrained``, ``downstream`` and, for replay, ``training_data``.
    """
    finetune = flow.project.finetune
    assert finetune is not None  # noqa: S101  (for the type checker)
    data = artifacts["downstream"]
    explore = finetune.explore.model_copy(update={"temperatures_K": flow.project.round_temperatures_K})
    cells = flow.cells("round-cells", flow.project.new_systems, explore.perturb.arrangements)
    for number in range(1, finetune.rounds + 1):
        data = _add_round(flow, {**artifacts, "downstream": data, "cells": cells}, explore, number)
    return data


def training_of_rounds(finetune: FinetuneSettings) -> FinetuneSettings:
    """Return how the models are fine-tuned: what has no effect on it is left at its default.

    After the first round, the data set holds the frames to train on and no others; all are taken.
    """
    frames = finetune.frames + finetune.rounds * finetune.explore.frames
    return finetune.model_copy(
        update={"frames": frames, "rounds": 0, "explore": RoundSettings(), "curve": [], "curve_seeds": 2}
    )


def _add_round(flow: ProjectFlow, artifacts: Artifacts, explore: RoundSettings, number: int) -> ArtifactRef:
    """Add training, MD, selection, labels and the data of the next round."""
    project = flow.project
    assert project.finetune is not None  # noqa: S101  (for the type checker)
    finetune = project.finetune
    training = training_of_rounds(finetune).model_copy(update={"frames": finetune.frames} if number == 1 else {})
    count = explore.models if explore.selection == "committee" else 1
    models = flow.fan_out(
        f"round{number}-train", TrainRound,
        flow.settings(finetune=training, pretrain=project.pretrain, variants=[finetune.strategy] * count), count,
        title=f"Fine-tuning, round {number}", gpu=True, grouped=False,
        artifacts={name: artifacts.get(name) for name in ("pretrained", "downstream", "training_data")},
    )
    prepared = flow.step(
        f"round{number}-prepare", PrepareRound, flow.settings(explore=explore, round=number),
        title=f"MD of round {number}", artifacts={"cells": artifacts["cells"]},
    )
    runs = flow.fan_out(
        f"round{number}-md", RunRoundMd, flow.settings(),
        project.round_runs, title=f"MD, round {number}",
        artifacts={"prepared": prepared, "models": models}, gpu=True, grouped=False,
    )
    selected = flow.step(
        f"round{number}-select", SelectRound, flow.settings(explore=explore, round=number, frames=finetune.frames),
        title=f"Frames to label, round {number}", gpu=True,
        artifacts={"trajectories": runs, "models": models, "downstream": artifacts["downstream"]},
    )
    labelled = flow.fan_out(
        f"round{number}-label", LabelFrames, flow.settings(labeler=project.labeler), explore.frames,
        title=f"Labels, round {number}", gpu=True,
        artifacts={"selected": selected, "model": flow.labeler_model()},
    )
    return flow.step(
        f"round{number}-collect", CollectRound,
        flow.fan_in_settings(explore=explore, round=number, frames=finetune.frames),
        title=f"Errors and data, round {number}", gpu=True,
        artifacts={
            "selected": selected, "labelled": labelled, "models": models, "downstream": artifacts["downstream"],
        },
    )
