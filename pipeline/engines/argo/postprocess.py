"""From what dflow renders to a workflow that a cluster with strict rules takes.

dflow knows no backoff, security context, deadlines of pods, garbage collection, metrics or titles, writes its own
configuration (with addresses) into every script, and gives templates random names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.runtime.inline import PATH_MARK
from dpa_sse.pipeline.config.cluster import ClusterPreset, PodSettings
from dpa_sse.pipeline.config.remote import VOLUMES
from dpa_sse.pipeline.engines.argo.platform import PAGES, ArgoPlatform
from dpa_sse.pipeline.engines.platform import StepSpec

API = "argoproj.io/v1alpha1"
FATAL_EXIT_CODE = 2
"""What a dflow script ends with when trying again is useless (dpa_sse.ops.core.errors.FatalError)."""
RETRY_EXPRESSION = f"asInt(lastRetry.exitCode) != {FATAL_EXIT_CODE}"
TMP = "/tmp"  # noqa: S108  (in a container of its own)
STORE_CONFIG, STORE_SECRET = "dpa-sse-store", "dpa-sse-s3"
STORE_PREFIX = "DPA_SSE_S3_"
SHARED_INIT = "fan-out-init"
DEADLINE_MARGIN_S = 600
GATES = {"after-concurrent-learning": ("concurrent-learning", 1), "before-md": ("md", 0)}
METRICS = {
    "candidates": ("dpa_sse_candidates", "Frames between the trust levels in an iteration"),
    "selected": ("dpa_sse_selected", "Frames chosen for labelling in an iteration"),
    "accurate": ("dpa_sse_accurate_ratio", "Share of the explored frames that the ensemble agrees on"),
    "next_iteration": ("dpa_sse_iteration", "Finished iterations of concurrent learning"),
    "force_mae_meV_A": ("dpa_sse_force_mae_mev_per_angstrom", "Mean absolute error of the forces on test frames"),
    "sigma_300K_mS_cm": ("dpa_sse_sigma_300k_ms_per_cm", "Ionic conductivity at 300 K"),
}
DEFAULTS = (("optional", False), ("continueOn", {"error": False, "failed": False}))
_CONFIG_LINES = re.compile(r"^(?:s3_)?config\.update\(.*\)\n", re.MULTILINE)
_CONFIG_IMPORT = "import json\nfrom dflow import config, jsonpickle, s3_config\n"


def finish(rendered: Mapping[str, Any], platform: ArgoPlatform, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the complete workflow.

    Parameters
    ----------
    rendered : mapping
        What dflow's ``to_dict`` gives.
    platform : ArgoPlatform
        With the spec of every step.
    about : mapping
        ``project``, ``title``, ``description``, ``plan`` (JSON text) and ``suspend`` (names of gates).
    """
    preset = platform.preset
    names = _new_names(rendered, platform.specs)
    spec = _renamed(_pruned(rendered["spec"]), names)
    entry = spec["entrypoint"]
    templates = [_template(template, platform) for template in spec["templates"]]
    _mount_inputs(templates)
    _begin_early(templates)
    _add_gates(templates, entry, about["suspend"])
    seconds = round(preset.keep_days * 86400)
    labels = {"app.kubernetes.io/part-of": "dpa-sse", "dpa-sse/project": about["project"]}
    return {
        "apiVersion": API,
        "kind": "Workflow",
        "metadata": {
            "generateName": f"{about['project']}-",
            "labels": labels,
            "annotations": {
                "workflows.argoproj.io/title": about["title"],
                "workflows.argoproj.io/description": about["description"],
                "dpa-sse/plan": about["plan"],
            },
        },
        "spec": {
            "entrypoint": entry,
            **_arguments(platform.parameters),
            "serviceAccountName": preset.service_account,
            "artifactRepositoryRef": {
                "configMap": preset.artifact_repository.config_map, "key": preset.artifact_repository.key,
            },
            "archiveLogs": True,
            "artifactGC": {"strategy": "Never"},
            "podGC": {"strategy": "OnPodSuccess"},
            "ttlStrategy": {"secondsAfterCompletion": seconds},
            "parallelism": preset.parallelism,
            "podMetadata": {"labels": labels},
            "podSpecPatch": _pod_patch(preset),
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": preset.uid, "runAsGroup": preset.uid, "fsGroup": preset.uid,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **({"imagePullSecrets": [{"name": name} for name in preset.images.pull_secrets]}
               if preset.images.pull_secrets else {}),
            "templates": templates,
        },
    }


