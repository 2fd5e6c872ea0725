"""The labeler of kind deepmd: an analytic teacher for batches and order, a real small model for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.labelers.deepmd import DeepmdLabeler, predict_atoms
from dpa_sse.ops.labelers.settings import DeepmdSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.potential.inference import open_model
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from tests.model_files import checkpoint, frozen


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a frozen, untrained model: its forces are arbitrary, but smooth and those of its energy."""
    import torch
    from deepmd.pt.model.model import get_model

    torch.manual_seed(1)
    made = get_model({
        "type_map": ["S", "Li"],
        "descriptor": {
            "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [40, 40], "neuron": [4, 8], "axis_neuron": 2,
            "seed": 1,
        },
        "fitting_net": {"neuron": [8, 8], "seed": 1},
    })
    path = tmp_path_factory.mktemp("model") / "model.pth"
    torch.jit.save(torch.jit.script(made), str(path))
    return path


class Springs:
    """Pulls each atom to the origin with a constant of its element; counts its calls."""

    k = np.array([0.1, 0.3])
    calls: tuple[int, ...] = ()

    def get_type_map(self) -> list[str]:
        return ["S", "Li"]

    def eval(self, coords: Any, cells: Any, types: Any) -> tuple[Any, Any, Any]:
        self.calls += (len(coords),)
        positions = coords.reshape(len(coords), -1, 3)
        k = self.k[types][:, None]
        virial = -np.einsum("fai,faj->fij", k * positions, positions)
        return (k * positions**2).sum(axis=(1, 2)) / 2, -k * positions, virial


def frames() -> list[Atoms]:
    """Return two frames of one composition with different orders of atoms, and one of another."""
    rng = np.random.default_rng(1)
    made = []
    for symbols in ("LiSLi", "SLiLi", "SS"):
        made.append(Atoms(symbols, positions=rng.normal(size=(len(Atoms(symbols)), 3)), cell=[5, 6, 7], pbc=True))
    return made


def test_equal_compositions_go_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    springs = Springs()
    monkeypatch.setattr("dpa_sse.ops.potential.inference.open_model", lambda _path, _branch: springs)
    results = DeepmdLabeler(DeepmdSettings(model="t.pth")).label(frames(), tmp_path)
    assert sorted(springs.calls) == [1, 2]
    for atoms, result in zip(frames(), results, strict=True):
        assert result.atoms is not None
        k = np.array([0.1 if symbol == "S" else 0.3 for symbol in atoms.symbols])[:, None]
        assert np.allclose(result.atoms.get_forces(), -k * atoms.positions)
        assert result.atoms.get_potential_energy() == pytest.approx((k * atoms.positions**2).sum() / 2)
        stress = (k * atoms.positions).T @ atoms.positions / atoms.get_volume()  # -virial / volume
        assert np.allclose(result.atoms.get_stress(voigt=False), stress)


def test_unknown_elements_and_nan_are_verdicts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dpa_sse.ops.potential.inference.open_model", lambda _path, _branch: Springs())
    good, bad, other = frames()
    bad.positions[0, 0] = np.nan
    other.symbols[0] = "Br"
    results = DeepmdLabeler(DeepmdSettings(model="t.pth")).label([good, bad, other], tmp_path)
    assert [result.status for result in results] == ["ok", "failed", "failed"]
    assert results[1].reason == "the model returned NaN or infinite numbers"
    assert results[2].reason == "the model does not know Br; it knows Li, S"


@pytest.mark.parametrize(("name", "content", "message"), [
    ("none.pth", None, "model file does not exist"), ("broken.pth", b"no model", "broken.pth cannot be used"),
])
def test_broken_models(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FatalError, match=message):
        DeepmdLabeler(DeepmdSettings(model=str(tmp_path / name))).label(frames(), tmp_path)


@pytest.mark.parametrize(("settings", "message"), [
    ({"model": "a.pb"}, "a.pb is not a model of the PyTorch backend"),
    ({"model": "a.pth"}, "a.pth does not exist"),
    ({"model": "b.pth", "head": "x"}, "a frozen .pth model has one branch only"),
    ({"model": "broken.pth"}, "broken.pth: is not a file of PyTorch"),
    ({"model": "two.pt"}, "two.pt: is a multi-task model of 2 branches"),
    ({"model": "two.pt", "head": "PBEsoll"}, "did you mean 'PBEsol'?"),
])
def test_problems(settings: dict[str, str], message: str, tmp_path: Path) -> None:
    frozen(tmp_path / "b.pth", ["Li", "S"])
    (tmp_path / "broken.pth").write_bytes(b"broken")
    checkpoint(tmp_path / "two.pt", {"PBE": ["Li"], "PBEsol": ["Li"]})
    found = list(DeepmdLabeler.problems(DeepmdSettings(**settings), ["Li"], tmp_path))
    assert len(found) == 1 and message in found[0][1]


def test_a_real_model(tmp_path: Path, model: Path) -> None:
    """Batch, single frames, ASE's calculator and finite differences agree."""
    rng = np.random.default_rng(2)
    cell = Atoms("Li4S4", scaled_positions=rng.random((8, 3)), cell=np.diag([6.0, 6.2, 6.4]) + 0.1, pbc=True)
    settings = DeepmdSettings(model=str(model), batch=2)
    (tmp_path / "task").mkdir()
    write_frames(tmp_path / "task/frames.extxyz", [cell, cell[::-1], cell.repeat((1, 1, 2))])
    label_frames(tmp_path / "task", settings, tmp_path / "out")
    one, turned, double = read_frames(tmp_path / "out/frames.extxyz")
    assert np.allclose(turned.get_forces(), one.get_forces()[::-1], atol=1e-10)
    assert double.get_potential_energy() == pytest.approx(2 * one.get_potential_energy(), abs=1e-8)
    work = cell.copy()
    work.calc = DeepmdLabeler(settings).calculator()
    assert work.get_potential_energy() == pytest.approx(one.get_potential_energy(), abs=1e-9)
    assert np.allclose(work.get_stress(), one.get_stress(), atol=1e-10)
    teacher, step, values = open_model(model), 1e-4, []
    for sign in (1, -1):
        strained = cell.copy()
        strained.set_cell(cell.cell.array @ np.diag([1 + sign * step, 1, 1]), scale_atoms=True)
        values.append(predict_atoms(teacher, [strained])[0][0])
    slope = (values[0] - values[1]) / (2 * step) / cell.get_volume()
    assert slope == pytest.approx(one.get_stress()[0], abs=1e-6)
