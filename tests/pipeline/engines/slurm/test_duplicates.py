"""Jobs that are not those of the run, or come too late: repeated submissions, reused numbers, signals, late files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dpa_sse.pipeline.config.batch import BatchSettings, Job
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.engines.slurm import submission
from dpa_sse.pipeline.engines.slurm.dialect import Request
from dpa_sse.pipeline.engines.slurm.engine import cancel_jobs
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.queue import JobView
from dpa_sse.pipeline.engines.slurm.records import Batch, BatchFolder, BatchTask, make_folder
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.script import batch_script
from dpa_sse.pipeline.engines.slurm.submission import Submitter
from dpa_sse.pipeline.engines.slurm.systems import dialect_of
from dpa_sse.pipeline.engines.slurm.verdict import Sight, verdict
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


@every_system
def test_another_job_that_got_the_number_is_neither_believed_nor_cancelled(batch_system: BatchSystem) -> None:
    (batch_system.state / "reason").write_text("Priority")
    run = batch_system.run({"count": 1})
    run.engine.mkdir(parents=True, exist_ok=True)
    system = batch_system.system
    thesis = {"slurm": "#SBATCH --job-name=my-thesis", "pbs": "#PBS -N my-thesis", "lsf": '#BSUB -J "my-thesis"'}
    other = batch_system.folder / "other.sh"
    other.write_text(f"#!/bin/bash\n{thesis[system]}\nsleep 60\n")
    program = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub"}[system]
    subprocess.run([program, str(other)], stdin=other.open(), capture_output=True, check=True)
    folder = make_folder(run.engine, batch(), lambda _path, _batch: "")
    folder.submitted("1")
    scheduler = Scheduler(dialect_of(system))
    assert [one.job for one in scheduler.query({"1": "my-thesis"})] == ["1"]
    assert scheduler.query({"1": folder.path.name}) == []
    assert cancel_jobs(run, scheduler) == ["1"]
    assert batch_system.states() == {"1": ["waiting"]}
    assert scheduler.cancel([("1", None)], {"1": "my-thesis"}) == ""
    assert batch_system.states() == {"1": ["cancelled"]}


def test_a_file_may_be_seen_later_than_a_folder_is_listed_again() -> None:
    """NFS lists a folder again after 60 s at the latest (acdirmax), patience_s is as long."""
    done = JobView(members=None, state="done", word="COMPLETED")

    def after(unchanged_s: float, view: JobView | None, ended: tuple[int, str, str] | None = None) -> object:
        return verdict(Sight(view=view, asked_after_s=500, ended=ended, unchanged_s=unchanged_s, now=time.time()))

    for view, ended in ((done, None), (None, None), (done, (0, "-", "n1"))):
        assert after(65, view, ended) is None
        assert after(95, view, ended) is not None


def test_a_folder_is_changed_so_that_it_is_listed_again(tmp_path: Path) -> None:
    folder = written(tmp_path, "slurm", "true")
    for place in ("exit", "results"):
        os.utime(folder.path / place, (1.0, 1.0))
    assert folder.changed()
    for place in ("exit", "results"):
        assert (folder.path / place).stat().st_mtime > 1.0
        assert folder.names(place) == frozenset()
    (folder.path / "exit").rmdir()
    assert not folder.changed()


def begun_job(folder: BatchFolder) -> subprocess.Popen[bytes]:
    kept = {"PATH": os.environ["PATH"], "SLURMD_NODENAME": "n1"}
    return subprocess.Popen(["bash", str(folder.path / "script.sh")], env=kept)


@pytest.mark.parametrize(("number", "early"), [(signal.SIGUSR1, "time"), (signal.SIGTERM, "term")])
def test_a_signal_before_the_task_has_begun_stops_the_job(tmp_path: Path, number: signal.Signals, early: str) -> None:
    job = Job(setup=("touch in-setup", "sleep 2"))
    folder = written(tmp_path, "slurm", "touch worked", job=job)
    process = begun_job(folder)
    wait_for((folder.path / "in-setup").exists, 30)
    process.send_signal(number)
    assert process.wait(30) == 143
    assert folder.ended(0) == (143, early, "n1")
    assert not (folder.path / "worked").exists()


def test_what_was_said_first_counts(tmp_path: Path) -> None:
    """The time limit is near, then SIGTERM at the limit itself: a job that may be repeated as often as is set."""
    work = "trap 'touch told' TERM; touch begun; while [ ! -e enough ]; do sleep 0.1; done #"
    folder = written(tmp_path, "slurm", work)
    process = begun_job(folder)
    wait_for((folder.path / "begun").exists, 30)
    process.send_signal(signal.SIGUSR1)
    wait_for((folder.path / "told").exists, 30)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    (folder.path / "enough").touch()
    process.wait(30)
    ended = folder.ended(0)
    assert ended is not None
    assert ended[1] == "time"


def test_a_request_to_stop_that_is_made_twice_does_not_disturb_the_first(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time; from pathlib import Path; from dpa_sse.pipeline.engines.slurm import job; "
        "signal.signal(signal.SIGTERM, job._stop)\n"
        "try:\n    os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
        "finally:\n    os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1); Path(sys.argv[1]).touch()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "kept")], check=False)
    assert done.returncode == 143
    assert (tmp_path / "kept").exists()