def as_template(workflow: Mapping[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """Return a workflow as a WorkflowTemplate, for `argo submit --from workflowtemplate/NAME`."""
    metadata = workflow["metadata"]
    return {
        "apiVersion": API,
        "kind": "WorkflowTemplate",
        "metadata": {
            "name": name, "namespace": namespace, "labels": metadata["labels"], "annotations": metadata["annotations"],
        },
        "spec": {
            **workflow["spec"],
            "workflowMetadata": {"labels": metadata["labels"], "annotations": metadata["annotations"]},
        },
    }


def _pod_patch(preset: ClusterPreset) -> str:
    """Return what the pods get that templates can not say.

    Argo's own containers would run as user 8737 and load inputs into folders that nobody else may enter; the
    controller of another installation gives them no security context at all, and the restricted level refuses them.
    """
    same_user = {"securityContext": {**_restricted(), "runAsUser": preset.uid}}
    patch = {
        "terminationGracePeriodSeconds": preset.grace_s,
        "initContainers": [{"name": "init", **same_user}],
        "containers": [{"name": "wait", **same_user}],
    }
    return json.dumps(patch, separators=(",", ":"))


def _restricted() -> dict[str, Any]:
    """Return what Pod Security *restricted* asks of a container, and a read-only root besides."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _arguments(parameters: Mapping[str, str]) -> dict[str, Any]:
    found = [{"name": name, "description": text} for name, text in parameters.items()]
    return {"arguments": {"parameters": found}} if found else {}


def _new_names(rendered: Mapping[str, Any], specs: Mapping[str, StepSpec]) -> dict[str, str]:
    """Return readable names for the templates that dflow has named at random."""
    names = {}
    for template in rendered["spec"]["templates"]:
        found = re.fullmatch(r"(.+?)((?:-[a-z0-9]{5})+)(-init-artifact)?", template["name"])
        if found and template["name"] not in specs and found[1] in specs:
            names[template["name"]] = f"{found[1]}-init" if found[3] else found[1]
    if len(set(names.values())) < len(names):
        raise FatalError("two templates would get the same name: pydflow has changed")
    first = [name for name in names.values() if name.endswith("-init")]
    if len(first) == 1:  # dflow uses one for all
        return {name: SHARED_INIT if new == first[0] else new for name, new in names.items()}
    return names


def _renamed(data: Any, names: Mapping[str, str]) -> Any:
    """Replace names of templates wherever they are mentioned, and shorten those of dflow's own steps."""
    pattern = re.compile("|".join([*sorted(map(re.escape, names), key=len, reverse=True), "-init-artifact"]))

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) if key not in ("data", "source") else item for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, str):
            return pattern.sub(lambda match: names.get(match[0], "-init"), value)
        return value

    return walk(data)


def _pruned(data: Any) -> Any:
    """Leave out what is empty, except where emptiness says something."""
    if isinstance(data, dict):
        kept = {key: _pruned(value) for key, value in data.items() if (key, value) not in DEFAULTS}
        return {key: value for key, value in kept.items() if value not in ({}, [], None) or key == "none"}
    if isinstance(data, list):
        return [_pruned(item) for item in data]
    return data


