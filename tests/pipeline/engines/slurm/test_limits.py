"""Limits on stand-ins for batch systems: places of the run, full queues, bad nodes, memory, full disks."""

from __future__ import annotations

import errno
import json
import sys
import threading
import time
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.pipeline.config.batch import BatchSettings, Job
from dpa_sse.pipeline.config.batch_presets import jobs_of
from dpa_sse.pipeline.engines.slurm import job as job_module
from dpa_sse.pipeline.engines.slurm.exit_codes import NO_SPACE
from dpa_sse.pipeline.engines.slurm.places import Portion
from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
from dpa_sse.pipeline.engines.slurm.records import Batch, BatchFolder, BatchTask, make_folder, open_folders
from dpa_sse.pipeline.engines.slurm.scheduler import Scheduler
from dpa_sse.pipeline.engines.slurm.slurm import Slurm
from dpa_sse.pipeline.engines.slurm.submission import Submitter
from dpa_sse.pipeline.engines.slurm.verdict import Sight, may_repeat, more_memory, verdict
from dpa_sse.pipeline.runs.folder import Run
from tests import fake_batch
from tests.pipeline.engines.slurm.conftest import BatchSystem
from tests.toy_runs import computed, result

every_system = pytest.mark.parametrize("batch_system", ["slurm", "pbs", "lsf"], indirect=True)
SUBMIT = ("sbatch", "qsub", "bsub")


def said(run: Run) -> str:
    return "\n".join(event.reason or "" for event in run.events() if event.kind in ("note", "error", "failed"))


def submissions(batch_system: BatchSystem) -> int:
    return sum(call in SUBMIT for call in batch_system.calls)


@every_system
def test_all_steps_of_a_run_share_its_places(batch_system: BatchSystem) -> None:
    """Two fan-outs of twelve at the same time, three places: both get some, never more than three jobs are at work."""
    run = batch_system.run({"count": 12, "square": {"delay_s": 2}})
    light = {"where": "queue", "time": "00:10:00", "tasks_per_job": 1}
    assert batch_system.go(run, "build_pair", max_jobs=3, overrides={"light": light}) == 0
    assert result(run, "both", "both.json") == [506, 506]
    assert int((batch_system.state / "most").read_text()) == 3
    assert set(computed(run).values()) == {1}
    starts = {event.task: event.time for event in run.events() if event.kind == "start"}
    assert min(starts[f"other-{number:03d}"] for number in range(12)) < starts["square-011"]
    assert submissions(batch_system) == 7  # of numbers, the array and the total twice, and both


def test_one_place_is_enough(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 2, "square": {"delay_s": 0.3}})
    light = {"where": "queue", "time": "00:10:00", "tasks_per_job": 1}
    assert batch_system.go(run, "build_pair", max_jobs=1, overrides={"light": light}) == 0
    assert result(run, "both", "both.json") == [1, 1]
    assert (batch_system.state / "most").read_text() == "1"


def test_a_kind_of_work_has_a_limit_of_its_own(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 4, "square": {"delay_s": 0.5}})
    light = {"where": "queue", "time": "00:10:00", "tasks_per_job": 1, "max_jobs": 2}
    assert batch_system.go(run, "build_pair", max_jobs=50, overrides={"light": light}) == 0
    assert (batch_system.state / "most").read_text() == "2"


def test_an_array_that_is_too_large_is_submitted_in_parts(batch_system: BatchSystem) -> None:
    (batch_system.state / "array").write_text("3")
    run = batch_system.run({"count": 8, "square": {"delay_s": 0.1}})
    light = {"where": "queue", "time": "00:10:00", "tasks_per_job": 1}
    assert batch_system.go(run, overrides={"light": light}) == 0
    assert result(run, "total", "total.json") == 140
    assert "Invalid job array specification; not more than" in said(run)
    assert set(computed(run).values()) == {1}


