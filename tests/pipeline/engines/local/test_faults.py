"""Faults from outside: stopped processes, a clock that is set, an upgrade, no shared memory, fifty kills."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from dpa_sse import __version__
from dpa_sse.pipeline.commands.run_end import show_failures
from dpa_sse.pipeline.runs.progress import status_rows
from dpa_sse.pipeline.runs.stage_status import stage_status
from tests.toy_runs import ROOT, TOYS, computed, finished_once, go, kill, make, result, start, wait_for, workers_of

CLOCK = """
import time
real = time.time
def shifted():
    try:
        with open({path!r}) as stream:
            return real() + float(stream.read())
    except (OSError, ValueError):
        return real()
time.time = shifted
"""
NO_SEMAPHORES = """
import _multiprocessing
class SemLock(_multiprocessing.SemLock):
    def __new__(cls, *arguments, **more):
        raise OSError(28, "No space left on device")
_multiprocessing.SemLock = SemLock
"""


@pytest.fixture(autouse=True)
def _toy_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TOYS))


def squares(count: int) -> int:
    return sum(n * n for n in range(count))


def test_stopped_processes_continue(tmp_path: Path) -> None:
    run = make(tmp_path, {"count": 6, "square": {"delay_s": 0.3}})
    driver = start(run)
    wait_for(lambda: computed(run), 60)
    everything = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    for process in everything:
        process.suspend()
    before = computed(run)
    time.sleep(1.0)
    assert computed(run) == before
    for process in everything:
        process.resume()
    assert driver.wait(timeout=60) == 0
    assert result(run, "total", "total.json") == squares(6)
    assert set(computed(run).values()) == {1}


def test_a_clock_that_is_set_by_a_day_loses_nothing(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(CLOCK.format(path=str(shift)))
    run = make(tmp_path, {"count": 6, "square": {"delay_s": 0.3}})
    driver = start(run, first=tmp_path / "first")
    for number, seconds in ((1, 86400), (3, -86400)):
        wait_for(lambda number=number: len(computed(run)) >= number, 60)
        shift.write_text(str(seconds))
    assert driver.wait(timeout=60) == 0
    times = [event.time for event in run.events()]
    assert max(times) - min(times) > 100_000, "the clock was not set"
    assert result(run, "total", "total.json") == squares(6)
    stages = stage_status(run.plan(), run.events(), "ended")
    assert {stage.status for stage in stages} == {"done"}
    assert not any("-" in row["elapsed"] for row in status_rows(stages, times[-1]))
    assert go(run) == 0
    assert set(computed(run).values()) == {1}


def test_an_upgrade_during_a_run_is_reported_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "site"
    for name in ("ops", "pipeline", "configs", "dpa_sse"):
        shutil.copytree(ROOT / name, root / name, symlinks=True)
    run = make(tmp_path, {"count": 8, "square": {"delay_s": 0.5}})
    driver = start(run, root=root)
    wait_for(lambda: len(computed(run)) >= 2, 60)
    package = root / "dpa_sse" / "__init__.py"
    package.write_text(package.read_text().replace(__version__, "9.9.9"))
    assert driver.wait(timeout=60) == 1
    show_failures(run)
    shown = capsys.readouterr().err
    assert shown.count(f"changed from version {__version__} to 9.9.9 during this run") == 1
    assert f"dpa-sse resume {run.folder}" in shown
    finished = {event.task for event in run.events() if event.kind == "done"}
    assert "square-000" in finished
    assert "total" not in finished
    assert start(run, root=root).wait(timeout=60) == 0
    assert result(run, "total", "total.json") == squares(8)
    assert finished_once(run)
    assert set(computed(run).values()) == {1}


def test_no_room_in_shared_memory_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(NO_SEMAPHORES)
    run = make(tmp_path, {"count": 4})
    assert start(run, first=tmp_path / "first").wait(timeout=60) == 1
    show_failures(run)
    shown = capsys.readouterr().err
    assert "shm, is full" in shown
    assert "Traceback" not in shown
    assert go(run) == 0
    assert finished_once(run)
    assert result(run, "total", "total.json") == squares(4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """Kill -9 of one process, or of the whole tree at once, at seeded random moments; the same command resumes."""
    generator = random.Random(20261127)
    run = make(tmp_path, {"count": 150, "square": {"delay_s": 0.15}})
    kinds: Counter[str] = Counter()
    for number in range(50):
        driver = start(run)
        time.sleep(generator.uniform(0.3, 3.0))
        if driver.poll() is not None:
            kinds["ended before"] += 1
            continue
        root = psutil.Process(driver.pid)
        tree = [root, *root.children(recursive=True)]
        kind = ("tree", "root", "one")[number % 3]
        victims = {"tree": tree, "root": [root], "one": [generator.choice(tree)]}[kind]
        for victim in victims if kind == "tree" else ():  # all at the same moment
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.suspend()
        for victim in victims:
            kill(victim)
        kinds[kind] += 1
        driver.wait(timeout=60)
        wait_for(lambda: not workers_of(run), 10)
        wait_for(lambda: run.holder() is None, 10)
    assert kinds["tree"] >= 10
    assert kinds["root"] >= 10
    assert go(run) == 0
    assert result(run, "total", "total.json") == squares(150)
    assert finished_once(run)
