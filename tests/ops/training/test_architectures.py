"""Large models of each architecture, from the user's file to LAMMPS: adopted, fine-tuned, teacher of a student."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.distillation.label import label_with_teacher
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.distillation.teacher_md import prepare_teacher_md, run_teacher_md
from dpa_sse.ops.md.lammps import Simulation
from dpa_sse.ops.md.simulate import Job, run_lammps
from dpa_sse.ops.potential.folder import CHECKPOINT, frozen_model
from dpa_sse.ops.potential.inference import open_model, predict
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.results.model import Parity
from dpa_sse.ops.results.training import Trainable, TrainTask
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from dpa_sse.ops.training.existing_model import adopt_model
from dpa_sse.ops.training.finetune import Adaptation, fine_tune
from dpa_sse.ops.training.job import TrainJob
from dpa_sse.ops.training.presets import dataset_input, resolve
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings, TrainSettings
from dpa_sse.ops.training.train import train_model
from dpa_sse.ops.training.trained_network import as_dpa4, restrict
from tests.ops.training.conftest import TYPE_MAP

KB_EV = 8.617333e-5
FITTING = {"type": "ener", "neuron": [8, 8], "seed": 1}
NETWORKS: dict[str, dict[str, Any]] = {
    "dpa2": {
        "descriptor": {
            "type": "dpa2", "seed": 1,
            "repinit": {"rcut": 4.0, "rcut_smth": 1.0, "nsel": 80, "neuron": [4, 8], "axis_neuron": 2, "tebd_dim": 4},
            "repformer": {
                "rcut": 3.5, "rcut_smth": 1.0, "nsel": 60, "nlayers": 1, "g1_dim": 8, "g2_dim": 4, "attn1_hidden": 8,
                "attn2_hidden": 4, "attn1_nhead": 2, "attn2_nhead": 2, "axis_neuron": 2,
            },
        },
        "fitting_net": FITTING,
    },
    "dpa3": {
        "descriptor": {
            "type": "dpa3", "seed": 1,
            "repflow": {
                "n_dim": 8, "e_dim": 6, "a_dim": 4, "nlayers": 1, "e_rcut": 4.0, "e_rcut_smth": 2.0, "e_sel": 80,
                "a_rcut": 3.0, "a_rcut_smth": 2.0, "a_sel": 40, "axis_neuron": 2,
            },
        },
        "fitting_net": FITTING,
    },
    "dpa4": {
        "type": "dpa4",
        "descriptor": {
            "type": "dpa4", "rcut": 4.0, "sel": 256, "channels": 4, "n_radial": 4, "lmax": 1, "mmax": 1, "n_blocks": 1,
            "mixing_layers": 1, "n_focus": 1, "ffn_so3_grid": False, "precision": "float32", "use_amp": False,
            "seed": 1,
        },
        "fitting_net": {"type": "dpa4_ener", "neuron": [8], "precision": "float32", "seed": 1},
        "enable_tf32": False,
    },
}
RATES = {"dpa2": 2e-4, "dpa3": 2e-4, "dpa4": 2e-4}


def write_checkpoint(name: str, path: Path) -> Path:
    """Write an untrained model of an architecture, as a published one: without the state of its optimizer."""
    import torch
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    params = {**NETWORKS[name], "type_map": ["H", *reversed(TYPE_MAP)]}
    torch.manual_seed(1)
    wrapper = ModelWrapper(get_model(copy.deepcopy(params)), model_params=params)
    torch.save({"model": wrapper.state_dict()}, path)
    return path


@pytest.mark.slow
@pytest.mark.timeout(3600)  # a DPA-4 is compiled twice, 2 min each on an idle core
@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_large_model_becomes_a_student_in_lammps(name: str, dataset: Path, tmp_path: Path) -> None:
    elements = ["Li", "S"]
    adopted = adopt_model(write_checkpoint(name, tmp_path / "mine.pt"), elements, tmp_path / "adopted")
    assert (adopted.descriptor, adopted.rcut_A, adopted.adopted) == (name, 4.0, "mine.pt")
    assert frozen_model(tmp_path / "adopted").suffix == (".pt2" if name == "dpa4" else ".pth")

    pretrain = resolve(PretrainSettings(model="mine.pt"))
    job = Adaptation(
        tmp_path / "adopted" / CHECKPOINT, pretrain, FinetuneSettings(frames=6, steps=20), dataset, elements, 1
    )
    tuned = fine_tune(job, tmp_path / "tuned")
    assert tuned.learning_rate is not None
    assert tuned.learning_rate.start_lr == pytest.approx(0.6 * RATES[name])
    assert tuned.own_rates is not None
    assert Parity.read(tmp_path / "tuned").n_frames > 0

    student = distilled(tmp_path, elements)
    cell = tmp_path / "cells" / "task.000" / "cell.extxyz"
    lammps_agrees(tmp_path / "tuned", cell, elements, tmp_path / "teacher-md")
    lammps_agrees(student, cell, elements, tmp_path / "student-md")


def distilled(work: Path, elements: list[str]) -> Path:
    """Run MD with the fine-tuned model, label its frames, train a student on them; return its folder."""
    from ase.build import bulk

    settings = DistillSettings(
        temperatures_K=[300], steps=60, timestep_fs=0.5, sample_every=5, test=0.3, max_force_eV_A=1000
    )
    atoms = bulk("LiS", "rocksalt", a=5.7, cubic=True).repeat((2, 1, 1))
    atoms.rattle(0.05, seed=1)
    atoms.info = {"system": "LiS", "trajectory": "LiS.p000"}
    (work / "cells" / "task.000").mkdir(parents=True)
    write_frames(work / "cells" / "task.000" / "cell.extxyz", [atoms])
    prepare_teacher_md(work / "cells", settings, 1, work / "tasks")
    teacher = frozen_model(work / "tuned")
    run_teacher_md(work / "tasks" / "task.000", teacher, elements, work / "md")
    run = MdRun.read(work / "md")
    assert run.status == "ok", run.reason
    found = label_with_teacher(teacher, [work / "md"], elements, settings, 1, work / "labelled")
    assert found.n_kept == 13
    small = {
        "model.descriptor.rcut": 4.0, "model.descriptor.neuron": [4, 8], "model.descriptor.axis_neuron": 2,
        "model.fitting_net.neuron": [8, 8],
    }
    train = resolve(TrainSettings(preset="se_e2_a-tiny", steps=20, overrides=small))
    data = dataset_input(train, elements, work / "labelled" / "dataset", 1)
    train_model(TrainJob(data, preset="se_e2_a-tiny", seed=1), work / "student")
    return work / "student"


def lammps_agrees(folder: Path, cell: Path, elements: list[str], out: Path) -> None:
    """Run a model in LAMMPS: its energy begins as DeePMD-kit's own, of the checkpoint, and is conserved."""
    atoms = read_frames(cell)[0]
    simulation = Simulation("nve", 300.0, 0.5, steps=20, dump_every=10, thermo_every=1, seed=1)
    out.mkdir()
    outcome = run_lammps(Job(atoms, [folder], elements, simulation), out)
    assert outcome.status == "ok", outcome.reason
    model = open_model(folder / CHECKPOINT)
    types = np.array([list(model.get_type_map()).index(symbol) for symbol in atoms.get_chemical_symbols()])
    energy = predict(model, types, atoms.positions[None], atoms.cell.array[None])[0]
    with (out / "thermo.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["potential_eV"]) == pytest.approx(float(energy[0]), abs=1e-4)
    total = np.array([float(row["total_eV"]) for row in rows])
    kinetic = 1.5 * (len(atoms) - 1) * 300 * KB_EV
    assert np.ptp(total) < 1e-3 * kinetic


def weights(checkpoint: Path) -> dict[str, np.ndarray]:
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    return {key: value.numpy() for key, value in state.items() if hasattr(value, "numpy")}


@pytest.mark.slow
def test_the_descriptor_stays_as_it_is(dataset: Path, tmp_path: Path) -> None:
    mine = write_checkpoint("dpa2", tmp_path / "mine.pt")
    settings = FinetuneSettings(frames=6, steps=10, trainable="fitting_net")
    job = Adaptation(mine, resolve(PretrainSettings(model="mine.pt")), settings, dataset, ["H", *reversed(TYPE_MAP)], 1)
    fine_tune(job, tmp_path / "tuned")
    before, after = weights(mine), weights(tmp_path / "tuned" / CHECKPOINT)
    networks = [key for key in before if ".networks." in key or ".layers." in key or "linear" in key or "filter" in key]
    descriptor = [key for key in networks if ".descriptor." in key and np.issubdtype(before[key].dtype, np.floating)]
    assert len(descriptor) > 10
    assert all(np.array_equal(before[key], after[key]) for key in descriptor)
    fitting = [key for key in before if ".fitting_net." in key and key.endswith("matrix")]
    assert fitting and not any(np.array_equal(before[key], after[key]) for key in fitting)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_low_rank_additions_are_merged_into_a_dpa4(dataset: Path, tmp_path: Path) -> None:
    mine = write_checkpoint("dpa4", tmp_path / "mine.pt")
    settings = FinetuneSettings(frames=6, steps=6, trainable="lora", lora_rank=2)
    job = Adaptation(mine, resolve(PretrainSettings(model="mine.pt")), settings, dataset, ["H", *reversed(TYPE_MAP)], 1)
    fine_tune(job, tmp_path / "tuned")
    before, after = weights(mine), weights(tmp_path / "tuned" / CHECKPOINT)
    assert set(before) == set(after)  # a plain DPA-4
    assert any(not np.array_equal(before[key], after[key]) for key in before if ".descriptor." in key)
    assert frozen_model(tmp_path / "tuned").suffix == ".pt2"  # and compared with the checkpoint by the training


def test_a_fine_tuned_dpa4_stays_one_with_its_own_elements() -> None:
    """DeePMD-kit takes over descriptor and fitting net only, and cannot rearrange the elements of a DPA-4."""
    own = {"type_map": ["Li"], "descriptor": {"type": "dpa2"}, "data_stat_nbatch": 5}
    four = {"type": "DPA4", "type_map": ["H", "Li"], "bridging_method": "zbl", "info": {}, "atom_exclude_types": [0]}
    assert as_dpa4(own, four) == {**own, "type": "DPA4", "type_map": ["H", "Li"], "bridging_method": "zbl"}
    assert as_dpa4(own, {"type": "standard", "type_map": ["H", "Li"]}) == own


@pytest.mark.parametrize(("model", "trainable", "expected"), [
    ({"descriptor": {"type": "dpa2"}}, "all", {"descriptor": {"type": "dpa2"}}),
    ({"descriptor": {"type": "dpa2"}}, "fitting_net", {"descriptor": {"type": "dpa2", "trainable": False}}),
    ({"descriptor": {"type": "hybrid", "list": [{"type": "se_e2_a"}, {"type": "se_atten"}]}}, "fitting_net", {
        "descriptor": {
            "type": "hybrid",
            "list": [{"type": "se_e2_a", "trainable": False}, {"type": "se_atten", "trainable": False}],
        },
    }),
    ({"type": "DPA4", "descriptor": {}}, "lora", {"type": "DPA4", "descriptor": {}, "lora": {"rank": 4}}),
])
def test_what_is_trained_is_told_to_deepmd(
    model: dict[str, Any], trainable: Trainable, expected: dict[str, Any]
) -> None:
    task = TrainTask(
        input={}, change_bias=False, start="finetune", start_model=None, branch="", trainable=trainable, lora_rank=4,
        widen=True, compress=False, parity_frames=1, parity_systems=(),
    )
    restrict(model, task)
    assert model == expected
    with pytest.raises(InputError, match="of a DPA-4 only"):
        restrict({"descriptor": {"type": "dpa3"}}, task.model_copy(update={"trainable": "lora"}))
