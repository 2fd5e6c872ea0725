"""Files of other programs: read right, or refused with one line; the same for every reader."""

import random

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.elements import element_of_label, element_of_type, labels_with_elements
from dpa_sse.ops.structures.read import PartialOccupancyError, cif_cell, read_structure
from dpa_sse.ops.structures.settings import SystemSettings

OPERATIONS = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x+1/2,y+1/2,-z+1/2\n-x,-y,-z\nx+1/2,-y+1/2,z+1/2\n"
ARSENIC = ("As1 As .262 .192 .258\nAs2 As .484 .323 .765\nS1 S .4 .121 .509\nS2 S .347 .397 .014\n"
           "S3 S .121 .293 .41\n")
HALITE = "Li1 Li 0.25 0.25 0.25{0}\nLi2 Li 0.75 0.25 0.25{0}\nS1 S 0 0 0{0}\n"


def cif(sites, lengths="5 5 5", angles="90 90 90", symmetry="_symmetry_space_group_name_H-M 'P 1'\n", columns=(),
        without=()):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "".join(f"_cell_{n} {v}\n" for n, v in zip(names, (*lengths.split(), *angles.split()), strict=True))
    sites_of = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
    tags = [f"_atom_site_{one}" for one in sites_of if one not in without]
    return f"data_x\n{cell}{symmetry}loop_\n" + "\n".join([*tags, *columns]) + "\n" + sites


def amounts(path):
    found = cif_cell(path)
    result = {}
    for k, shares in enumerate(found.shares):
        for element, share in shares.items():
            result[element] = round(result.get(element, 0.0) + share * int((found.orbit == k).sum()), 3)
    return result


@pytest.mark.parametrize("name", [
    "_symmetry_space_group_name_H-M 'P2(1)/n'\n", "_symmetry_space_group_name_H-M ?\n", "",
    "_symmetry_Int_Tables_number ?\n", "_symmetry_space_group_name_H-M 'P 1 21/n 1'\n_symmetry_Int_Tables_number 14\n",
    "_symmetry_space_group_name_H-M 'no such group'\n",
])
def test_listed_operations_are_all_that_is_needed(tmp_path, name):
    (tmp_path / "a.cif").write_text(cif(ARSENIC, "11.475 9.577 4.256", "90 90.68 90", name + OPERATIONS))
    assert read_structure(tmp_path / "a.cif").get_chemical_formula("hill") == "As8S12"


@pytest.mark.parametrize(("symmetry", "site", "edges", "formula"), [
    ("_symmetry_space_group_name_H-M 'F d -3 m :2'\n", "Si1 Si 0.125 0.125 0.125\n", "5.43 5.43 5.43", "Si8"),
    ("_symmetry_space_group_name_H-M 'F d -3 m Z'\n", "Si1 Si 0.125 0.125 0.125\n", "5.43 5.43 5.43", "Si8"),
    ("_symmetry_space_group_name_H-M 'F d -3 m S'\n", "Si1 Si 0 0 0\n", "5.43 5.43 5.43", "Si8"),
    ("_symmetry_space_group_name_H-M 'I 41/a m d :2'\n", "Ti1 Ti 0 0.75 0.125\nO1 O 0 0.75 0.3331\n",
     "3.7845 3.7845 9.5143", "O8Ti4"),
    ("_symmetry_space_group_name_Hall '-F 4 2 3'\n", "Li1 Li 0.25 0.25 0.25\nS1 S 0 0 0\n", "5.7 5.7 5.7", "Li8S4"),
    ("_symmetry_space_group_name_H-M 'F m 3 m'\n", "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n", "5.64 5.64 5.64", "Cl4Na4"),
    ("_symmetry_Int_Tables_number 225\n", "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n", "5.64 5.64 5.64", "Cl4Na4"),
])
def test_settings(tmp_path, symmetry, site, edges, formula):
    (tmp_path / "a.cif").write_text(cif(site, edges, symmetry=symmetry))
    assert read_structure(tmp_path / "a.cif").get_chemical_formula("hill") == formula


