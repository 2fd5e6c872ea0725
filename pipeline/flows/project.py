"""A flow that knows its project: cells and settings as inputs of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from dpa_sse.ops.core.settings import Settings
from dpa_sse.ops.labelers.registry import labeler_files
from dpa_sse.ops.labelers.settings import LabelerSettings
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.engines.platform import Platform, Resources
from dpa_sse.pipeline.graph import ArtifactRef, Flow

if TYPE_CHECKING:
    from ase import Atoms


class ProjectFlow(Flow):
    """The DAG of one project under construction.

    Attributes
    ----------
    project : Project
    base_dir : Path
        Folder that relative paths in it refer to.
    resources : Resources
        Of the machine.
    built : dict
        Cells that have been built, by system (JSON) and number of arrangements.
    """

    def __init__(
        self, project: Project, base_dir: Path, folder: Path, resources: Resources, platform: Platform | None = None
    ) -> None:
        super().__init__(project.name.lower().replace("_", "-").replace(".", "-"), folder, resources, platform)
        self.project = project
        self.base_dir = base_dir
        self.resources = resources
        self.built: dict[tuple[str, int], list[Atoms]] = {}

    @property
    def suspends(self) -> bool:
        """Whether the workflow can wait for a person by itself."""
        return self._platform.suspends

    def settings(self, **sections: object) -> dict[str, object]:
        """Return the settings of a step: type map and seed of the project, and the sections that it needs.

        A step is recomputed when one of its settings changes, so it gets what it needs and no more.
        """
        return {
            "seed": self.project.seed,
            "type_map": self.project.type_map,
            **{name: self.plain(value) for name, value in sections.items()},
        }

    def fan_in_settings(self, **sections: object) -> dict[str, object]:
        """Return the settings of a step that collects a fan-out and decides whether enough tasks have succeeded."""
        return {**self.settings(**sections), "min_success_ratio": self.project.failure.min_success_ratio}

    @staticmethod
    def subset(section: BaseModel, *names: str) -> dict[str, object]:
        """Return some values of a section, for a step that does not depend on the rest."""
        return section.model_dump(mode="json", include=set(names))

    def plain(self, value: object) -> object:
        """Return a section as JSON values, including what it names: the preset of a training, files of a labeler."""
        if isinstance(value, list):
            return [self.plain(one) for one in value]
        if not isinstance(value, BaseModel):
            return value
        if isinstance(value, Settings):
            value = value.with_texts(self.base_dir)
        if isinstance(value, TrainSettings):
            from dpa_sse.ops.training.presets import resolve

            value = resolve(value, self.base_dir)
        data = value.model_dump(mode="json")
        if isinstance(value, LabelerSettings) and value.model_file:
            data[value.model_file] = Path(data[value.model_file]).name
        if isinstance(value, LabelerSettings) and labeler_files(value, self.project.type_map):
            data.update(dict.fromkeys(value.folders))  # the files travel with the tasks
        return data

    def cells(self, name: str, systems: Sequence[SystemSettings], arrangements: int = 1) -> ArtifactRef:
        """Return an artifact with the ordered, unperturbed cell of each system, or its best arrangements (extxyz)."""
        from dpa_sse.ops.structures.build import build_arrangements
        from dpa_sse.ops.structures.extxyz import write_frames

        frames = []
        for system in systems:
            key = (system.model_dump_json(), arrangements)
            if key not in self.built:
                self.built[key] = build_arrangements(system, self.base_dir, self.project.seed, arrangements)
            frames += self.built[key]
        path = self.folder / f"{name}.extxyz"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_frames(path, frames)
        return self.upload(path)

    def labeler_model(self) -> ArtifactRef | None:
        """Return an artifact with the model or the files by element of the labeler; None if it has none."""
        import shutil

        from dpa_sse.ops.core.removal import remove_tree

        labeler = self.project.labeler
        if not labeler.model_file:
            files = labeler_files(labeler, self.project.type_map)
            folder = self.folder / "labeler-files"
            remove_tree(folder, self.folder)
            for file in files:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, folder / file.name)
            return self.upload(folder) if files else None
        path = self.base_dir / Path(getattr(labeler, labeler.model_file)).expanduser()
        return self.upload(path) if path.is_file() else None

    def user_data(self, names: Sequence[str], name: str = "user-data") -> ArtifactRef:
        """Return an artifact with the user's data folders, numbered in the order of the configuration."""
        import shutil

        from dpa_sse.ops.core.files import walk_files
        from dpa_sse.ops.core.removal import remove_tree

        folder = self.folder / name
        remove_tree(folder, self.folder)
        for number, source in enumerate(names):
            for file in sorted(walk_files(self.base_dir / source)):
                target = folder / f"{number:03d}" / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.base_dir / source / file, target)
        return self.upload(folder)
