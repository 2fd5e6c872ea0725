"""What people get wrong, through the command line: one clear line, exit code 2, nothing written."""

import sys
from pathlib import Path

import pytest

from dpa_sse.pipeline.cli import main

CIF = """data_x
_cell_length_a 5.7
_cell_length_b 5.7
_cell_length_c 5.7
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 1.0
Li2 Li 0.5 0 0 1.0
S1 S 0.5 0.5 0.5 1.0
"""
POSCAR = "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nLi S\n2 1\nDirect\n0 0 0\n0.5 0 0\n0.5 0.5 0.5\n"
XYZ = '3\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\nLi 0 0 0\nLi 2.5 0 0\nS 2.5 2.5 2.5\n'
CP2K = "&CELL\nABC 5 5 5\n&END CELL\n&COORD\nLi 0 0 0\nLi 2.5 0 0\nS 2.5 2.5 2.5\n&END COORD\n"
LAMMPS = (
    "x\n\n3 atoms\n2 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\nMasses\n\n1 6.94\n2 32.06\n\n"
    "Atoms # atomic\n\n1 1 0 0 0\n2 1 2.5 0 0\n3 2 2.5 2.5 2.5\n"
)
GOOD = {"good.cif": CIF, "POSCAR": POSCAR, "good.extxyz": XYZ, "good.inp": CP2K, "good.data": LAMMPS}
FILES = {
    "empty.cif": ("", "empty"),
    "text.cif": ("hello\n", "text.cif"),
    "nocell.cif": (CIF.replace("_cell_length_a 5.7\n", ""), "nocell.cif"),
    "nosites.cif": (CIF[: CIF.index("loop_")], "nosites.cif"),
    "over.cif": (CIF.replace("0 0 0 1.0", "0 0 0 1.4"), "must add up to between 0 and 1, found Li 1.4"),
    "shared.cif": (CIF.replace("Li2 Li 0.5 0 0 1.0", "Na1 Na 0 0 0 0.5"), "found Li 1 + Na 0.5"),
    "twofold.cif": (CIF.replace("Li2 Li 0.5 0 0 1.0", "Li2 Li 0 0 0 0.5"), "add up to more than 1"),
    "negative.cif": (CIF.replace("0 0 0 1.0", "0 0 0 -0.4"), "must add up to between 0 and 1, found Li -0.4"),
    "charged.cif": (CIF.replace("0.5 0 0 1.0", "0.5 0 0 0.5"), "charge imbalance"),
    "twice.cif": (CIF.replace("0.5 0 0 1.0", "0.001 0 0 1.0"), "twice.cif"),
    "element.cif": (CIF.replace("S1 S", "Q1 Qq"), "element.cif"),
    "number.cif": (CIF.replace("0.5 0.5 0.5", "0.5 half 0.5"), "number.cif"),
    "small.cif": (CIF.replace("5.7", "0.57"), "small.cif"),
    "POSCAR_case": (POSCAR.replace("Li S", "LI s"), "POSCAR_case"),
    "POSCAR_count": (POSCAR.replace("2 1", "2 2"), "POSCAR_count"),
    "POSCAR_cut": (POSCAR[:30], "POSCAR_cut"),
    "POSCAR_flat": (POSCAR.replace("0 0 5", "0 5 0"), "POSCAR_flat"),
    "POSCAR_nan": (POSCAR.replace("0.5 0 0", "nan 0 0"), "POSCAR_nan"),
    "molecule.xyz": ("3\n\nO 0 0 0\nH 0.8 0.6 0\nH -0.8 0.6 0\n", "not a periodic cell"),
    "slab.extxyz": (XYZ.replace("T T T", "T T F"), "not a periodic cell"),
    "many.extxyz": (XYZ * 2, "holds 2 structures"),
    "near.extxyz": (XYZ.replace("Li 2.5 0 0", "Li 0.3 0 0"), "on top of each other"),
    "element.extxyz": (XYZ.replace("S 2.5", "Qq 2.5"), "element.extxyz"),
    "noabc.inp": (CP2K.replace("ABC 5 5 5", ""), "no CELL section"),
    "unit.inp": (CP2K.replace("ABC 5 5 5", "ABC [furlong] 5 5 5"), "unit.inp"),
    "mass.data": (LAMMPS.replace("32.06", "500"), "no element has the mass 500"),
    "nomass.data": (LAMMPS.replace("Masses\n\n1 6.94\n2 32.06\n\n", ""), "no Masses section"),
    "short.data": (LAMMPS.replace("3 2 2.5 2.5 2.5\n", ""), "short.data"),
    "style.data": (LAMMPS.replace(" # atomic", "").replace(" 0 0 0", " 0.5 0 0 0"), "add it after `Atoms`"),
    "table.csv": ("a,b\n1,2\n", "unknown structure format"),
}
COMMANDS = [
    (["build", "Li10GeP2S13"], "did you mean 'Li10GeP2S12'"),
    (["build", "li6ps5cl"], "did you mean 'Li6PS5Cl'"),
    (["build", "Unobtainium"], "no structure 'Unobtainium'"),
    (["build", "Li6PS5"], "charge imbalance"),
    (["build", "missing.cif"], "no such file"),
    (["build", "Li6PS5Cl", "--site-disorder", "1.5"], "site_disorder"),
    (["build", "Li5.5PS4.5Cl1.5", "--site-disorder", "0.1"], "is not compatible with"),
    (["build", "Li2S", "--site-disorder", "0.5"], "needs an argyrodite"),
    (["build", "LiCl0.99Br0.01"], "use a larger supercell"),
    (["build", "Li2S", "--atoms", "13..14"], "widen the range"),
    (["build", "Li7P3S11", "--atoms", "80..90", "--orthogonal"], "right angles"),
    (["build", "Li2S", "--supercell", "0,1,1"], "three positive integers"),
    (["build", "LiCl{1-x}Br{x}", "--series", "x=0,2"], "the amount {1-x} is -1"),
    (["build", "Li2S", "--mixing", "alloy"], "mixing"),
    (["show", "Li2s"], "did you mean 'Li2S'"),
    (["references", "Li6PS5Xx"], "is not an element"),
    (["slab", "Li2S", "--miller", "0,0,0"], "do not define a plane"),
    (["interface", "LiCl", "Li2S", "--max-strain", "0.001", "--max-area-A2", "40"], "no common lattice"),
    (["perturb", "missing.extxyz"], "no such file"),
    (["build", "Li2S", "--supercell", "100,100,100"], "more than 100000"),
    (["build", "Li6PS5Cl", "--supercell", "100,100,100"], "more than 100000"),
    (["build", "LiCl0.5Br0.5", "--supercell", "20,20,20"], "too many to order"),
    (["build", "LiCl{1-x}Br{x}"], "give their values with `series`"),
    (["build", ""], "no structure ''"),
    (["build", "Li2S", "-o", "."], "is a folder"),
    (["slab", "Li2S", "--miller", "9,7,5"], "too large: use at most 4"),
    (["slab", "Li2S", "--thickness-A", "5000"], "use thinner slabs"),
    (["slab", "Li2S", "--vacuum-A", "0"], "vacuum of at least 3"),
    (["interface", "LiCl", "Li2S", "--max-strain", "0.2", "--film-thickness-A", "1e9"], "use thinner slabs"),
]


def call(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dpa-sse", "structures", *arguments])
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", GOOD)
def test_the_unspoilt_files_are_accepted(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(GOOD[name])
    assert call(["build", name], monkeypatch, capsys) == (0, "")
    assert Path("cells.extxyz").read_text().startswith("3\n")


@pytest.mark.parametrize("name", FILES)
def test_bad_file(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content, message = FILES[name]
    Path(name).write_text(content)
    code, error = call(["build", name], monkeypatch, capsys)
    assert (code, error.count("\n"), "Traceback" in error) == (2, 1, False), error
    assert message in error
    assert name in error
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("arguments", "message"), COMMANDS, ids=[" ".join(arguments) for arguments, _ in COMMANDS])
def test_bad_command(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, error = call(arguments, monkeypatch, capsys)
    assert (code, error.count("\n"), "Traceback" in error) == (2, 1, False), error
    assert message in error
    assert list(tmp_path.iterdir()) == []