@pytest.mark.parametrize(("symmetry", "message"), [
    ("_symmetry_space_group_name_H-M 'F d -3 m'\n", "has several settings"),
    ("_symmetry_Int_Tables_number 227\n", "has several settings"),
    ("_symmetry_space_group_name_H-M 'P n m a'\n_symmetry_Int_Tables_number 14\n", "stated number is 14"),
    ("_symmetry_space_group_name_Hall 'P 2 2 2 2 x'\n", "not a Hall symbol"),
    ("_symmetry_space_group_name_Hall '-P 2ac 2n'\n_symmetry_Int_Tables_number 61\n", "stated number is 61"),
    ("_symmetry_space_group_name_H-M 'P x y z'\n", "unknown space group"),
    ("_symmetry_Int_Tables_number 231\n", "between 1 and 230"),
    ("_symmetry_space_group_name_H-M 'P 63 m c'\n", "lattice does not fit"),
    ("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-y,x,z\n", "do not form a group"),
    ("loop_\n_symmetry_equiv_pos_as_xyz\nx,y\n", "not a symmetry operation"),
    ("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-y,x-y,z\n-x+y,-x,z\n", "lattice does not have the symmetry"),
])
def test_ambiguous_or_contradictory_symmetry_is_refused(tmp_path, symmetry, message):
    (tmp_path / "a.cif").write_text(cif("Li1 Li 0.1 0.2 0.3\n", symmetry=symmetry))
    with pytest.raises(InputError, match=message):
        read_structure(tmp_path / "a.cif")


@pytest.mark.parametrize(("text", "element"), [
    ("Li", "Li"), ("SN", "Sn"), ("li", "Li"), ("S2-", "S"), ("Ti3+", "Ti"), ("Li+1", "Li"), ("D", "H"), ("S", "S"),
    ("Type_0", None), ("Li1", None), ("Qq", None), ("s", None), ("1", None), ("", None), ("Wat", None),
])
def test_type_symbols(text, element):
    assert element_of_type(text) == element


@pytest.mark.parametrize(("text", "element"), [
    ("Li1", "Li"), ("S2A", "S"), ("SI1", "Si"), ("SN1", "Sn"), ("CL1", "Cl"), ("NA1", "Na"), ("LI", "Li"), ("OA1", "O"),
    ("Type_0", None), ("OH1", None), ("SI", None), ("Wat", None), ("M1", None), ("1", None),
])
def test_labels(text, element):
    assert element_of_label(text) == element


def test_a_label_is_refused_if_other_sites_make_it_ambiguous():
    assert labels_with_elements(["HO1", "H1", "O1"]) == [None, "H", "O"]
    assert labels_with_elements(["HO1", "O1"]) == [None, "O"]  # a hydroxide, or an oxide of holmium
    assert labels_with_elements(["HO1", "S1"]) == ["Ho", "S"]


def test_elements_of_a_cif(tmp_path):
    path = tmp_path / "a.cif"
    path.write_text(cif("SI1 .1 .1 .1\nS1 .6 .6 .6\n", without=("type_symbol",)))
    assert amounts(path) == {"Si": 1, "S": 1}
    path.write_text(cif("SN1 SN .1 .1 .1\nS1 S .6 .6 .6\n"))
    assert amounts(path) == {"Sn": 1, "S": 1}
    path.write_text(cif("Sn Sn1 .1 .1 .1\nS S1 .6 .6 .6\n"))  # columns exchanged
    assert amounts(path) == {"Sn": 1, "S": 1}
    assert "read as labels" in " ".join(cif_cell(path).notes)
    path.write_text(cif("Wat1 ? .1 .1 .1\nM2 M .6 .6 .6\n"))
    with pytest.raises(InputError, match=r"element of Wat1, M2 \(M\) is not certain"):
        read_structure(path)


