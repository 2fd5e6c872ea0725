"""Models, references and structures as they are named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.validation.gates.inputs import find_model, find_reference, find_structures
from tests.model_files import checkpoint, dpa4_checkpoint, frozen, package

ELEMENTS = ["Li", "Cl"]


def test_a_folder_compares_all_its_files(tmp_path: Path) -> None:
    checkpoint(tmp_path / "model.pt", {"": ELEMENTS})
    frozen(tmp_path / "model.pth", ELEMENTS)
    frozen(tmp_path / "model_compressed.pth", ELEMENTS)
    found = find_model(tmp_path)
    assert found.path.name == "model_compressed.pth" and found.elements == ("Li", "Cl")
    assert [one.name for one in (found.files.checkpoint, found.files.frozen) if one] == ["model.pt", "model.pth"]
    assert found.files.deployed == tmp_path / "model_compressed.pth"
    single = find_model(tmp_path / "model.pth")
    assert (single.files.frozen, single.files.checkpoint) == (tmp_path / "model.pth", None)


def test_a_model_of_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.ops.models.card import Background
    from dpa_sse.ops.models.collect import collect_model
    from dpa_sse.ops.models.registry import ModelRegistry
    from dpa_sse.ops.models.store import store_model
    from tests.ops.models.stored import model_folder

    monkeypatch.setenv("DPA_SSE_MODELS", str(tmp_path / "registry"))
    monkeypatch.chdir(tmp_path)
    folder = model_folder(tmp_path / "lps")
    store_model(ModelRegistry(tmp_path / "registry"), "lps", collect_model(folder), Background(), {})
    found = find_model(Path("lps@1"))
    assert found.path == tmp_path / "registry" / "lps" / "1" / "model.pth" and found.elements == ("Li", "P", "S")
    with pytest.raises(InputError, match="lps has no version 2"):
        find_model(Path("lps@2"))
    with pytest.raises(InputError, match="no such model in the registry"):
        find_reference("other@1", "", ELEMENTS, tmp_path, ELEMENTS)


def test_the_package_of_a_dpa4_is_its_frozen_model(tmp_path: Path) -> None:
    dpa4_checkpoint(tmp_path / "model.pt", ELEMENTS)
    package(tmp_path / "model.pt2", ELEMENTS)
    found = find_model(tmp_path)
    assert found.path == found.files.frozen == tmp_path / "model.pt2"
    assert found.files.checkpoint == tmp_path / "model.pt"


def test_the_branch_of_an_adopted_model_is_that_of_its_checkpoint(tmp_path: Path) -> None:
    checkpoint(tmp_path / "model.pt", {"PBE": ["Li"], "PBEsol": ELEMENTS}, {"PBEsol": ["SSE"]})
    frozen(tmp_path / "model.pth", ELEMENTS)
    ModelInfo(type_map=tuple(ELEMENTS), branch="PBEsol").write(tmp_path)
    found = find_model(tmp_path)
    assert (found.path.name, found.files.branch) == ("model.pth", "PBEsol")
    assert find_model(tmp_path / "model.pt").files.branch == "PBEsol"
    assert find_model(tmp_path / "model.pt", "pbe").elements == ("Li",)
    (tmp_path / "model.json").unlink()
    with pytest.raises(InputError, match=r"2 branches.*\(--branch NAME\)"):
        find_model(tmp_path)
    assert find_model(tmp_path, "SSE").files.branch == "PBEsol"


def test_structures_of_the_library_and_of_data(tmp_path: Path) -> None:
    from tests.ops.validation.gates.test_gates import data

    assert [atoms.info["system"] for atoms in find_structures(["LiCl", "Li2S"], tmp_path, 1)] == ["LiCl", "Li2S"]
    cells = find_structures([], tmp_path, 1, data())
    assert [len(atoms) for atoms in cells] == [32] and all(cells[0].pbc)
    with pytest.raises(InputError, match="--structure NAME"):
        find_structures([], tmp_path, 1)


def test_a_labeler_as_reference(tmp_path: Path) -> None:
    (tmp_path / "mock.yaml").write_text("labeler: {kind: mock}\n")
    found = find_reference(str(tmp_path / "mock.yaml"), "", ELEMENTS, tmp_path / "work", ELEMENTS)
    assert found.potential is not None and not found.data
    from tests.ops.validation.gates.analytic import crystal

    labels = found.potential.of_atoms([crystal()])
    assert labels.finite.all() and labels.force.shape == (1, 32, 3)
