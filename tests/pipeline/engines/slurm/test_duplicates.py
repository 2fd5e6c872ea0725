"""A submission that the system takes after its repetition: one job does the work, whichever it is."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from dpa_sse.pipeline.config.batch import BatchSettings, Job
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.engines.slurm import submission
from dpa_sse.pipeline.engines.slurm.dialect import Request
from dpa_sse.pipeline.engines.slurm.engine import cancel_jobs
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.records import Batch, BatchFolder, BatchTask, make_folder
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.script import batch_script
from dpa_sse.pipeline.engines.slurm.submission import Submitter
from dpa_sse.pipeline.engines.slurm.systems import dialect_of
from dpa_sse.pipeline.runs.folder import Run
from tests.pipeline.engines.slurm.conftest import BatchSystem
from tests.toy_runs import computed, result, wait_for

every_system = pytest.mark.parametrize("batch_system", ["slurm", "pbs", "lsf"], indirect=True)
NUMBERS = {"slurm": {"SLURM_JOB_ID": "7"}, "pbs": {"PBS_JOBID": "7.server"}, "lsf": {"LSB_JOBID": "7"}}
MEMBERS = {
    "slurm": {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"},
    "pbs": {"PBS_JOBID": "7[1].server", "PBS_ARRAY_INDEX": "1"}, "lsf": {"LSB_JOBID": "7", "LSB_JOBINDEX": "2"},
}


def batch(count: int = 1) -> Batch:
    tasks = [BatchTask(name=f"a-{number}", key="k") for number in range(count)]
    return Batch(
        name="a.12345678", step="a", stage="01", kind="light", module="toy", op="Numbers", reuse=True, environment={},
        inputs={}, tasks=tasks, members=[[number] for number in range(count)], dflow="dflow", created=1.0,
    )


def written(engine: Path, system: str, work: str, count: int = 1, job: Job | None = None) -> BatchFolder:
    """Write down a submission whose jobs run a line of shell."""
    def script(path: Path, made: Batch) -> str:
        request = Request(made.name, path, path / "script.sh", count, job or Job(), None, 90)
        return batch_script(dialect_of(system), request, ["bash", "-c", work], {}, 0o022)  # type: ignore[arg-type]

    return make_folder(engine, batch(count), script)


def do(folder: BatchFolder, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "SLURMD_NODENAME": "n1", **variables}
    command = ["bash", str(folder.path / "script.sh")]
    return subprocess.run(command, env=kept, capture_output=True, text=True, check=True)


def submitter(batch_system: BatchSystem, run: Run) -> Submitter:
    from tests.pipeline.engines.local.toy import Numbers

    settings = BatchSettings()
    plan = BatchPlan(
        system=batch_system.system, settings=settings, jobs=jobs_of(settings, batch_system.folder)
    )
    return Submitter(run.folder, plan, Scheduler(dialect_of(batch_system.system)), Numbers())


@pytest.mark.parametrize("system", ["slurm", "pbs", "lsf"])
def test_a_job_that_is_not_the_one_that_is_waited_for_does_nothing(tmp_path: Path, system: str) -> None:
    folder = written(tmp_path, system, "touch worked")
    folder.submitted("8")
    assert "job 7: not the one that is waited for; it does nothing" in do(folder, NUMBERS[system]).stdout
    assert not (folder.path / "worked").exists()
    assert folder.names("exit") == frozenset()
    folder.submitted("7")
    assert do(folder, NUMBERS[system]).stdout == ""
    assert (folder.path / "worked").exists()
    assert folder.ended(0) == (0, "-", "n1")
    assert (folder.path / "exit" / "0").read_text().split()[4] == "7"


@pytest.mark.parametrize("system", ["slurm", "pbs", "lsf"])
def test_members_of_an_array_know_its_number(tmp_path: Path, system: str) -> None:
    folder = written(tmp_path, system, "touch worked", count=2)
    number = "7[]" if system == "pbs" else "7"
    folder.submitted("8[]" if system == "pbs" else "8")
    assert "does nothing" in do(folder, MEMBERS[system]).stdout
    folder.submitted(number)
    assert do(folder, MEMBERS[system]).stdout == ""
    assert folder.ended(1) == (0, "-", "n1")
    assert (folder.path / "exit" / "1").read_text().split()[4] == number


def test_a_job_that_comes_after_everything_was_given_up_does_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path, "slurm", "touch worked")
    folder.close()
    assert "does nothing" in do(folder, NUMBERS["slurm"]).stdout
    assert not (folder.path / "worked").exists()


def test_of_two_jobs_without_a_driver_one_does_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpa_sse.pipeline.engines.slurm.script._CLAIM", tuple(
        line.replace("{1..120}", "{1..2}") for line in submission_claim()
    ))
    folder = written(tmp_path, "slurm", "echo worked >>worked")
    folder.repeat()
    for number in ("7", "8"):
        do(folder, {"SLURM_JOB_ID": number})
    assert (folder.path / "worked").read_text() == "worked\n"
    assert folder.job == "7"


def submission_claim() -> tuple[str, ...]:
    from dpa_sse.pipeline.engines.slurm.script import _CLAIM

    assert any("{1..120}" in line for line in _CLAIM)
    return _CLAIM


def test_the_exit_file_of_another_job_is_not_that_of_the_job(tmp_path: Path) -> None:
    folder = written(tmp_path, "slurm", "true")
    folder.submitted("8")
    (folder.path / "exit" / "0").write_text("143 term 3 n2 7\n")
    assert (folder.ended(0), folder.ran_s(0)) == (None, None)
    (folder.path / "exit" / "0").write_text("0 - 3 n2 8\n")
    assert (folder.ended(0), folder.ran_s(0)) == ((0, "-", "n2"), 3.0)


def sent(batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch, settled_s: float) -> tuple[Submitter, BatchFolder]:
    """Submit to a system that does not answer, and takes the job three seconds later."""
    monkeypatch.setattr(submission, "SETTLED_S", settled_s)
    monkeypatch.setattr("dpa_sse.ops.runtime.events.emit", lambda *_args, **_details: None)
    run = batch_system.run({"count": 2})
    made = submitter(batch_system, run)
    folder = made.prepare([[BatchTask(name="a", key="k")]], {}, None)
    (batch_system.state / "reason").write_text("Priority")
    (batch_system.state / "mode").write_text("late 3")
    made.send(folder)
    return made, folder


def test_a_system_that_takes_a_job_late_is_waited_for(
    batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = sent(batch_system, monkeypatch, 10.0)
    assert folder.job == "1"
    assert batch_system.calls.count("sbatch") == 2  # the first one twice: it arrives as a second call
    assert not folder.repeated


@every_system
def test_a_job_that_arrives_after_its_repetition_is_cancelled(
    batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder = sent(batch_system, monkeypatch, 0.0)
    assert folder.repeated
    wait_for(lambda: len(list(batch_system.state.glob("jobs/*/state.*"))) == 2, 30)
    made.end_duplicates([folder])
    assert sorted(batch_system.states().values()) == [["cancelled"], ["waiting"]]
    assert batch_system.states()["1"] == ["waiting"]
    assert folder.job == "1"


def test_stop_cancels_late_jobs_too(batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    made, folder = sent(batch_system, monkeypatch, 0.0)
    wait_for(lambda: len(list(batch_system.state.glob("jobs/*/state.*"))) == 2, 30)
    run = Run(made.run)
    assert sorted(cancel_jobs(run, made.scheduler)) == ["1", "2"]
    assert batch_system.state_words() == {"cancelled"}
    assert folder.closed


def test_a_run_with_a_late_job_computes_everything_once(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 2, "square": {"delay_s": 4}})
    (batch_system.state / "mode").write_text("late 8")
    begun = time.monotonic()
    assert batch_system.go(run) == 0
    assert time.monotonic() - begun < 90
    assert result(run, "total", "total.json") == 1
    assert set(computed(run).values()) == {1}
    assert len(batch_system.states()) == 3
