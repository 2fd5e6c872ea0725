"""Core and GPU hours of jobs: by own clocks, by sacct; in status, report, summary and plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpa_sse.ops.results.summary import Summary
from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.queue import JobView, Snapshot
from dpa_sse.pipeline.engines.slurm.records import Batch, BatchFolder, BatchTask, JobResult, make_folder
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.slurm import Slurm
from dpa_sse.pipeline.engines.slurm.usage import note_usage, read_usage, usage_of
from tests.pipeline.engines.slurm.conftest import BatchSystem
from tests.pipeline.engines.slurm.test_commands import DATA_ONLY, dpa_sse

JOB = Job(nodes=2, tasks_per_node=4, cpus_per_task=2, gpus=1)


def array(engine: Path, name: str, stage: str, number: str) -> BatchFolder:
    """Two jobs of one task each."""
    tasks = [BatchTask(name=f"{name}-{index}", key="k", index=index) for index in range(2)]
    batch = Batch(
        name=name, step=name, stage=stage, kind="md", module="toy", op="Square", reuse=True, environment={}, inputs={},
        tasks=tasks, members=[[0], [1]], dflow="dflow", created=1.0,
    )
    folder = make_folder(engine, batch, lambda _path, _batch: "")
    folder.submitted(number)
    return folder


def test_the_time_of_a_job_is_of_its_exit_file_else_its_results_else_the_queue(tmp_path: Path) -> None:
    one, other = array(tmp_path, "md.1", "07-md", "12"), array(tmp_path, "train.1", "03-train", "13")
    (one.path / "exit" / "0").write_text(f"{'0 - 3600 n1':120s}\n")
    (one.path / "results" / "md.1-1.json").write_text(JobResult(key="k", ran_s=1800.0).model_dump_json())
    snapshot = Snapshot(
        jobs={"13": [JobView(members=[0], state="node", word="N"), JobView(members=[1], state="held", word="P")]},
        spots={"13_0": ("n1", 900)},
    )
    note_usage(tmp_path, JOB, [(one, 0), (one, 1)], Snapshot())
    note_usage(tmp_path, JOB, [(other, 0), (other, 1)], snapshot)
    assert {found.job: found.seconds for found in read_usage(tmp_path)} == {"12_0": 3600, "12_1": 1800, "13_0": 900}
    usage = usage_of(tmp_path, None)
    assert [(found.stage, found.core_hours, found.gpu_hours, found.node_hours) for found in usage.stages] == [
        ("03-train", 0.25 * 16, 0.25 * 2, 0.25 * 2), ("07-md", 1.5 * 16, 1.5 * 2, 1.5 * 2)
    ]
    assert usage.lines() == [
        "Used by jobs: 28 core hours, 3.5 GPU hours, 3 jobs in all (own clocks)",
        "  03-train: 4 core hours, 0.5 GPU hours, 1 job", "  07-md: 24 core hours, 3 GPU hours, 2 jobs",
    ]


def test_a_job_is_counted_once_and_one_of_unknown_length_is_said(tmp_path: Path) -> None:
    one = array(tmp_path, "md.1", "07-md", "12")
    note_usage(tmp_path, JOB, [(one, 0), (one, 1)], Snapshot())
    (one.path / "exit" / "0").write_text("0 - 36 n1\n")
    note_usage(tmp_path, JOB, [(one, 0)], Snapshot())
    with (tmp_path / "usage.jsonl").open("a") as stream:
        stream.write('{"job": "12_')  # torn by a full disk
    assert [(found.job, found.seconds) for found in read_usage(tmp_path)] == [("12_0", 36), ("12_1", None)]
    assert usage_of(tmp_path, None).lines() == [
        "Used by jobs: 0.16 core hours, 0.02 GPU hours, 2 jobs in all (own clocks; without 1 lost job of unknown "
        "length)"
    ]


def test_sacct_has_the_last_word_where_there_is_accounting(batch_system: BatchSystem, tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    one = array(engine, "md.1", "07-md", "12")
    for member in (0, 1):
        (one.path / "exit" / str(member)).write_text("0 - 3600 n1\n")
    note_usage(engine, JOB, [(one, 0), (one, 1)], Snapshot())
    scheduler = Scheduler(Slurm())
    assert usage_of(engine, scheduler).source == "own clocks"  # accounting is disabled
    (batch_system.state / "accounting").write_text(
        "12_0|7200|1|64|billing=64,cpu=64,gres/gpu=4,mem=9G,node=1\n12_0.batch|7200|1|64|cpu=64\n"
    )
    usage = usage_of(engine, scheduler)
    assert usage.source == "sacct; 1 of 2 jobs by own clocks"
    assert (usage.total.core_hours, usage.total.gpu_hours) == (2 * 64 + 16, 2 * 4 + 2)


@pytest.mark.parametrize("accounting", [True, False])
def test_hours_are_in_status_report_summary_and_plan(
    batch_system: BatchSystem, tmp_path: Path, accounting: bool
) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(DATA_ONLY)
    first = dpa_sse("plan", config, cwd=tmp_path)
    assert "No recorded times of an earlier run: only the limits are known (--times-from RUN)." in first.stdout
    if accounting:
        (batch_system.state / "accounting").write_text("".join(
            f"{job}|3600|1|4|billing=4,cpu=4,node=1\n" for job in ("1_0", "1_1", "1", "2", "2_0", "2_1")
        ))
    done = dpa_sse("run", config, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    text = dpa_sse("status", "data-only", cwd=tmp_path).stdout
    used = json.loads(dpa_sse("status", "data-only", "--json", cwd=tmp_path).stdout)["used"]
    run = tmp_path / "runs" / "data-only"
    stages = {stage.name: stage for stage in Summary.read(run).stages}
    assert stages["02-seed"].core_hours is not None
    assert stages["02-seed"].gpu_hours == 0
    page = (run / "report.html").read_text()
    assert "core hours" in page
    if accounting:
        assert used["source"] == "sacct"
        assert used["stages"][0]["core_hours"] == 8
        assert "Used by jobs: 12 core hours, 3 jobs in all (sacct)" in text  # two of MD with the labeler, the report
        assert "  02-seed: 8 core hours, 2 jobs\n" in text
        assert stages["02-seed"].core_hours == 8
        assert "Hours of jobs that have ended: sacct." in page
    else:
        assert used["source"] == "own clocks"
        assert 0 < used["stages"][0]["core_hours"] < 0.1
        assert "(own clocks)" in text
    planned = dpa_sse("plan", config, cwd=tmp_path)
    assert f"Node hours by the recorded times of the run {run}" in planned.stdout
    jobs = json.loads((tmp_path / "plan" / "data-only" / "jobs.json").read_text())
    aimd = next(job for job in jobs if job["step"] == "aimd")
    assert aimd["node_hours"] == 2.0
    assert 0 <= aimd["likely_node_hours"] < 0.1
    named = dpa_sse("plan", config, "-s", "name=other", "--times-from", "data-only", cwd=tmp_path)
    assert f"by the recorded times of the run {run}" in named.stdout
    wrong = dpa_sse("plan", config, "--times-from", "nowhere", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "nowhere: no such run here" in wrong.stderr
