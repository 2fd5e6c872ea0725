from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.training.input_check import validate_input
from dpa_sse.ops.training.presets import check_preset, load_preset, preset_names, resolve, training_input
from dpa_sse.ops.training.settings import TrainSettings

TYPE_MAP = ["Li", "P", "S"]
REQUIRED = {"se_e2_a-tiny", "se_e2_a", "dpa2-tiny", "dpa2-paper", "dpa2-paper-b"}


def test_all_presets_pass_deepmds_own_check() -> None:
    assert set(preset_names()) >= REQUIRED
    for name in preset_names():
        data = training_input(resolve(TrainSettings(preset=name)), TYPE_MAP, ["a"], ["b"], 1)
        assert validate_input(data) == [], name


def test_paper_presets_hold_the_published_numbers() -> None:
    first, second = load_preset("dpa2-paper").data, load_preset("dpa2-paper-b").data
    for data in (first, second):
        descriptor = data["model"]["descriptor"]
        assert descriptor["repinit"]["neuron"] == [25, 50, 100]
        assert (descriptor["repinit"]["rcut"], descriptor["repinit"]["tebd_dim"]) == (9.0, 8)
        layers = descriptor["repformer"]
        assert (layers["nlayers"], layers["attn1_nhead"], layers["attn2_nhead"]) == (12, 4, 4)
        assert layers["update_g1_has_attn"] and layers["update_g2_has_attn"]  # else the heads have no effect
        assert data["model"]["fitting_net"]["neuron"] == [240, 240, 240]
        prefactors = [(data["loss"][f"start_pref_{k}"], data["loss"][f"limit_pref_{k}"]) for k in "efv"]
        assert prefactors == [(0.02, 1), (1000, 1), (0.2, 1)]
    assert first["model"] == second["model"]
    rates = [(d["learning_rate"]["start_lr"], d["learning_rate"]["stop_lr"]) for d in (first, second)]
    assert rates == [(1e-3, 3.51e-8), (2e-4, 3e-8)]
    assert [d["training"]["numb_steps"] for d in (first, second)] == [12_000_000, 2_000_000]
    assert [d["learning_rate"]["decay_steps"] for d in (first, second)] == [60_000, 10_000]


@pytest.mark.parametrize("name", ["dpa2-paper", "dpa2-paper-b"])
def test_the_paper_network_has_the_size_of_dpa2s_published_input(name: str) -> None:
    """4.93 million with deepmd's defaults of today; each number of heads counts, so that none of them is dead."""
    from deepmd.pt.model.model import get_model

    def parameters(**changes: object) -> int:
        model = copy.deepcopy(load_preset(name).data["model"])
        model["type_map"] = ["Li", "B", "O", "Al", "Si", "P", "S", "Cl", "Ga", "Ge", "As", "Br", "Sn", "Sb", "I"]
        model["descriptor"]["repformer"].update(changes)
        return sum(one.numel() for one in get_model(model).parameters())

    assert parameters() == pytest.approx(4.93e6, rel=0.01)
    assert parameters(use_sqrt_nnei=True, g1_out_conv=True, g1_out_mlp=True) == pytest.approx(4.93e6, rel=0.001)
    assert parameters(attn1_nhead=1) < 0.6 * parameters()
    assert parameters(attn2_nhead=1) < parameters()