def test_two_elements_on_one_site(tmp_path):
    path = tmp_path / "a.cif"
    path.write_text(cif("Li1 Li .5 .5 .5\nCl1 Cl 0 0 0\nBr1 Br 0 0 0\n"))
    with pytest.raises(InputError, match=r"site Cl1, Br1: .* found Cl 1 \+ Br 1"):
        read_structure(path)
    mixed = {"Li": 1, "Cl": 0.6, "Br": 0.4}
    path.write_text(cif("Li1 Li .5 .5 .5 1\nCl1 Cl 0 0 0 .6\nBr1 Br 0 0 0 .4\n", columns=["_atom_site_occupation"]))
    assert amounts(path) == mixed
    path.write_text(cif("Li1 Li .5 .5 .5\nM1 '0.60Cl + 0.40Br' 0 0 0\n"))
    assert amounts(path) == mixed
    with pytest.raises(PartialOccupancyError):
        read_structure(path)


@pytest.mark.parametrize("absent", [" ?", " .", " 1.0", " 1", " 1.00(2)"])
def test_an_occupancy_that_is_not_stated_is_1(tmp_path, absent):
    (tmp_path / "a.cif").write_text(cif(HALITE.format(absent), columns=["_atom_site_occupancy"]))
    assert read_structure(tmp_path / "a.cif").get_chemical_formula("hill") == "Li2S"


def test_rounded_numbers(tmp_path):
    path = tmp_path / "a.cif"
    tin = "Sn1 Sn 0 0 0\nS1 S {} {} 0.2488\n"
    for x, y in (("0.33", "0.67"), ("0.333", "0.667"), ("0.3333", "0.6667"), ("0.33333", "0.66667")):
        path.write_text(cif(tin.format(x, y), "3.6456 3.6456 5.8934", "90 90 120",
                            "_symmetry_space_group_name_H-M 'P -3 m 1'\n"))
        atoms = read_structure(path)
        assert atoms.get_chemical_formula("hill") == "S2Sn"
        assert np.allclose(sorted(atoms.get_scaled_positions()[1:, 0]), [1 / 3, 2 / 3])
    shares = "Li1 Li .5 .5 .5 1\nCl1 Cl 0 0 0 0.33\nBr1 Br 0 0 0 0.33\nI1 I 0 0 0 0.33\n"
    path.write_text(cif(shares, columns=["_atom_site_occupancy"]))
    assert amounts(path) == {"Li": 1, "Cl": 0.333, "Br": 0.333, "I": 0.333}
    path.write_text(cif(shares.replace("0.33\n", "0.330\n"), columns=["_atom_site_occupancy"]))
    assert sum(amounts(path).values()) == pytest.approx(1.99, abs=0.002)  # 0.330 is not a third


@pytest.mark.parametrize("change", [
    lambda text: b"\xef\xbb\xbf" + text.encode(), lambda text: text.replace("\n", "\r").encode(),
    lambda text: text.replace("\n", "\r\n").encode(), lambda text: text.encode("utf-16"),
])
def test_marks_and_line_ends(tmp_path, change):
    poscar = "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nLi S\n2 1\nDirect\n.25 .25 .25\n.75 .25 .25\n0 0 0\n"
    for name, text in (("a.cif", cif(HALITE.format(""))), ("POSCAR", poscar)):
        (tmp_path / name).write_bytes(change(text))
        assert read_structure(tmp_path / name).get_chemical_formula("hill") == "Li2S"


def test_magnetic_cif(tmp_path):
    symmetry = ("loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,-1\n"
                "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx+1/2,y+1/2,z+1/2,-1\n")
    (tmp_path / "a.mcif").write_text(cif("Fe1 Fe 0 0 0\nS1 S .3 .1 .2\n", symmetry=symmetry))
    assert read_structure(tmp_path / "a.mcif").get_chemical_formula("hill") == "Fe2S4"


def test_mixed_valence_is_one_element(tmp_path):
    path = tmp_path / "a.cif"
    path.write_text(cif("Ti1 Ti3+ 0 0 0 .5\nTi2 Ti4+ 0 0 0 .5\nS1 S2- .5 .5 .5 1\n", columns=["_atom_site_occupancy"]))
    assert read_structure(path).get_chemical_formula("hill") == "STi"
    sites = "Ge1 Ge4+ 0 0 0 .465\nGe2 Ge2+ 0 0 0 .05\nP1 P5+ 0 0 0 .485\n"
    path.write_text(cif(sites, columns=["_atom_site_occupancy"]))
    assert amounts(path) == {"Ge": 0.515, "P": 0.485}