def _template(template: dict[str, Any], platform: ArgoPlatform) -> dict[str, Any]:
    if "script" not in template:
        return template
    name = template["name"]
    spec = platform.specs.get(name)
    if spec is None and name != SHARED_INIT:
        raise FatalError(f"the template {name} is none of ours: pydflow has changed")
    preset = platform.preset
    pod = preset.pod(spec.op.resource_class if spec else "light")
    done = {
        "name": name,
        "annotations": {"workflows.argoproj.io/display-name": "{{inputs.parameters.dflow_key}}"} if spec else {},
        "metadata": {"annotations": _annotations(template, spec)},
        **{key: value for key, value in template.items() if key not in ("name", "metadata", "script")},
        "script": _script(template["script"], spec, pod, preset),
        "volumes": _volumes(pod),
        "nodeSelector": dict(pod.node_selector),
        "tolerations": [item.model_dump(exclude_none=True) for item in pod.tolerations],
        "retryStrategy": {
            "limit": str(preset.retries),
            "retryPolicy": "Always",
            "expression": RETRY_EXPRESSION,
            "backoff": {"duration": f"{preset.backoff_s}s", "factor": "2", "cap": "10m"},
        },
    }
    deadline = _deadline_s(spec, platform)
    if deadline:
        done["activeDeadlineSeconds"] = deadline
    if spec:
        _add_page(done, spec)
        _add_metrics(done, spec)
    return {key: value for key, value in done.items() if value not in ({}, [])}


def _annotations(template: dict[str, Any], spec: StepSpec | None) -> dict[str, str]:
    kept = dict(template.get("metadata", {}).get("annotations", {}))
    if spec:
        kept["dpa-sse/title"] = spec.title
        if spec.group_size > 1:
            kept["workflows.argoproj.io/progress"] = f"0/{spec.group_size}"
    return kept


def _script(script: dict[str, Any], spec: StepSpec | None, pod: PodSettings, preset: ClusterPreset) -> dict[str, Any]:
    source = script["source"]
    if spec:
        if _CONFIG_IMPORT not in source:
            raise FatalError(f"the script of {spec.name} does not begin as expected: pydflow has changed")
        source = _CONFIG_LINES.sub("", source.replace(_CONFIG_IMPORT, "")).lstrip()
    amounts: dict[str, str] = {"cpu": f"{pod.cpu:g}", "memory": pod.memory}
    if pod.disk:
        amounts["ephemeral-storage"] = pod.disk
    requests, limits = dict(amounts), dict(amounts)
    if pod.memory_request:
        requests["memory"] = pod.memory_request
    if not pod.cpu_limited:
        del limits["cpu"]
    cards = {pod.gpu_resource: str(pod.gpus)} if pod.gpus and spec and spec.gpu else {}
    mounts = [{"name": "tmp", "mountPath": TMP}]
    if pod.shared_memory:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    for number, mount in enumerate(pod.mounts):
        entry: dict[str, Any] = {"name": f"mount-{number}", "mountPath": mount.path, "readOnly": mount.read_only}
        mounts.append(entry | ({"subPath": mount.sub_path} if mount.sub_path else {}))
    return {
        "image": script["image"],
        "imagePullPolicy": preset.images.pull_policy,
        "command": script["command"],
        **({"env": script["env"], "envFrom": _variables_of_namespace()} if spec else {}),
        "resources": {"requests": {**requests, **cards}, "limits": {**limits, **cards}},
        "securityContext": _restricted(),
        "volumeMounts": mounts,
        "source": "\n".join(line.rstrip() for line in source.splitlines()) + "\n",
    }


def _variables_of_namespace() -> list[dict[str, Any]]:
    """Return where the store of tasks is: by reference to objects of the namespace, which need not exist."""
    return [
        {"prefix": STORE_PREFIX, "configMapRef": {"name": STORE_CONFIG, "optional": True}},
        {"prefix": STORE_PREFIX, "secretRef": {"name": STORE_SECRET, "optional": True}},
    ]


