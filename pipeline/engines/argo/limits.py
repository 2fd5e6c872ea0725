"""The limits of Argo and Kubernetes, checked before anything is submitted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TEMPLATE_BYTES = 128 * 1024
"""The template of a pod is passed in an environment variable; Linux limits their length."""
WORKFLOW_BYTES = 1024 * 1024
"""A larger object stays Pending without a message: etcd takes 1.5 MiB, and the status has to fit in as well."""
NODES = 2500
"""Beyond a few thousand nodes the status outgrows the object, and Argo has to keep it in a database."""
MARGIN = 0.95


def size(data: Any) -> int:
    """Return the bytes that an object takes in the cluster."""
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


# foreign: a workflow of Argo
def steps_of(workflow: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all steps of all templates."""
    for template in workflow["spec"]["templates"]:
        for group in template.get("steps", []):
            yield from group


@dataclass(frozen=True)
class Limits:
    """Compares a rendered workflow with the limits."""

    workflow: Mapping[str, Any]

    def pod_sizes(self) -> dict[str, int]:
        """Return the size in bytes of each pod template, including the inputs that its step writes into it."""
        templates = self._templates()
        sizes = {name: size(template) for name, template in templates.items() if "script" in template}
        for step in steps_of(self.workflow):
            name = step["template"]
            if name in sizes:
                sizes[name] = max(sizes[name], size(templates[name]) + size(step.get("arguments", {})))
        return sizes

    def node_count(self, iterations: int) -> int:
        """Return the number of nodes of the finished workflow, without retries.

        Parameters
        ----------
        iterations : int
            Most iterations of the loop.
        """
        templates = self._templates()

        def below(name: str, seen: tuple[str, ...]) -> int:
            total = 1
            for group in templates[name].get("steps", []):
                total += 1
                for step in group:
                    inner = step["template"]
                    if inner in seen:  # the loop: counted by its iterations
                        continue
                    slices = len(json.loads(step["withParam"])) if "withParam" in step else 1
                    loop = any(
                        again["template"] == inner for steps in templates[inner].get("steps", []) for again in steps
                    )
                    retry = 2 if "retryStrategy" in templates[inner] else 1
                    total += slices * below(inner, (*seen, inner)) * (iterations if loop else retry)
            return total

        entry = self.workflow["spec"]["entrypoint"]
        return below(entry, (entry,))

    def problems(self) -> list[str]:
        """Return which limits the workflow exceeds, and what to do about it."""
        found = [
            f"step {name}: {bytes_ / 1024:.0f} KiB, more than the {TEMPLATE_BYTES // 1024} KiB that fit into a pod's "
            "environment: its inputs are too large to be written into the workflow; `dpa-sse submit` uploads them to "
            "the bucket first (with render: --inputs-in-bucket)"
            for name, bytes_ in self.pod_sizes().items() if bytes_ > MARGIN * TEMPLATE_BYTES
        ]
        total = size(self.workflow)
        if total > MARGIN * WORKFLOW_BYTES:
            found.append(
                f"the workflow has {total / 1024:.0f} KiB, Argo accepts at most {WORKFLOW_BYTES // 1024} KiB (a larger "
                "one stays Pending without a message): `dpa-sse submit` uploads large inputs to the bucket first, or "
                "split the project"
            )
        return found

    def remarks(self, iterations: int) -> list[str]:
        """Return warnings that do not block submission.

        Parameters
        ----------
        iterations : int
            Most iterations of the loop.
        """
        nodes = self.node_count(iterations)
        if nodes <= NODES:
            return []
        return [
            f"up to {nodes} nodes: more than about {NODES} outgrow the workflow object; switch on node status "
            "offloading of the controller (k8s/), or lower cluster.overrides: pods.<kind>.max_pods"
        ]

    def _templates(self) -> dict[str, dict[str, Any]]:
        return {template["name"]: template for template in self.workflow["spec"]["templates"]}
