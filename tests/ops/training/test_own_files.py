"""Keys of a foreign training input that name files: none decides where a training writes or what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.training.deepmd_input import OWN_FILES, DeepmdInput
from dpa_sse.ops.training.presets import check_preset, ignored_keys, load_preset
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.ops.training.train import _worker_input

OUTSIDE = {
    "training": {"stat_file": "/elsewhere/stat.hdf5", "tensorboard": True, "tensorboard_log_dir": "/elsewhere/tb",
                 "profiling": True, "profiling_file": "/elsewhere/t.json", "enable_profiler": True,
                 "save_dir": "/elsewhere", "save_ckpt": "/elsewhere/model", "disp_file": "/elsewhere/lcurve"},
    "validating": {"full_validation": True, "full_val_file": "/elsewhere/val.log", "save_best_dir": "/elsewhere/best"},
}


def preset(tmp_path: Path, **model: Any) -> tuple[TrainSettings, DeepmdInput]:
    data = load_preset("se_e2_a-tiny").copy().data
    for section, keys in OUTSIDE.items():
        data.setdefault(section, {}).update(keys)
    data["model"].update(model)
    (tmp_path / "mine.json").write_text(json.dumps(data))
    return TrainSettings(preset="mine.json", steps=10), DeepmdInput(data)


def test_a_training_writes_only_into_its_folder(tmp_path: Path) -> None:
    system = tmp_path / "system"
    system.mkdir()
    (system / "type.raw").write_text("0\n")
    _, data = preset(tmp_path)
    data.data["training"] |= {"training_data": {"systems": [str(system)]}, "numb_steps": 10, "seed": 1}
    used = _worker_input(data).data
    assert "/elsewhere" not in json.dumps(used)
    assert not {"tensorboard", "profiling", "enable_profiler", "stat_file"} & set(used["training"])
    assert (used["training"]["save_ckpt"], used["training"]["disp_file"]) == ("checkpoint", "lcurve.out")
    assert used["validating"] == {"full_validation": True}


def test_the_keys_are_those_of_deepmd_kit() -> None:
    from deepmd.utils.argcheck import gen_args

    known: set[str] = set()
    waiting = [argument for argument in gen_args() if argument.name in ("training", "validating")]
    for section in waiting:
        known |= set(section.sub_fields)
        for variant in section.sub_variants.values():
            for choice in variant.choice_dict.values():
                known |= set(choice.sub_fields)
    words = ("file", "dir", "ckpt", "tensorboard", "profil")
    limits = {"max_ckpt_keep", "max_best_ckpt", "ckpt_keep_ratio", "ema_ckpt_keep", "ema_ckpt_keep_ratio"}  # numbers
    naming = {name for name in known if any(word in name for word in words)} - limits
    assert naming <= {key for keys in OWN_FILES.values() for key in keys}


def test_check_says_which_keys_are_not_used(tmp_path: Path) -> None:
    settings, _ = preset(tmp_path)
    found = ignored_keys(settings, tmp_path)
    assert {"training.stat_file", "training.tensorboard", "validating.full_val_file"} <= set(found)
    assert "training.disp_file" not in found
    assert ignored_keys(TrainSettings(preset="se_e2_a-tiny")) == []
    given = TrainSettings(preset="se_e2_a-tiny", overrides={"training.stat_file": "/elsewhere/stat"})
    assert ignored_keys(given) == ["training.stat_file"]


@pytest.mark.parametrize("key", ["tab_file", "model_file"])
def test_models_that_read_files_are_refused(tmp_path: Path, key: str) -> None:
    settings, _ = preset(tmp_path, **{key: "/elsewhere/table"})
    assert any(f"model.{key} names a file" in fault for fault in check_preset(settings, ["Li"], tmp_path))


@pytest.mark.parametrize("text", ["[" * 30_000, "{a: " * 5000, "x: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{chr(98 + k)}: &{chr(98 + k)} [{', '.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(9)
), "a: 1\n" * 400_000])
def test_a_preset_that_never_ends_is_refused(tmp_path: Path, text: str) -> None:
    for name in ("mine.yaml", "mine.json"):
        (tmp_path / name).write_text(text)
        faults = check_preset(TrainSettings(preset=name), ["Li"], tmp_path)
        assert len(faults) == 1
        assert "cannot be read as a training input" in faults[0]
