"""Stages that make labelled data: perturbation, short AIMD, concurrent learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dpa_sse.ops.data.op import AddUserData, CollectTrajectories
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.exploration.op import AssembleEnsemble, Explore, MergeLabelled, SelectCandidates, SelectDiverse
from dpa_sse.ops.exploration.prepare import static_task_count
from dpa_sse.ops.exploration.select import static_label_count
from dpa_sse.ops.labelers.op import LabelFrames, RunAimd
from dpa_sse.ops.simplify.op import SelectFromPool, StartSimplify
from dpa_sse.ops.simplify.settings import SimplifySettings
from dpa_sse.ops.structures.op import PerturbCells
from dpa_sse.ops.training.op import TrainMember
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.flows.project import ProjectFlow
from dpa_sse.pipeline.graph import ArtifactRef


def add_training_data(flow: ProjectFlow) -> ArtifactRef | None:
    """Add the stages that collect the base data; returns their result, None if the project has none."""
    project = flow.project
    training_data, cells = None, None
    if project.labelled_systems:
        flow.stage("01-perturb")
        cells = flow.step(
            "perturb", PerturbCells, flow.settings(perturb=project.perturb), title="Perturb the base cells",
            artifacts={"cells": flow.cells("base-cells", project.systems, project.perturb.arrangements)},
        )
        flow.stage("02-seed")
        runs = flow.fan_out(
            "aimd", RunAimd, flow.settings(labeler=project.labeler, aimd=project.aimd),
            len(project.systems) * project.perturb.count, title="Short AIMD with the labeler",
            artifacts={"cells": cells, "model": flow.labeler_model()}, gpu=True,
        )
        training_data = flow.step(
            "collect", CollectTrajectories, flow.fan_in_settings(split=project.split),
            title="Collect, split by trajectory", artifacts={"trajectories": runs},
        )
    if project.data:
        flow.stage("02-seed")
        training_data = _add_user_data(flow, "user-data", project.data, project.split, training_data)
    if project.simplify and training_data is not None:
        training_data = add_thinning(flow, project.simplify, training_data)
    if project.concurrent_learning:
        training_data = add_learning(flow, training_data, cells)
    return training_data


def _add_user_data(
    flow: ProjectFlow, step: str, names: Sequence[str], split: SplitSettings, data: ArtifactRef | None,
    title: str = "Add your own data",
) -> ArtifactRef:
    """Add the user's data sets to ``data``: those on this machine in one step, each one on the cluster in another."""
    local = [name for name in names if not is_remote(name)]
    sources = [flow.user_data(local, step)] if local else []
    sources += [flow.remote(name) for name in names if is_remote(name)]
    for number, source in enumerate(sources):
        data = flow.step(
            step if number == len(sources) - 1 else f"{step}-{number + 1}", AddUserData,
            flow.settings(split=split, mix_levels=flow.project.mix_levels), title=title,
            artifacts={"training_data": data, "data": source},
        )
    assert data is not None  # noqa: S101  (there is at least one source)
    return data


def add_thinning(flow: ProjectFlow, simplify: SimplifySettings, pool: ArtifactRef) -> ArtifactRef:
    """Add the loop train -> judge and add frames of the whole data; returns the thinned data."""
    settings = flow.settings(simplify=simplify)

    def iteration(inputs: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
        models = flow.fan_out(
            "simplify-train", TrainMember,
            flow.settings(train=simplify.train, reuse_models=False, reuse_steps=None), simplify.models,
            title="Thinning: the ensemble", artifacts={"training_data": inputs["training_data"]}, gpu=True,
            grouped=False,
        )
        return {"training_data": flow.step(
            "simplify-select", SelectFromPool, settings, title="Thinning: needed frames", gpu=True,
            artifacts={**inputs, "models": models},
        )}

    flow.stage("02-simplify")
    first = flow.step(
        "simplify-start", StartSimplify, settings, title="Thin the data", artifacts={"pool": pool}
    )
    return flow.loop(
        "simplify", {"training_data": first, "pool": pool}, iteration, feeds_back="training_data"
    )["training_data"]


def add_learning(flow: ProjectFlow, training_data: ArtifactRef | None, cells: ArtifactRef | None) -> ArtifactRef:
    """Add the loop train -> sanity -> explore -> select -> label -> merge; returns the final data."""
    project, learning = flow.project, flow.project.concurrent_learning
    assert learning is not None  # noqa: S101  (for the type checker)
    settings = flow.settings(concurrent_learning=learning)

    def iteration(inputs: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
        models = flow.fan_out(
            "train", TrainMember, flow.settings(
                train=learning.train, reuse_models=learning.reuse_models, reuse_steps=learning.reuse_steps
            ),
            learning.models, title="Concurrent learning", artifacts={"training_data": inputs["training_data"]},
            gpu=True, grouped=False,
        )
        assembled = flow.step(
            "assemble", AssembleEnsemble, settings, title="Sanity MD", gpu=True,
            artifacts={
                "training_data": inputs["training_data"], "models": models,
                "cells": inputs["cells"],
            },
        )
        explored = flow.fan_out(
            "explore", Explore, flow.settings(),
            static_task_count(learning, len(project.systems)), title="Exploration",
            artifacts={"assembled": assembled}, gpu=True, grouped=False,
        )
        selected = flow.step(
            "select", SelectDiverse if learning.selection == "diverse" else SelectCandidates,
            flow.fan_in_settings(concurrent_learning=learning), title="Selection",
            artifacts={
                "training_data": inputs["training_data"], "assembled": assembled,
                "explored": explored,
            },
        )
        labelled = flow.fan_out(
            "label", LabelFrames, flow.settings(labeler=project.labeler),
            static_label_count(learning), title="Labels",
            artifacts={"selected": selected, "model": flow.labeler_model()}, gpu=True,
        )
        merged = flow.step(
            "merge", MergeLabelled, flow.fan_in_settings(), title="Merge",
            artifacts={
                "training_data": inputs["training_data"], "assembled": assembled, "selected": selected,
                "labelled": labelled,
            },
        )
        return {"training_data": merged}

    flow.stage("03-concurrent-learning")
    return flow.loop(
        "concurrent-learning", {"training_data": training_data, "cells": cells}, iteration, feeds_back="training_data"
    )["training_data"]


def add_downstream(flow: ProjectFlow) -> ArtifactRef:
    """Add perturbation and short AIMD of the new compound, or the user's frames of it; returns its data set."""
    project, downstream = flow.project, flow.project.downstream
    assert downstream is not None  # noqa: S101  (for the type checker)
    flow.stage("05-finetune")
    if downstream.data:
        return _add_user_data(
            flow, "collect-new", downstream.data, downstream.split, None, title="Your frames of the new compound"
        )
    cells = flow.step(
        "perturb-new", PerturbCells, flow.settings(perturb=downstream.perturb), title="Fine-tuning",
        artifacts={
            "cells": flow.cells("downstream-cells", project.new_systems, downstream.perturb.arrangements)
        },
    )
    runs = flow.fan_out(
        "aimd-new", RunAimd, flow.settings(labeler=project.labeler, aimd=downstream.aimd),
        len(project.new_systems) * downstream.perturb.count, title="Short AIMD of the new compound",
        artifacts={"cells": cells, "model": flow.labeler_model()}, gpu=True,
    )
    return flow.step(
        "collect-new", CollectTrajectories, flow.fan_in_settings(split=downstream.split), title="Collect",
        artifacts={"trajectories": runs},
    )
