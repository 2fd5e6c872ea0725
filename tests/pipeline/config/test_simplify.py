"""Mistakes in the section on thinning, found before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.exchange import write_data
from dpa_sse.pipeline.commands.project import plan_config
from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.flows.render import render
from tests.ops.data.mock_frames import labelled

THIN = """name: thin
type_map: [Li, Cl]
data: [my-frames]
simplify: {initial_frames: 8, frames: 4, max_iterations: 3, train: {preset: se_e2_a-tiny, steps: 30}}
pretrain: null
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    frames = [frame for name in ("a", "b", "c", "d") for frame in labelled("LiCl", 6, name)]
    write_data(tmp_path / "my-frames", "npy", ["Li", "Cl"], frames_to_blocks(frames, ["Li", "Cl"], "train"))
    (tmp_path / "thin.yaml").write_text(THIN)
    return tmp_path / "thin.yaml"


@pytest.mark.parametrize(("old", "new", "line", "message"), [
    ("initial_frames: 8", "initial_frames: 18", 4, "but `data` have 18 for training (6 are for testing): "
     "nothing to thin"),
    ("data: [my-frames]\n", "systems: [{name: LiCl, structure: LiCl}]\n", 4, "thins `data`, which names no folder"),
    ("steps: 30", "stepz: 30", 4, "simplify.train.stepz"),
    ("steps: 30", "steps: 30, start_lr: 1e-5, stop_lr: 1e-3", 4, "must be at most start_lr (1e-05), not 0.001"),
    ("preset: se_e2_a-tiny", "preset: none-such", 4, "none-such"),
    ("pretrain: null", "systems: [{name: LiCl, structure: LiCl}]\nmd: {model: my.pth, temperatures_K: [500]}", 4,
     "simplify: has no effect, since `md.model` is the model of the MD"),
])
def test_mistakes_have_a_line_and_a_reason(config: Path, old: str, new: str, line: int, message: str) -> None:
    config.write_text(THIN.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_checked(config)
    found = [one for one in str(caught.value).splitlines() if message in one]
    assert len(found) == 1, str(caught.value)
    assert f"thin.yaml:{line}:" in found[0]


def test_steps_and_amounts_of_the_thinning(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_checked(config)
    assert plan_config(config, [], tmp_path / "plan", as_json=True) == 0
    steps = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(steps) == ["user-data", "simplify-start", "simplify-train", "simplify-select", "report"]
    assert (steps["simplify-train"]["tasks"], steps["simplify-train"]["loop"]) == (4, "simplify")
    (amount,) = json.loads((tmp_path / "plan" / "counts.json").read_text())
    assert (amount["stage"], amount["labels"], amount["training_steps"]) == ("02-simplify", 0, 3 * 4 * 30)


def test_it_renders_for_argo_before_concurrent_learning_and_pre_training(config: Path) -> None:
    text = THIN.replace("pretrain: null", "pretrain: {preset: dpa2-tiny, steps: 20}\n"
                        "systems: [{name: LiCl, structure: LiCl}]\nlabeler: {kind: mock}\nperturb: {count: 4}\n"
                        "concurrent_learning: {stages: [{temperatures_K: [300]}]}\n")
    config.write_text(text)
    located = load_checked(config)
    workflow = render(located.project, located.base_dir).workflow
    text = json.dumps(workflow)
    assert "simplify-select" in text
    names = [one["name"] for one in workflow["spec"]["templates"]]
    assert "simplify-loop" in names
    assert "concurrent-learning-loop" in names


def test_frames_of_the_new_compound_are_not_among_the_base_data(config: Path) -> None:
    """What is held out of them would be trained on."""
    text = (
        "name: mine\ntype_map: [Li, Cl]\ndata: [my-frames]\npretrain: {preset: dpa2-tiny, steps: 20}\n"
        "downstream: {system: {name: LiCl, structure: LiCl}, data: [NAME]}\nfinetune: {frames: 4}\n"
    )
    for name in ("my-frames", "my-frames/train"):
        config.write_text(text.replace("NAME", name))
        with pytest.raises(ConfigError, match=f"thin.yaml:5: downstream.data.0: {name} is, or holds, `data`"):
            load_checked(config)
