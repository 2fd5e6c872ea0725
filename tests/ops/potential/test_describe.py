"""What is in model files: of DeePMD-kit itself, damaged ones, and ones that would run commands."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.potential.describe import choose_branch, describe_model, is_dpa4
from dpa_sse.ops.results.model import LearningRates
from tests.model_files import archive, checkpoint, dpa4_checkpoint, frozen, package, params

ELEMENTS = ["Li", "S", "Br"]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Write models of DeePMD-kit: a checkpoint, frozen and multi-task; return their folder and what they are."""
    import copy

    import torch
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    folder = tmp_path_factory.mktemp("models")
    network = {
        "type_map": ELEMENTS,
        "descriptor": {
            "type": "se_e2_a", "rcut": 4.5, "rcut_smth": 1.0, "sel": [20] * 3, "neuron": [4, 8], "axis_neuron": 2,
            "seed": 1, "precision": "float32",
        },
        "fitting_net": {"neuron": [8, 8], "seed": 1},
    }
    model = get_model(copy.deepcopy(network))
    model.model_def_script = json.dumps({**network, "fitting_net": {"type": "ener", **network["fitting_net"]}})
    torch.jit.save(torch.jit.script(model), str(folder / "model.pth"))
    single = ModelWrapper(get_model(copy.deepcopy(network)), model_params=network)
    torch.save({"model": single.state_dict(), "optimizer": {}}, folder / "model.pt")
    branches = {
        "Alloy": {**network, "model_branch_alias": ["Metals"]},
        "SSE": {**network, "info": {"observed_type": ["Li", "S"]}},
    }
    both = ModelWrapper(
        {name: get_model(copy.deepcopy(one)) for name, one in branches.items()}, model_params={"model_dict": branches}
    )
    torch.save({"model": both.state_dict()}, folder / "two.pt")
    return folder, {"n": sum(one.numel() for one in model.parameters())}


def test_single_task_models(real: tuple[Path, dict[str, Any]]) -> None:
    folder, known = real
    for name, kind in (("model.pt", "checkpoint"), ("model.pth", "frozen")):
        found = describe_model(folder / name)
        branch = found.branches[0]
        assert (found.kind, found.multi_task, len(found.branches)) == (kind, False, 1)
        assert (list(branch.type_map), branch.descriptor, branch.rcut_A) == (ELEMENTS, "se_e2_a", 4.5)
        assert (branch.n_parameters, branch.precision, branch.compressed) == (known["n"], "float32", False)
        uses = {one.use: one.possible for one in found.uses}
        assert uses == {"fine-tune": kind == "checkpoint", "teacher": True, "LAMMPS": True, "compress": True}


def test_multi_task_model_and_its_branches(real: tuple[Path, dict[str, Any]]) -> None:
    found = describe_model(real[0] / "two.pt")
    assert [(one.name, one.aliases) for one in found.branches] == [("Alloy", ("Metals",)), ("SSE", ())]
    assert [one.elements_with_data for one in found.branches] == [None, ("Li", "S")]
    assert all(one.n_parameters == real[1]["n"] for one in found.branches)
    assert [choose_branch(found, wanted) for wanted in ("Alloy", "Metals", "metals", "sse")] == [
        "Alloy", "Alloy", "Alloy", "SSE",
    ]
    with pytest.raises(InputError, match=r"2 branches.*Alloy \(alias Metals\): Li S Br, 4.5 A; SSE: Li S, 4.5 A"):
        choose_branch(found, "")
    with pytest.raises(InputError, match="no branch 'SSF' - did you mean 'SSE'"):
        choose_branch(found, "SSF")
    with pytest.raises(InputError, match="remove the branch 'SSE'"):
        choose_branch(describe_model(real[0] / "model.pt"), "SSE")


def test_learning_rates_of_a_checkpoint(tmp_path: Path) -> None:
    found = describe_model(checkpoint(tmp_path / "m.pt", {"": ELEMENTS}))
    assert found.steps == 100
    assert found.learning_rate == LearningRates(start_lr=4e-3, stop_lr=1e-3)
    assert describe_model(dpa4_checkpoint(tmp_path / "m.pt", ELEMENTS)).learning_rate is None


def test_dpa4(tmp_path: Path) -> None:
    found = describe_model(dpa4_checkpoint(tmp_path / "m.pt", ELEMENTS))
    assert is_dpa4(found.branches[0])
    assert {one.use for one in found.uses if one.possible} == {"fine-tune", "teacher", "LAMMPS"}
    assert "C++ compiler" in next(one.how for one in found.uses if one.use == "LAMMPS")


def test_deepmd_agrees_on_branches(real: tuple[Path, dict[str, Any]]) -> None:
    from deepmd.infer import DeepPot

    names, branches = DeepPot(str(real[0] / "two.pt"), head="SSE").deep_eval.get_model_branch()
    found = describe_model(real[0] / "two.pt")
    assert list(branches) == [one.name for one in found.branches]
    for alias, branch in names.items():
        assert choose_branch(found, alias) == branch


