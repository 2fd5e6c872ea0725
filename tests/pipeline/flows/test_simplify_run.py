"""A data set thinned with real, tiny networks: from the user's folder to the data that are kept, and the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import read_dataset
from dpa_sse.ops.data.exchange import write_data
from dpa_sse.ops.results.simplify import Simplified
from tests.ops.data.mock_frames import labelled

ROOT = Path(__file__).parents[3]
THIN = """name: thin
type_map: [Li, Cl]
data: [my-frames]
split: {test: 0.25}
simplify:
  models: 2
  initial_frames: 4
  frames: 3
  max_iterations: 3
  force_lo_eV_A: 1.0e-4
  train:
    preset: se_e2_a-tiny
    steps: 30
    overrides: {model.descriptor.rcut: 5.0, model.descriptor.neuron: [4, 8], model.fitting_net.neuron: [8, 8]}
pretrain: null
resources: {threads_per_task: 1}
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_thinned_data_of_a_user(tmp_path: Path) -> None:
    frames = [frame for name in ("a", "b", "c", "d") for frame in labelled("LiCl", 5, name)]
    write_data(tmp_path / "my-frames", "npy", ["Li", "Cl"], frames_to_blocks(frames, ["Li", "Cl"], "train"))
    (tmp_path / "my.yaml").write_text(THIN)
    done = subprocess.run(
        [sys.executable, "-m", "dpa_sse.pipeline", "run", "my.yaml"], cwd=tmp_path, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "thin"
    summary = json.loads((run / "summary.json").read_text())
    assert [one["training_frames"] for one in summary["simplify"]] == [4, 7, 10]
    assert all(one["force_mae_meV_A"] > 0 for one in summary["simplify"])
    found = Simplified.read(run / "data" / "base")
    assert (found.pool_frames, len(found.chosen), found.finished) == (15, 10, True)
    _, blocks = read_dataset(run / "data" / "base" / "dataset")
    assert {block.split: len(block) for block in blocks} == {"train": 10, "test": 5}
    assert "10 of 15 training frames are kept after the last iteration" in (run / "report.html").read_text()
