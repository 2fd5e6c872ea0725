"""``dpa-sse structures``."""

import json

import pytest
from typer.testing import CliRunner

from ops.errors import InputError
from ops.structures.extxyz import read_frames
from pipeline.commands.structures import app


def call(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_list():
    assert "Li10GeP2S12*" in call("list")
    entries = json.loads(call("list", "--tier", "electrolyte", "--json"))
    assert len(entries) == 13
    assert {entry["tier"] for entry in entries} == {"electrolyte"}


def test_show():
    shown = call("show", "Li6PS5Cl_disordered")
    assert "48h" in shown
    assert "Kraft" in shown
    assert json.loads(call("show", "Li2S", "--json"))["formula"] == "Li2S"


def test_build_and_perturb(tmp_path):
    out = tmp_path / "cells.extxyz"
    shown = call("build", "Li6PS5Cl", "--site-disorder", 0.5, "--count", 2, "--seed", 3, "-o", out)
    assert "site disorder 0.500" in shown
    cells = read_frames(out)
    assert [cell.info["system"] for cell in cells] == ["Li6PS5Cl.c000", "Li6PS5Cl.c001"]
    assert "4 perturbed cells" in call("perturb", out, "--count", 2, "-o", tmp_path / "tasks")
    assert (tmp_path / "tasks/task.003/cell.extxyz").is_file()


def test_build_to_a_size(tmp_path):
    call("build", "Li10Ge0.5Sn0.5P2S12", "--atoms", "90..110", "-o", tmp_path / "a.extxyz")
    (cell,) = read_frames(tmp_path / "a.extxyz")
    assert cell.get_chemical_formula("hill") == "Ge2Li40P8S48Sn2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "Li2s"), "did you mean Li2S"),
        (("list", "--tier", "plastic"), "no tier"),
        (("build", "Li2S", "--supercell", "2,2"), "three positive integers"),
        (("build", "Li2S", "--atoms", "400..200"), "the range is empty"),
        (("build", "Li2S", "--atoms", "many"), "write a range"),
        (("build", "Li2S", "--site-disorder", "1.5"), "site_disorder"),
        (("build", "none.cif"), "no such file"),
        (("perturb", "none.extxyz"), "no such file"),
    ],
)
def test_bad_input(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        call(*arguments)
    assert list(tmp_path.iterdir()) == []
