"""The limits of Argo and Kubernetes, looked at before anything is submitted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

TEMPLATE_BYTES = 128 * 1024
"""The template of a pod travels in an environment variable; Linux allows no longer one."""
WORKFLOW_BYTES = 1024 * 1024
"""A larger object stays Pending without a word: etcd takes 1.5 MiB, and the status has to fit in as well."""
NODES = 2500
"""Beyond some thousand nodes the status outgrows the object, and Argo must keep it in a database."""
MARGIN = 0.95


def size(data: Any) -> int:
    """Return the bytes that an object takes in the cluster."""
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def pod_sizes(workflow: dict[str, Any]) -> dict[str, int]:
    """Return the size of each pod template, with the inputs that its step writes into it."""
    templates = {template["name"]: template for template in workflow["spec"]["templates"]}
    sizes = {name: size(template) for name, template in templates.items() if "script" in template}
    for step in steps_of(workflow):
        name = step["template"]
        if name in sizes:
            sizes[name] = max(sizes[name], size(templates[name]) + size(step.get("arguments", {})))
    return sizes


def steps_of(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all steps of all templates."""
    for template in workflow["spec"]["templates"]:
        for group in template.get("steps", []):
            yield from group


def node_count(workflow: dict[str, Any], iterations: int) -> int:
    """Return how many nodes the workflow has when it has finished, retries not counted.

    Parameters
    ----------
    workflow : dict
    iterations : int
        Most iterations of the loop.
    """
    templates = {template["name"]: template for template in workflow["spec"]["templates"]}

    def below(name: str, seen: tuple[str, ...]) -> int:
        total = 1
        for group in templates[name].get("steps", []):
            total += 1
            for step in group:
                if step["template"] in seen:  # the loop: counted by its iterations
                    continue
                times = len(json.loads(step["withParam"])) if "withParam" in step else 1
                loop = any(
                    inner["template"] == step["template"]
                    for steps in templates[step["template"]].get("steps", []) for inner in steps
                )
                retry = 2 if "retryStrategy" in templates[step["template"]] else 1
                total += times * below(step["template"], (*seen, step["template"])) * (iterations if loop else retry)
        return total

    return below(workflow["spec"]["entrypoint"], (workflow["spec"]["entrypoint"],))


def problems(workflow: dict[str, Any]) -> list[str]:
    """Return which limits a workflow exceeds, and what to do about it."""
    found = [
        f"step {name}: {bytes_ / 1024:.0f} KiB, more than the {TEMPLATE_BYTES // 1024} KiB that fit into a pod's "
        "environment: its inputs are too large to be written into the workflow; `dpa-sse submit` puts them into "
        "the bucket first (with render: --inputs-in-bucket)"
        for name, bytes_ in pod_sizes(workflow).items() if bytes_ > MARGIN * TEMPLATE_BYTES
    ]
    total = size(workflow)
    if total > MARGIN * WORKFLOW_BYTES:
        found.append(
            f"the workflow has {total / 1024:.0f} KiB, Argo takes at most {WORKFLOW_BYTES // 1024} KiB (a larger one "
            "stays Pending without a message): `dpa-sse submit` puts large inputs into the bucket first, or split "
            "the project"
        )
    return found


def remarks(workflow: dict[str, Any], iterations: int) -> list[str]:
    """Return what a person should know that is no reason to refuse."""
    nodes = node_count(workflow, iterations)
    if nodes <= NODES:
        return []
    return [
        f"up to {nodes} nodes: more than some {NODES} outgrow the workflow object; switch on node status offloading "
        "of the controller (k8s/), or lower cluster.overrides: pods.<kind>.max_pods"
    ]
