"""Tables of pair potentials (``use_srtab``): found beside the input, checked, carried in it and in every model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.potential.describe import describe_model
from dpa_sse.ops.training.existing_model import adopt_model
from dpa_sse.ops.training.input_check import input_faults
from dpa_sse.ops.training.job import FineTune, InitModel, SameNetwork, Start, TrainJob
from dpa_sse.ops.training.presets import check_preset, complete_preset, dataset_input, load_preset, resolve
from dpa_sse.ops.training.settings import TrainSettings
from dpa_sse.ops.training.tables import OVERRIDE, pack, unpack, with_lines, with_table_of, with_word
from dpa_sse.ops.training.train import change_bias, train_model
from tests.ops.md.test_deepmd import lammps_forces
from tests.ops.training.conftest import TYPE_MAP

NUMBERS = {"Li": 3, "S": 16, "Br": 35}
DPA1 = {"type": "dpa1", "rcut": 4.0, "rcut_smth": 1.0, "sel": 60, "neuron": [4, 8], "axis_neuron": 2, "attn_layer": 0}
SWITCH = {"sw_rmin": 1.2, "sw_rmax": 1.8, "smin_alpha": 0.1}


def zbl(first: int, second: int, r: Any) -> Any:
    """Return the universal repulsion of Ziegler, Biersack and Littmark, eV."""
    x = r * (first**0.23 + second**0.23) / 0.46850
    terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
    return 14.399645 * first * second / r * sum(a * np.exp(-b * x) for a, b in terms)


def rows(start: float = 0.01, end: float = 6.0, step: float = 0.01) -> np.ndarray:
    r = np.arange(start, end + step / 2, step)
    z = list(NUMBERS.values())
    return np.array([r, *(zbl(z[i], z[j], r) for i in range(3) for j in range(i, 3))]).T


def write(folder: Path, table: np.ndarray | str, **model: Any) -> TrainSettings:
    """Write an input and its table into a folder."""
    own = folder / "net"
    own.mkdir(parents=True, exist_ok=True)
    if isinstance(table, str):
        (own / "zbl.txt").write_text(table)
    else:
        np.savetxt(own / "zbl.txt", table, fmt="%.10g")
    data = load_preset("se_e2_a-tiny").copy().data
    data["model"] |= {"descriptor": DPA1, "use_srtab": "zbl.txt", **SWITCH, **model}
    data["model"]["fitting_net"]["neuron"] = [8, 8]
    (own / "mine.json").write_text(json.dumps(data))
    return TrainSettings(preset="net/mine.json", steps=6)


def test_the_table_is_found_beside_its_input_and_carried_inside(tmp_path: Path) -> None:
    settings = write(tmp_path, rows())
    assert check_preset(settings, TYPE_MAP, tmp_path) == []
    assert input_faults(settings, TYPE_MAP, tmp_path) == []
    word = resolve(settings, tmp_path).network["model"]["use_srtab"]
    lines = (tmp_path / "net/zbl.txt").read_text().splitlines()
    assert unpack(word) == lines
    assert len(word) < len("\n".join(lines))  # the inputs of a pod have a limit
    text = complete_preset(tmp_path / "net/mine.json")
    assert text is not None
    (tmp_path / "alone.json").write_text(text)
    assert resolve(TrainSettings(preset="alone.json"), tmp_path).network["model"]["use_srtab"] == word
    assert complete_preset(tmp_path / "alone.json") is None
    model = {"use_srtab": word, "sw_rmin": 1.0}
    assert with_word(with_lines(model)) == model
    changed = rows()
    changed[:, 1] *= 1.01
    assert resolve(write(tmp_path, changed), tmp_path).network["model"]["use_srtab"] != word


def test_a_table_of_an_override_is_beside_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, rows())
    (tmp_path / "net/zbl.txt").rename(tmp_path / "mine.txt")
    overrides = {
        "model.descriptor": DPA1, OVERRIDE: "mine.txt", "model.sw_rmin": 1.2, "model.sw_rmax": 1.8,
        "model.smin_alpha": 0.1,
    }
    settings = TrainSettings(preset="se_e2_a-tiny", overrides=overrides)
    assert check_preset(settings, TYPE_MAP, tmp_path) == []
    assert unpack(resolve(settings, tmp_path).overrides[OVERRIDE])[0].startswith("0.01 ")
    [(key, fault)] = input_faults(settings, TYPE_MAP, tmp_path / "net")
    assert key == OVERRIDE
    assert fault.startswith("no such file")


@pytest.mark.parametrize(("table", "model", "message"), [
    (rows()[:, :6], {}, "the table has 6 columns; with type_map [Li, S, Br] it needs 7: r, Li-Li, Li-S, Li-Br, S-S"),
    (rows()[:3], {}, "at least 4 are needed"),
    ("r LiLi\n0.1 1\n", {}, "not a table of numbers"),
    ("# only a comment\n", {}, "the table is empty"),
    (np.where(rows() > 1e4, np.nan, rows()), {}, "not finite"),
    (rows()[::-1], {}, "even, growing steps; row 2"),
    (np.delete(rows(), 40, axis=0), {}, "even, growing steps; row 41"),
    (rows(end=1.5), {}, "ends at 1.5 A, before the network takes over (model.sw_rmax 1.8 A)"),
    (rows(start=1.3), {}, "begins at 1.3 A"),
    (rows(), {"sw_rmin": 2.0}, "model.sw_rmin (2 A) must be positive and smaller than model.sw_rmax (1.8 A)"),
    (rows(), {"sw_rmax": None}, "needs model.sw_rmin and model.sw_rmax"),
    (rows(), {"use_srtab": "none.txt"}, "no such file"),
    (rows(), {"use_srtab": "."}, "model.use_srtab"),
    (rows(), {"use_srtab": "xz:broken"}, "the table in the input is damaged"),
    (rows(), {"descriptor": {"type": "se_e2_a", "rcut": 4.0}}, "not with se_e2_a"),
    (rows(), {"descriptor": {"type": "hybrid", "list": [DPA1, {"type": "se_e2_a", "rcut": 4.0}]}}, "not with se_e2_a"),
    (rows(), {"descriptor": {"type": "dpa4"}}, "model.bridging_method: zbl"),
])
def test_tables_that_cannot_be_used(
    tmp_path: Path, table: np.ndarray | str, model: dict[str, Any], message: str
) -> None:
    found = check_preset(write(tmp_path, table, **model), TYPE_MAP, tmp_path)
    assert len(found) == 1
    assert message in found[0]


def test_deepmd_kit_takes_a_table_with_these_descriptors_only(tmp_path: Path) -> None:
    """What `check` says about se_e2_a is what DeePMD-kit does."""
    from deepmd.pt.model.model import get_zbl_model

    model = load_preset("se_e2_a-tiny").copy().section("model")
    model |= {"type_map": TYPE_MAP, "use_srtab": (write(tmp_path, rows()), str(tmp_path / "net/zbl.txt"))[1], **SWITCH}
    model["descriptor"] |= {"sel": [10, 10, 10]}
    with pytest.raises(ValueError, match="only supports AtomicModel of mixed type"):
        get_zbl_model(model)
    get_zbl_model({**model, "descriptor": DPA1})


def test_fine_tuning_keeps_the_table_of_the_model() -> None:
    tables = {"use_srtab": ["1 2"], **SWITCH}
    assert with_table_of({"descriptor": 1}, {"descriptor": 2, **tables}) == {"descriptor": 1, **tables}
    assert with_table_of({"descriptor": 1, **tables, "sw_rmin": 9}, {"descriptor": 2}) == {"descriptor": 1}


def test_a_checkpoint_that_names_its_table_is_refused(tmp_path: Path) -> None:
    """It would be opened in other folders and on other machines; a frozen file has the table inside."""
    import torch

    params = {"type_map": TYPE_MAP, "descriptor": DPA1, "fitting_net": {}, "use_srtab": "tables/zbl.txt", **SWITCH}
    torch.save({"model": {"_extra_state": {"model_params": params}}}, tmp_path / "model.pt")
    described = describe_model(tmp_path / "model.pt")
    assert (described.branches[0].has_table, described.branches[0].table_file) == (True, "tables/zbl.txt")
    assert not any(use.possible for use in described.uses)
    with pytest.raises(InputError, match=r"reads its table of pair potentials from tables/zbl.txt .* freeze it"):
        adopt_model(tmp_path / "model.pt", TYPE_MAP, tmp_path / "out")
    torch.save({"model": {"_extra_state": {"model_params": {**params, "use_srtab": ["1 2"]}}}}, tmp_path / "model.pt")
    described = describe_model(tmp_path / "model.pt")
    assert (described.branches[0].has_table, described.branches[0].table_file) == (True, None)
    assert all(use.possible for use in described.uses if use.use != "compress")


def energies(model: Path) -> np.ndarray:
    """Return the energies of Li-S pairs at 0.8 and 1.0 A without those of the atoms alone, eV."""
    from deepmd.infer import DeepPot

    potential = DeepPot(str(model))
    cell = (12 * np.eye(3)).reshape(1, 9)
    types = [potential.get_type_map().index(symbol) for symbol in ("Li", "S")]
    found = [potential.eval(np.array([[0.0, 0, 0, r, 0, 0]]), cell, types)[0].item() for r in (0.8, 1.0)]
    return np.array(found)


@pytest.mark.slow
def test_from_the_input_to_lammps(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is gone before the training: settings, checkpoints and frozen models have it inside."""
    settings = write(tmp_path / "mine", rows())
    training = resolve(settings, tmp_path / "mine")
    (tmp_path / "mine/net/zbl.txt").unlink()
    monkeypatch.chdir(tmp_path)
    data = dataset_input(training, TYPE_MAP, dataset, 3)
    folder = tmp_path / "model"
    info = train_model(TrainJob(data, seed=3), folder, threads=1)
    assert (info.descriptor, info.compressed) == ("se_atten", False)
    repulsion = zbl(3, 16, 0.8) - zbl(3, 16, 1.0)
    assert -np.diff(energies(folder / "model.pth"))[0] == pytest.approx(repulsion, rel=1e-4)
    found = describe_model(folder / "model.pt").branches[0]
    assert (found.has_table, found.n_parameters) == (True, info.n_parameters)

    plain = load_preset("se_e2_a-tiny").copy()
    plain.section("model")["descriptor"] = DPA1
    other = dataset_input(training.model_copy(update={"network": plain.data}), TYPE_MAP, dataset, 3)
    starts: dict[str, Start] = {
        "init": InitModel(folder / "model.pt"), "tuned": FineTune(folder / "model.pt"),
        "same": SameNetwork(folder / "model.pt"),
    }
    for name, start in starts.items():  # with an input that names no table
        train_model(TrainJob(other, start, seed=3), tmp_path / name, threads=1)
    change_bias(folder / "model.pt", dataset, tmp_path / "bias")
    adopt_model(folder / "model.pt", TYPE_MAP, tmp_path / "adopted")
    for file in ("init/model.pth", "tuned/model.pth", "same/model.pth", "bias/model.pt", "adopted/model.pth"):
        assert -np.diff(energies(tmp_path / file))[0] == pytest.approx(repulsion, rel=1e-4), file

    pair = Atoms("LiS", positions=[[0, 0, 0], [0.9, 0, 0]], cell=12 * np.eye(3), pbc=True)
    (tmp_path / "lammps").mkdir()
    forces, rotation, _ = lammps_forces(tmp_path / "lammps", pair, TYPE_MAP, folder / "model.pth")
    slope = (zbl(3, 16, 0.9 + 1e-5) - zbl(3, 16, 0.9 - 1e-5)) / 2e-5
    assert forces @ rotation.T == pytest.approx(np.array([[slope, 0, 0], [-slope, 0, 0]]), rel=1e-3, abs=1e-3)


def test_words_are_reproducible() -> None:
    assert pack(["1 2", "3 4"]) == pack(["1 2", "3 4"])
    with pytest.raises(InputError, match="damaged"):
        unpack(pack(["1 2"])[:-6])
