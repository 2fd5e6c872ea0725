from __future__ import annotations

import math
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.results.model import CutoffNeighbours, ModelDifference, ModelInfo, NeighbourCounts, Parity

COUNTS = NeighbourCounts(
    type_map=("Li", "S"), minimum_distance_A=1.9, cutoffs={"6": CutoffNeighbours(total=50, per_type=(30, 20))}
)


def test_a_model_folder_describes_itself(tmp_path: Path) -> None:
    info = ModelInfo(type_map=("Li", "S"), preset="se_e2_a-tiny", neighbours=COUNTS, messages=("sel was widened",))
    info.write(tmp_path)
    assert ModelInfo.read(tmp_path) == info
    assert info.neighbours is not None
    assert info.neighbours.within(6.0).per_type == (30, 20)


def test_a_model_json_of_another_program_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "model.json", {"type_map": ["Li"], "strategy": "fancy"})
    with pytest.raises(FatalError, match=r"model\.json: .*strategy: "):
        ModelInfo.read(tmp_path)


def test_a_difference_that_is_not_a_number_becomes_null(tmp_path: Path) -> None:
    bad = ModelDifference(max_force_difference_eV_A=math.nan, max_energy_difference_meV_atom=0.0)
    Parity(reference="model.pt", n_frames=1, files={"model.pth": bad}, **dict(bad)).write(tmp_path)
    assert read_json(tmp_path / "parity.json")["max_force_difference_eV_A"] is None
    assert Parity.read(tmp_path).files["model.pth"].max_force_difference_eV_A is None
