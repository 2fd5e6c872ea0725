"""Each rule that a real Argo has taught has a test on the rendered workflow, so that nobody undoes it unknowingly."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.runtime.inline import UNSAFE
from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.engines.argo import limits
from dpa_sse.pipeline.engines.argo.yaml_text import dump
from dpa_sse.pipeline.flows.render import Rendered, render

ROOT = Path(__file__).resolve().parents[4]
MOCK = ROOT / "tests" / "pipeline" / "flows" / "mock.yaml"


def rendered(config: Path, *overrides: str) -> Rendered:
    located = load_checked(config, overrides)
    return render(located.project, located.base_dir)


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return rendered(MOCK, "failure.task_timeout_min=10").workflow


@pytest.fixture(scope="module")
def text(workflow: dict[str, Any]) -> str:
    return dump(workflow)


def pods(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [template for template in workflow["spec"]["templates"] if "script" in template]


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return list(limits.steps_of(workflow))


def leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from leaves(value, f"{path}[{number}]")
    else:
        yield path, data


def test_fan_outs_have_no_output_parameters(workflow: dict[str, Any]) -> None:
    fan_outs = {step["template"] for step in steps(workflow) if "withParam" in step}
    assert len(fan_outs) >= 8
    for template in pods(workflow):
        if template["name"] in fan_outs:
            assert "parameters" not in template["outputs"]


def test_every_string_is_quoted_and_read_back_as_it_was(workflow: dict[str, Any], text: str) -> None:
    assert yaml.safe_load(text) == workflow
    for token in yaml.scan(dump({"n": "y", "no": ["1e3", "on", "~", "0x1", "2001-01-01", "a\nb: c\n", ""]})):
        if isinstance(token, yaml.ScalarToken):
            assert token.style, token.value
    for token in yaml.scan(text):
        if isinstance(token, yaml.ScalarToken) and not token.style:
            assert re.fullmatch(r"true|false|\d+|[A-Za-z][\w./-]*", token.value), token.value


def test_a_fan_out_is_gathered_by_an_op_that_counts(workflow: dict[str, Any]) -> None:
    """All slices failing under continueOn hangs Argo for ever: no continueOn, and slices end with 0 for a bad item."""
    from dpa_sse.ops.runtime.task import FanOutOP
    from dpa_sse.pipeline.commands.op import all_ops

    assert all("continueOn" not in step for step in steps(workflow))
    for step in steps(workflow):
        if "withParam" in step:
            source = next(t for t in pods(workflow) if t["name"] == step["template"])["script"]["source"]
            name = re.search(r"op_obj = (\w+)\(\)", source)[1]
            op = next(op for op in all_ops().values() if op.__name__ == name)
            assert issubclass(op, FanOutOP)


def test_everything_is_retried_but_a_fatal_exit_code(workflow: dict[str, Any]) -> None:
    for template in pods(workflow):
        strategy = template["retryStrategy"]
        assert strategy["retryPolicy"] == "Always"
        assert strategy["expression"] == "asInt(lastRetry.exitCode) != 2"
        assert int(strategy["limit"]) >= 1
        assert strategy["backoff"] == {"duration": "20s", "factor": "2", "cap": "10m"}
        if template["name"] != "fan-out-init":
            assert re.search(r"except FatalError:\n\s+traceback.print_exc\(\)\n\s+sys.exit\(2\)",
                             template["script"]["source"])


def test_no_double_dollar_and_no_braces_in_inputs(workflow: dict[str, Any], text: str) -> None:
    assert "$$" not in text
    for path, value in leaves(workflow):
        if path.endswith(".raw.data"):
            assert not UNSAFE.search(value), path


def test_raw_inputs_are_read_as_a_path(workflow: dict[str, Any]) -> None:
    """As a list of paths they would arrive empty."""
    from dpa_sse.pipeline.commands.op import all_ops

    lists = {name.rstrip("*?") for op in all_ops().values() for name in op.artifacts if "*" in name}
    raw = {item["name"] for step in steps(workflow)
           for item in step.get("arguments", {}).get("artifacts", []) if "raw" in item}
    assert {"settings", "cells"} <= raw
    assert not raw & (lists - {"trajectories"})


def test_no_step_that_is_read_from_can_be_skipped(workflow: dict[str, Any]) -> None:
    conditional = {step["name"] for step in steps(workflow) if "when" in step}
    assert conditional == {"concurrent-learning-next"}
    uses = [value for path, value in leaves(workflow) if isinstance(value, str) and "concurrent-learning-next" in value
            and not path.endswith((".name", ".value"))]
    assert uses == [
        "(steps['merge'].outputs.parameters['finished'] == 'true' ? steps['merge'].outputs.artifacts['out'] : "
        "steps['concurrent-learning-next'].outputs.artifacts['out'])"
    ]


def test_output_parameters_have_defaults_and_fan_outs_are_not_empty(workflow: dict[str, Any]) -> None:
    for template in pods(workflow):
        for item in template.get("outputs", {}).get("parameters", []):
            assert "default" in item.get("valueFrom", {}) or item["name"] == "dflow_artifact_key"
    assert all(json.loads(step["withParam"]) for step in steps(workflow) if "withParam" in step)


def test_deadlines_are_the_pods_own(workflow: dict[str, Any]) -> None:
    """A template timeout fails the whole workflow."""
    for template in workflow["spec"]["templates"]:
        assert "timeout" not in template
    assert "activeDeadlineSeconds" not in workflow["spec"]
    deadlines = {t["name"]: t["activeDeadlineSeconds"] for t in pods(workflow) if t["name"] != "fan-out-init"}
    assert min(deadlines.values()) == 600 * 2 + 600  # the limit of a task, twice, and a margin
    assert "activeDeadlineSeconds" not in next(t for t in pods(rendered(MOCK).workflow) if t["name"] == "md")


def test_long_loops_are_refused() -> None:
    stages = '[{"temperatures_K": [50], "steps": 10, "max_iterations": 91}]'
    with pytest.raises(InputError, match="90"):
        rendered(MOCK, f"concurrent_learning.stages={stages}")


def test_too_large_inputs_are_refused_with_an_explanation(tmp_path: Path) -> None:
    import numpy as np

    config = tmp_path / "mock.yaml"
    folder = tmp_path / "data" / "set.000"
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    (tmp_path / "data" / "type.raw").write_text("0\n1\n" * 20)
    (tmp_path / "data" / "type_map.raw").write_text("Li\nS\n")
    np.save(folder / "coord.npy", random.random((100, 120)))
    np.save(folder / "box.npy", np.tile(10 * np.eye(3).ravel(), (100, 1)))
    np.save(folder / "energy.npy", random.random(100))
    np.save(folder / "force.npy", random.random((100, 120)))
    config.write_text(MOCK.read_text() + "data: [data]\naudit_data: false\n")
    with pytest.raises(InputError, match=r"step user-data: \d+ KiB, more than the 128 KiB .*dpa-sse submit"):
        rendered(config)
    located = load_checked(config)
    made = render(located.project, located.base_dir, outside_bytes=65536)
    assert list(made.outside) == [key for path, key in leaves(made.workflow) if key in made.outside]
    assert limits.size(made.workflow) < limits.WORKFLOW_BYTES


def test_limits_are_measured() -> None:
    big = {"spec": {"templates": [{"name": "a", "script": {"source": "x" * 100_000}},
                                  {"name": "m", "steps": [[{"template": "a", "name": "s", "arguments": {
                                      "artifacts": [{"raw": {"data": "y" * 40_000}}]}}]]}]}}
    assert limits.Limits(big).pod_sizes()["a"] > 140_000
    assert "128 KiB" in limits.Limits(big).problems()[0]
    big["spec"]["templates"] *= 10
    assert "at most 1024 KiB" in limits.Limits(big).problems()[-1]


def test_no_secret_address_or_path_of_this_machine(text: str) -> None:
    for bad in (str(ROOT), str(Path.home()), "127.0.0.1", "localhost", "http", "access_key", "token", "password"):
        assert bad not in text.replace("localhost/dpa-sse-", ""), bad  # how containerd calls images without registry


def test_the_same_bytes_every_time(text: str) -> None:
    import random

    random.seed()
    assert dump(rendered(MOCK, "failure.task_timeout_min=10").workflow) == text
    assert not re.search(r"-[a-z0-9]{5}-[a-z0-9]{5}\b", "\n".join(re.findall(r"template: '(.*)'", text)))


def test_pods_are_restricted(workflow: dict[str, Any]) -> None:
    """What Pod Security *restricted* requires, with a read-only root in addition."""
    pod = workflow["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["fsGroup"] == 1000
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    patch = json.loads(workflow["spec"]["podSpecPatch"])  # inputs are loaded by the user who reads them
    for container in (*patch["initContainers"], *patch["containers"]):
        assert container["securityContext"]["runAsUser"] == 1000
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    for template in pods(workflow):
        context = template["script"]["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert all(volume.keys() & {"emptyDir", "persistentVolumeClaim"} for volume in template["volumes"])
        assert {"cpu", "memory"} <= template["script"]["resources"]["limits"].keys()


def test_names_are_unique_and_mean_something(workflow: dict[str, Any]) -> None:
    names = Counter(template["name"] for template in workflow["spec"]["templates"])
    assert set(names.values()) == {1}
    for template in workflow["spec"]["templates"]:
        if "steps" in template:
            inner = Counter(step["name"] for group in template["steps"] for step in group)
            assert set(inner.values()) == {1}
    keys = Counter(item["value"] for step in steps(workflow) for item in step["arguments"].get("parameters", [])
                   if item["name"] == "dflow_key" and item["value"])
    assert set(keys.values()) == {1}
    for step in steps(workflow):
        assert step["template"] in names


def test_few_pods_per_iteration(workflow: dict[str, Any]) -> None:
    loop = next(t for t in workflow["spec"]["templates"] if t["name"] == "concurrent-learning-loop")
    single = [step for group in loop["steps"] for step in group
              if "withParam" not in step and step["template"] != "concurrent-learning-loop"]
    assert len(single) <= 8


def test_results_stay_and_the_rest_is_tidied(workflow: dict[str, Any]) -> None:
    spec = workflow["spec"]
    assert spec["artifactGC"] == {"strategy": "Never"}
    assert spec["podGC"] == {"strategy": "OnPodSuccess"}
    assert spec["archiveLogs"] is True
    assert spec["ttlStrategy"]["secondsAfterCompletion"] > 86400
    assert spec["serviceAccountName"] == "dpa-sse-workflow"
    assert spec["automountServiceAccountToken"] is False  # of the main container, which runs foreign models
    assert spec["executor"] == {"serviceAccountName": "dpa-sse-executor"}
    assert spec["artifactRepositoryRef"] == {"configMap": "artifact-repositories", "key": "dpa-sse"}
    assert workflow["metadata"].keys() == {"generateName", "labels", "annotations"}
    assert "status" not in workflow


def test_pages_and_metrics(workflow: dict[str, Any]) -> None:
    by_name = {template["name"]: template for template in pods(workflow)}
    for name, page in (("merge", "concurrent_learning.html"), ("report", "report.html")):
        item = next(item for item in by_name[name]["outputs"]["artifacts"] if item["name"] == "page")
        assert item["path"].endswith(page)
        assert item["archive"] == {"none": {}}
    found = {metric["name"] for template in pods(workflow)
             for metric in template.get("metrics", {}).get("prometheus", [])}
    assert found == {
        "dpa_sse_candidates", "dpa_sse_selected", "dpa_sse_accurate_ratio", "dpa_sse_iteration",
        "dpa_sse_force_mae_mev_per_angstrom", "dpa_sse_sigma_300k_ms_per_cm",
    }


def test_gates_wait_where_they_should() -> None:
    made = rendered(MOCK, "cluster.suspend=[after-concurrent-learning, before-md]").workflow
    main = next(t for t in made["spec"]["templates"] if t["name"] == made["spec"]["entrypoint"])
    order = [group[0]["name"] for group in main["steps"]]
    assert order[order.index("after-concurrent-learning") - 1] == "concurrent-learning"
    assert order.index("before-md") + 1 == order.index("md")


def test_a_doubtful_verdict_waits_for_a_person() -> None:
    made = rendered(MOCK, "validate.on_warn=suspend", "cluster.suspend=[before-md]").workflow
    main = next(t for t in made["spec"]["templates"] if t["name"] == made["spec"]["entrypoint"])
    order = [group[0]["name"] for group in main["steps"]]
    assert order.index("gates") + 1 == order.index("after-gates") < order.index("prepare-md") < order.index("before-md")
    waits = next(group[0] for group in main["steps"] if group[0]["name"] == "after-gates")
    assert waits == {
        "name": "after-gates", "template": "gate", "when": "{{steps.gates.outputs.parameters.doubtful}} == true",
    }
    assert [t for t in made["spec"]["templates"] if "suspend" in t] == [{"name": "gate", "suspend": {}}]
    judge = next(t for t in made["spec"]["templates"] if t["name"] == "gates")
    assert [one["name"] for one in judge["outputs"]["parameters"]].count("doubtful") == 1
    assert "ask-person" not in order
    plain = rendered(MOCK).workflow
    assert not [t for t in plain["spec"]["templates"] if "suspend" in t]


def test_the_bookkeeping_of_a_fan_out_costs_no_time(workflow: dict[str, Any]) -> None:
    """It runs next to the step before it; only a loop that starts with a fan-out has to wait for it."""
    for template in workflow["spec"]["templates"]:
        groups = [[step["template"] for step in group] for group in template.get("steps", [])]
        assert ["fan-out-init"] not in groups[1:]
        for before, group in pairwise(template.get("steps", [])):
            for step in group:
                if "withParam" in step:
                    assert f"{step['name']}-init" in [other["name"] for other in before]


def test_a_store_of_ones_own() -> None:
    made = rendered(MOCK, "cluster.overrides={store: mine}").workflow
    prefixes = {item["value"] for template in pods(made) for item in template["script"].get("env", [])
                if item["name"] == "DPA_SSE_STORE_PREFIX"}
    assert prefixes == {"store/mine"}


@pytest.mark.parametrize("preset", ["cpu-only", "one-gpu", "many-gpus", "spot"])
def test_presets(preset: str) -> None:
    made = rendered(MOCK, f"cluster.preset={preset}", "cluster.overrides={images.prefix: reg.example.org/x/}").workflow
    by_name = {template["name"]: template for template in pods(made)}
    tag = "0.1.0-cpu" if preset == "cpu-only" else "0.1.0"
    for name in ("train", "pretrain", "explore", "md", "teacher-md", "teacher-labels", "evaluate"):
        limit = by_name[name]["script"]["resources"]["limits"]
        assert ("nvidia.com/gpu" in limit) == (preset != "cpu-only"), name
        assert by_name[name]["script"]["image"] == f"reg.example.org/x/dpa-sse-deepmd:{tag}"
    for name in ("perturb", "collect", "select", "merge", "conductivity", "report", "aimd", "label"):
        assert "nvidia.com/gpu" not in by_name[name]["script"]["resources"]["limits"], name
        assert by_name[name]["script"]["image"] == f"reg.example.org/x/dpa-sse-base:{tag}"
    assert by_name["train"]["volumes"][1]["emptyDir"]["medium"] == "Memory"
    assert ("tolerations" in by_name["train"]) == (preset in ("many-gpus", "spot"))


def test_a_request_may_be_smaller_than_the_limit() -> None:
    made = rendered(MOCK, "cluster.preset=tiny").workflow
    train = next(template for template in pods(made) if template["name"] == "train")["script"]["resources"]
    assert train == {"requests": {"cpu": "0.1", "memory": "128Mi"}, "limits": {"memory": "4Gi"}}


def test_unknown_presets_and_values_are_named() -> None:
    with pytest.raises(InputError, match="nor one of the presets cpu-only, many-gpus, one-gpu, spot, tiny"):
        rendered(MOCK, "cluster.preset=nodes")
    with pytest.raises(InputError, match=r"pods.train.memory: must be an amount such as"):
        rendered(MOCK, "cluster.overrides={pods.train.memory: 5 GB}")


def test_the_paper_in_full_size() -> None:
    """41 systems, 4 models, 20 iterations: below 500 kB, in less than 5 s."""
    config = ROOT / "configs" / "paper" / "dpa-sse.yaml"
    rendered(MOCK)  # imports
    begin = time.thread_time()  # without waiting for other threads
    made = rendered(config)
    text = dump(made.workflow)
    assert time.thread_time() - begin < 5
    assert len(text) < 500_000
    assert max(limits.Limits(made.workflow).pod_sizes().values()) < limits.TEMPLATE_BYTES / 2
    assert made.remarks == []
    located = load_checked(config)
    assert len(located.project.systems) == 41
    assert located.project.concurrent_learning.models == 4
    assert sum(stage.max_iterations for stage in located.project.concurrent_learning.stages) == 20
    many = rendered(config, "cluster.overrides={}")
    assert "node status offloading" in many.remarks[0]


@pytest.mark.parametrize(("stage", "inputs", "steps"), [
    ("data", [], ["aimd", "aimd-init", "collect", "concurrent-learning", "perturb", "report"]),
    ("pretrain", ["training_data"], ["pretrain", "report"]),
    ("distill", ["pretrained", "variants"], ["student", "teacher-labels"]),
    ("md", ["student"], ["conductivity", "md", "md-init", "prepare-md", "report"]),
    ("conductivity", ["trajectories"], ["conductivity", "report"]),
])
def test_each_stage_by_itself(stage: str, inputs: list[str], steps: list[str]) -> None:
    from dpa_sse.pipeline.engines.argo.postprocess import as_template

    located = load_checked(MOCK)
    made = render(located.project, located.base_dir, stage=stage).workflow
    given = [item["name"] for item in made["spec"].get("arguments", {}).get("parameters", [])]
    assert sorted(given) == sorted(inputs)
    main = next(t for t in made["spec"]["templates"] if t["name"] == made["spec"]["entrypoint"])
    assert set(steps) <= {step["name"] for group in main["steps"] for step in group}
    keys = {value for _, value in leaves(made["spec"]["templates"]) if "workflow.parameters" in str(value)}
    assert keys == {f"{{{{workflow.parameters.{name}}}}}" for name in inputs}
    template = as_template(made, "stage", "dpa-sse")
    assert template["kind"] == "WorkflowTemplate"
    assert template["spec"]["workflowMetadata"]["annotations"]["dpa-sse/plan"]


def test_a_stage_that_does_not_exist_is_refused() -> None:
    located = load_checked(MOCK)
    with pytest.raises(InputError, match="not one of the stages data, pretrain"):
        render(located.project, located.base_dir, stage="everything")
    without = load_checked(MOCK, ["distill=null", "md=null"])
    with pytest.raises(InputError, match="no section `md`"):
        render(without.project, without.base_dir, stage="md")


def test_inputs_of_the_cluster() -> None:
    """`s3://KEY` is an artifact by key, `pvc://CLAIM/PATH` a volume of the step that reads it."""
    located = load_checked(MOCK, ["data=[s3://dft/li2s, pvc://lab.data/sets/licl]", "pretrain.model=s3://models/dpa2.pt"])
    made = render(located.project, located.base_dir).workflow
    by_name = {step["name"]: step for step in steps(made)}
    given = {name: next(item for item in by_name[name]["arguments"]["artifacts"] if item["name"] in ("data", "model"))
             for name in ("user-data-1", "user-data", "pretrain")}
    assert given["user-data-1"]["s3"] == {"key": "dft/li2s"}
    assert given["pretrain"]["s3"] == {"key": "models/dpa2.pt"}
    assert given["user-data"]["raw"]["data"] == "dpa-sse path\n/inputs/lab.data/sets/licl\n"
    template = next(template for template in pods(made) if template["name"] == "user-data")
    assert {"name": "input-0", "mountPath": "/inputs/lab.data", "readOnly": True} in (
        template["script"]["volumeMounts"]
    )
    for bad in ("s3://", "pvc://Lab/x", "pvc://lab/../x", "s3://{{x}}"):
        wrong = load_checked(MOCK, [f"pretrain.model='{bad}'"])
        with pytest.raises(InputError, match="write"):
            render(wrong.project, wrong.base_dir)
