"""The failure policy of a fan-out: enough of its tasks must have succeeded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json

LISTED = 20


def status_of(folder: Path) -> tuple[str, str]:
    """Return the status of a task folder and its reason; a folder without ``status.json`` has failed."""
    try:
        status = read_json(folder / "status.json")
    except FileNotFoundError:
        return "failed", "the task left no status.json: it did not finish"
    return status["status"], status.get("reason", "")


def require_success(folders: Sequence[Path], ratio: float, what: str) -> list[Path]:
    """Return the folders of the tasks that did not fail; empty tasks do not count.

    Parameters
    ----------
    folders : sequence of Path
        Results of a fan-out.
    ratio : float
        Share that must have succeeded (``failure.min_success_ratio``).
    what : str
        What the tasks did, for the message.

    Raises
    ------
    FatalError
        Too many failed; the message lists them.
    """
    found = [(folder, *status_of(folder)) for folder in folders]
    counted = [(folder, status, reason) for folder, status, reason in found if status != "empty"]
    good = [folder for folder, status, _ in counted if status != "failed"]
    if counted and (not good or len(good) < ratio * len(counted)):
        failed = [f"  {folder.name}: {reason}" for folder, status, reason in counted if status == "failed"]
        more = [f"  and {len(failed) - LISTED} more"] if len(failed) > LISTED else []
        raise FatalError(
            f"{what}: {len(good)} of {len(counted)} tasks succeeded, fewer than min_success_ratio = {ratio:g}\n"
            + "\n".join([*failed[:LISTED], *more])
        )
    return good
