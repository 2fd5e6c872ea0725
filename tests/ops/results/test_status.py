"""How a task ended, and the one failure policy that all fan-outs obey."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.status import TaskStatus, require_success


def folders(tmp_path: Path, *statuses: TaskStatus) -> list[Path]:
    made = []
    for number, status in enumerate(statuses):
        folder = tmp_path / f"task.{number:03d}"
        status.write(folder)
        made.append(folder)
    return made


OK, FAILED = TaskStatus(status="ok"), TaskStatus(status="failed", reason="out of memory")
BROKE_OFF = TaskStatus(status="partial", reason="exploded at step 80")
MELTED = TaskStatus(status="failed", reason="melted", final=True)


def frames(*outcomes: bool) -> TaskStatus:
    return TaskStatus.of_items(("ok", "") if good else ("failed", "no convergence") for good in outcomes)


@pytest.mark.parametrize(("statuses", "share"), [
    ((OK, BROKE_OFF), 1.0),  # a trajectory that broke off is of use
    ((OK, MELTED), 1.0),  # a result about the model, not a failure of the task
    ((OK, FAILED), 0.5),
    ((OK, TaskStatus(status="empty")), 1.0),
    ((frames(True, True, True), frames(True, False, False)), 4 / 6),  # frames count, not tasks
    ((frames(True), frames(False)), 1 / 2),
    ((frames(True, True, True), FAILED), 3 / 6),  # a task that failed as a whole has lost as many frames as the others
])
def test_the_share_that_succeeded(statuses: tuple[TaskStatus, ...], share: float, tmp_path: Path) -> None:
    made = folders(tmp_path, *statuses)
    require_success(made, share, "labels")
    if share < 1:
        with pytest.raises(FatalError, match=r"labels: .* succeeded, fewer than min_success_ratio"):
            require_success(made, share + 0.01, "labels")


def test_one_usable_result_is_needed_whatever_the_ratio(tmp_path: Path) -> None:
    made = folders(tmp_path, MELTED, MELTED)
    with pytest.raises(FatalError, match=r"teacher MD: .*none with a usable result(.|\n)*task.001: melted"):
        require_success(made, 0.0, "teacher MD")
    assert [status.usable for _, status in require_success(made, 1.0, "production MD", usable=False)] == [False, False]


def test_teacher_runs_that_leave_no_frames_have_failed(tmp_path: Path) -> None:
    made = folders(tmp_path, OK, MELTED, BROKE_OFF)
    assert len(require_success(made, 1.0, "production MD")) == 3
    assert len(require_success(made, 2 / 3, "teacher MD", count_final=False)) == 3
    with pytest.raises(FatalError, match="2 of 3 succeeded"):
        require_success(made, 0.7, "teacher MD", count_final=False)


def test_a_task_that_left_nothing_has_failed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert "no status.json" in TaskStatus.of_folder(tmp_path / "there").reason
    assert "no folder" in TaskStatus.of_folder(tmp_path / "not there").reason


def test_files_of_other_versions_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    OK.write(tmp_path)
    path = tmp_path / "status.json"
    content = json.loads(path.read_text())
    assert content["format_version"] == 1
    for wrong, message in (
        ({**content, "format_version": 7}, "format version 7"), ({**content, "extra": 1}, "extra: "),
        ({**content, "status": "fine"}, "status: "), ([], "status.json: "),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(FatalError, match=message):
            TaskStatus.read(tmp_path)
    path.write_text("{")
    with pytest.raises(FatalError, match="not a JSON file"):
        TaskStatus.read(tmp_path)