def test_a_queue_that_is_full_of_other_jobs_is_waited_for(batch_system: BatchSystem) -> None:
    (batch_system.state / "limit").write_text("0")
    run = batch_system.run({"count": 2})
    threading.Timer(4.0, lambda: (batch_system.state / "limit").write_text("1")).start()
    assert batch_system.go(run) == 0
    assert result(run, "total", "total.json") == 1
    assert said(run).count("QOSMaxSubmitJobPerUserLimit") <= 2  # one line for each step that met it
    assert submissions(batch_system) < 25


def test_portions_follow_what_the_system_takes() -> None:
    """A limit of 100 jobs, 1000 tasks: few submissions, refused ones included."""
    portion, left, waiting, calls = Portion(1000), 1000, 0, 0
    while left or waiting:
        while left and (part := min(left, portion.room(waiting))):
            calls += 1
            if waiting + part > 100:
                portion.refused(waiting, part)
            else:
                portion.accepted()
                waiting, left = waiting + part, left - part
        waiting -= min(waiting, 5)
    assert calls <= 80
    portion = Portion(10)
    portion.refused(0, 1)
    assert portion.room(0) == 0  # only time helps


def test_a_node_on_which_jobs_fail_at_once_is_left_out(batch_system: BatchSystem) -> None:
    (batch_system.state / "broken").write_text("n1")
    run = batch_system.run({"count": 3})
    assert batch_system.go(run) == 0
    assert result(run, "total", "total.json") == 5
    assert "numbers: Slurm job 1 failed before its first task (exit code 1 on n1); submitted again (1 of" in said(run)
    assert "of at most 2 times); node n1 is left out from now on" in said(run)
    assert said(run).count("left out") == 1  # the other steps know
    scripts = [path.read_text() for path in run.engine.glob("jobs/*/script.sh")]
    assert sum("#SBATCH --exclude=n1\n" in text for text in scripts) == 3
    assert batch_system.go(run) == 0  # a new start uses all nodes again
    assert not (run.engine / "bad_nodes.json").exists()


def test_a_node_that_does_not_see_the_run_folder_is_left_out(batch_system: BatchSystem) -> None:
    (batch_system.state / "blind").write_text("n1")
    run = batch_system.run({"count": 2})
    assert batch_system.go(run) == 0
    assert "FAILED on n1, but no exit code in the run folder: does the node see its file system" in said(run)
    assert "node n1 is left out from now on" in said(run)


def test_no_more_nodes_are_left_out_than_a_quarter(batch_system: BatchSystem) -> None:
    (batch_system.state / "broken").write_text("n1 n2")
    run = batch_system.run({"count": 2})
    assert batch_system.go(run) == 1
    assert "failed before its first task (exit code 1 on n2)" in said(run)
    assert "not submitted again, since no further node can be left out" in said(run)
    assert submissions(batch_system) == 2
    (batch_system.state / "broken").unlink()
    assert batch_system.go(run) == 0


@pytest.mark.parametrize("batch_system", ["pbs"], indirect=True)
def test_without_a_way_to_leave_out_a_node_it_fails(batch_system: BatchSystem) -> None:
    (batch_system.state / "broken").write_text("n1")
    run = batch_system.run({"count": 2})
    assert batch_system.go(run) == 1
    assert "no further node can be left out" in said(run)


def test_memory_does_not_grow_above_that_of_the_nodes(batch_system: BatchSystem) -> None:
    """Nodes of partition cpu have 250 GB: 200 GB, then 250 GB, then one line."""
    run = batch_system.run({"count": 1, "square": {"delay_s": 2}})
    killed: set[Path] = set()

    def kill() -> None:
        for path in (batch_system.state / "jobs").iterdir():
            if len(computed(run)) and path not in killed and (path / "pid.-1").exists() and path.name != "1":
                time.sleep(0.5)
                killed.add(path)
                fake_batch.end(path, -1, "memory", 9)

    light = {"where": "queue", "time": "00:10:00", "partition": "cpu", "mem_GB": 200, "max_mem_GB": 1000}
    assert batch_system.go(run, on_tick=kill, overrides={"light": light}) == 1
    assert "ran out of memory (OUT_OF_MEMORY); submitted again with 250 GB" in said(run)
    assert ("not submitted again: it had 250 GB, and no node of partition cpu that it could run on has more than "
            "250 GB") in said(run)