def test_equal_occupancies_of_two_sites_are_two_orbits(tmp_path):
    sites = "".join(f"{e}{k} {e} {p} .5\n" for k, p in enumerate(("0 0 0", ".5 .5 .5")) for e in ("S", "Cl"))
    sites += "".join(f"Li{k} Li {p} .75\n" for k, p in enumerate((".5 0 0", "0 .5 0", "0 0 .5", ".5 .5 0")))
    (tmp_path / "a.cif").write_text(cif(sites, columns=["_atom_site_occupancy"]))
    cell = build_cell(SystemSettings(name="a", structure="a.cif", supercell=(4, 4, 1)), tmp_path, 1)
    chlorine = cell[cell.symbols == "Cl"]
    corner = np.abs(chlorine.positions[:, 2] / 5 % 1) < 0.1
    assert (len(chlorine), int(corner.sum())) == (16, 8)


def test_a_formula_that_does_not_fit_is_said(tmp_path):
    (tmp_path / "a.cif").write_text(cif(HALITE.format(""), symmetry="_chemical_formula_sum 'Li6 P S5'\n"))
    atoms = read_structure(tmp_path / "a.cif")
    assert "formula of the file is 'Li6 P S5'" in atoms.info["notes"]
    assert "no symmetry is stated" in atoms.info["notes"]


LABELLED = ("x\n\n3 atoms\n2 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n\nAtom Type Labels\n\n1 {0}\n2 {1}\n\n"
            "{2}Atoms # atomic\n\n1 1 1 1 1\n2 1 3.5 1 1\n3 2 0 0 4\n")


@pytest.mark.parametrize(("labels", "masses", "result"), [
    (("Li", "S"), "", "Li2S"), (("Li+", "S2-"), "", "Li2S"), (("Li1", "S1"), "", "not element symbols"),
    (("Li1", "S1"), "Masses\n\n1 6.94\n2 32.06\n\n", "Li2S"), (("Li", "S"), "Masses\n\nLi 6.94\nS 32.06\n\n", "Li2S"),
    (("Li", "S"), "Masses\n\n1 32.06\n2 6.94\n\n", "named Li, but has the mass"),
    (("A", "Q"), "Masses\n\n1 58.8\n2 32.06\n\n", "is that of several elements"),
    (("A", "Q"), "Masses\n\n1 58.71\n2 32.06\n\n", "Ni2S"), (("A", "Co"), "Masses\n\n1 6.9\n2 58.8\n\n", "CoLi2"),
    (("Li1", "S1"), "Masses\n\n1 1.008 # Li\n2 32.06\n\n", "named Li, but has the mass"),
])
def test_elements_of_lammps_data(tmp_path, labels, masses, result):
    (tmp_path / "a.data").write_text(LABELLED.format(*labels, masses))
    if " " not in result:
        assert read_structure(tmp_path / "a.data").get_chemical_formula("hill") == result
        return
    with pytest.raises(InputError, match=result):
        read_structure(tmp_path / "a.data")


VASP = "{0}\n1.0\n5 0 0\n0 5 0\n0 0 5\n{1}2 1\nDirect\n.25 .25 .25\n.75 .25 .25\n0 0 0\n"


@pytest.mark.parametrize(("comment", "names", "result"), [
    ("PBE In vacuum", "Li S\n", "Li2S"), ("x", "Li_sv S/6a2f54\n", "Li2S"), ("Li S", "", "Li2S"),
    ("PBE In vacuum", "", "no line with element names"), ("P B", "", "BP2"), ("x", "Li S P\n", "3 element names for 2"),
    ("x", "LI S\n", "LI in line 6 is not an element symbol .write Li"),
])
def test_elements_of_a_poscar(tmp_path, comment, names, result):
    (tmp_path / "POSCAR").write_text(VASP.format(comment, names))
    if " " not in result:
        atoms = read_structure(tmp_path / "POSCAR")
        assert atoms.get_chemical_formula("hill") == result
        assert names or "elements from the first line" in atoms.info["notes"]
        return
    with pytest.raises(InputError, match=result):
        read_structure(tmp_path / "POSCAR")


