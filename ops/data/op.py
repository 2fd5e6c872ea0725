"""OPs that gather labelled frames into data sets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.data.collect import collect_trajectories
from dpa_sse.ops.data.merge import merge_datasets, merge_labelled
from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.exploration.page import PAGE, learning_page
from dpa_sse.ops.exploration.settings import LearningSettings
from dpa_sse.ops.exploration.state import initial_state
from dpa_sse.ops.files import read_json, write_json, write_text
from dpa_sse.ops.task import TaskOP, results


class CollectTrajectories(TaskOP):
    """A data set from short trajectories, split by trajectory."""

    artifacts = ("trajectories*",)

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``dataset/`` and, for a campaign, the state with which concurrent learning begins."""
        collect_trajectories(
            results(inputs["trajectories"]),
            settings["type_map"],
            SplitSettings(**settings["split"]),
            settings["seed"],
            settings["min_success_ratio"],
            out / DATASET,
        )
        begin_campaign(settings, out)


class AddUserData(TaskOP):
    """The user's own data sets, joined with what the project has labelled itself."""

    artifacts = ("campaign?", "data")

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> None:
        """Write ``dataset/`` and the initial state."""
        from dpa_sse.ops.data.user import import_user_dataset

        sets = [dataset_of(inputs["campaign"])] if inputs["campaign"] else []
        found = inputs["data"]
        for folder in [found] if is_dataset(found) else sorted(found.iterdir()):
            target = out / ".imported" / folder.name
            import_user_dataset(
                folder, settings["type_map"], SplitSettings(**settings["split"]), settings["seed"], target
            )
            sets.append(target)
        merge_datasets(sets, out / DATASET)
        begin_campaign(settings, out)


class MergeLabelled(TaskOP):
    """The data set of the next iteration, and whether there is one."""

    artifacts = ("campaign", "assembled", "selected", "labelled*")
    numbers = ("iteration",)
    page = PAGE
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int}

    def run(self, out: Path, settings: dict[str, Any], **inputs: Any) -> dict[str, Any]:
        """Write ``dataset/``, ``state.json`` and the checkpoints that the next models start from."""
        summary = merge_labelled(
            dataset_of(inputs["campaign"]), results(inputs["labelled"]), out / DATASET,
            min_success_ratio=settings["min_success_ratio"],
        )
        state = read_json(inputs["selected"] / "state.json")
        state["history"][-1] |= {"labelled": summary["labelled"], "label_failures": summary["failed"]}
        write_json(out / "state.json", state)
        write_text(out / PAGE, learning_page(state["history"]))
        for model in sorted((inputs["assembled"] / "models").glob("model.*")):
            target = out / "models" / model.name
            target.mkdir(parents=True, exist_ok=True)
            for name in ("model.pt", "model.json", "lcurve.csv"):
                shutil.copyfile(model / name, target / name)
        return {"finished": bool(state["finished"]), "next_iteration": inputs["iteration"] + 1}


def is_dataset(folder: Path) -> bool:
    """Return whether a folder is itself a data set, and not one that holds several."""
    return any((folder / name).exists() for name in ("type.raw", "dataset.json", "train"))


def begin_campaign(settings: dict[str, Any], out: Path) -> None:
    """Write the state with which concurrent learning begins, where the project has it."""
    if settings.get("learning"):
        write_json(out / "state.json", initial_state(LearningSettings(**settings["learning"])))
