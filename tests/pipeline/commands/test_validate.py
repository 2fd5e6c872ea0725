"""``dpa-sse validate`` and ``dpa-sse gates`` from the outside: models of others, mistakes, a real model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.pipeline.cli import main
from tests.model_files import checkpoint, frozen

SHORT = """
md: {smoke: {copies: 2, ramp_ps: 0.02, hold_ps: 0.1, hot_ps: 0.02}}
gates:
  G4: {protocol: {smoke: {nve_ps: 0.04}}}
  G6: {protocol: {smoke: {rattled: 2, relax_steps: 5}}}
  G3: {protocol: {smoke: {frames: 2}}}
"""
TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["dpa-sse", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frozen(tmp_path / "model.pth", TYPE_MAP)
    checkpoint(tmp_path / "two.pt", {"PBE": TYPE_MAP, "PBEsol": TYPE_MAP})
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    (tmp_path / "other.pt").write_bytes((tmp_path / "model.pth").read_bytes())
    (tmp_path / "own.yaml").write_text("gates: {G99: {}}")
    (tmp_path / "typo.yaml").write_text("gates:\n  G1:\n    metrics:\n      force_mae: {pas: 1}\n")
    (tmp_path / "word.yaml").write_text("gates:\n  G1: {required: perhaps}\n")
    (tmp_path / "tab.yaml").write_text("gates:\n\tG1: {}\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "labeler.yaml").write_text("labeler: {kinds: ase}")
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), [
    (["none.pth"], "none.pth: no such file"),
    (["broken.pth"], "broken.pth: is not a file of PyTorch"),
    (["empty"], "empty: no model in this folder"),
    (["other.pt"], "is a frozen model, whose name must end in .pth"),
    (["two.pt"], "2 branches"),
    (["two.pt", "--branch", "PBEsoll"], "did you mean 'PBEsol'"),
    (["model.pth", "--branch", "PBE"], "remove the branch 'PBE'"),
    (["model.pth"], "--structure NAME: name the material"),
    (["model.pth", "--structure", "Li3BS3"], "model.pth: does not know B of Li3BS3; it knows Li P S Cl Br"),
    (["model.pth", "--structure", "LiCl", "--mobile", "Na"], "--mobile: no structure has Na (they have Cl, Li)"),
    (["model.pth", "--structure", "LiClx"], "did you mean 'LiCl'"),
    (["model.pth", "--structure", "LiCl", "--tier", "smole"], "did you mean 'smoke'"),
    (["model.pth", "--structure", "LiCl", "--gates", "own.yaml"], "own.yaml:1: gates.G99: does not exist"),
    (["model.pth", "--structure", "LiCl", "--gates", "typo.yaml"], "typo.yaml:4: gates.G1.metrics.force_mae.pas: does "
     "not exist - did you mean 'pass'?"),
    (["model.pth", "--structure", "LiCl", "--gates", "word.yaml"], "word.yaml:2: gates.G1.required: must be"),
    (["model.pth", "--structure", "LiCl", "--gates", "tab.yaml"], "tab.yaml:2: YAML syntax: a tab"),
    (["model.pth", "--structure", "LiCl", "--gates", "none.yaml"], "none.yaml: no such file"),
    (["model.pth", "--reference", "broken.pth"], "--structure NAME: name the material"),
    (["model.pth", "--reference", "chgnet"], "--structure NAME: name the material"),
    (["model.pth", "--structure", "LiCl", "--reference", "no/such"], "--reference no/such: no such model"),
    (["model.pth", "--structure", "LiCl", "--reference", "labeler.yaml"], "no section `labeler` with a `kind`"),
    (["model.pth", "--structure", "LiCl", "--reference", "chgnett"], "calculator"),
    (["model.pth", "--structure", "LiCl", "--reference", "two.pt"], "2 branches"),
    (["model.pth", "--structure", "LiCl", "--reference", "empty"], "empty"),
    (["model.pth", "--structure", "LiCl", "--reference", "two.pt"], "(--reference-branch NAME)"),
    (["model.pth", "--structure", "LiCl", "--before", "none.pth"], "--before none.pth: no such file"),
    (["model.pth", "--structure", "LiCl", "--before", "two.pt"], "(--before-branch NAME)"),
    (["model.pth", "--structure", "LiCl", "--base", "empty"], "--base DATA: needs the model before the fine-tuning"),
    (["model.pth", "--structure", "LiCl", "--from-scratch", "broken.pth"], "--from-scratch broken.pth: is not a file"),
    (["model.pth", "--structure", "LiCl", "--phase", "Li2SS"], "did you mean 'Li2S'"),
    (["model.pth", "--structure", "LiCl", "--phase", "B2S3"], "model.pth: does not know B of B2S3"),
    (["model.pth", "--structure", "LiCl", "--training", "none"], "--training none: no such data"),
])
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "validate", *arguments) == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1
    assert not (folder / "validation").exists()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a checkpoint and its frozen model, untrained and thus flat."""
    import torch
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    folder = tmp_path_factory.mktemp("models")
    network = {
        "type_map": TYPE_MAP,
        "descriptor": {
            "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [40] * 5, "neuron": [4, 8], "axis_neuron": 2,
            "seed": 1,
        },
        "fitting_net": {"type": "ener", "neuron": [8, 8], "seed": 1},
    }
    torch.manual_seed(1)
    model = get_model(json.loads(json.dumps(network)))
    torch.save({"model": ModelWrapper(model, model_params=network).state_dict()}, folder / "model.pt")
    torch.jit.save(torch.jit.script(model), str(folder / "model.pth"))
    return folder


