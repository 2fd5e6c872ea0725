"""Rendered objects against Argo's own definition of a template, as `k8s/crds` holds it: types, no unknown field.

The definition of whole workflows is cut short there (as Argo installs it); that of task sets holds templates in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.engines.argo.postprocess import as_template
from dpa_sse.pipeline.engines.argo.yaml_text import dump
from dpa_sse.pipeline.flows.render import render

ROOT = Path(__file__).resolve().parents[4]
MOCK = ROOT / "tests" / "pipeline" / "flows" / "mock.yaml"
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "integer": (int,),
    "number": (int, float),
}
SPEC = {  # fields of a workflow's spec that we use, and their types
    "entrypoint": str, "serviceAccountName": str, "automountServiceAccountToken": bool,
    "executor": dict, "artifactRepositoryRef": dict, "archiveLogs": bool,
    "artifactGC": dict, "podGC": dict, "ttlStrategy": dict, "parallelism": int, "podMetadata": dict,
    "podSpecPatch": str, "securityContext": dict, "imagePullSecrets": list, "templates": list, "arguments": dict,
    "workflowMetadata": dict,
}


@cache
def template_rule() -> dict[str, Any]:
    text = (ROOT / "k8s" / "crds" / "argoproj.io_workflowtasksets.yaml").read_text()
    definition = yaml.safe_load(text)
    rule = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rule = rule["properties"]["tasks"]["additionalProperties"]
    script = rule["properties"]["script"]
    script["required"] = [name for name in script["required"] if name != "name"]  # the controller gives it
    return rule


def check(workflow: dict[str, Any]) -> list[str]:
    spec = workflow["spec"]
    found = [f"spec.{name}" for name, value in spec.items() if not isinstance(value, SPEC.get(name, type(None)))]
    rule = template_rule()
    step_rule = rule["properties"]["steps"]["items"]["properties"]["steps"]["items"]
    for template in spec["templates"]:
        others = {key: value for key, value in template.items() if key != "steps"}
        found += breaches(others, rule, template["name"])
        for step in (step for group in template.get("steps", []) for step in group):  # lists of lists: not in the rule
            found += breaches(step, step_rule, f"{template['name']}.{step['name']}")
    return found


def breaches(data: Any, rule: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield what an object has that its definition does not allow; unknown fields too, as in strict validation."""
    if rule.get("x-kubernetes-int-or-string"):
        if not isinstance(data, (int, str)):
            yield f"{path}: neither a number nor a text"
        return
    expected = TYPES.get(rule.get("type", ""))
    if expected and (not isinstance(data, expected) or (isinstance(data, bool) and bool not in expected)):
        yield f"{path}: {type(data).__name__} instead of {rule['type']}"
        return
    if isinstance(data, dict):
        yield from (f"{path}: {name} is missing" for name in rule.get("required", []) if name not in data)
        known, others = rule.get("properties", {}), rule.get("additionalProperties")
        for name, value in data.items():
            if name in known:
                yield from breaches(value, known[name], f"{path}.{name}")
            elif isinstance(others, dict):
                yield from breaches(value, others, f"{path}.{name}")
            elif not rule.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path}: unknown field {name}"
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from breaches(value, rule.get("items", {}), f"{path}[{number}]")
    elif "enum" in rule and data not in rule["enum"]:
        yield f"{path}: {data!r} is not one of {rule['enum']}"


@pytest.mark.parametrize("overrides", [
    (), ("cluster.preset=spot", "cluster.suspend=[after-concurrent-learning, before-md]", "failure.task_timeout_min=5"),
    ("cluster.overrides={pods.label.mounts: [{claim: vasp, path: /opt/vasp}], pods.label.disk: 5Gi, "
     "images.pull_secrets: [mine]}",),
])
def test_workflows_are_what_argo_defines(overrides: tuple[str, ...]) -> None:
    located = load_checked(MOCK, overrides)
    made = yaml.safe_load(dump(render(located.project, located.base_dir).workflow))
    assert check(made) == []


def test_templates_are_what_argo_defines() -> None:
    located = load_checked(MOCK)
    made = as_template(render(located.project, located.base_dir, stage="md").workflow, "md", "dpa-sse")
    assert check(yaml.safe_load(dump(made))) == []


def test_the_check_finds_what_is_wrong() -> None:
    located = load_checked(MOCK)
    made = render(located.project, located.base_dir).workflow
    template = next(item for item in made["spec"]["templates"] if "script" in item)
    template["retryStrategy"]["limits"] = "3"
    template["script"]["env"][0]["value"] = False
    del template["script"]["volumeMounts"][0]["mountPath"]
    found = "\n".join(check(made))
    assert "unknown field limits" in found
    assert "value: bool instead of string" in found
    assert "mountPath is missing" in found
