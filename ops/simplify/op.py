"""OPs of the thinning of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dpa_sse.ops.data.paths import DATASET, dataset_of
from dpa_sse.ops.potential.folder import frozen_model
from dpa_sse.ops.results.simplify import Simplified
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.ops.simplify.select import iterate, start
from dpa_sse.ops.simplify.settings import SimplifySettings


class SimplifyTaskSettings(TaskSettings):
    """Settings of :class:`StartSimplify` and :class:`SelectFromPool`."""

    simplify: SimplifySettings


class StartSimplify(TaskOP):
    """The frames of a data set that the first models are trained on."""

    artifacts = ("pool",)
    settings_class = SimplifyTaskSettings

    def run(self, out: Path, settings: SimplifyTaskSettings, **inputs: Any) -> None:
        """Write ``dataset/`` and ``simplify.json``."""
        start(dataset_of(inputs["pool"]), settings.simplify, settings.seed, out / DATASET).write(out)


class SelectFromPool(TaskOP):
    """The errors of the models, and the frames that they still need, added to those that they were trained on."""

    image = "deepmd"
    resource_class = "infer"
    artifacts = ("training_data", "pool", "models*")
    parameters = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int, "kept": int}
    settings_class = SimplifyTaskSettings

    def run(self, out: Path, settings: SimplifyTaskSettings, **inputs: Any) -> dict[str, int]:
        """Write ``dataset/`` and ``simplify.json``."""
        folders = results(inputs["models"])
        require_success(folders, 1.0, "training of the ensemble")
        models = [frozen_model(one) for one in folders]
        found = iterate(
            dataset_of(inputs["pool"]), Simplified.read(inputs["training_data"]), models, settings.simplify,
            settings.seed, out / DATASET,
        )
        found.write(out)
        return {
            "finished": found.finished, "next_iteration": inputs["iteration"] + 1, "kept": len(found.chosen),
        }
