"""What batch systems are told, against golden files; their answers, as documented and as seen on a real Slurm 22.05."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from dpa_sse.pipeline.config.batch import Job
from dpa_sse.pipeline.engines.slurm.dialect import AnswerError, Entry, Request
from dpa_sse.pipeline.engines.slurm.partitions import gpus_in, parse_partitions, slurm_seconds
from dpa_sse.pipeline.engines.slurm.scheduler import OF_THE_USER, Scheduler, clean_environment
from dpa_sse.pipeline.engines.slurm.script import batch_script
from dpa_sse.pipeline.engines.slurm.slurm import expand
from dpa_sse.pipeline.engines.slurm.systems import dialect_of

GOLDEN = Path(__file__).parents[3] / "golden" / "batch"
LABEL = Job(
    partition="cpu", nodes=2, tasks_per_node=64, mem_GB=120, time="1-12:00:00", max_jobs=20,
    setup=("module load vasp/6.4", 'export SCRATCH="/scratch/$USER"'), options=("--exclusive",),
)
TRAIN = Job(
    partition="gpu", qos="normal", constraint="a100&nvlink", gpus=1, gpu_type="a100", cpus_per_task=8, mem_GB=64,
    time="24:00:00",
)


@pytest.mark.parametrize("system", ["slurm", "pbs", "lsf"])
@pytest.mark.parametrize(("name", "job", "count"), [("label", LABEL, 12), ("train", TRAIN, 1)])
def test_scripts_are_those_of_the_golden_files(system: str, name: str, job: Job, count: int) -> None:
    if system != "slurm":
        job = job.model_copy(update={"options": ()})
    folder = Path("/scratch/group/runs/it's mine/.engine/jobs/label.0a1b2c3d")
    request = Request(f"{name}.0a1b2c3d", folder, folder / "script.sh", count, job, "abc123", 90, width=job.max_jobs)
    command = ["/opt/venv/bin/python", "-P", "-m", "dpa_sse.pipeline.engines.slurm.job", folder]
    text = batch_script(dialect_of(system), request, command, {"PYTHONPATH": "/opt/a b"}, 0o027)  # type: ignore[arg-type]
    path = GOLDEN / f"{system}-{name}.sh"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.parametrize(("text", "number"), [
    ("1234\n", "1234"), ("1234;cluster\n", "1234"), ("Welcome\nsbatch: note\n77\n", "77"),
])
def test_numbers_of_slurm_jobs(text: str, number: str) -> None:
    assert dialect_of("slurm").job_number(text) == number


@pytest.mark.parametrize("system", ["slurm", "pbs", "lsf"])
@pytest.mark.parametrize("text", ["", "Welcome to the cluster\n", "Submitted batch job\n", "12a\n"])
def test_answers_without_a_number_are_refused(system: str, text: str) -> None:
    with pytest.raises(AnswerError, match="holds no job number"):
        dialect_of(system).job_number(text)  # type: ignore[arg-type]


def test_numbers_of_pbs_and_lsf_jobs() -> None:
    assert dialect_of("pbs").job_number("1234.pbs01\n") == "1234"
    assert dialect_of("pbs").job_number("1234[].pbs01.example.org\n") == "1234[]"
    assert dialect_of("lsf").job_number("Job <991> is submitted to default queue <normal>.\n") == "991"


def test_states_in_the_answer_of_squeue() -> None:
    answer = "\n".join([
        "12_[4-6,9%2]|PENDING|2026-01-01T10:00:00|0:00||md.1|JobArrayTaskLimit",
        "12_3|RUNNING|2026-01-01T09:00:00|1-02:00:05|n7|md.1|None",
        "12_0|TIMEOUT|2026-01-01T08:00:00|1:00|n1|md.1|TimeLimit",
        "12_1|OUT_OF_MEMORY|2026-01-01T08:00:00|0:09|n2|md.1|OutOfMemory",
        "12_2|NODE_FAIL|N/A|0:00|n[1-2]|md.1|NodeDown",
        "13|PENDING|N/A|0:00||md.1|PartitionDown", "14|CANCELLED|N/A|0:00||md.1|None",
        "15|PENDING|N/A|0:00||md.1|JobHeldUser",
        "16|COMPLETING|N/A|0:01|n1|md.1|None", "16+1|RUNNING|N/A|0:01|n2|md.1|None",
        "17_[1,3,5,7,...]|PENDING|N/A|0:00||md.1|Priority", "sites may print anything here",
    ])
    found = dialect_of("slurm").entries(answer)
    assert [(one.job, one.members, one.state) for one in found] == [
        ("12", (4, 5, 6, 9), "waiting"), ("12", (3,), "running"), ("12", (0,), "timeout"), ("12", (1,), "memory"),
        ("12", (2,), "node"), ("13", None, "waiting"), ("14", None, "cancelled"), ("15", None, "held"),
        ("16", None, "ending"), ("16", None, "running"), ("17", None, "waiting"),
    ]
    assert {one.name for one in found} == {"md.1"}
    assert found[0].start == "2026-01-01T10:00:00"
    assert [(one.nodes, one.ran_s) for one in found[:5]] == [
        ("", 0), ("n7", 93605), ("n1", 60), ("n2", 9), ("n[1-2]", 0)
    ]
    with pytest.raises(AnswerError, match="not understood"):
        dialect_of("slurm").entries("<html>")


def test_lists_of_members() -> None:
    assert expand("0-3,7,10-20:5%4") == (0, 1, 2, 3, 7, 10, 15, 20)
    assert expand("1,2,...") is None


@pytest.mark.parametrize(("system", "reason", "never"), [
    ("slurm", "PartitionConfig", True), ("slurm", "PartitionTimeLimit", True),
    ("slurm", "DependencyNeverSatisfied", True), ("slurm", "AssocMaxCpuPerJobLimit", True),
    ("slurm", "InvalidQOS", True),
    ("slurm", "QOSMaxWallDurationPerJobLimit", True), ("slurm", "QOSMaxNodePerJobLimit", True),
    ("slurm", "AssocMaxWallDurationPerJobLimit", True), ("slurm", "QOSMaxCpuPerNode", True),
    ("slurm", "Resources", False), ("slurm", "Priority", False), ("slurm", "JobArrayTaskLimit", False),
    ("slurm", "QOSMaxJobsPerUserLimit", False), ("slurm", "AssocGrpCpuLimit", False), ("slurm", "Dependency", False),
    ("slurm", "AssocGrpCPUMinutesLimit", False), ("slurm", "JobHeldUser", False), ("slurm", "BeginTime", False),
    ("slurm", "QOSMaxCpuPerUserLimit", False), ("slurm", "ReqNodeNotAvail, UnavailableNodes:n1", False),
    ("slurm", "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions", False),
    ("pbs", "Can Never Run: Insufficient amount of queue resource: ncpus (R: 64 A: 2 T: 2)", True),
    ("pbs", "Not Running: Insufficient amount of resource: ncpus (R: 4 A: 0 T: 2)", False),
    ("pbs", "Not Running: Server per-user limit reached on ncpus", False),
    ("lsf", "New job is waiting for scheduling", False),
    ("lsf", "The queue has been deleted by its administrator", True),
    ("lsf", "Job slot limit reached", False),
])
def test_reasons_that_do_not_go_away(system: str, reason: str, never: bool) -> None:
    entry = Entry("1", None, "waiting", "PENDING", reason)
    assert dialect_of(system).never_starts(entry) is never  # type: ignore[arg-type]
    assert not dialect_of(system).shut(entry)  # type: ignore[arg-type]


@pytest.mark.parametrize(("system", "reason"), [
    ("slurm", "PartitionDown"), ("slurm", "PartitionInactive"), ("slurm", "FrontEndDown"),
    ("pbs", "Not Running: Queue not started."),
    ("lsf", "The queue has been closed by its administrator"), ("lsf", "The queue is inactivated by its time windows"),
])
def test_reasons_that_go_away_when_a_partition_is_opened(system: str, reason: str) -> None:
    entry = Entry("1", None, "waiting", "PENDING", reason)
    assert dialect_of(system).shut(entry)  # type: ignore[arg-type]
    assert not dialect_of(system).never_starts(entry)  # type: ignore[arg-type]


def test_states_in_the_answer_of_qstat() -> None:
    answer = """{"timestamp": 1, "pbs_version": "23.06.06", "Jobs": {
      "7[].s": {"job_state": "B"}, "7[0].s": {"job_state": "X", "Exit_status": 0},
      "7[1].s": {"job_state": "R", "stime": "Thu Jan  1 10:00:00 2026"},
      "7[2].s": {"job_state": "Q", "comment": "Not Running: Insufficient amount of resource: ncpus"},
      "7[3].s": {"job_state": "F", "Exit_status": -29}, "7[4].s": {"job_state": "F", "Exit_status": 271},
      "8.s": {"job_state": "H", "exec_host": "n3/0*4+n4/0*4", "resources_used": {"walltime": "00:02:03"}},
      "9.s": {"job_state": "F", "Exit_status": 1}}}"""
    found = {(one.job, one.members): one.state for one in dialect_of("pbs").entries(answer)}
    assert found == {
        ("7[]", (0,)): "done", ("7[]", (1,)): "running", ("7[]", (2,)): "waiting", ("7[]", (3,)): "timeout",
        ("7[]", (4,)): "cancelled", ("8", None): "held", ("9", None): "failed",
    }
    held = next(one for one in dialect_of("pbs").entries(answer) if one.job == "8")
    assert (held.nodes, held.ran_s) == ("n3+n4", 123)
    with pytest.raises(AnswerError, match="not understood"):
        dialect_of("pbs").entries("qstat: what?")


def test_states_in_the_answer_of_bjobs() -> None:
    answer = "\n".join([
        "5|1|DONE|-|-|-|9 second(s)|n1|md.1[2]|-", "5|2|RUN|-|-|-|3 second(s)|n2|md.1[2]|-",
        "5|3|PEND|-|Jan 1 10:00|-|-|-|md.1[2]|Job slot limit reached",
        "5|4|EXIT|140|-|TERM_RUNLIMIT: job killed after reaching LSF run time limit|60 second(s)|n1|md.1[2]|-",
        "6|0|EXIT|1|-|-|1 second(s)|n1|md.1[2]|-",
        "8|0|EXIT|137|-|TERM_MEMLIMIT: job killed after reaching LSF memory usage limit|-|-|md.1[2]|-",
    ])
    found = {(one.job, one.members): (one.state, one.code) for one in dialect_of("lsf").entries(answer)}
    assert found == {
        ("5", (0,)): ("done", None), ("5", (1,)): ("running", None), ("5", (2,)): ("waiting", None),
        ("5", (3,)): ("timeout", 140), ("6", None): ("failed", 1), ("8", None): ("memory", 137),
    }
    assert {one.name for one in dialect_of("lsf").entries(answer)} == {"md.1"}
    spots = [(one.nodes, one.ran_s) for one in dialect_of("lsf").entries(answer)[:3]]
    assert spots == [("n1", 9), ("n2", 3), ("", None)]


def test_single_members_are_cancelled_by_their_number() -> None:
    jobs = [("12", None), ("13", 4)]
    assert dialect_of("slurm").cancel(jobs) == ["scancel", "12", "13_4"]
    assert dialect_of("pbs").cancel([("12", None), ("13[]", 4)]) == ["qdel", "12", "13[4]"]
    assert dialect_of("lsf").cancel(jobs) == ["bkill", "12", "13[5]"]


def test_the_width_of_an_array_is_changed_by_its_number() -> None:
    assert dialect_of("slurm").widen("12", 5) == ["scontrol", "update", "JobId=12", "ArrayTaskThrottle=5"]
    assert dialect_of("pbs").widen("13[]", 5) == ["qalter", "-W", "max_run_subjobs=5", "13[]"]
    assert dialect_of("lsf").widen("12", 5) == ["bmod", "-J", "%5", "12"]


@pytest.mark.parametrize("option", ["--exclude=n9", "--exclude n9", "-x n9", "-xn9"])
def test_jobs_are_kept_off_bad_nodes_and_those_of_the_user(option: str) -> None:
    job = Job(options=(option, "--exclusive"))
    request = Request("a.1", Path("/x"), Path("/x/script.sh"), 1, job, None, 90, exclude=("n1", "n2"))
    assert dialect_of("slurm").directives(request)[-1] == "#SBATCH --exclude=n9,n1,n2"


def test_commands_do_not_inherit_the_job_of_the_driver_nor_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_MEM_PER_CPU": "1", "SBATCH_PARTITION": "other",
        "SLURM_CONF": "/etc/slurm.conf", "VASP_COMMAND": "srun vasp_std", "DPA_SSE_S3_secretkey": "hidden",
        "DPA_SSE_RUN": "/run", "DPA_SSE_LMP": "/opt/lmp",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = clean_environment()
    assert {name for name in given if name in found} == {"SLURM_CONF", "VASP_COMMAND", "DPA_SSE_LMP"}


def test_what_the_user_has_set_for_slurm_counts_outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name in OF_THE_USER:
        monkeypatch.setenv(name, "mine")
    assert {name for name in OF_THE_USER if name in clean_environment()} == set(OF_THE_USER)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert {name for name in OF_THE_USER if name in clean_environment()} == set()


@pytest.mark.parametrize(("account", "seen"), [(None, "mine"), ("abc123", "")])
def test_an_account_of_the_settings_counts_more_than_that_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str | None, seen: str
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("SBATCH_ACCOUNT", "mine")
    program = tmp_path / "sbatch"
    program.write_text(f'#!/bin/bash\nprintf "%s" "$SBATCH_ACCOUNT" >"{tmp_path}/seen"\necho 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    request = Request("a.1", tmp_path, tmp_path / "script.sh", 1, Job(), account, 90)
    assert Scheduler(dialect_of("slurm")).submit(request) == "1"
    assert (tmp_path / "seen").read_text() == seen


def test_partitions() -> None:
    limits = (
        "PartitionName=cpu AllowGroups=ALL AllowAccounts=abc,def AllowQos=ALL Default=YES MaxNodes=4 "
        "MaxTime=2-00:00:00 State=UP TotalNodes=3\nPartitionName=gpu AllowAccounts=ALL Default=NO "
        "MaxNodes=UNLIMITED MaxTime=UNLIMITED State=DRAIN"
    )
    nodes = "cpu|2|64|257000+|(null)\ncpu|1|128|512000|(null)\ngpu|4|32|500000|gpu:a100:4(S:0-1)\n"
    found = parse_partitions(limits, nodes)
    assert (found["cpu"].default, found["cpu"].seconds, found["cpu"].most_nodes) == (True, 172800, 4)
    assert [(one.count, one.cores, one.mem_MB) for one in found["cpu"].nodes] == [(2, 64, 257000), (1, 128, 512000)]
    assert (found["gpu"].state, found["gpu"].seconds) == ("DRAIN", None)
    assert found["gpu"].nodes[0].gpus == {"": 4, "a100": 4}
    assert [slurm_seconds(text) for text in ("1:00", "30:00", "12:00:00", "1-00:00:00", "UNLIMITED")] == [
        60, 1800, 43200, 86400, None
    ]
    assert gpus_in("gpu:2") == {"": 2}
    assert gpus_in("(null)") == {}


def test_options_cannot_bring_in_other_lines() -> None:
    from pydantic import ValidationError

    from dpa_sse.pipeline.config.batch import BatchSettings, JobSettings

    for bad in (
        {"partition": "cpu\n#SBATCH --uid=0"}, {"partition": "a b"}, {"qos": "$(id)"}, {"gpu_type": "a`b`"},
        {"options": ["rm -rf /"]}, {"options": ["--x\necho"]}, {"setup": ["a\nb"]}, {"time": "60"}, {"time": 86400},
        {"time": "00:00:00"}, {"time": "1:60:00"},
    ):
        with pytest.raises(ValidationError):
            JobSettings.model_validate(bad)
    with pytest.raises(ValidationError):
        BatchSettings.model_validate({"account": "a;b"})
    assert re.fullmatch(r"\d+:\d\d:\d\d", JobSettings(time="24:00:00").time or "")


@pytest.mark.parametrize(("complaint", "full"), [
    ("sbatch: error: QOSMaxSubmitJobPerUserLimit\nBatch job submission failed: Job violates accounting/QOS policy "
     "(job submit limit, user's size and/or time limits)", True),
    ("sbatch: error: AssocMaxSubmitJobLimit", True),
    ("Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time "
     "limits)", True),
    ("sbatch: error: QOSMaxWallDurationPerJobLimit\nBatch job submission failed: Job violates accounting/QOS policy "
     "(job submit limit, user's size and/or time limits)", False),
    ("sbatch: error: QOSMinNode\n(job submit limit, user's size and/or time limits)", False),
    ("sbatch: error: Batch job submission failed: Invalid job array specification", True),
    ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.", True),
    ("Invalid partition name specified", False),
])
def test_a_limit_of_the_job_is_not_a_full_queue(complaint: str, full: bool) -> None:
    assert dialect_of("slurm").full(complaint) is full
