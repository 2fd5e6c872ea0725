"""Cells are written in the format that the name of the file asks for, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.read import read_structure
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.ops.structures.write import write_cells_as
from dpa_sse.pipeline.commands.structures import app


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.cif", "a.vasp", "POSCAR", "POSCAR_1"])
def test_what_is_written_reads_back(name: str, tmp_path: Path) -> None:
    cell = build_cell(SystemSettings(name="a", structure="Li3PS4_beta_b"), tmp_path, 1)
    write_cells_as(tmp_path / name, [cell])
    found = read_structure(tmp_path / name)
    assert sorted(found.get_chemical_symbols()) == sorted(cell.get_chemical_symbols())
    assert found.cell.cellpar() == pytest.approx(cell.cell.cellpar(), abs=1e-4)
    distances = [np.sort(one.get_all_distances(mic=True), axis=None) for one in (found, cell)]
    assert distances[0] == pytest.approx(distances[1], abs=1e-3)


@pytest.mark.parametrize("name", ["a.foo", "a", "a.json", "cells.txt", "a.dump"])
def test_other_names_are_refused_before_anything_is_built(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["build", "Li2S", "-o", str(tmp_path / name)])
    assert isinstance(result.exception, InputError)
    assert "cells are written as .extxyz, .cif, .vasp or POSCAR" in str(result.exception)
    assert "Li2S" not in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_several_cells(tmp_path: Path) -> None:
    cells = [build_cell(SystemSettings(name=name, structure=name), tmp_path, 1) for name in ("Li2S", "LiCl")]
    write_cells_as(tmp_path / "two.cif", cells)
    assert (tmp_path / "two.cif").read_text().count("data_") == 2
    with pytest.raises(InputError, match="a POSCAR holds one cell, but there are 2"):
        write_cells_as(tmp_path / "POSCAR", cells)
    assert not (tmp_path / "POSCAR").exists()
    (tmp_path / "folder.cif").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_cells_as(tmp_path / "folder.cif", cells)
