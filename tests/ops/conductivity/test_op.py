"""The OP: settings that it declares, the failure policy, and its output parameter."""

from __future__ import annotations

import shutil

import pytest
from pydantic import ValidationError

from dpa_sse.ops.conductivity.op import Conductivity
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.ops.results.status import TaskStatus


@pytest.fixture(scope="module")
def trajectories(makers, tmp_path_factory):
    """Two temperatures and one run that failed, as a fan-out leaves them."""
    group = tmp_path_factory.mktemp("md") / "group.000"
    for k, (T, D) in enumerate(((700.0, 0.05), (1100.0, 0.6))):
        folder = makers.md_folder(makers.sample(n_frames=1500, n_li=40, D=D, seed=k), group / f"task.{k:03d}", T)
        TaskStatus(status="ok").write(folder)
    (group / "task.002").mkdir()
    TaskStatus(status="failed", reason="node lost").write(group / "task.002")
    return group


def settings(ratio):
    return Conductivity.settings_class(
        seed=3, type_map=["Li", "P", "S"], conductivity={"figures": False}, min_success_ratio=ratio
    )


def test_the_conductivity_at_300_K_is_the_output_parameter(trajectories, tmp_path):
    values = Conductivity().run(tmp_path, settings(0.5), trajectories=[trajectories])
    result = ConductivityResult.read(tmp_path)
    assert values == {"sigma_300K_mS_cm": result.arrhenius.at(300.0).sigma_mS_cm}
    assert values["sigma_300K_mS_cm"] > 0
    assert [run.verdict for run in result.runs] == ["diffusive", "diffusive", "unreliable: failed"]


def test_without_a_line_there_is_no_conductivity_at_300_K(trajectories, tmp_path):
    one = tmp_path / "group.000" / "task.000"
    shutil.copytree(trajectories / "task.000", one)
    assert Conductivity().run(tmp_path / "out", settings(1.0), trajectories=[one.parent]) == {"sigma_300K_mS_cm": None}


def test_too_many_failures_are_refused(trajectories, tmp_path):
    with pytest.raises(FatalError, match="node lost"):
        Conductivity().run(tmp_path, settings(1.0), trajectories=[trajectories])


def test_settings_that_are_not_declared_are_refused():
    with pytest.raises(ValidationError, match="md"):
        Conductivity.settings_class(conductivity={}, min_success_ratio=1.0, md={})