def test_memory_that_the_system_does_not_tell_is_doubled() -> None:
    job = Job(mem_GB=4, max_mem_GB=100)
    assert more_memory(4, job) == 8
    assert more_memory(4, job, 5.5) == 5.5
    assert may_repeat("memory", {}, job, 4, most_GB=4.1)[0] is False
    assert may_repeat("memory", {}, job, 4)[0] is True


def one_task(tmp_path: Path) -> BatchFolder:
    batch = Batch(
        name="a.1", step="a", stage="01", kind="light", module="toy", op="Numbers", reuse=True, environment={},
        inputs={}, tasks=[BatchTask(name="a", key="k")], members=[[0]], dflow="dflow", created=1.0,
    )
    return make_folder(tmp_path, batch, lambda _path, _batch: "")


def test_a_job_that_cannot_write_its_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = one_task(tmp_path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "results/a.json")

    monkeypatch.setattr(job_module, "run_tasks", full)
    monkeypatch.setattr(sys, "argv", ["job", str(folder.path), "0"])
    assert job_module.main() == NO_SPACE
    assert capsys.readouterr().err == "results/a.json: No space left on device\n"
    sight = Sight(view=None, asked_after_s=-1, ended=(NO_SPACE, "-", "n1"), unchanged_s=0, now=0)
    assert verdict(sight) == ("disk", "")
    assert may_repeat("disk", {}, Job(), None) == (False, "make room, and start the run again")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_at_a_submission_is_one_line_and_leaves_nothing(
    batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    from tests.pipeline.engines.local.toy import Numbers

    run = batch_system.run({"count": 2})

    def full(path: Path, _text: str) -> None:
        raise OSError(code, "full", str(path))

    monkeypatch.setattr("dpa_sse.pipeline.engines.slurm.records.write_text", full)
    with pytest.raises(FatalError, match=r"script\.sh: no space is left, or the quota is used up; make room, and start "
                                         r"the run again; nothing was submitted"):
        submitter(batch_system, run, Numbers()).prepare([[BatchTask(name="a", key="k")]], {}, None)
    assert not list(run.engine.glob("jobs/*"))
    assert submissions(batch_system) == 0


def submitter(batch_system: BatchSystem, run: Run, op: object, limit_s: float = 60.0) -> Submitter:
    settings = BatchSettings()
    plan = BatchPlan(system="slurm", settings=settings, jobs=jobs_of(settings, batch_system.folder))
    return Submitter(run.folder, plan, Scheduler(Slurm(), limit_s), op)  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "words"), [
    ("hang", "sbatch did not answer within 1 s. Trying again until it is submitted."),
    ("down", "Unable to contact slurm controller (connect failure). Trying again until it is submitted."),
])
def test_a_submission_waits_for_a_system_that_does_not_answer(
    batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch, mode: str, words: str
) -> None:
    from tests.pipeline.engines.local.toy import Numbers

    notes: list[str] = []
    monkeypatch.setattr("dpa_sse.ops.runtime.events.emit", lambda *_args, **details: notes.append(details["reason"]))
    run = batch_system.run({"count": 2})
    made = submitter(batch_system, run, Numbers(), limit_s=1.0)
    folder = made.prepare([[BatchTask(name="a", key="k")]], {}, None)
    monkeypatch.setattr("dpa_sse.pipeline.engines.slurm.submission.LONGEST_WAIT_S", 6.0)
    (batch_system.state / "mode").write_text(mode)
    threading.Timer(5.0, (batch_system.state / "mode").unlink).start()
    made.send(folder)
    assert folder.job == "1"
    assert [note for note in notes if words in note] == notes
    assert len(notes) == 1
    assert len(batch_system.states()) == 1


