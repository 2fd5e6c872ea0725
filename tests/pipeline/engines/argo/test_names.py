"""Names of projects and tasks on a cluster, and workflows that were started from a template."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.config import load_checked
from dpa_sse.pipeline.engines.argo.nodes import ArgoWorkflow
from dpa_sse.pipeline.engines.argo.results import config_of
from dpa_sse.pipeline.flows.render import render
from dpa_sse.pipeline.runs.stage_status import split_task

MOCK = Path(__file__).resolve().parents[4] / "tests" / "pipeline" / "flows" / "mock.yaml"


def test_the_configuration_of_a_workflow_from_a_template_is_found() -> None:
    """`argo submit --from` and CronWorkflows keep what they run in the status."""
    located = load_checked(MOCK, [])
    workflow = render(located.project, located.base_dir).workflow
    known = config_of(ArgoWorkflow(workflow))
    assert known.name == "mock"
    assert known == located.project
    spec = workflow.pop("spec")
    reference = {"workflowTemplateRef": {"name": "mock"}}
    found = ArgoWorkflow({**workflow, "spec": reference, "status": {"storedWorkflowTemplateSpec": spec}})
    assert config_of(found) == known


@pytest.mark.parametrize("bad", [
    "name=Cl+Br", "name=LiCl-", f"name={'a' * 51}", "cluster.suspend=[before-md, before-md]",
])
def test_what_a_cluster_would_refuse_is_refused_here(bad: str) -> None:
    with pytest.raises(InputError, match=bad.partition("=")[0]):
        load_checked(MOCK, [bad])


def test_tasks_have_names_beyond_the_thousandth() -> None:
    assert split_task("label-i001-1234") == ("label", True, "i001")
    assert split_task("aimd-1234") == ("aimd", False, "")