def test_cp2k_variables_and_kinds(tmp_path):
    (tmp_path / "sites.inc").write_text("LI 1 1 1\nLI_a 3.5 1 1\nS 0 0 4\n")
    (tmp_path / "a.inp").write_text(
        "@SET EDGE 5.0\n&SUBSYS\n&CELL\nABC ${EDGE} $EDGE 5\n&END\n&COORD\n@INCLUDE sites.inc\n&END\n&KIND LI_a\n"
        "ELEMENT Li\n&END\n&END\n"
    )
    assert read_structure(tmp_path / "a.inp").get_chemical_formula("hill") == "Li2S"
    (tmp_path / "a.inp").write_text("&CELL\nABC ${EDGE} 5 5\n&END\n&COORD\nLi 0 0 0\n&END\n")
    with pytest.raises(InputError, match="the variable EDGE is not set"):
        read_structure(tmp_path / "a.inp")
    (tmp_path / "a.inp").write_text("&CELL\nABC 9 9 9\n&END\n&COORD\nunit bohr\nLi 0 0 0\nCl 4 0 0\n&END\n")
    assert read_structure(tmp_path / "a.inp").get_distance(0, 1) == pytest.approx(4 * 0.529177, abs=1e-5)


WORDS = ("-1", "nan", "1e9", "****", "0", "", "1e400", "?", "7", "x", "\x00", "-0.5")


def spoilt(text, rng):
    """One way in which files are damaged: cut at a byte, lines exchanged, numbers replaced."""
    kind = rng.randrange(3)
    if kind == 0:
        return text[: rng.randrange(len(text))]
    lines = text.split("\n")
    if kind == 1:
        for _ in range(rng.randrange(1, 4)):
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
        return "\n".join(lines)
    i = rng.randrange(len(lines))
    words = lines[i].split(" ")
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    return "\n".join([*lines[:i], " ".join(words), *lines[i + 1 :]])


FILES = {
    "a.cif": cif(ARSENIC, "11.475 9.577 4.256", "90 90.68 90", OPERATIONS),
    "b.cif": cif("Li1 Li .5 .5 .5 1\nCl1 Cl 0 0 0 .6\nBr1 Br 0 0 0 .4\n", columns=["_atom_site_occupancy"],
                 symmetry="_space_group_name_H-M_alt 'F m -3 m'\n_space_group_IT_number 225\n"),
    "c.cif": cif("Si1 Si 0.125 0.125 0.125\n", symmetry="_symmetry_space_group_name_Hall '-F 4vw 2vw 3'\n"),
    "POSCAR": VASP.format("x", "Li S\n"), "a.data": LABELLED.format("Li", "S", "Masses\n\n1 6.94\n2 32.06\n\n"),
    "a.inp": "@SET E 5\n&SUBSYS\n&CELL\nA $E 0 0\nB 0 5 0\nC 0 0 5\n&END\n&COORD\nLi 1 1 1\nLi 3.5 1 1\nS 0 0 4\n"
             "&END\n&END\n",
    "a.extxyz": '3\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
                "Li 1 1 1\nLi 3.5 1 1\nS 0 0 4\n",
}


def fuzz(folder, number):
    """Read damaged files; anything but a cell or one line is a failure of the test."""
    rng = random.Random(number)
    outcomes = {"read": 0, "refused": 0}
    for k in range(number):
        name, text = list(FILES.items())[k % len(FILES)]
        (folder / name).write_text(spoilt(text, rng))
        try:
            read_structure(folder / name)
            outcomes["read"] += 1
        except InputError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    return outcomes


def test_damaged_files(tmp_path):
    outcomes = fuzz(tmp_path, 210)
    assert sum(outcomes.values()) == 210
    assert min(outcomes.values()) > 20


@pytest.mark.slow
def test_many_damaged_files(tmp_path):
    assert sum(fuzz(tmp_path, 2100).values()) == 2100
