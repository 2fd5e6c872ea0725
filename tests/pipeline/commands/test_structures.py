"""``dpa-sse structures``."""

import json

import numpy as np
import pytest
from ase.io import write
from typer.testing import CliRunner

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.extxyz import read_frames
from dpa_sse.ops.structures.library import cell_from_entry, load_entry
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.pipeline.commands.structures import app


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


def test_show_has_one_lattice():
    """Density and distances are those of the cells that are built, not of the other lattice."""
    shown = call("show", "Li6PS5Cl")
    cell = cell_from_entry(load_entry("Li6PS5Cl"))
    density = cell.get_masses().sum() / cell.get_volume() * 1.66053907
    assert f"density      {density:.3f} g/cm3" in shown
    distances = cell.get_all_distances(mic=True)
    nearest = distances[cell.symbols == "Li"][:, cell.symbols == "S"].min()
    assert f"Li-S {nearest:.2f} A" in shown
    assert "lattice      9.8590 9.8590 9.8590 A, 90.00 90.00 90.00 degrees  (experiment; all below" in shown
    assert "calculated   10.2795" in shown


def test_build_and_perturb(tmp_path):
    out = tmp_path / "cells.extxyz"
    shown = call("build", "Li6PS5Cl", "--site-disorder", 0.5, "--count", 2, "--seed", 3, "-o", out)
    assert "site disorder 0.500" in shown
    cells = read_frames(out)
    assert [cell.info["system"] for cell in cells] == ["Li6PS5Cl.c000", "Li6PS5Cl.c001"]
    assert "4 perturbed cells" in call("perturb", out, "--count", 2, "-o", tmp_path / "tasks")
    assert (tmp_path / "tasks/task.003/cell.extxyz").is_file()


def test_fewer_copies_do_not_mix_with_older_ones(tmp_path):
    call("build", "Li2S", "-o", tmp_path / "a.extxyz")
    call("perturb", tmp_path / "a.extxyz", "--count", 3, "--min-distance-A", 2.2, "-o", tmp_path / "tasks")
    for k in range(3):
        (cell,) = read_frames(tmp_path / f"tasks/task.{k:03d}/cell.extxyz")
        assert neighbour_pairs(cell, 2.2)[3].size == 0
    with pytest.raises(InputError, match="already contains perturbed cells"):
        call("perturb", tmp_path / "a.extxyz", "--count", 1, "-o", tmp_path / "tasks")


def test_nearest_site_disorder_is_said(tmp_path):
    shown = call("build", "Li6PS5Cl", "--site-disorder", 0.615, "-o", tmp_path / "a.extxyz")
    assert "site disorder 0.500 (requested 0.615)" in shown


@pytest.mark.parametrize("name", ["(1) Li2S.cif", ".Li2S.cif"])
def test_a_file_of_any_name(name, tmp_path):
    write(tmp_path / name, cell_from_entry(load_entry("Li2S")))
    assert "12 atoms" in call("build", tmp_path / name, "-o", tmp_path / "a.extxyz")


def test_build_to_a_size(tmp_path):
    call("build", "Li10Ge0.5Sn0.5P2S12", "--atoms", "90..110", "-o", tmp_path / "a.extxyz")
    (cell,) = read_frames(tmp_path / "a.extxyz")
    assert cell.get_chemical_formula("hill") == "Ge2Li40P8S48Sn2"


def test_arrangements_ranked_by_a_calculator(tmp_path):
    out = tmp_path / "cells.extxyz"
    shown = call("build", "LiCl0.5Br0.5", "--count", 3, "--supercell", "2,1,1", "--rank",
                 "ase.calculators.morse:MorsePotential", "-o", out)
    assert "energy +0.000 eV" in shown
    energies = [cell.info["labeler_eV"] for cell in read_frames(out)]
    assert len(energies) == 3
    assert energies == sorted(energies)


def test_names_of_a_series(tmp_path):
    shown = call("build", "LiCl{1-x}Br{x}", "--series", "x=0.25,0.5", "-o", tmp_path / "cells.extxyz")
    assert [line.split(":")[0] for line in shown.splitlines()[:2]] == ["LiClBr-x0.25", "LiClBr-x0.5"]


def test_slab_and_references(tmp_path):
    shown = call("slab", "Li2S", "--miller", "1,1,1", "--vacuum-A", 12, "-o", tmp_path / "slab.extxyz")
    assert "slab (1 1 1)" in shown
    (slab,) = read_frames(tmp_path / "slab.extxyz")
    assert slab.info["parent"] == "Li2S"
    shown = call("references", "Li6PS5Cl", "-o", tmp_path / "references.extxyz", "--min-edge-A", 9)
    assert "2.5 Li2S" in shown
    cells = {cell.info["system"]: cell for cell in read_frames(tmp_path / "references.extxyz")}
    assert set(cells) == {"Li2S", "P2S5", "LiCl"}
    for cell in cells.values():
        assert (1 / np.linalg.norm(np.linalg.inv(cell.cell.array), axis=0)).min() >= 9


def test_picture_and_neighbours(tmp_path):
    shown = call("show", "Li6PS5Cl", "--png", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "P 4b     4 S at 2.06 A" in shown
    picture = shown[shown.index("seen along") :]
    assert "Pl" not in picture
    assert "1.860 g/cm3" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "Li2s"), "did you mean 'Li2S'"),
        (("list", "--tier", "plastic"), "no tier"),
        (("build", "Li2S", "--supercell", "2,2"), "three positive integers"),
        (("build", "Li2S", "--atoms", "400..200"), "the range is empty"),
        (("build", "Li2S", "--atoms", "many"), "write a range"),
        (("build", "Li2S", "--site-disorder", "1.5"), "site_disorder"),
        (("build", "none.cif"), "no such file"),
        (("perturb", "none.extxyz"), "no such file"),
        (("slab", "Li2S", "--miller", "1,1"), "Miller indices"),
        (("slab", "Li2S", "--miller", "0,0,0"), "do not define a plane"),
        (("build", "LiCl", "--rank", "nonsense"), "nonsense"),
        (("references", "Li2Se"), "do not add up"),
    ],
)
def test_bad_input(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        call(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_a_reader_noticed_is_printed_and_kept(tmp_path, monkeypatch, capsys):
    import sys

    from dpa_sse.ops.structures.extxyz import read_frames
    from dpa_sse.pipeline.cli import main

    tags = "".join(f"_cell_length_{one} 5.7\n" for one in "abc")
    tags += "".join(f"_cell_angle_{one} 90\n" for one in ("alpha", "beta", "gamma"))
    columns = "".join(f"_atom_site_{one}\n" for one in ("label", "fract_x", "fract_y", "fract_z"))
    sites = "Li1 .25 .25 .25\nLi2 .75 .25 .25\nS1 0 0 0\n"
    (tmp_path / "a.cif").write_text(f"data_x\n_chemical_formula_sum 'Li6 P \"S5\"'\n{tags}loop_\n{columns}{sites}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dpa-sse", "structures", "build", "a.cif"])
    with pytest.raises(SystemExit, match="0"):
        main()
    out = capsys.readouterr().out
    (frame,) = read_frames(tmp_path / "cells.extxyz")
    assert "note: no symmetry is stated" in out
    assert f"note: {frame.info['notes']}\n" in out
