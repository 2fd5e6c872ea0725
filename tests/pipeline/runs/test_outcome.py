"""How a run has ended: refused by a gate is neither failed nor done, and the same word everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import REFUSAL, SUSPENSION
from dpa_sse.pipeline.commands.monitor import show_status
from dpa_sse.pipeline.commands.run_end import finish_run
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.outcome import exit_code, run_state
from tests.finished_runs import finished_run
from tests.ops.models.stored import gate, model_folder, verdict

WAITS = f"{SUSPENSION}the verdict on the student is WARN: G11 WARN. `dpa-sse resume RUN` runs the production MD with it"
WHY = f"{REFUSAL}the student failed: G6 repulsive wall FAIL: hole height 0.5 eV"


def ended(folder: Path, **reasons: str) -> Run:
    student = model_folder(folder / "student")
    gates = model_folder(folder / "gates")
    verdict(gates, gate("G6", "FAIL"))
    tasks = {"student": student, "gates": gates, "other": model_folder(folder / "other")}
    return finished_run(folder / "run", tasks, code=1, reasons=reasons)


@pytest.mark.parametrize(("reasons", "word", "code"), [
    ({"gates": WHY}, "refused", 3), ({"gates": "lmp crashed"}, "failed", 1),
    ({"gates": WHY, "other": "disk full"}, "failed", 1), ({}, "failed", 1),
    ({"other": WAITS}, "suspended", 3), ({"other": WAITS, "gates": "disk full"}, "failed", 1),
])
def test_word_and_exit_code(
    reasons: dict[str, str], word: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended(tmp_path, **reasons)
    assert run_state(run) == word and exit_code(word) == code
    assert finish_run(run, 1) == code
    capsys.readouterr()
    assert show_status(str(run.folder), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["status"] == word
    assert json.loads((run.folder / "summary.json").read_text())["status"] == word


def test_the_report_of_a_refused_run_shows_the_verdict(tmp_path: Path) -> None:
    run = ended(tmp_path, gates=WHY)
    finish_run(run, 1)
    page = (run.folder / "report.html").read_text()
    assert "It ended the run (validate.on_fail: stop)" in page and "gate G6" in page


def test_a_suspended_run_says_how_to_continue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ended(tmp_path, other=WAITS)
    finish_run(run, 1)
    text = capsys.readouterr()
    assert "FAILED" not in text.err and "stopped although no task failed" not in text.err


def test_resume_approves_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.ops.core.files import sha256_file
    from dpa_sse.ops.results.gates import Approvals
    from dpa_sse.pipeline.commands import project

    run = ended(tmp_path, other=WAITS)
    monkeypatch.setattr(project, "run_to_end", lambda *_: 0)
    assert project.resume_run(str(run.folder)) == 0
    gates = run.finished()["gates"] / "gates.json"
    assert Approvals.read(run.folder).gates == (sha256_file(gates),)


def test_resuming_a_failed_run_approves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.pipeline.commands import project

    run = ended(tmp_path, other="disk full")
    monkeypatch.setattr(project, "run_to_end", lambda *_: 0)
    assert project.resume_run(str(run.folder)) == 0 and not (run.folder / "approvals.json").exists()
