"""Pods of a cluster as a platform: images, commands, environment, inputs as text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse import __version__
from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import sha256_tree
from dpa_sse.ops.labelers.registry import labeler_image
from dpa_sse.ops.runtime.events import STDOUT
from dpa_sse.ops.runtime.inline import PATH_MARK, encode
from dpa_sse.pipeline.config.cluster import ClusterPreset
from dpa_sse.pipeline.config.remote import bucket_key, volume_path
from dpa_sse.pipeline.engines.platform import MAX_GROUP, Resources, StepSpec

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

WORK = Path("/tmp/work")  # noqa: S108  (in a container)
PAGES = Path("/tmp/outputs/pages")  # noqa: S108
INPUTS = "inputs"


class ArgoPlatform:
    """Pods of a cluster.

    Parameters
    ----------
    preset : ClusterPreset
        What the pods get.
    resources : Resources
        Failure policy and threads of the project.
    labeler : str
        Kind of the project's labeler: decides on the image of the labels.
    outside_bytes : int, optional
        Inputs with a longer text are not written into the workflow but listed in :attr:`outside`, to be uploaded to
        the bucket before the workflow is submitted. By default all inputs are inside.
    """

    command = ("python3", "-P", "-m", "dpa_sse.pipeline.engines.launcher")
    util_command = ("python3", "-S", "-E")
    suspends = True

    def __init__(
        self, preset: ClusterPreset, resources: Resources, labeler: str, outside_bytes: int | None = None
    ) -> None:
        self.preset = preset
        self.resources = resources
        self.labeler = labeler
        self.outside_bytes = outside_bytes
        self.specs: dict[str, StepSpec] = {}
        self.outside: dict[str, str] = {}
        self.parameters: dict[str, str] = {}

    def group_size(self, op: type[TaskOP], count: int, *, gpu: bool, grouped: bool) -> int:
        """Return how many of ``count`` equal tasks share a pod."""
        size = math.ceil(count / self.preset.pod(op.resource_class).max_pods)
        return min(MAX_GROUP, max(size, 1)) if grouped else size

    def threads(self, spec: StepSpec, concurrency: int) -> int:
        """Return the threads of a task: the cores of its pod."""
        cores = max(1, math.floor(self.preset.pod(spec.op.resource_class).cpu))
        return min(cores, self.resources.threads_per_task or cores)

    def image(self, op: type[TaskOP]) -> str:
        """Return the container image that an OP needs."""
        software = labeler_image(self.labeler) if op.image == "labeler" else op.image
        return self.preset.images.name(software)

    def environment(self, spec: StepSpec) -> dict[str, str]:
        """Return the variables of a pod; secrets are added by reference in :mod:`.pod_templates`."""
        variables = [
            env.RETRIES.entry(self.resources.retries),
            env.TASK_TIMEOUT_S.entry(self.resources.task_timeout_s),
            env.WORKDIR.entry(WORK),
            env.EVENTS.entry(STDOUT),
            env.VERSION.entry(__version__),
            env.STORE.entry("s3"),
            env.STORE_PREFIX.entry(f"{env.STORE_PREFIX.default}/{self.preset.store}"),
            env.CHECKPOINT_S.entry(self.preset.checkpoint_every_s),
        ]
        if spec.op.html_page:
            variables.append(env.PAGE.entry(PAGES / spec.op.html_page))
        return dict(variables)

    def configure_template(self, template: Any, spec: StepSpec) -> None:
        """Name the template after the step, instead of at random."""
        template.name = spec.name
        self.specs[spec.name] = spec

    def artifact(self, path: Path) -> Any:
        """Return the content as text (a raw artifact), or the key in the bucket of a large one."""
        text = encode(path)
        if self.outside_bytes is None or len(text) <= self.outside_bytes:
            return text
        from dflow import S3Artifact

        key = f"{INPUTS}/{sha256_tree(path)[:16]}/{path.name}"
        self.outside[key] = text
        return S3Artifact(key=key)

    def remote(self, address: str) -> Any:
        """Return the key in the bucket, or a text that names the path on a volume (mounted by :mod:`.postprocess`)."""
        key = bucket_key(address)
        if key is None:
            return f"{PATH_MARK}{volume_path(address)[1]}\n"
        from dflow import S3Artifact

        return S3Artifact(key=key)

    def bucket_input(self, name: str, description: str) -> Any:
        """Return an artifact whose key is a parameter of the workflow."""
        from dflow import S3Artifact

        self.parameters[name] = description
        return S3Artifact(key=f"{{{{workflow.parameters.{name}}}}}")


def refuse(problems: list[str]) -> None:
    """Raise an error that lists the problems, if there are any.

    Raises
    ------
    InputError
        There are.
    """
    if problems:
        raise InputError("\n".join(problems))
