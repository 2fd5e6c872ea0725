"""A plan, or a workflow for a cluster, needs no program of the labeler on this machine; a run does."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.pipeline.config import ConfigError, load_checked

VASP = Path(__file__).parents[3] / "configs" / "paper" / "labeling_vasp.yaml"


def test_plan_needs_no_vasp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("VASP_COMMAND", "VASP_POTCAR_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="program 'vasp_std' not found"):
        load_checked(VASP)
    assert load_checked(VASP, runs_here=False).project.labeler.kind == "vasp"


def test_plan_still_refuses_what_is_wrong_everywhere() -> None:
    with pytest.raises(ConfigError, match="ENCUTT"):
        load_checked(VASP, ["labeler.tags={ENCUTT: 500}"], runs_here=False)
