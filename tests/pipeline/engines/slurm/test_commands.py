"""The commands on a stand-in for Slurm, as a user types them: check, plan, run, status, stop, detached runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.engines.slurm.conftest import BatchSystem
from tests.toy_runs import ROOT, wait_for

DATA_ONLY = """
name: data-only
type_map: [Li, S]
systems: [{name: Li2S, structure: Li2S}]
labeler: {kind: mock}
perturb: {count: 2, strain: 0.02, displacement_A: 0.05}
aimd: {temperatures_K: [100, 300], steps: 4, timestep_fs: 1.0, sample_every: 2}
pretrain: null
engine:
  slurm:
    poll_s: 0.5
    patience_s: 5
    overrides:
      label: {time: "01:00:00", partition: cpu, setup: ["module() { echo module \\"$@\\"; }", "module load vasp/6.4"]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(DATA_ONLY)
    return path


def dpa_sse(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "140"}
    command = [sys.executable, "-m", "dpa_sse.pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_check_asks_slurm_and_submits_nothing(batch_system: BatchSystem, config: Path, tmp_path: Path) -> None:
    good = dpa_sse("check", config, cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert "slurm 22.05.8: the jobs fit the partitions cpu, gpu; nothing was submitted" in good.stdout
    label = '{partition: gpu, gpus: 1, mem_GB: 900, time: "24:00:00"}'
    override = f"engine.slurm.overrides={{label: {label}, train: {{partition: cpus}}}}"
    bad = dpa_sse("check", config, "-s", override, cwd=tmp_path)
    assert bad.returncode == 2
    assert bad.stderr.splitlines()[-3:] == [
        f"{config}: engine.slurm: train: there is no partition 'cpus' - did you mean 'cpu'? (there are cpu, gpu)",
        f"{config}: engine.slurm: label: time 24:00:00 is more than the limit of partition gpu, 12:00:00",
        f"{config}: engine.slurm: label: 1 node(s) with 1 cores, 900 GB, 1 GPU each: "
        "partition gpu has 2 with 32 cores, 500 GB, 4 GPUs",
    ]
    assert batch_system.states() == {}
    longer = 'engine.slurm.overrides.label.time="48:00:00"'
    assert "limit of partition cpu, 24:00:00" in dpa_sse("check", config, "-s", longer, cwd=tmp_path).stderr
    assert dpa_sse("check", config, "--on", "local", cwd=tmp_path).stdout.count("partitions") == 0


@pytest.mark.parametrize(("text", "line", "words"), [
    ("engine: slrm", 9, "engine.on: must be 'local', 'slurm', 'pbs' or 'lsf', not 'slrm' - did you mean 'slurm'?"),
    ("engine: {slurm: {preset: mine}}", 9, "'mine' is neither a file nor one of the presets default, gpu-and-cpu"),
    ("engine: {slurm: {overrides: {train: {gpu: 1}}}}", 9, "unknown key - did you mean 'gpus'?"),
    ('engine: {slurm: {overrides: {train: {time: "1 day"}}}}', 9, "write it in quotes as"),
    ("engine: {slurm: {account: 'a b'}}", 9, "engine.slurm.account"),
    ("engine: {slurm: {overrides: {md: {cpus_per_task: 4, side_by_side: 3}}}}", 9,
     "engine.slurm.overrides.md: md: side_by_side: 3 tasks cannot share cpus_per_task: 4 equally"),
])
def test_mistakes_are_found_at_their_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(DATA_ONLY.partition("engine:")[0] + text + "\n")
    found = dpa_sse("check", path, cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr.startswith(f"{path}:{line}: ")
    assert words in found.stderr


def test_plan_writes_the_scripts_for_reading(batch_system: BatchSystem, config: Path, tmp_path: Path) -> None:
    done = dpa_sse("plan", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Jobs of Slurm" in done.stdout
    script = (tmp_path / "plan" / "data-only" / "slurm" / "01-aimd.sh").read_text()
    assert "#SBATCH --partition=cpu" in script
    assert "#SBATCH --array=0-1%2" in script
    assert "\nmodule load vasp/6.4\n" in script
    jobs = json.loads((tmp_path / "plan" / "data-only" / "jobs.json").read_text())
    assert jobs[0] == {"step": "aimd", "kind": "label", "tasks": 2, "jobs": 2, "partition": "cpu", "time": "01:00:00",
                       "node_hours": 2.0, "likely_node_hours": None}
    assert batch_system.states() == {}


def test_a_detached_run_is_followed_and_stopped(batch_system: BatchSystem, config: Path, tmp_path: Path) -> None:
    (batch_system.state / "reason").write_text("Priority")  # nothing starts
    begun = dpa_sse("run", config, "--detach", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert "The run is driven in the background" in begun.stdout
    run = tmp_path / "runs" / "data-only"
    wait_for(lambda: "waiting" in str(batch_system.states()), 60)
    wait_for(lambda: "PENDING (Priority)" in dpa_sse("status", "data-only", cwd=tmp_path).stdout, 20)
    state = json.loads(dpa_sse("status", "data-only", "--json", cwd=tmp_path).stdout)
    assert state["status"] == "running"
    assert state["queue"] == ["aimd: 2 of job 1: PENDING (Priority)"]

    stopped = dpa_sse("stop", "data-only", cwd=tmp_path)
    assert "stopped; 1 job cancelled (1); continue it with: dpa-sse resume data-only" in stopped.stdout
    assert set(batch_system.states()["1"]) == {"cancelled"}
    assert dpa_sse("status", "data-only", cwd=tmp_path).stdout.startswith("data-only: interrupted")

    (batch_system.state / "reason").unlink()
    again = dpa_sse("run", config, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (run / "report.html").is_file()


def test_jobs_without_a_driver_are_shown_and_stopped(batch_system: BatchSystem, config: Path, tmp_path: Path) -> None:
    (batch_system.state / "reason").write_text("Resources")
    assert dpa_sse("run", config, "--detach", cwd=tmp_path).returncode == 0
    wait_for(lambda: "PENDING (Resources)" in dpa_sse("status", "data-only", cwd=tmp_path).stdout, 60)
    holder = json.loads((tmp_path / "runs" / "data-only" / ".lock").read_text())
    os.kill(holder["pid"], 9)
    wait_for(lambda: "interrupted" in dpa_sse("status", "data-only", cwd=tmp_path).stdout, 20)
    wait_for(lambda: "PENDING (Resources)" in dpa_sse("status", "data-only", cwd=tmp_path).stdout, 30)
    assert "1 job cancelled" in dpa_sse("stop", "data-only", cwd=tmp_path).stdout
    assert "nothing is running" in dpa_sse("stop", "data-only", cwd=tmp_path).stdout


def test_the_examples_of_the_page_are_valid() -> None:
    import yaml

    from dpa_sse.pipeline.config.batch import EngineSettings
    from dpa_sse.pipeline.config.batch_presets import jobs_of

    page = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 3
    first, second, third = (EngineSettings.model_validate(yaml.safe_load(block)["engine"]) for block in blocks)
    jobs = jobs_of(first.batch, ROOT)
    label = jobs["label"]
    assert (label.partition, label.tasks_per_node, label.options) == ("cpu", 64, ("--exclusive",))
    assert list(jobs["label"].setup) == ["module load cuda/12.4", "module load vasp/6.4"]
    assert (jobs["train"].partition, jobs["train"].gpus, jobs["md"].max_mem_GB) == ("gpu", 1, 64)
    assert second.batch.container is not None
    packed = jobs_of(third.batch, ROOT)
    assert (packed["md"].share, packed["label"].share) == ((1, 4), (16, 1))
    named = re.findall(r"`(--[a-z-]+)`", page)
    assert set(named) <= {"--exclusive", "--exclude", "--exact", "--on", "--detach"}


def test_a_job_runs_in_a_container(tmp_path: Path) -> None:
    from dpa_sse.pipeline.config.batch import BatchSettings
    from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan

    container = {"runtime": "apptainer", "image": "/shared/a b.sif", "options": ["--nv"]}
    plan = BatchPlan(system="slurm", settings=BatchSettings.model_validate({"container": container}), jobs={})
    assert plan.command(tmp_path / "x", tmp_path) == [
        "apptainer", "exec", "--bind", f"{tmp_path}:{tmp_path}", "--nv", "/shared/a b.sif", "python3", "-P", "-m",
        "dpa_sse.pipeline.engines.slurm.job", str(tmp_path / "x"),
    ]
    assert "PYTHONPATH" not in plan.exports()


def test_a_command_that_hangs_is_given_up(batch_system: BatchSystem) -> None:
    from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler, SilentError
    from dpa_sse.pipeline.engines.slurm.slurm import Slurm

    (batch_system.state / "mode").write_text("hang")
    with pytest.raises(SilentError, match="squeue did not answer within 1 s"):
        Scheduler(Slurm(), limit_s=1).query({"1": "md.1"})


@pytest.mark.parametrize(("mounts", "kind"), [
    ("rootfs / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n", "nfs4"),
    ("rootfs / ext4 rw 0 0\n10.0.0.1@tcp:/l /home/me lustre rw 0 0\nserver:/home /home nfs4 rw 0 0\n", "lustre"),
    ("rootfs / xfs rw 0 0\n", "xfs"),
])
def test_the_file_system_of_a_folder(mounts: str, kind: str) -> None:
    from dpa_sse.pipeline.doctor.batch import file_system

    assert file_system(Path("/home/me/runs"), mounts) == kind


def test_the_doctor_sees_a_batch_system(batch_system: BatchSystem) -> None:
    from dpa_sse.pipeline.doctor.batch import batch_systems

    found = {finding.name: finding for finding in batch_systems()}
    assert found["Slurm"].status == "ok"
    assert found["Slurm"].value.startswith("slurm 22.05.8, ")
    (batch_system.state / "mode").write_text("down")
    found = {finding.name: finding for finding in batch_systems()}
    assert found["Slurm"].status == "warning"
    assert "Unable to contact slurm controller" in found["Slurm"].note
