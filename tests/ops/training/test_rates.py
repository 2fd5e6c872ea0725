"""Learning rates for the fine-tuning of a model that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.potential.describe import describe_model
from dpa_sse.ops.results.model import LearningRates, ModelInfo
from dpa_sse.ops.training.finetune import _set_rates
from dpa_sse.ops.training.presets import resolve
from dpa_sse.ops.training.rates import own_rates, rates_of
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings
from tests.model_files import checkpoint, dpa4_checkpoint

RECORDED = LearningRates(start_lr=4e-3, stop_lr=1e-3)
FOREIGN = ModelInfo(type_map=("Li",), adopted="mine.pt", own_rates=RECORDED)


def test_rates_of_its_own_training_or_usual_ones(tmp_path: Path) -> None:
    assert rates_of(describe_model(checkpoint(tmp_path / "a.pt", {"": ["Li"]})), "") == RECORDED
    small = describe_model(dpa4_checkpoint(tmp_path / "b.pt", ["Li"]))
    assert rates_of(small, "") == LearningRates(start_lr=2e-4, stop_lr=None)
    branch = small.branches[0].model_copy(update={"n_parameters": 20_000_000})
    assert rates_of(small.model_copy(update={"branches": (branch,)}), "").start_lr == 1e-4
    other = small.branches[0].model_copy(update={"descriptor": "se_e2_a"})
    assert rates_of(small.model_copy(update={"branches": (other,)}), "").start_lr == 1e-3


@pytest.mark.parametrize(("given", "expected"), [
    ({}, RECORDED), ({"preset": "dpa2-paper"}, None), ({"start_lr": 1e-4, "stop_lr": 1e-5}, None),
])
def test_the_configuration_decides_if_it_names_a_preset_or_a_rate(given: dict[str, Any], expected: object) -> None:
    assert own_rates(resolve(PretrainSettings(model="mine.pt", **given)), FOREIGN) == expected


def test_a_model_trained_here_keeps_the_rates_of_its_preset() -> None:
    assert own_rates(resolve(PretrainSettings()), ModelInfo(type_map=("Li",), preset="dpa2-tiny")) is None


@pytest.mark.parametrize(("settings", "start", "stop"), [
    ({}, 2.4e-3, 2.4e-4), ({"start_lr": 1e-4}, 1e-4, 1e-5), ({"stop_lr": 1e-7}, 2.4e-3, 1e-7),
])
def test_fine_tuning_starts_below_the_rate_of_the_model(settings: dict[str, Any], start: float, stop: float) -> None:
    rate: dict[str, Any] = {"type": "exp", "start_lr": 5e-3, "stop_lr_ratio": 1e-3}
    _set_rates(rate, FinetuneSettings(**settings), RECORDED)
    assert rate == {"type": "exp", "start_lr": pytest.approx(start), "stop_lr": pytest.approx(stop)}
