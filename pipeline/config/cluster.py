"""Settings of a cluster: what the pods get, where the images are, what the namespace provides.

A preset is a file in ``configs/resources/`` or one of the user's; the section ``cluster`` of a project names it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dpa_sse import __version__
from dpa_sse.ops.core.settings import Settings, unique

KINDS = ("light", "analysis", "train", "infer", "md", "label")
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
ResourceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class Toleration(Settings):
    """A taint of nodes that the pods tolerate."""

    key: str | None = Field(None, description="Key of the taint; all keys if omitted.")
    operator: Literal["Exists", "Equal"] = Field("Exists", description="`Equal` compares `value` as well.")
    value: str | None = Field(None, description="Value of the taint, for `operator: Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; all effects if omitted."
    )


class Mount(Settings):
    """A volume of the cluster that is mounted in the pods, e.g. with a licensed program or with data."""

    claim: ResourceName = Field(description="Name of the PersistentVolumeClaim in the namespace.")
    path: str = Field(pattern=r"^/", description="Folder in the container.")
    sub_path: str | None = Field(None, description="Folder in the volume; the whole volume by default.")
    read_only: bool = Field(True, description="Mount the volume read-only.")


class PodSettings(Settings):
    """Resources of the pods for one kind of work."""

    cpu: float = Field(1.0, gt=0, le=512, description="CPU cores (request and limit).")
    cpu_limited: bool = Field(True, description="If false, `cpu` is only the request and idle cores may be used, too.")
    memory: Quantity = Field("2Gi", description="Memory limit; also the request unless `memory_request` is given.")
    memory_request: Quantity | None = Field(None, description="Memory request; equal to `memory` by default.")
    disk: Quantity | None = Field(None, description="Scratch space (ephemeral storage); unlimited by default.")
    gpus: int = Field(0, ge=0, le=16, description="GPUs of each pod.")
    gpu_resource: str = Field("nvidia.com/gpu", description="Resource name of the GPUs on the nodes.")
    shared_memory: Quantity | None = Field(None, description="Size of /dev/shm, which torch uses between processes.")
    node_selector: dict[str, str] = Field(default={}, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field(default=[], description="Taints of nodes that the pods tolerate.")
    mounts: list[Mount] = Field(default=[], description="Volumes to mount in the pods.")
    max_pods: int = Field(
        50, ge=1, le=1000, description="Pods of one fan-out; if there are more tasks, several share a pod."
    )


class ImagesSettings(Settings):
    """Where the images are."""

    prefix: str = Field("localhost/", description="Registry and folder, e.g. `registry.example.org/me/`.")
    tag: str = Field(__version__, description="Tag of the images; the version of the package by default.")
    variant: Literal["gpu", "cpu"] = Field("gpu", description="`cpu`: images without CUDA (`make images VARIANT=cpu`).")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = Field(
        "IfNotPresent", description="When the nodes pull the images."
    )
    pull_secrets: list[ResourceName] = Field(default=[], description="Secrets for pulling from a private registry.")
    names: dict[str, str] = Field(
        default={}, description="Your own images, by software: base, deepmd, ase, cp2k, qe, abacus or vasp -> image."
    )

    def name(self, software: str) -> str:
        """Return the image that contains a software."""
        suffix = "-cpu" if self.variant == "cpu" else ""
        return self.names.get(software) or f"{self.prefix}dpa-sse-{software}:{self.tag}{suffix}"


class ArtifactRepository(Settings):
    """ConfigMap of the namespace that defines where artifacts are stored."""

    config_map: ResourceName = Field("artifact-repositories", description="Name of the ConfigMap.")
    key: str = Field("dpa-sse", description="Key of the repository in the ConfigMap.")


class ClusterPreset(Settings):
    """One file of ``configs/resources/``."""

    description: str = Field("", description="What the preset is for.")
    namespace: ResourceName = Field("dpa-sse", description="Namespace of the workflows.")
    service_account: ResourceName = Field(
        "dpa-sse-workflow", description="Service account of the pods; their main containers get no token of it."
    )
    executor_account: ResourceName | None = Field(
        "dpa-sse-executor",
        description="Service account of Argo's own containers, which report the results; null: that of the pods, whose "
        "token the main containers then get, too.",
    )
    artifact_repository: ArtifactRepository = Field(
        ArtifactRepository(), description="Where artifacts are stored, as defined in the namespace."
    )
    images: ImagesSettings = Field(ImagesSettings(), description="Where the images are.")
    parallelism: int = Field(50, ge=1, le=5000, description="Pods of the workflow that run at the same time.")
    retries: int = Field(4, ge=0, le=50, description="Further attempts after a pod was lost, evicted or killed.")
    backoff_s: int = Field(20, ge=1, description="Pause before the second attempt, s; it doubles each time.")
    keep_days: float = Field(
        30, gt=0, description="Days until a finished workflow object is deleted; its results stay."
    )
    store: ResourceName = Field(
        __version__, description="Store of finished tasks; workflows that name the same store share them."
    )
    checkpoint_every_s: int = Field(300, ge=5, description="Checkpoint interval of long tasks, s.")
    grace_s: int = Field(
        60, ge=1, description="Grace period for the final checkpoint when a pod is evicted, s."
    )
    ui: str = Field("", description="Address of Argo's user interface, for the links that `submit` prints.")
    uid: int = Field(1000, ge=1, description="User ID of the containers.")
    pods: dict[Literal["light", "analysis", "train", "infer", "md", "label"], PodSettings] = Field(
        default={}, description="Resources of the pods, by kind of work."
    )

    def pod(self, kind: str) -> PodSettings:
        """Return the resources of the pods for one kind of work."""
        return self.pods.get(kind) or PodSettings()  # type: ignore[call-overload, no-any-return]


class ClusterSettings(Settings):
    """How the project runs on Kubernetes (`render`, `submit`)."""

    preset: str = Field("cpu-only", description="Name of a preset in configs/resources, or a file.")
    overrides: dict[str, Any] = Field(
        {}, description="Values that replace those of the preset: `pods.train.max_pods: 8`, `images.tag: \"1.2\"`."
    )
    suspend: Annotated[list[Literal["after-concurrent-learning", "before-md"]], AfterValidator(unique)] = Field(
        [], description="Points at which the workflow waits for `dpa-sse resume` (or the button in Argo's UI)."
    )
