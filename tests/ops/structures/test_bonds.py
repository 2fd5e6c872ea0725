"""Covalent units keep their shape in the measured lattice."""

import numpy as np
import pytest

from dpa_sse.ops.structures.bonds import covalent_pairs, keep_bonds
from dpa_sse.ops.structures.library import cell_from_entry, load_entry, names
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

MEASURED = [
    name for name in names() if (entry := load_entry(name)).ordered and entry.experimental_lattice_used
    and entry.experimental_lattice != entry.lattice
]


@pytest.mark.parametrize("name", MEASURED)
def test_bonds_are_those_of_the_calculated_cell(name):
    entry = load_entry(name)
    *_, before = covalent_pairs(cell_from_entry(entry, use_experimental_lattice=False))
    made = cell_from_entry(entry)
    assert made.cell.cellpar() == pytest.approx(entry.experimental_lattice)
    *_, after = covalent_pairs(made)
    assert np.sort(after) == pytest.approx(np.sort(before), abs=0.01)


@pytest.mark.parametrize(
    ("name", "bond", "measured", "density"),
    [
        ("SnS2", ("Sn", "S"), 2.564, 4.46), ("As2S3", ("As", "S"), 2.27, 3.49), ("P2S5", ("P", "S"), 2.05, 2.09),
        ("SiS2", ("Si", "S"), 2.133, 2.05), ("Sb2S3", ("Sb", "S"), 2.64, 4.63), ("B2S3", ("B", "S"), 1.81, 1.95),
    ],
)
def test_bonds_and_densities_of_layers_and_molecules(name, bond, measured, density):
    made = cell_from_entry(load_entry(name))
    centre, _, _, length = covalent_pairs(made)
    assert set(made.symbols[centre]) == {bond[0]}
    assert length.mean() == pytest.approx(measured, abs=0.02)
    assert made.get_masses().sum() / made.get_volume() * 1.66053907 == pytest.approx(density, abs=0.03)


def test_molecules_do_not_touch():
    made = cell_from_entry(load_entry("P2S5"))
    i, j, _, distance = neighbour_pairs(made, 3.6)
    sulfur = (made.symbols[i] == "S") & (made.symbols[j] == "S")
    assert distance[sulfur].min() > 3.2


def test_nothing_to_keep():
    salt = cell_from_entry(load_entry("LiCl"))
    assert np.array_equal(keep_bonds(salt, salt).positions, salt.positions)
    same = cell_from_entry(load_entry("Li7P3S11"), use_experimental_lattice=False)
    assert np.allclose(keep_bonds(same, same).positions, same.positions, atol=1e-12)