def test_tasks_side_by_side_have_their_own_logs_and_exit_files(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 6, "square": {"delay_s": 2, "fail": [4]}, "total": {}})
    light = {"where": "queue", "time": "00:10:00", "cpus_per_task": 3, "side_by_side": 3, "tasks_per_job": 6}
    kept: dict[str, dict[str, str]] = {}

    def keep() -> None:
        for folder in run.engine.glob("jobs/square*"):
            for place in ("ends", "log", "events"):
                for path in (folder / place).glob("*"):
                    kept.setdefault(place, {})[path.name] = path.read_text()

    begun = time.monotonic()
    assert batch_system.go(run, on_tick=keep, overrides={"light": light}) == 1
    first = time.monotonic() - begun
    spans = {event.task: event for event in run.events() if event.kind == "start"}
    times = sorted(event.time for name, event in spans.items() if name.startswith("square"))
    assert times[2] - times[0] < 2.0, "the first three run at the same time"
    assert times[3] - times[0] > 1.5, "not more than three"
    assert set(kept["ends"]) >= {"square-000", "square-001"}
    assert kept["ends"]["square-000"].split()[0] == "0"
    assert {f"square-00{number}.txt" for number in range(6)} <= set(kept["log"])
    assert "task 4 fails on purpose" in said(run)
    assert computed(run) == {f"square {number}": 1 for number in range(6)}
    (run.folder / "toy.json").write_text(json.dumps({"count": 6, "square": {"delay_s": 2, "fail": [4]}, "total": {}}))
    assert batch_system.go(run, overrides={"light": light}) == 1  # only the one that failed
    assert computed(run)["square 4"] == 2
    assert sum(computed(run).values()) == 7
    assert first < 120


def test_a_task_of_a_pack_that_is_killed_is_repeated_alone(batch_system: BatchSystem) -> None:
    import psutil

    run = batch_system.run({"count": 3, "square": {"delay_s": 3}})
    light = {"where": "queue", "time": "00:10:00", "cpus_per_task": 3, "side_by_side": 3}
    killed: list[int] = []

    def kill_one() -> None:
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            is_task = str(run.engine) in " ".join(command) and command[-2:] == ["0", "1"]
            if not killed and is_task and len(computed(run)) == 3:
                killed.append(process.pid)
                process.kill()

    assert batch_system.go(run, on_tick=kill_one, overrides={"light": light}) == 0
    assert result(run, "total", "total.json") == 5
    assert computed(run) == {"square 0": 1, "square 1": 2, "square 2": 1}
    assert "square-001: Slurm job 2 was killed (exit code 137 on n1); submitted again (1 of at most 2" in said(run)


@pytest.mark.parametrize(("given", "words"), [
    ({"cpus_per_task": 4, "side_by_side": 3}, "3 tasks cannot share cpus_per_task: 4 equally"),
    ({"tasks_per_node": 64, "side_by_side": 3}, "3 tasks cannot share tasks_per_node: 64 equally"),
    ({"cpus_per_task": 4, "side_by_side": 4, "gpus": 3}, "4 tasks cannot share gpus: 3 equally"),
    ({"cpus_per_task": 2, "side_by_side": 2, "gpus": 3}, "2 tasks cannot share gpus: 3 equally"),
    ({"cpus_per_task": 4, "side_by_side": 4, "nodes": 2}, "share the jobs of one node, not of 2"),
    ({"cpus_per_task": 4, "side_by_side": 4, "tasks_per_job": 2}, "need as many in a job, not tasks_per_job: 2"),
])
def test_tasks_that_cannot_share_a_job_equally_are_refused(given: dict[str, int], words: str) -> None:
    from dpa_sse.ops.core.errors import InputError

    with pytest.raises(InputError, match="md: side_by_side: ") as error:
        jobs_of(BatchSettings.model_validate({"overrides": {"md": given}}), Path("/"))
    assert words in str(error.value)


