"""From what dflow renders to a workflow that a cluster with strict rules accepts.

dflow knows no garbage collection, titles or gates, and names templates at random. Every function here returns new
objects; :mod:`.pod_templates` completes the templates of pods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.runtime.inline import PATH_MARK
from dpa_sse.pipeline.config.cluster import ClusterPreset
from dpa_sse.pipeline.config.remote import VOLUMES
from dpa_sse.pipeline.engines.argo.platform import ArgoPlatform
from dpa_sse.pipeline.engines.argo.pod_templates import SHARED_INIT, pod_template, restricted_context
from dpa_sse.pipeline.engines.platform import StepSpec

API = "argoproj.io/v1alpha1"
AFTER_GATES = "after-gates"
GATES = {
    "after-concurrent-learning": ("concurrent-learning", 1, ""), "before-md": ("md", 0, ""),
    AFTER_GATES: ("gates", 1, "{{steps.gates.outputs.parameters.doubtful}} == true"),
}
"""Steps that wait for a person: the step that each is about, whether it is placed before (0) or after it (1), and the
condition under which it waits."""
GATE = "gate"
DEFAULTS = (("optional", False), ("continueOn", {"error": False, "failed": False}))
Template: TypeAlias = dict[str, Any]
StepGroups: TypeAlias = list[list[dict[str, Any]]]


@dataclass(frozen=True)
class WorkflowInfo:
    """What a workflow is called, and what people and `status` see of it.

    Attributes
    ----------
    project : str
        Name of the project, as Kubernetes allows it.
    title, description : str
        For people (Markdown).
    plan : str
        The steps as JSON.
    gates : tuple of str
        Where the workflow waits for a person, see :data:`GATES`.
    """

    project: str
    title: str
    description: str
    plan: str
    gates: tuple[str, ...] = ()


# foreign: a workflow of Argo
def complete_workflow(rendered: Mapping[str, Any], platform: ArgoPlatform, info: WorkflowInfo) -> dict[str, Any]:
    """Return the complete workflow.

    Parameters
    ----------
    rendered : mapping
        What dflow's ``to_dict`` returns.
    platform : ArgoPlatform
        With the spec of every step.
    info : WorkflowInfo
        Name, title, plan, gates.

    Raises
    ------
    FatalError
        dflow renders something else than expected.
    """
    preset = platform.preset
    spec = _renamed(_pruned(rendered["spec"]), _new_names(rendered, platform.specs))
    labels = {"app.kubernetes.io/part-of": "dpa-sse", "dpa-sse/project": info.project}
    return {
        "apiVersion": API,
        "kind": "Workflow",
        "metadata": {
            "generateName": f"{info.project}-",
            "labels": labels,
            "annotations": {
                "workflows.argoproj.io/title": info.title,
                "workflows.argoproj.io/description": info.description,
                "dpa-sse/plan": info.plan,
            },
        },
        "spec": {
            "entrypoint": spec["entrypoint"],
            **_arguments(platform.parameters),
            **_rules(preset, labels),
            "templates": _templates(spec["templates"], spec["entrypoint"], platform, info.gates),
        },
    }


# foreign: a workflow of Argo
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


def _rules(preset: ClusterPreset, labels: Mapping[str, str]) -> dict[str, object]:
    """Return what applies to all pods of a workflow, and what happens to it when it has finished."""
    secrets = [{"name": name} for name in preset.images.pull_secrets]
    return {
        "serviceAccountName": preset.service_account,
        **_executor(preset),
        "artifactRepositoryRef": {
            "configMap": preset.artifact_repository.config_map, "key": preset.artifact_repository.key,
        },
        "archiveLogs": True,
        "artifactGC": {"strategy": "Never"},
        "podGC": {"strategy": "OnPodSuccess"},
        "ttlStrategy": {"secondsAfterCompletion": round(preset.keep_days * 86400)},
        "parallelism": preset.parallelism,
        "podMetadata": {"labels": labels},
        "podSpecPatch": _pod_patch(preset),
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": preset.uid, "runAsGroup": preset.uid, "fsGroup": preset.uid,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"imagePullSecrets": secrets} if secrets else {}),
    }


def _executor(preset: ClusterPreset) -> dict[str, object]:
    """Return an account for Argo's own containers; the main container, which runs foreign models, gets no token."""
    if preset.executor_account is None:
        return {}
    return {"automountServiceAccountToken": False, "executor": {"serviceAccountName": preset.executor_account}}


