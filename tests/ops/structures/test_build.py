"""Cells from the library and from files."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell, build_ensemble, write_cells
from dpa_sse.ops.structures.extxyz import read_frames
from dpa_sse.ops.structures.library import expand_site, load_entry
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.settings import SystemSettings


def build(structure, base_dir=Path(), seed=1, **more):
    return build_cell(SystemSettings(name="sys", structure=structure, **more), base_dir, seed)


def count(atoms):
    return {element: int((atoms.symbols == element).sum()) for element in set(atoms.symbols)}


@pytest.mark.parametrize("halide", ["Cl", "Br", "I"])
@pytest.mark.parametrize(("fraction", "exact"), [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.615, 0.5), (1.0, 1.0)])
def test_argyrodite_site_disorder(halide, fraction, exact):
    atoms = build(f"Li6PS5{halide}", site_disorder=fraction)
    edge = load_entry(f"Li6PS5{halide}_disordered").lattice[0]
    assert atoms.cell.cellpar() == pytest.approx([edge] * 3 + [90] * 3)
    assert count(atoms) == {"Li": 24, "P": 4, "S": 20, halide: 4}
    assert atoms.info["site_disorder"] == exact
    assert on_sites(atoms, halide, (0.25, 0.25, 0.25)) == 4 * exact
    assert on_sites(atoms, halide, (0, 0, 0)) == 4 - 4 * exact
    assert on_sites(atoms, "S", (0, 0, 0)) == 4 * exact


def on_sites(atoms, element, first):
    """Number of atoms of an element on the four face-centred images of a site."""
    centring = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    fractional = atoms.get_scaled_positions()[atoms.symbols == element]
    difference = fractional[:, None] - (np.array(first) + centring)[None]
    difference -= np.rint(difference)
    return int((np.abs(difference).max(axis=2) < 1e-6).any(axis=1).sum())


def test_site_disorder_is_finer_in_a_supercell():
    atoms = build("Li6PS5Cl", site_disorder=0.615, supercell=(2, 2, 1))
    assert len(atoms) == 208
    assert atoms.info["site_disorder"] == 10 / 16


def test_lithium_takes_one_site_per_doublet_with_the_fewest_close_contacts():
    atoms = build("Li6PS5Cl", site_disorder=0.5)
    lithium = atoms[atoms.symbols == "Li"]
    distance = neighbour_pairs(lithium, 2.5)[3]
    assert distance.min() > 2.2  # the two sites of a doublet are 1.87 A apart
    assert len(distance) == 8  # 24 doublets end at 16 triangles of sites: no choice has fewer than 8 such contacts


def test_disorder_depends_on_the_seed_only():
    one, same, other = (build("Li6PS5Br", site_disorder=0.5, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.positions, same.positions)
    assert not np.array_equal(one.positions, other.positions)


def test_ordered_argyrodite_is_the_conventional_cell_off_the_24g_saddle():
    atoms = build("Li6PS5Cl")
    assert count(atoms) == {"Li": 24, "P": 4, "S": 20, "Cl": 4}
    assert atoms.cell.cellpar() == pytest.approx([9.859] * 3 + [90] * 3, abs=1e-4)
    source = load_entry("Li6PS5Cl_48h_ordered").data["verification"]["min_distances"]
    i, j, _, distance = neighbour_pairs(atoms, 3.0)
    lithium = (atoms.symbols[i] == "Li") & (atoms.symbols[j] == "Li")
    assert distance[lithium].min() == pytest.approx(source["Li-Li"], abs=2e-3)
    assert distance.min() == pytest.approx(source["P-S"], abs=2e-3)


@pytest.mark.parametrize("halide", ["Cl", "Br", "I"])
def test_ordered_argyrodite_is_in_the_setting_of_the_disordered_one(halide):
    entry = load_entry(f"Li6PS5{halide}_disordered")
    atoms = build(f"Li6PS5{halide}")
    i, j, _, _ = neighbour_pairs(atoms, 2.2)  # P-S
    bonded = np.union1d(i, j)
    free = np.array([k for k in range(len(atoms)) if atoms.symbols[k] == "S" and k not in bonded])
    places = {site.wyckoff: site for site in entry.sites}
    for chosen, wyckoff, within in (
        (free, "4c", 0.2), (np.flatnonzero(atoms.symbols == halide), "4a", 0.3),
        (np.flatnonzero(atoms.symbols == "P"), "4b", 0.1), (np.flatnonzero(atoms.symbols == "Li"), "48h", 0.55),
    ):
        images = expand_site(places[wyckoff].position, entry.hall_number, atoms.cell.array)
        difference = atoms.get_scaled_positions()[chosen][:, None] - images[None]
        difference -= np.rint(difference)
        assert np.linalg.norm(difference @ atoms.cell.array, axis=-1).min(axis=1).max() < within, wyckoff


@pytest.mark.parametrize(("structure", "disorder"), [("Li6PS5Cl", 0.5), ("Li6PS5I", 0.0), ("Li6PS5Br", 1.0)])
def test_arrangements_of_lithium_are_distinct_and_as_many_as_asked_for(structure, disorder):
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    cells = build_ensemble(SystemSettings(name="a", structure=structure, site_disorder=disorder), Path(), 1, 8)
    assert len(cells) == 8
    matcher = StructureMatcher(primitive_cell=False, scale=False, ltol=0.05, stol=0.05, angle_tol=1)
    assert len(matcher.group_structures([AseAtomsAdaptor.get_structure(cell) for cell in cells])) == 8
    energies = [cell.info["ewald_eV"] for cell in cells]
    assert energies == sorted(energies)
    assert energies[0] == 0
    for cell in cells:
        assert neighbour_pairs(cell[cell.symbols == "Li"], 3.0)[3].min() > 2.2


def test_disordered_entry_alone_has_its_refined_share():
    assert build("Li6PS5Br_disordered", supercell=(2, 2, 2)).info["site_disorder"] == round(0.22 * 32) / 32


def test_library_cell_and_supercell():
    atoms = build("Li2S", supercell=(2, 1, 1))
    assert count(atoms) == {"Li": 16, "S": 8}
    assert atoms.info["system"] == "sys"
    assert atoms.info["structure"] == "Li2S"
    assert atoms.info["composition"] == "Li16S8"


@pytest.mark.parametrize("name", ["cell.cif", "POSCAR", "cell.vasp", "cell.extxyz"])
def test_user_file(tmp_path, name):
    expected = build("Li10GeP2S12")
    write(tmp_path / name, expected)
    atoms = build(name, tmp_path, supercell=(1, 1, 2))
    assert count(atoms) == {"Li": 40, "Ge": 4, "P": 8, "S": 48}
    assert atoms.get_volume() == pytest.approx(2 * expected.get_volume(), rel=1e-4)
    assert build(str(tmp_path / name)).info["structure"] == name


PARTIAL_CIF = """data_x
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
Li1 Li 0 0 0 0.6
S1 S 0.5 0.5 0.5 1.0
"""
GOOD_POSCAR = "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nLi S\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


def bad_files():
    close = Atoms("Li2S", positions=[[0, 0, 0], [0.1, 0, 0], [2.5, 2.5, 2.5]], cell=[5, 5, 5], pbc=True)
    water = molecule("H2O")
    slab = Atoms("LiS", positions=[[0, 0, 0], [2.5, 2.5, 2.5]], cell=[5, 5, 5], pbc=[True, True, False])
    near = Atoms("PS", positions=[[0, 0, 0], [0.9, 0, 0]], cell=[5, 5, 5], pbc=True)
    tiny = Atoms("LiS", positions=[[0, 0, 0], [0.25, 0.25, 0.25]], cell=[0.5, 0.5, 0.5], pbc=True)
    good = Atoms("LiS", positions=[[0, 0, 0], [2.5, 2.5, 2.5]], cell=[5, 5, 5], pbc=True)
    return [
        ("no.cif", None, "no such file"),
        ("empty.cif", "", "empty"),
        ("nonsense.cif", "hello", "not readable as cif|holds 0"),
        ("binary.cif", b"\xff\xfe\x00\x01" * 50, "not readable as cif|holds 0"),
        ("partial.cif", PARTIAL_CIF, "charge imbalance"),
        ("occupancy.cif", PARTIAL_CIF.replace("0.6", "1.2"),
         "not readable as cif with occupancies|must add up to between 0 and 1"),
        ("POSCAR", GOOD_POSCAR[:40], "not readable as vasp"),
        ("POSCAR_case", GOOD_POSCAR.replace("Li S", "LI S"), "not readable as vasp"),
        ("POSCAR_count", GOOD_POSCAR.replace("1 1", "1 2"), "not readable as vasp"),
        ("POSCAR_flat", GOOD_POSCAR.replace("0 0 5\n", "0 5 0\n", 1), "not readable|periodic|per atom"),
        ("POSCAR_nan", GOOD_POSCAR.replace("0.5 0.5 0.5", "nan 0.5 0.5"), "NaN|not readable"),
        ("close.extxyz", close, "atoms on top of each other: atoms 0 .Li. and 1 .Li. are 0.10"),
        ("water.xyz", water, "periodic"),
        ("slab.extxyz", slab, "periodic"),
        ("near.extxyz", near, "only 0.90 Angstrom"),
        ("tiny.extxyz", tiny, "per atom"),
        ("two.extxyz", [good, good], "holds 2 structures"),
        ("unknown.extxyz", '1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3\nQq 0 0 0\n', "Qq|unknown"),
        ("table.csv", "1,2", "unknown structure format"),
        ("noname", "1,2", "unknown structure format"),
    ]


@pytest.mark.parametrize(("name", "content", "message"), bad_files(), ids=[name for name, *_ in bad_files()])
def test_bad_files_are_refused_with_one_line(tmp_path, name, content, message):
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        write(tmp_path / name, content, format="extxyz")
    with pytest.raises(InputError, match=message) as caught:
        build(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("structure", "more", "message"),
    [
        ("Li10GeP2S13", {}, "did you mean 'Li10GeP2S12'"),
        ("Unobtainium", {}, "no structure 'Unobtainium'"),
        ("Li2S", {"site_disorder": 0.5}, "needs an argyrodite"),
    ],
)
def test_bad_requests(structure, more, message):
    with pytest.raises(InputError, match=message):
        build(structure, **more)


def test_site_disorder_of_a_file_is_refused(tmp_path):
    write(tmp_path / "a.cif", build("Li2S"))
    with pytest.raises(InputError, match="not a file"):
        build("a.cif", tmp_path, site_disorder=0.5)


def test_write_cells_reads_back_to_the_last_bit(tmp_path):
    systems = [
        SystemSettings(name="T", structure="Li2S"),
        SystemSettings(name="007", structure="Li6PS5I", site_disorder=0.5),
    ]
    write_cells(systems, tmp_path, 3, tmp_path / "cells.extxyz")
    frames = read_frames(tmp_path / "cells.extxyz")
    assert [frame.info["system"] for frame in frames] == ["T", "007"]
    for system, frame in zip(systems, frames, strict=True):
        assert np.array_equal(frame.positions, build_cell(system, tmp_path, 3).positions)
        assert frame.pbc.all()
