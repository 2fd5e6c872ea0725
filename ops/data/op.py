"""OPs that gather labelled frames into data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpa_sse.ops.data.collect import collect_trajectories
from dpa_sse.ops.data.merge import merge_datasets
from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import FanInSettings, TaskSettings
from dpa_sse.ops.runtime.task import TaskOP


class AddUserDataSettings(TaskSettings):
    """Settings of :class:`AddUserData`."""

    split: SplitSettings
    mix_levels: bool = False


class CollectTrajectoriesSettings(FanInSettings):
    """Settings of :class:`CollectTrajectories`."""

    split: SplitSettings


class CollectTrajectories(TaskOP):
    """A data set from short trajectories, split by trajectory."""

    artifacts = ("trajectories*",)
    settings_class = CollectTrajectoriesSettings

    def run(self, out: Path, settings: CollectTrajectoriesSettings, **inputs: Any) -> None:
        """Write ``dataset/``."""
        collect_trajectories(
            results(inputs["trajectories"]), settings.type_map, settings.split, settings.seed,
            settings.min_success_ratio, out / DATASET,
        )


class AddUserData(TaskOP):
    """The user's own data sets, merged with the data labelled by the project."""

    artifacts = ("training_data?", "data")
    settings_class = AddUserDataSettings

    def run(self, out: Path, settings: AddUserDataSettings, **inputs: Any) -> None:
        """Write ``dataset/``."""
        from dpa_sse.ops.data.user_data import import_user_dataset

        sets = [dataset_of(inputs["training_data"])] if inputs["training_data"] else []
        found = inputs["data"]
        for folder in [found] if is_dataset(found) else sorted(found.iterdir()):
            target = out / ".imported" / folder.name
            import_user_dataset(
                folder, settings.type_map, settings.split, settings.seed, target, mix_levels=settings.mix_levels
            )
            sets.append(target)
        merge_datasets(sets, out / DATASET, mix_levels=settings.mix_levels)


def is_dataset(folder: Path) -> bool:
    """Return whether a folder is itself a data set, and not one that holds several."""
    return any((folder / name).exists() for name in ("type.raw", DatasetInfo.FILE, "train"))
