"""What may go wrong on a cluster: pods, controller and store go away, labels fail, an input is bad."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pytest

from dpa_sse.pipeline.engines.argo.bucket import open_bucket
from dpa_sse.pipeline.engines.argo.cluster import Cluster
from tests.cluster.conftest import LIMIT_S, MOCK, NAMESPACE, ONE_THREAD, Run, dpa_sse, kubectl, submit
from tests.cluster.test_mock_pipeline import numbers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LIMIT_S + 1800)]

LONGER = (
    "concurrent_learning.train.steps=1500", "md.temperatures_K=[50]", "md.supercell=[4,4,4]", "md.timestep_fs=0.1",
    "md.production_ps=0.04", "md.dump_every_fs=4", "md.restart_every_ps=0.004",
)
"""So that a training and an MD run last long enough to be interrupted after a checkpoint."""
DATA_ONLY = ("concurrent_learning=null", "pretrain=null", "downstream=null", "finetune=null", "distill=null", "md=null")


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run during which a training pod, the controller, MinIO and an MD pod are deleted."""
    run = submit(MOCK, tmp_path_factory.mktemp("rendered"), *LONGER)
    kubectl("delete", "pod", run.running_pod("train", seconds=25), "--wait=false")
    run.running_pod("explore", seconds=0)
    kubectl("delete", "pod", "-l", "app=workflow-controller", "--wait=true")
    run.running_pod("pretrain", seconds=0)
    kubectl("delete", "pod", "minio-0", "--wait=true")
    kubectl("delete", "pod", run.running_pod("md", seconds=20), "--wait=false")
    return run.succeeded()


def test_nothing_that_was_finished_is_lost_or_computed_twice(disturbed: Run) -> None:
    done = Counter(event["task"] for event in disturbed.events() if event["event"] == "done")
    assert done
    assert {task: count for task, count in done.items() if count > 1} == {}


def test_deleted_pods_went_on_from_their_checkpoint(disturbed: Run) -> None:
    resumed = [event for event in disturbed.events() if event["event"] == "start" and event.get("checkpoint")]
    again = {event["task"].split("-")[0] for event in resumed}
    assert {"train", "md"} <= again


def test_numbers_are_those_of_an_undisturbed_run(disturbed: Run, tmp_path: Path) -> None:
    settings = [part for item in LONGER for part in ("-s", item)]
    dpa_sse("run", MOCK, *ONE_THREAD, *settings, cwd=tmp_path, timeout=1800, code=3)
    dpa_sse("download", disturbed.reference, cwd=tmp_path)
    assert numbers(tmp_path / "runs" / disturbed.name) == numbers(tmp_path / "runs" / "mock")


def test_an_aimd_that_breaks_off_keeps_what_it_has(tmp_path: Path) -> None:
    run = submit(MOCK, tmp_path, "labeler.fail_every=7", "failure.min_success_ratio=0.1", *DATA_ONLY).succeeded()
    reasons = [event["reason"] for event in run.events() if event["event"] == "done" and event.get("reason")]
    assert len(reasons) == 4, "one per AIMD"
    assert all("the mock labeler fails" in reason for reason in reasons)


def test_labels_that_always_fail_end_the_run_without_further_tries(tmp_path: Path) -> None:
    run = submit(MOCK, tmp_path, "labeler.fail_every=1", *DATA_ONLY)
    assert run.wait() == "Failed"
    failed = [node for node in run.nodes() if node["type"] == "Pod" and node["phase"] == "Failed"]
    assert [node["templateName"] for node in failed] == ["collect"], "a fatal error is not tried again"
    status = dpa_sse("status", run.reference, cwd=tmp_path, check=False)
    assert "the mock labeler fails" in status
    assert "min_success_ratio" in status


def test_an_input_that_can_not_be_used_is_not_tried_again(tmp_path: Path) -> None:
    key = f"inputs/test-{time.time_ns()}"
    open_bucket(Cluster(), NAMESPACE).put(f"{key}/set/notes.txt", b"no data set")
    run = submit(MOCK, tmp_path, f"data=[s3://{key}]", *DATA_ONLY)
    assert run.wait() == "Failed"
    failed = [node for node in run.nodes() if node["type"] == "Pod" and node["phase"] == "Failed"]
    assert [node["templateName"] for node in failed] == ["user-data"]
    assert "no deepmd/npy system found" in dpa_sse("status", run.reference, cwd=tmp_path, check=False)


def test_stop_and_resume(tmp_path: Path) -> None:
    run = submit(MOCK, tmp_path, *DATA_ONLY, "labeler.delay_s=1")
    run.running_pod("aimd", seconds=8)
    dpa_sse("stop", run.reference, cwd=tmp_path)
    assert run.wait() == "Failed"
    said = dpa_sse("resume", run.reference, cwd=tmp_path)
    again = Run(re.search(r"resumed as (\S+);", said)[1]).succeeded()
    finished = {event["task"] for event in run.events() if event["event"] == "done"}
    assert "perturb" in finished
    kinds = {event["task"]: event["event"] for event in again.events() if event["event"] in ("cached", "done")}
    assert {kinds[task] for task in finished} == {"cached"}, "what had finished is taken from the store"
    assert kinds["collect"] == "done"