def test_settings_overrides_and_seeds_arrive() -> None:
    settings = resolve(TrainSettings(
        preset="se_e2_a-tiny", steps=300, batch_size=3, start_lr=2e-3, stop_lr=1e-6,
        overrides={"model.descriptor.rcut": 5.0},
    ))
    data = training_input(settings, TYPE_MAP, ["a", "b"], ["c"], 7).data
    training, rate, preset = data["training"], data["learning_rate"], load_preset("se_e2_a-tiny").data
    assert (training["numb_steps"], rate["start_lr"], rate["stop_lr"]) == (300, 2e-3, 1e-6)
    assert training["training_data"] == {"systems": ["a", "b"], "batch_size": 3}
    assert training["validation_data"] == {"systems": ["c"], "batch_size": 3}
    assert (data["model"]["descriptor"]["rcut"], data["model"]["type_map"]) == (5.0, TYPE_MAP)
    share = preset["learning_rate"]["decay_steps"] / preset["training"]["numb_steps"]
    assert rate["decay_steps"] == pytest.approx(300 * share, abs=0.5)
    seeds = [data["model"]["descriptor"]["seed"], data["model"]["fitting_net"]["seed"], training["seed"]]
    assert len(set(seeds)) == 3
    assert settings.network == preset  # is not changed
    again = training_input(settings, TYPE_MAP, ["a", "b"], ["c"], 7)
    other = training_input(settings, TYPE_MAP, ["a", "b"], ["c"], 8)
    assert again.data == data
    assert other.section("training")["seed"] != training["seed"]


def test_start_rate_is_lowered_but_not_below_the_end() -> None:
    settings = resolve(TrainSettings(preset="se_e2_a-tiny", start_lr=1e-2, stop_lr=1e-3))
    data = training_input(settings, TYPE_MAP, ["a"], [], 1)
    lower = data.with_lower_start_rate(0.5)
    assert lower.section("learning_rate")["start_lr"] == pytest.approx(5e-3)
    assert data.section("learning_rate")["start_lr"] == 1e-2
    rate = lower.with_lower_start_rate(0.01).section("learning_rate")
    assert rate["start_lr"] == rate["stop_lr"] == 1e-3


def test_users_own_json_is_a_preset(tmp_path: Path) -> None:
    own = load_preset("se_e2_a-tiny").data
    own["model"]["descriptor"]["rcut"] = 5.5
    (tmp_path / "mine.json").write_text(json.dumps(own))
    data = training_input(resolve(TrainSettings(preset="mine.json"), tmp_path), TYPE_MAP, ["a"], [], 1).data
    assert data["model"]["descriptor"]["rcut"] == 5.5
    assert "validation_data" not in data["training"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "cannot be read"),
        ("[]", "sections"),
        ('{"model": {}, "loss": {}, "training": {}}', "learning_rate"),
        ('{"model": {}, "loss": {}, "training": {}, "learning_rate": {}}', "descriptor.type"),
        ('{"model": {"model_dict": {}}, "loss": {}, "training": {}, "learning_rate": {}}', "multi-task"),
    ],
)
def test_broken_files_are_explained(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(InputError, match=expected):
        load_preset("bad.json", tmp_path)


def test_check_finds_what_is_wrong(tmp_path: Path) -> None:
    own = load_preset("se_e2_a-tiny").data
    own["model"]["type_map"] = ["S", "Li"]
    (tmp_path / "own.json").write_text(json.dumps(own))
    assert "type_map" in check_preset(TrainSettings(preset="own.json"), TYPE_MAP, tmp_path)[0]
    assert "dpa2-paper" in check_preset(TrainSettings(preset="dpa-2"), TYPE_MAP)[0]
    assert "must start with" in check_preset(TrainSettings(preset="dpa2-tiny", overrides={"modle.x": 1}), TYPE_MAP)[0]
    assert "larger" in check_preset(TrainSettings(preset="dpa2-tiny", start_lr=1e-6, stop_lr=1e-3), TYPE_MAP)[0]
    assert check_preset(TrainSettings(preset="dpa2-tiny"), TYPE_MAP) == []


def test_deepmd_finds_unknown_keys() -> None:
    data = training_input(resolve(TrainSettings(preset="se_e2_a-tiny")), TYPE_MAP, ["a"], [], 1)
    wrong = data.with_overrides({"model.descriptor.rcutt": 6.0})
    assert "rcutt" in validate_input(wrong)[0]
    assert "rcutt" not in data.section("model")["descriptor"]
