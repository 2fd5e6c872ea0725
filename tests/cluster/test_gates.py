"""The verdict on the student of the mock pipeline, on a cluster and on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.conftest import LIMIT_S, Run, dpa_sse

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LIMIT_S + 1800)]


def test_the_student_has_the_same_verdict(finished: Run, local: Path, tmp_path: Path) -> None:
    dpa_sse("download", finished.reference, cwd=tmp_path)
    found = [
        {gate["key"]: gate["verdict"] for gate in json.loads(path.read_text())["gates"]}
        for folder in (tmp_path / "runs" / finished.name, local)
        for path in folder.glob("tasks/*/gates--*/gates.json")
    ]
    assert len(found) == 2
    assert found[0] == found[1]
    assert {"G1", "G2", "G3", "G6"} <= found[0].keys()
