"""Settings of a cluster: what the pods get, where the images are, what the namespace provides.

A preset is a file in ``configs/resources/`` or of the user's; the section ``cluster`` of a project names it.
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
    """A taint of nodes that the pods may run on."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Mount(Settings):
    """A volume of the cluster that the pods see, e.g. with a licensed program or with data."""

    claim: ResourceName = Field(description="Name of the PersistentVolumeClaim in the namespace.")
    path: str = Field(pattern=r"^/", description="Folder in the container.")
    sub_path: str | None = None
    read_only: bool = True


class PodSettings(Settings):
    """What a pod of one kind of work gets."""

    cpu: float = Field(1.0, gt=0, le=512, description="Processor cores (request and limit).")
    cpu_limited: bool = Field(True, description="false: `cpu` is the request only, idle cores may be used as well.")
    memory: Quantity = Field("2Gi", description="Limit, and request where `memory_request` is not given.")
    memory_request: Quantity | None = None
    disk: Quantity | None = Field(None, description="Scratch space (ephemeral storage); no limit when left out.")
    gpus: int = Field(0, ge=0, le=16)
    gpu_resource: str = Field("nvidia.com/gpu", description="Name under which the nodes offer their cards.")
    shared_memory: Quantity | None = Field(None, description="Size of /dev/shm, which torch uses between processes.")
    node_selector: dict[str, str] = Field(default={})
    tolerations: list[Toleration] = Field(default=[])
    mounts: list[Mount] = Field(default=[])
    max_pods: int = Field(50, ge=1, le=1000, description="Pods of one fan-out; more tasks than that share pods.")


class ImagesSettings(Settings):
    """Where the images are."""

    prefix: str = Field("localhost/", description="Registry and folder, e.g. `registry.example.org/me/`.")
    tag: str = __version__
    variant: Literal["gpu", "cpu"] = Field("gpu", description="`cpu`: without CUDA (`make images VARIANT=cpu`).")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: list[ResourceName] = Field(default=[])
    names: dict[str, str] = Field(default={}, description="Own images: base, deepmd, ase, cp2k or vasp -> image.")


    def name(self, software: str) -> str:
        """Return the image with a software."""
        suffix = "-cpu" if self.variant == "cpu" else ""
        return self.names.get(software) or f"{self.prefix}dpa-sse-{software}:{self.tag}{suffix}"


class ArtifactRepository(Settings):
    """ConfigMap of the namespace that says where artifacts go."""

    config_map: ResourceName = "artifact-repositories"
    key: str = "dpa-sse"


class ClusterPreset(Settings):
    """One file of ``configs/resources/``."""

    description: str = ""
    namespace: ResourceName = "dpa-sse"
    service_account: ResourceName = "dpa-sse-workflow"
    artifact_repository: ArtifactRepository = ArtifactRepository()
    images: ImagesSettings = ImagesSettings()
    parallelism: int = Field(50, ge=1, le=5000, description="Pods of the workflow at a time.")
    retries: int = Field(4, ge=0, le=50, description="Further pods after one that was lost, evicted or killed.")
    backoff_s: int = Field(20, ge=1, description="Pause before the second attempt; it doubles each time.")
    keep_days: float = Field(30, gt=0, description="A finished workflow (not its results) goes after so many days.")
    store: ResourceName = Field(
        __version__, description="Finished tasks are found again by workflows that name the same store."
    )
    checkpoint_every_s: int = Field(300, ge=5, description="Long tasks store a checkpoint every so many seconds.")
    grace_s: int = Field(60, ge=1, description="Seconds a pod has to store its last checkpoint when it must go.")
    ui: str = Field("", description="Address of Argo's user interface, for the links that `submit` prints.")
    uid: int = Field(1000, ge=1, description="User of the containers.")
    pods: dict[Literal["light", "analysis", "train", "infer", "md", "label"], PodSettings] = Field(default={})

    def pod(self, kind: str) -> PodSettings:
        """Return what a pod of one kind of work gets."""
        return self.pods.get(kind) or PodSettings()  # type: ignore[call-overload, no-any-return]


class ClusterSettings(Settings):
    """How the project runs on Kubernetes (`render`, `submit`)."""

    preset: str = Field("cpu-only", description="Name of a preset in configs/resources, or a file.")
    overrides: dict[str, Any] = Field(
        {}, description="Values that replace the preset's: `pods.train.gpus: 2`, `images.tag: \"1.2\"`."
    )
    suspend: Annotated[list[Literal["after-concurrent-learning", "before-md"]], AfterValidator(unique)] = Field(
        [], description="Points at which the workflow waits for a person: `dpa-sse resume`, or the button of the UI."
    )
