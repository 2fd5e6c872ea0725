"""The template of a pod: what dflow renders, and what a cluster with strict rules needs in addition.

dflow knows no backoff, security context, deadlines of pods, metrics or titles, and writes its own configuration (with
addresses) into every script.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from dpa_sse.ops.core.environment import S3_PREFIX
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.pipeline.config.cluster import ClusterPreset, PodSettings
from dpa_sse.pipeline.config.remote import VOLUMES
from dpa_sse.pipeline.engines.argo.platform import PAGES, ArgoPlatform
from dpa_sse.pipeline.engines.platform import StepSpec

FATAL_EXIT_CODE = 2
"""Exit code of a dflow script if a retry is useless (dpa_sse.ops.core.errors.FatalError)."""
RETRY_EXPRESSION = f"asInt(lastRetry.exitCode) != {FATAL_EXIT_CODE}"
TMP, SHM = "/tmp", "/dev/shm"  # noqa: S108  (in a container)
STORE_CONFIG, STORE_SECRET = "dpa-sse-store", "dpa-sse-s3"
SHARED_INIT = "fan-out-init"
"""dflow's bookkeeping step of fan-outs."""
DEADLINE_MARGIN_S = 600
METRICS = {
    "candidates": ("dpa_sse_candidates", "Frames between the trust levels in an iteration"),
    "selected": ("dpa_sse_selected", "Frames chosen for labelling in an iteration"),
    "accurate": ("dpa_sse_accurate_ratio", "Share of the explored frames that the ensemble agrees on"),
    "next_iteration": ("dpa_sse_iteration", "Finished iterations of concurrent learning"),
    "force_mae_meV_A": ("dpa_sse_force_mae_mev_per_angstrom", "Mean absolute error of the forces on test frames"),
    "sigma_300K_mS_cm": ("dpa_sse_sigma_300k_ms_per_cm", "Ionic conductivity at 300 K"),
}
_CONFIG_LINES = re.compile(r"^(?:s3_)?config\.update\(.*\)\n", re.MULTILINE)
_CONFIG_IMPORT = "import json\nfrom dflow import config, jsonpickle, s3_config\n"


# foreign: a template of an Argo workflow
def pod_template(template: dict[str, Any], platform: ArgoPlatform, claims: Sequence[str]) -> dict[str, Any]:
    """Return the complete template of a pod.

    Parameters
    ----------
    template : dict
        As rendered by dflow, named after its step.
    platform : ArgoPlatform
        With the spec of every step.
    claims : sequence of str
        Volume claims that hold inputs of the step; mounted read-only.

    Raises
    ------
    FatalError
        The template is not one of this pipeline.
    """
    name = template["name"]
    spec = platform.specs.get(name)
    if spec is None and name != SHARED_INIT:
        raise FatalError(f"the template {name} is not one of the pipeline's: pydflow has changed")
    preset = platform.preset
    pod = preset.pod(spec.op.resource_class if spec else "light")
    complete = {
        "name": name,
        "annotations": {"workflows.argoproj.io/display-name": "{{inputs.parameters.dflow_key}}"} if spec else {},
        "metadata": {"annotations": _annotations(template, spec)},
        **{key: value for key, value in template.items() if key not in ("name", "metadata", "script")},
        "script": _script(template["script"], spec, pod, preset, claims),
        "volumes": _volumes(pod, claims),
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [item.model_dump(exclude_none=True) for item in pod.tolerations],
        "retryStrategy": {
            "limit": str(preset.retries),
            "retryPolicy": "Always",
            "expression": RETRY_EXPRESSION,
            "backoff": {"duration": f"{preset.backoff_s}s", "factor": "2", "cap": "10m"},
        },
        "activeDeadlineSeconds": _deadline_s(spec, platform),
        "metrics": {"prometheus": metrics} if (metrics := _metrics(spec)) else {},
    }
    if spec and spec.op.html_page:
        outputs = complete["outputs"]
        complete["outputs"] = {**outputs, "artifacts": [*outputs["artifacts"], _page(spec.op.html_page)]}
    return {key: value for key, value in complete.items() if value not in ({}, [], None)}


