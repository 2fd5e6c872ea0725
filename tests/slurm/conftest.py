"""A real Slurm: sbatch on the PATH, nodes that see this checkout; two nodes of two cores are enough."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toy_runs import TOYS


@pytest.fixture(scope="session", autouse=True)
def _slurm() -> None:
    if shutil.which("sbatch") is None:
        pytest.fail("sbatch is not on the PATH: these tests need a Slurm (make slurm-test)")


@pytest.fixture(autouse=True)
def _toy_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TOYS))


@pytest.fixture(autouse=True)
def _no_job_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 20
    while (left := queue(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.5)
    for job in left:
        subprocess.run(["scancel", job], check=False)
    assert not left, "jobs were left in the queue"


def queue(folder: Path) -> list[str]:
    """Return the numbers of the jobs in the queue that belong to runs below a folder."""
    names = {path.parent.name for path in folder.rglob("batch.json") if path.parent.parent.name == "jobs"}
    done = subprocess.run(["squeue", "--noheader", "--format=%A %j"], capture_output=True, text=True, check=True)
    found = (line.split() for line in done.stdout.splitlines())
    return sorted({number for number, name in found if name in names})