def test_a_model_without_a_reference_has_not_passed(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.yaml").write_text(SHORT)
    assert run(monkeypatch, "validate", models, "--structure", "LiCl", "--gates", "own.yaml", "-o", "out") == 3
    text = capsys.readouterr().out
    found = json.loads((folder / "out" / "gates.json").read_text())
    assert found["verdict"] == "FAIL" and "G1 accuracy was not run: needs a reference" in text
    verdicts = {gate["key"]: gate for gate in found["gates"]}
    assert [verdicts[key]["verdict"] for key in ("G1", "G2", "G7")] == ["NOT_RUN"] * 3
    metrics = {one["name"]: one for one in verdicts["G3"]["metrics"]}
    assert metrics["frozen_force"]["value"] < 1e-9 and metrics["lammps_force"]["value"] < 1e-6
    assert metrics["ase_stress"]["value"] < 1e-9 and metrics["symmetry_force"]["value"] < 1e-9
    page = (folder / "out" / "gates.html").read_text()
    assert "deployment parity" in page
    assert not any(mark in page for mark in ('src="http', "<link", "@import", "url(http"))


def test_data_as_reference_and_json(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labelled frames are enough for G1 and G7; the material comes from them."""
    from ase import Atoms
    from ase.build import bulk
    from ase.io import write

    from dpa_sse.ops.data.convert import with_results

    rng, frames = np.random.default_rng(1), []
    crystal = bulk("LiCl", "rocksalt", a=5.2, cubic=True)
    crystal = crystal[crystal.numbers.argsort()].positions
    for _ in range(6):
        atoms = Atoms("Li4Cl4", positions=crystal + rng.normal(0, 0.1, (8, 3)), cell=np.eye(3) * 5.2, pbc=True)
        frames.append(with_results(atoms, -10.0, rng.normal(size=(8, 3)), np.zeros((3, 3))))
    write(folder / "frames.extxyz", frames)
    (folder / "own.yaml").write_text(SHORT)
    given = ["--reference", "frames.extxyz", "--gates", "own.yaml", "--json"]
    assert run(monkeypatch, "validate", models / "model.pth", *given) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["structures"][0].endswith("(Cl4Li4)")
    verdicts = {gate["key"]: gate["verdict"] for gate in found["gates"]}
    assert verdicts["G1"] == "FAIL" and verdicts["G7"] == "FAIL" and verdicts["G2"] == "NOT_RUN"


def test_gates_list_and_show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "gates", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 17 and lines[0].startswith("G3  deployment parity")
    assert run(monkeypatch, "gates", "show", "g6") == 0
    assert "hole_height: PASS from 5 eV, WARN from 2.5 eV" in capsys.readouterr().out
    assert run(monkeypatch, "gates", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["G1"]["required"] is True
    assert run(monkeypatch, "gates", "show", "G99") == 2
    assert "no such gate (known: G3, G6" in capsys.readouterr().err


def test_open_ranges_in_own_thresholds(tmp_path: Path) -> None:
    from dpa_sse.ops.validation.gates.registry import load_thresholds
    from dpa_sse.pipeline.commands.gates_file import read_thresholds

    (tmp_path / "own.yaml").write_text("gates: {G6: {metrics: {hole_height: {pass: [3, .inf], warn: [1e0, .inf]}}}}\n")
    limits = read_thresholds(tmp_path / "own.yaml").gates["G6"].metrics["hole_height"]
    assert (limits.passes, limits.warns) == ((3, float("inf")), (1, float("inf")))
    assert read_thresholds(None).sha256 == load_thresholds().sha256
    own = Path(__file__).parents[3] / "configs" / "gates" / "thresholds.yaml"
    assert read_thresholds(own).sha256 == load_thresholds().sha256  # the package's file, taken as one of a user


STANDARD = """
md: {standard: {copies: 2, ramp_ps: 0.02, hold_ps: 0.1, hot_ps: 0.02}}
gates:
  G3: {protocol: {standard: {frames: 2}}}
  G4: {protocol: {standard: {nve_ps: 0.04}}}
  G6: {protocol: {standard: {approaches: 1, step_share: 0.1, dimer_points: 11, rattled: 2, relax_steps: 5}}}
  G7: {protocol: {standard: {frames: 4, md_frames: 4, directions: 4}}}
  G10: {protocol: {standard: {width_A: 5, images: 3, steps: 20}}}
  G12: {protocol: {standard: {width_A: 5, mesh: 2}}}
  G17: {protocol: {standard: {atoms: 64, repeats: 3}}}
"""


@pytest.mark.slow
def test_the_tier_standard_compares_with_all_that_is_named(
    models: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same flat network in every part: equally fast, nothing forgotten; its MD is kept and used again."""
    from ase.build import bulk
    from ase.io import write

    from dpa_sse.ops.data.convert import with_results

    rng, frames = np.random.default_rng(1), []
    for number in range(9):
        atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
        atoms.positions += rng.normal(0, 0.05, (8, 3))
        atoms.info.update(system="LiCl", trajectory=f"t{number % 3}")
        frames.append(with_results(atoms, -30.0 + rng.normal(0, 0.1), rng.normal(0, 0.3, (8, 3)), np.zeros((3, 3))))
    write(folder / "base.extxyz", frames)
    (folder / "own.yaml").write_text(STANDARD)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    given = [
        models, "--reference", models, "--before", models, "--base", "base.extxyz", "--from-scratch", models,
        "--structure", "LiCl", "--phase", "Li2S", "--phase", "P2S5", "--phase", "Li3PS4_gamma", "--tier", "standard",
        "--gates", "own.yaml",
    ]
    for number in range(2):
        assert run(monkeypatch, "validate", *given, "-o", f"out{number}") in (0, 3)
        told = capsys.readouterr().err
        assert ("MD of the reference used again" in told) == bool(number)
    found = {gate["key"]: gate for gate in json.loads((folder / "out1" / "gates.json").read_text())["gates"]}
    assert {key for key, gate in found.items() if gate["verdict"] == "NOT_RUN"} <= {"G13", "G16", "G9"}
    assert [found[key]["verdict"] for key in ("G12", "G14")] == ["PASS", "PASS"]
    ratio = next(one for one in found["G15"]["metrics"] if one["name"] == "force_ratio")
    assert ratio["value"] == pytest.approx(1) and found["G15"]["verdict"] == "PASS"
    value = {one["name"]: one for one in found["G17"]["metrics"]}
    assert 0.2 < value["speedup"]["value"] < 5 and found["G17"]["verdict"] in ("FAIL", "INCONCLUSIVE")
    assert list((models / "reference-md").glob("*.npz"))


def test_an_interruption_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dpa_sse.pipeline import cli
    from dpa_sse.pipeline.commands import validate as command

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_load", interrupt)
    monkeypatch.setattr("sys.argv", ["dpa-sse", "validate", str(tmp_path / "model.pth")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert "interrupted" in capsys.readouterr().err
