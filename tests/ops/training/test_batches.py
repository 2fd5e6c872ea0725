from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.training.worker import batch_order, check_lcurve, cut_lcurve

LCURVE = """#  step         rmse_trn    rmse_e_trn   lr
# If there is no available reference data, rmse_*_{val,trn} will print nan
      1      1.0e+00      nan   1.0e-03
     10      8.0e-01      nan   5.0e-04
     20      7.0e-01      nan   1.0e-04
"""


def test_batches_depend_on_seed_and_position_only() -> None:
    first = list(islice(batch_order([7, 3], [2, 1], [0.7, 0.3], 5), 400))
    assert first == list(islice(batch_order([7, 3], [2, 1], [0.7, 0.3], 5), 400))
    assert first != list(islice(batch_order([7, 3], [2, 1], [0.7, 0.3], 6), 400))
    share = np.mean([index == 0 for index, _ in first])
    assert share == pytest.approx(0.7, abs=0.07)


def test_every_frame_is_seen_once_per_round() -> None:
    batches = [frames for _, frames in islice(batch_order([7], [3], [1.0], 1), 6)]
    assert [len(frames) for frames in batches] == [3, 3, 1, 3, 3, 1]
    assert sorted(chain(*batches[:3])) == sorted(chain(*batches[3:])) == list(range(7))


def test_zero_weights_are_never_drawn() -> None:
    assert {index for index, _ in islice(batch_order([2, 2, 2], [1, 1, 1], [0.0, 1.0, 0.0], 3), 200)} == {1}


def test_learning_curve_is_cut_where_the_checkpoint_is(tmp_path: Path) -> None:
    path = tmp_path / "lcurve.out"
    path.write_text(LCURVE + "     3")  # a line that was being written
    cut_lcurve(path, 10)
    assert [line.split()[0] for line in path.read_text().splitlines()[2:]] == ["1", "10"]
    cut_lcurve(path, 1)
    assert [line.split()[0] for line in path.read_text().splitlines()[2:]] == ["1"]
    cut_lcurve(tmp_path / "absent", 1)


def test_divergence_is_fatal_but_a_missing_label_is_not(tmp_path: Path) -> None:
    path = tmp_path / "lcurve.out"
    path.write_text(LCURVE)
    check_lcurve(path)
    path.write_text(LCURVE + "     30      nan      nan   1.0e-04\n")
    with pytest.raises(FatalError, match="step 30"):
        check_lcurve(path)