def _pod_patch(preset: ClusterPreset) -> str:
    """Return settings of the pods that templates cannot express.

    Argo's own containers would run as user 8737 and load inputs into folders that nobody else may enter; the controller
    of another installation gives them no security context at all, so the restricted level would refuse them.
    """
    same_user = {"securityContext": {**restricted_context(), "runAsUser": preset.uid}}
    patch = {
        "terminationGracePeriodSeconds": preset.grace_s,
        "initContainers": [{"name": "init", **same_user}],
        "containers": [{"name": "wait", **same_user}],
    }
    return json.dumps(patch, separators=(",", ":"))


def _arguments(parameters: Mapping[str, str]) -> dict[str, object]:
    found = [{"name": name, "description": text} for name, text in parameters.items()]
    return {"arguments": {"parameters": found}} if found else {}


def _new_names(rendered: Mapping[str, Any], specs: Mapping[str, StepSpec]) -> dict[str, str]:
    """Return readable names for the templates that dflow named at random."""
    names = {}
    for template in rendered["spec"]["templates"]:
        given = template["name"]
        plain = given.removesuffix("-init-artifact")
        parts = plain.split("-")
        starts = ["-".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
        step = next((
            start for start in starts if start in specs and re.fullmatch("(?:-[a-z0-9]{5})+", plain[len(start):])
        ), None)  # the longest: a step may itself end in a word of five letters
        if step is not None and given not in specs:
            names[given] = f"{step}-init" if plain != given else step
    if len(set(names.values())) < len(names):
        raise FatalError("two templates would get the same name: pydflow has changed")
    first = [name for name in names.values() if name.endswith("-init")]
    if len(first) == 1:  # dflow uses one for all fan-outs
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
    """Leave out empty values, except where emptiness has a meaning."""
    if isinstance(data, dict):
        kept = {key: _pruned(value) for key, value in data.items() if (key, value) not in DEFAULTS}
        return {key: value for key, value in kept.items() if value not in ({}, [], None) or key == "none"}
    if isinstance(data, list):
        return [_pruned(item) for item in data]
    return data


def _templates(
    templates: Sequence[Template], entry: str, platform: ArgoPlatform, gates: Sequence[str]
) -> list[Template]:
    """Return the complete templates, and that of the gates if there are any."""
    claims = _claims_of_inputs(templates)
    complete = []
    for template in templates:
        if "script" in template:
            complete.append(pod_template(template, platform, claims.get(template["name"], [])))
        else:
            groups = _overlapped(template.get("steps", []))
            if template["name"] == entry:
                groups = _with_gates(groups, gates)
            complete.append({**template, **({"steps": groups} if groups else {})})
    if any(step["template"] == GATE for step in _steps(complete)):
        complete.append({"name": GATE, "suspend": {}})
    return complete


def _steps(templates: Sequence[Template]) -> Iterator[dict[str, Any]]:
    for template in templates:
        for group in template.get("steps", []):
            yield from group


def _claims_of_inputs(templates: Sequence[Template]) -> dict[str, list[str]]:
    """Return by template which volume claims hold inputs of its steps."""
    found: dict[str, list[str]] = {}
    for step in _steps(templates):
        for item in step.get("arguments", {}).get("artifacts", []):
            text = item.get("raw", {}).get("data", "")
            if text.startswith(PATH_MARK):
                claim = text[len(PATH_MARK) :].strip().removeprefix(f"{VOLUMES}/").split("/")[0]
                claims = found.setdefault(step["template"], [])
                claims += [claim] if claim not in claims else []
    return found


def _overlapped(groups: StepGroups) -> StepGroups:
    """Return the groups with each bookkeeping step of a fan-out, which waits for nothing, next to the step before."""
    merged: StepGroups = []
    for group in groups:
        if merged and all(step["template"] == SHARED_INIT for step in group):
            merged[-1] = [*merged[-1], *group]
        else:
            merged.append(group)
    return merged


def _with_gates(groups: StepGroups, gates: Sequence[str]) -> StepGroups:
    """Return the groups with a step that waits for a person before or after the step that each gate is about."""
    for gate in gates:
        step, offset, when = GATES[gate]
        places = [number for number, group in enumerate(groups) if group[0]["name"] == step]
        if places:
            cut = places[0] + offset
            waiting = {"name": gate, "template": GATE, **({"when": when} if when else {})}
            groups = [*groups[:cut], [waiting], *groups[cut:]]
    return groups