def test_what_a_task_of_a_pack_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.pipeline.engines.slurm.pack import place_environment
    from dpa_sse.pipeline.engines.slurm.submission import share_of

    labels = share_of(Job(tasks_per_node=64, cpus_per_task=2, side_by_side=4))
    assert labels is not None
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "8000")
    found = place_environment(labels, 3)
    assert (found["SLURM_NTASKS"], found["SLURM_CPUS_PER_TASK"], found["SLURM_EXACT"]) == ("16", "2", "1")
    assert found["SLURM_MEM_PER_NODE"] == "2000"
    assert "CUDA_VISIBLE_DEVICES" not in found
    cards = share_of(Job(cpus_per_task=8, gpus=2, side_by_side=4))
    assert cards is not None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [place_environment(cards, place)["CUDA_VISIBLE_DEVICES"] for place in range(4)] == ["5", "7", "5", "7"]
    whole = share_of(Job(cpus_per_task=8, gpus=4, side_by_side=2))
    assert whole is not None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [place_environment(whole, place)["CUDA_VISIBLE_DEVICES"] for place in range(2)] == ["0,1", "2,3"]
    assert share_of(Job()) is None


def test_open_folders_of_a_run_are_none_at_its_end(batch_system: BatchSystem) -> None:
    run = batch_system.run({"count": 2})
    assert batch_system.go(run) == 0
    assert list(open_folders(run.engine)) == []
    assert [path.name for path in (run.engine / "claims").glob("*")] == []


def test_a_step_that_waits_for_its_kind_does_not_narrow_the_others(tmp_path: Path) -> None:
    """Two places for MD are taken, 97 of the run are free: the labels keep their width."""
    from dpa_sse.pipeline.engines.slurm.places import Places

    scheduler = Scheduler(Slurm())
    one = make_folder(tmp_path, array("md.1", "md", width=2), lambda _path, _batch: "")
    other = make_folder(tmp_path, array("label.1", "label", width=1), lambda _path, _batch: "")
    waiting = Places(tmp_path, scheduler, 100, Job(max_jobs=2), "md", "md-more")
    with waiting.room() as room:
        assert room == 0
    labels = Places(tmp_path, scheduler, 100, Job(), "label", "label")
    assert labels._claims() == set()
    assert Places(tmp_path, scheduler, 100, Job(max_jobs=2), "md", "md")._claims() == {"md-more"}
    with labels.room() as room:
        assert room == 97
    (one.path / "exit" / "0").write_text("0 - 1 n1\n")
    (one.path / "exit" / "1").write_text("0 - 1 n1\n")
    with waiting.room() as room:
        assert room == 1
    other.lost(2)
    for member in (0, 1):
        other.lost(member)
    with labels.room() as room:
        assert room == 99


def test_a_file_system_that_cannot_lock_has_places_too(
    batch_system: BatchSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpa_sse.pipeline.engines.slurm.nodes import BadNodes
    from dpa_sse.pipeline.engines.slurm.places import Places

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    engine, scheduler = batch_system.folder, Scheduler(Slurm())
    with Places(engine, scheduler, 5, Job(), "md", "md").room() as room:
        assert room == 5
        assert (engine / "places.lock.held").exists()
    nodes = BadNodes(engine, scheduler, Job())
    assert nodes.add("n1", "lost")
    assert nodes.names() == ("n1",)
    assert not list(engine.glob("*.held"))


def array(name: str, kind: str, width: int) -> Batch:
    """Return a submission of three jobs."""
    tasks = [BatchTask(name=f"{name}-{index}", key="k", index=index) for index in range(3)]
    return Batch(
        name=name, step=name.partition(".")[0], stage="01", kind=kind, module="toy", op="Square", reuse=True,
        environment={}, inputs={}, tasks=tasks, members=[[0], [1], [2]], dflow="dflow", created=1.0, width=width,
    )