def _volumes(pod: PodSettings) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": pod.disk} if pod.disk else {}}]
    if pod.shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pod.shared_memory}})
    return volumes + [
        {"name": f"mount-{number}", "persistentVolumeClaim": {"claimName": mount.claim, "readOnly": mount.read_only}}
        for number, mount in enumerate(pod.mounts)
    ]


def _deadline_s(spec: StepSpec | None, platform: ArgoPlatform) -> int | None:
    """Return the seconds after which Kubernetes ends a pod whose own clock has failed."""
    limit = platform.resources.task_timeout_s
    if spec is None or limit <= 0:
        return None
    return math.ceil(limit * spec.group_size * (platform.resources.retries + 1)) + DEADLINE_MARGIN_S


def _add_page(template: dict[str, Any], spec: StepSpec) -> None:
    """Give the page of a result an artifact of its own, which the user interface shows."""
    if spec.op.html_page:
        template["outputs"]["artifacts"].append({
            "name": "page", "path": f"{PAGES}/{spec.op.html_page}", "optional": True, "archive": {"none": {}},
        })


def _add_metrics(template: dict[str, Any], spec: StepSpec) -> None:
    found = [
        {
            "name": METRICS[name][0],
            "help": METRICS[name][1],
            "labels": [{"key": "workflow", "value": "{{workflow.name}}"}, {"key": "step", "value": spec.name}],
            "gauge": {"realtime": False, "value": f"{{{{outputs.parameters.{name}}}}}"},
            "when": "{{status}} == Succeeded",
        }
        for name, kind in spec.op.returns.items() if name in METRICS and kind is not bool
    ]
    if found:
        template["metrics"] = {"prometheus": found}


def _mount_inputs(templates: list[dict[str, Any]]) -> None:
    """Give the pods of a step the volumes that its inputs lie on, read-only."""
    by_name = {template["name"]: template for template in templates}
    steps = [step for template in templates for group in template.get("steps", []) for step in group]
    for step in steps:
        for item in step.get("arguments", {}).get("artifacts", []):
            text = item.get("raw", {}).get("data", "")
            if not text.startswith(PATH_MARK):
                continue
            claim = text[len(PATH_MARK) :].strip().removeprefix(f"{VOLUMES}/").split("/")[0]
            template = by_name[step["template"]]
            source = {"claimName": claim, "readOnly": True}
            if source not in [volume.get("persistentVolumeClaim") for volume in template["volumes"]]:
                # A claim may have a dot in its name, a volume not.
                name = f"input-{sum('persistentVolumeClaim' in volume for volume in template['volumes'])}"
                template["volumes"].append({"name": name, "persistentVolumeClaim": source})
                mount = {"name": name, "mountPath": f"{VOLUMES}/{claim}", "readOnly": True}
                template["script"]["volumeMounts"].append(mount)


def _begin_early(templates: list[dict[str, Any]]) -> None:
    """Let the bookkeeping step of a fan-out, which waits for nothing, run beside the step before it."""
    for template in templates:
        groups: list[list[dict[str, Any]]] = []
        for group in template.get("steps", []):
            if groups and all(step["template"] == SHARED_INIT for step in group):
                groups[-1] = [*groups[-1], *group]
            else:
                groups.append(group)
        if groups:
            template["steps"] = groups


def _add_gates(templates: list[dict[str, Any]], entry: str, gates: list[str]) -> None:
    """Put a step that waits for a person before or after the step that a gate is about."""
    main = next(template for template in templates if template["name"] == entry)
    for gate in gates:
        step, offset = GATES[gate]
        places = [number for number, group in enumerate(main["steps"]) if group[0]["name"] == step]
        if places:
            main["steps"].insert(places[0] + offset, [{"name": gate, "template": "gate"}])
    if any(step["template"] == "gate" for group in main["steps"] for step in group):
        templates.append({"name": "gate", "suspend": {}})
