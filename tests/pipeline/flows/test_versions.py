"""Finished tasks that other versions of DeePMD-kit have made: reused, and said so at resume and in the report."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from dpa_sse.ops.core.files import write_json
from tests.pipeline.flows.test_whole_dag import computed_tasks, dpa_sse

pytestmark = pytest.mark.timeout(1800)

CONFIG = """
name: small
seed: 7
type_map: [Li, Cl]
systems: [{name: LiCl, structure: LiCl}]
labeler: {kind: mock}
perturb: {count: 2, strain: 0.02, displacement_A: 0.05}
aimd: {temperatures_K: [100, 200], steps: 8, timestep_fs: 1.0, sample_every: 2}
split: {test: 0.5}
pretrain:
  preset: se_e2_a-tiny
  steps: 10
  overrides: {model.descriptor.rcut: 5.0, model.descriptor.neuron: [4, 8], model.fitting_net.neuron: [8, 8]}
"""


def test_other_versions_are_named_at_resume_and_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    first = dpa_sse("run", "small.yaml", cwd=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "other versions" not in first.stdout
    run = tmp_path / "runs" / "small"
    [record] = (run / "tasks" / "04-pretrain").glob("pretrain*/.done.json")
    content = json.loads(record.read_text())
    installed = content["versions"]["deepmd-kit"]
    assert installed == version("deepmd-kit")
    content["versions"]["deepmd-kit"] = "2.0.0"
    write_json(record, content)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["packages"]["deepmd-kit"] = "2.0.0"
    write_json(run / "manifest.json", manifest)

    remark = f"made with other versions: deepmd-kit 2.0.0 (now {installed})"
    again = dpa_sse("resume", "small", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"04-pretrain  2 tasks finished earlier; 1 of them {remark}" in again.stdout
    assert again.stdout.count("made with other versions") == 1  # the mock labels have no program
    assert computed_tasks(run) == {"report"}
    page = re.sub(r"<[^>]+>", " ", (run / "report.html").read_text(encoding="utf-8"))
    assert f"deepmd-kit 2.0.0 (now {installed})" in page
    assert json.loads((run / "manifest.json").read_text())["earlier"] == {"deepmd-kit": ["2.0.0"]}