def restricted_context() -> dict[str, object]:
    """Return the security context that Pod Security *restricted* requires, with a read-only root in addition."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _annotations(template: dict[str, Any], spec: StepSpec | None) -> dict[str, str]:
    kept = dict(template.get("metadata", {}).get("annotations", {}))
    if spec:
        kept["dpa-sse/title"] = spec.title
        if spec.group_size > 1:
            kept["workflows.argoproj.io/progress"] = f"0/{spec.group_size}"
    return kept


def _script(
    script: dict[str, Any], spec: StepSpec | None, pod: PodSettings, preset: ClusterPreset,
    claims: Sequence[str],
) -> dict[str, object]:
    return {
        "image": script["image"],
        "imagePullPolicy": preset.images.pull_policy,
        "command": script["command"],
        **({"env": script["env"], "envFrom": _variables_of_namespace()} if spec else {}),
        "resources": _resources(spec, pod),
        "securityContext": restricted_context(),
        "volumeMounts": _mounts(pod, claims),
        "source": _source(script["source"], spec),
    }


def _source(source: str, spec: StepSpec | None) -> str:
    """Return the script without dflow's configuration, which has addresses in it."""
    if spec:
        if _CONFIG_IMPORT not in source:
            raise FatalError(f"the script of {spec.name} does not start as expected: pydflow has changed")
        source = _CONFIG_LINES.sub("", source.replace(_CONFIG_IMPORT, "")).lstrip()
    return "\n".join(line.rstrip() for line in source.splitlines()) + "\n"


def _resources(spec: StepSpec | None, pod: PodSettings) -> dict[str, dict[str, str]]:
    amounts: dict[str, str] = {"cpu": f"{pod.cpu:g}", "memory": pod.memory}
    if pod.disk:
        amounts["ephemeral-storage"] = pod.disk
    requests = {**amounts, "memory": pod.memory_request or pod.memory}
    limits = {name: amount for name, amount in amounts.items() if name != "cpu" or pod.cpu_limited}
    cards = {pod.gpu_resource: str(pod.gpus)} if pod.gpus and spec and spec.gpu else {}
    return {"requests": {**requests, **cards}, "limits": {**limits, **cards}}


def _variables_of_namespace() -> list[dict[str, object]]:
    """Return the location of the task store, by reference to objects of the namespace that need not exist."""
    return [
        {"prefix": S3_PREFIX, "configMapRef": {"name": STORE_CONFIG, "optional": True}},
        {"prefix": S3_PREFIX, "secretRef": {"name": STORE_SECRET, "optional": True}},
    ]


def _volumes(pod: PodSettings, claims: Sequence[str]) -> list[dict[str, object]]:
    volumes: list[dict[str, object]] = [{"name": "tmp", "emptyDir": {"sizeLimit": pod.disk} if pod.disk else {}}]
    if pod.shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pod.shared_memory}})
    mounted = [(f"mount-{number}", mount.claim, mount.read_only) for number, mount in enumerate(pod.mounts)]
    inputs = [(name, claim, True) for name, claim in _input_volumes(pod, claims)]
    return volumes + [
        {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}}
        for name, claim, read_only in [*mounted, *inputs]
    ]


def _mounts(pod: PodSettings, claims: Sequence[str]) -> list[dict[str, object]]:
    mounts: list[dict[str, object]] = [{"name": "tmp", "mountPath": TMP}]
    if pod.shared_memory:
        mounts.append({"name": "shm", "mountPath": SHM})
    for number, mount in enumerate(pod.mounts):
        entry: dict[str, object] = {"name": f"mount-{number}", "mountPath": mount.path, "readOnly": mount.read_only}
        mounts.append(entry | ({"subPath": mount.sub_path} if mount.sub_path else {}))
    return mounts + [
        {"name": name, "mountPath": f"{VOLUMES}/{claim}", "readOnly": True}
        for name, claim in _input_volumes(pod, claims)
    ]


def _input_volumes(pod: PodSettings, claims: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and claim of the volumes with inputs; a claim may have a dot in its name, a volume not."""
    return [(f"input-{number}", claim) for number, claim in enumerate(claims, start=len(pod.mounts))]


def _deadline_s(spec: StepSpec | None, platform: ArgoPlatform) -> int | None:
    """Return the seconds after which Kubernetes ends a pod that has not ended by its own time limit."""
    limit = platform.resources.task_timeout_s
    if spec is None or limit <= 0:
        return None
    return math.ceil(limit * spec.group_size * (platform.resources.retries + 1)) + DEADLINE_MARGIN_S


def _page(name: str) -> dict[str, object]:
    """Return the HTML page of a result as a separate artifact, which the user interface shows."""
    return {"name": "page", "path": f"{PAGES}/{name}", "optional": True, "archive": {"none": {}}}


def _metrics(spec: StepSpec | None) -> list[dict[str, object]]:
    return [
        {
            "name": METRICS[name][0],
            "help": METRICS[name][1],
            "labels": [{"key": "workflow", "value": "{{workflow.name}}"}, {"key": "step", "value": spec.name}],
            "gauge": {"realtime": False, "value": f"{{{{outputs.parameters.{name}}}}}"},
            "when": "{{status}} == Succeeded",
        }
        for name, kind in spec.op.returns.items() if name in METRICS and kind is not bool
    ] if spec else []
