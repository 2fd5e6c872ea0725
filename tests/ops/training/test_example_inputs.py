"""Example inputs of DeePMD-kit 3.2: each is a preset that can be trained, or is refused with the true reason.

``tests/data/deepmd_inputs.json`` has the inputs of its folder ``examples`` (LGPL-3.0, DeepModeling), without comments.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.training.input_check import input_faults, validate_input
from dpa_sse.ops.training.presets import check_preset, resolve, training_input
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.ops.training.worker import check_lcurve

EXAMPLES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "deepmd_inputs.json").read_text(encoding="utf-8")
)
BRANCHES, PARTS, TENSORFLOW = "several branches at once", "put together from several models", "TensorFlow backend"
REFUSED = {
    "dos/train/input.json": "fitting_net.type dos: the model predicts no energies",
    "dos/train/input_torch.json": "fitting_net.type dos",
    "population/train/input_torch.json": "fitting_net.type population",
    "property/train/input_dpa4.json": "fitting_net.type property",
    "property/train/input_torch.json": "fitting_net.type property",
    "water/dplr/train/dw.json": "fitting_net.type dipole",
    "water_tensor/dipole/dipole_input.json": "fitting_net.type dipole",
    "water_tensor/dipole/dipole_input_torch.json": "fitting_net.type dipole",
    "water_tensor/polar/polar_input.json": "fitting_net.type polar",
    "water_tensor/polar/polar_input_torch.json": "fitting_net.type polar",
    "water/dplr/train/ener.json": "model.modifier",
    "dprc/generalized_force/input.json": TENSORFLOW,
    "dprc/normal/input.json": TENSORFLOW,
    "water/se_e2_a_mixed_prec/input.json": "training.mixed_precision",
    "water/se_e2_a_tebd/input.json": TENSORFLOW,
    "zinc_protein/zinc_se_a_mask.json": TENSORFLOW,
    "dprc/pairwise/input.json": PARTS,
    "water/d3/input.json": PARTS,
    "water/d3/input_pt.json": PARTS,
    "water/linear/input.json": PARTS,
    "water/linear/input_pt.json": PARTS,
    "fparam/train/input.json": "numb_fparam: parameters of frames",
    "fparam/train/input_aparam.json": "numb_aparam: parameters of atoms",
    "hessian/single_task/input.json": "Hessians",
    "spin/dpa4/input-deepspin.json": "magnetic moments",
    "spin/dpa4/input.json": "magnetic moments",
    "spin/se_e2_a/input_tf.json": "magnetic moments",
    "spin/se_e2_a/input_torch.json": "magnetic moments",
    "water/dpa4/input_dens.json": "loss.type dens",
    "water/zbl/input.json": "no such file",
    "water/se_e2_a/input_torch_num_epoch.json": "training.num_epoch counts passes",
    "hessian/multi_task/input.json": BRANCHES,
    "water/dpa4/input_multitask.json": BRANCHES,
    "water_multi_task/pytorch_example/input_torch.json": BRANCHES,
    "water_multi_task/pytorch_example/input_torch_num_epoch_dict.json": BRANCHES,
    "water_multi_task/pytorch_example/input_torch_sharefit.json": BRANCHES,
    "water_multi_task/pytorch_example/input_torch_with_alias.json": BRANCHES,
}


def preset(name: str, folder: Path) -> TrainSettings:
    path = folder / "input.json"
    path.write_text(json.dumps(EXAMPLES[name]))
    return TrainSettings(preset=str(path))


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    found = check_preset(preset(name, tmp_path), EXAMPLES[name]["model"].get("type_map", ["O", "H"]), tmp_path)
    assert len(found) == 1
    assert REFUSED[name] in found[0]


@pytest.mark.parametrize("name", [one for one in EXAMPLES if one not in REFUSED])
def test_accepted_inputs_are_networks_of_pytorch(name: str, tmp_path: Path) -> None:
    from deepmd.pt.model.model import get_model
    from deepmd.utils.argcheck import normalize
    from deepmd.utils.compat import update_deepmd_input

    settings, elements = preset(name, tmp_path), EXAMPLES[name]["model"].get("type_map", ["O", "H"])
    assert check_preset(settings, elements, tmp_path) == []
    assert input_faults(settings, elements, tmp_path) == []
    data = training_input(resolve(settings), elements, ["data"], [], 1).without_own_files()
    assert validate_input(data) == []
    model = normalize(update_deepmd_input(copy.deepcopy(data.data), warning=False))["model"]
    for node in [model["descriptor"], *model["descriptor"].get("list", [])]:
        if node.get("sel") == "auto":
            node["sel"] = 20 if node["type"].startswith("se_atten") else [20] * len(elements)
    assert {"energy"} <= set(get_model(model).atomic_output_def().keys())


def test_the_example_with_a_table_is_accepted_with_its_table(tmp_path: Path) -> None:
    r = np.arange(1, 700) * 0.01
    np.savetxt(tmp_path / "H2O_tab_potential.txt", np.array([r, 64 / r, 8 / r, 1 / r]).T)
    settings = preset("water/zbl/input.json", tmp_path)
    assert check_preset(settings, ["O", "H"], tmp_path) == []
    assert input_faults(settings, ["O", "H"], tmp_path) == []


def test_epochs_become_steps_where_steps_are_given(tmp_path: Path) -> None:
    settings = preset("water/se_e2_a/input_torch_num_epoch.json", tmp_path).model_copy(update={"steps": 100})
    assert check_preset(settings, ["O", "H"], tmp_path) == []
    training = training_input(resolve(settings), ["O", "H"], ["data"], [], 1).section("training")
    assert training["numb_steps"] == 100
    assert not [key for key in training if "epoch" in key]


def test_an_override_cannot_bring_in_what_is_refused(tmp_path: Path) -> None:
    settings = TrainSettings(preset="se_e2_a-tiny", overrides={"model.tab_file": "table.txt"})
    assert "tab_file" in check_preset(settings, ["O", "H"])[0]
    with pytest.raises(InputError, match="tab_file"):
        training_input(resolve(settings), ["O", "H"], ["data"], [], 1)


@pytest.mark.parametrize("column", ["rmse_trn", "mae_trn"])
def test_a_diverged_training_is_found_with_each_loss(column: str, tmp_path: Path) -> None:
    (tmp_path / "lcurve.out").write_text(f"# step {column} lr\n1 0.5 1e-3\n2 nan 1e-3\n")
    with pytest.raises(Exception, match="diverged"):
        check_lcurve(tmp_path / "lcurve.out")