def test_a_package_and_a_fitting_without_forces(tmp_path: Path) -> None:
    found = describe_model(package(tmp_path / "m.pt2", ELEMENTS))
    assert (found.kind, found.branches[0].rcut_A) == ("package", 6.0)
    assert {one.use for one in found.uses if one.possible} == {"teacher", "LAMMPS"}
    assert found.compiled_for == "cpu, x86_64, AVX512"
    assert all("runs on such a device only" in one.how for one in found.uses if one.possible)
    assert describe_model(package(tmp_path / "m.pt2", ELEMENTS, "cuda")).compiled_for == "cuda, x86_64, sm_90"
    state = {"_extra_state": {"model_params": {**params(["Li"]), "fitting_net": {"type": "dipole"}}}}
    path = archive(tmp_path / "m.pt", {"data.pkl": pickle.dumps({"model": state}, protocol=2)})
    found = describe_model(path)
    assert not any(one.possible for one in found.uses)
    assert "it predicts dipole, not energies" in found.uses[0].how


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.pt", b"", "the file is empty"),
    ("a.pt", b"hello", "is not a file of PyTorch"),
    ("a.pth", b"PK\x03\x04....", "is cut or damaged"),
    ("a.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "before 1.6"),
    ("a.pb", b"\n\x10", "TensorFlow backend"),
    ("a.savedmodel", b"x", "of another backend"),
])
def test_unreadable_files(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        describe_model(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [
    ({"model": {}}, "model_params is missing"),
    ({"model": {"_extra_state": {"model_params": {"model_dict": {}}}}}, "without branches"),
    ({"model": {"_extra_state": {"model_params": {"model_dict": {"a": 3}}}}}, "branch 'a' is not described"),
    ({"model": {"_extra_state": {"model_params": {"descriptor": {}}}}}, "no type_map"),
    ([1, 2], "model_params is missing"),
])
def test_other_pickles(content: Any, message: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", {"data.pkl": pickle.dumps(content, protocol=2)})
    with pytest.raises(InputError, match=message):
        describe_model(path)


def test_other_archives(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model of DeePMD-kit"):
        describe_model(archive(tmp_path / "a.pt", {"readme.txt": b""}))
    with pytest.raises(InputError, match="is damaged"):
        describe_model(archive(tmp_path / "b.pt", {"data.pkl": b"\x80\x02}q\x00("}))
    with pytest.raises(InputError, match="no frozen model"):
        describe_model(archive(tmp_path / "c.pth", {"data.pkl": pickle.dumps({}), "code/x.py": b""}))
    with pytest.raises(InputError, match="is a folder"):
        describe_model(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        describe_model(tmp_path / "none.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(InputError, match="pipe or a device"):
        describe_model(tmp_path / "pipe.pt")


class Command:
    """What a hostile file would run when it is opened."""

    def __init__(self, mark: Path, call: Any) -> None:
        self.mark, self.call = mark, call

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.call, (f"touch {self.mark}",)


@pytest.mark.parametrize("call", [os.system, eval, subprocess.getoutput])
def test_nothing_of_a_file_is_run(call: Any, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    hostile = pickle.dumps({"model": Command(mark, call)}, protocol=2)
    assert not mark.exists()
    path = archive(tmp_path / "a.pt", {"data.pkl": hostile})
    with pytest.raises(InputError, match="can run commands"):
        describe_model(path)
    assert not mark.exists()


def test_functions_of_known_modules_are_not_called(tmp_path: Path) -> None:
    """Names of torch are read, but none of its functions is called, and torch is not imported."""
    mark = tmp_path / "was-run"
    code = b"ctorch\nload\n(V" + str(mark).encode() + b"\ntR."
    path = archive(tmp_path / "a.pt", {"data.pkl": code})
    script = (
        "import sys\nfrom pathlib import Path\nfrom dpa_sse.ops.potential.describe import describe_model\n"
        f"try: describe_model(Path({str(path)!r}))\n"
        "except Exception as error: print(type(error).__name__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["InputError", "False"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("m/data.pkl", b"\x00" * 310_000_000)
    (tmp_path / "a.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="claims 310 MB"):
        describe_model(tmp_path / "a.pt")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.pipeline.cli import main

    two = checkpoint(tmp_path / "two.pt", {"PBE": ["Li", "S"], "SCAN": ["Li"]}, {"PBE": ["old"]})
    monkeypatch.setattr(sys, "argv", ["dpa-sse", "models", "show", str(two)])
    with pytest.raises(SystemExit) as ended:
        main()
    text = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert "2 branches, 100 training steps" in text and "branch       PBE (alias old)" in text
    monkeypatch.setattr(sys, "argv", ["dpa-sse", "models", "show", str(frozen(tmp_path / "m.pth", ["Li"])), "--json"])
    with pytest.raises(SystemExit):
        main()
    assert json.loads(capsys.readouterr().out)["branches"][0]["type_map"] == ["Li"]
    (tmp_path / "bad.pt").write_bytes(b"x")
    monkeypatch.setattr(sys, "argv", ["dpa-sse", "models", "show", str(tmp_path / "bad.pt")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1
