"""deepmd's argument check before a run: which override is to blame."""

from __future__ import annotations

from typing import Any

import pytest

from dpa_sse.ops.training.input_check import input_faults
from dpa_sse.ops.training.settings import TrainSettings

TYPE_MAP = ["Li", "P", "S"]
REPINIT, REPFORMER = "model.descriptor.repinit", "model.descriptor.repformer"


def faults(overrides: dict[str, Any], preset: str = "dpa2-tiny") -> list[tuple[str, str]]:
    return input_faults(TrainSettings(preset=preset, overrides=overrides), TYPE_MAP)


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {f"{REPINIT}.rcut": 7.0, f"{REPINIT}.nsel": 60},
        {"model.descriptor": {"type": "se_e2_a", "rcut": 6.0, "rcut_smth": 0.5, "sel": [40, 10, 40]}},
        {"optimizer.type": "Adam", "validating.full_validation": False},
    ],
)
def test_sound_overrides_pass(overrides: dict[str, Any]) -> None:
    assert faults(overrides) == []


def test_every_override_at_fault_is_named() -> None:
    found = dict(faults({
        f"{REPINIT}.rcutt": 7.0, f"{REPINIT}.rcut": 7.0, "loss.start_pref_g": 1.0, "training.numb_steps": "many",
        "modle.descriptor.rcut": 6.0,
    }))
    assert set(found) == {f"{REPINIT}.rcutt", "loss.start_pref_g", "training.numb_steps", "modle.descriptor.rcut"}
    assert found[f"{REPINIT}.rcutt"] == f"DeePMD-kit has no key 'rcutt' in {REPINIT} - did you mean 'rcut'?"
    assert "must start with" in found["modle.descriptor.rcut"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (f"{REPINIT}.rcut", -6.0, "larger than 0 A, not -6"),
        (f"{REPFORMER}.rcut", 0, "larger than 0 A"),
        (f"{REPINIT}.rcut_smth", 6.5, "must be smaller than rcut (6 A)"),
        (f"{REPFORMER}.rcut", 6.5, "repinit (6 A) must be larger than that of repformer (6.5 A)"),
        ("model.descriptor", None, "refuses model"),
        ("model.descriptor.type", "dpa9", "invalid choice"),
    ],
)
def test_values_that_no_network_can_have(key: str, value: object, words: str) -> None:
    (culprit, message), *others = faults({key: value})
    assert (culprit, others) == (key, [])
    assert words in message
