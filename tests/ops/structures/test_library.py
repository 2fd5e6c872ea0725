"""Every entry of the library is what it says it is."""

import re

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures import library
from dpa_sse.ops.structures.check import check_cell
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

NAMES = library.names()
ORDERED = [name for name in NAMES if not name.endswith("_disordered")]
TRAINING_NAMES = (
    "Li10SiP2S12 Li10GeP2S12 Li10SnP2S12 Li6PS5Cl Li6PS5Br Li6PS5I LiBS2 Li3BS3 Li5BS4 LiAlS2 Li5AlS4 LiGaS2 Li5GaS4 "
    "Li3AsS3 LiSbS2 Li2SiS3 Li4SiS4 Li2GeS3 Li4GeS4 Li2SnS3 Li4SnS4 Li3PS4 Li2P2S6 Li7PS6 Li7P3S11 Li3SbS4 LiCl LiBr "
    "LiI Li2O Li2S B2S3 Al2S3 Ga2S3 As2S3 Sb2S3 SiS2 GeS2 SnS2 P2S5 Li"
)
TRAINING_SYSTEMS = set(TRAINING_NAMES.split())
CHARGES = {
    "Li": 1, "B": 3, "O": -2, "Al": 3, "Si": 4, "P": 5, "S": -2, "Cl": -1, "Ga": 3, "Ge": 4, "As": 3, "Br": -1, "Sn": 4,
    "Sb": 3, "I": -1,
}
ELEMENTS = list(CHARGES)


def composition(formula):
    return {element: int(count or 1) for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}




def test_the_41_systems_and_the_fine_tuning_one_have_one_primary_entry_each():
    primary = [entry.system for entry in map(library.load_entry, NAMES) if entry.primary]
    assert len(TRAINING_SYSTEMS) == 41
    assert sorted(primary) == sorted([*TRAINING_SYSTEMS, "Li2B2S5"])
    assert len(NAMES) == 52
    assert [name for name in NAMES if not library.load_entry(name).ordered] == [n for n in NAMES if n not in ORDERED]


@pytest.mark.parametrize("name", ORDERED)
def test_composition_and_space_group(name):
    import spglib

    entry = library.load_entry(name)
    for experimental in (False, True):
        atoms = library.cell_from_entry(entry, use_experimental_lattice=experimental)
        counts = composition(entry.formula)
        units = len(atoms) / sum(counts.values())
        assert units == entry.data["formula_units"]
        assert len(atoms) == entry.data["atoms_in_cell"]
        for element, count in counts.items():
            assert (atoms.symbols == element).sum() == units * count
        found = spglib.get_symmetry_dataset(
            (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
        )
        assert found.number == entry.space_group_number
        assert spglib.get_spacegroup_type(entry.hall_number).number == entry.space_group_number
        assert check_cell(atoms, ELEMENTS) == []


@pytest.mark.parametrize("name", ORDERED)
def test_distances_and_density_are_those_of_the_verified_source(name):
    entry = library.load_entry(name)
    atoms = library.cell_from_entry(entry, use_experimental_lattice=False)
    i, j, _, distance = neighbour_pairs(atoms, 3.4)
    shortest = {}
    for a, b, d in zip(atoms.symbols[i], atoms.symbols[j], distance, strict=True):
        pair = "-".join(sorted((a, b)))
        shortest[pair] = min(d, shortest.get(pair, np.inf))
    for pair, expected in entry.data["verification"]["min_distances"].items():
        assert shortest["-".join(sorted(pair.split("-")))] == pytest.approx(expected, abs=2e-3)
    density = atoms.get_masses().sum() / atoms.get_volume() * 1.66053907
    assert density == pytest.approx(entry.data["verification"]["density_g_cm3"], abs=2e-3)


@pytest.mark.parametrize("name", ORDERED)
def test_charges_balance(name):
    entry = library.load_entry(name)
    counts = composition(entry.formula)
    if entry.formula == "Li":
        assert counts == {"Li": 1}
        return
    charge = sum(CHARGES[element] * count for element, count in counts.items())
    charge += {"Li3SbS4": 2, "Li2B2S5": 2}.get(entry.system, 0)  # Sb(V); one S-S bond per formula
    assert charge == 0


def test_experimental_lattice_is_in_the_setting_of_the_entry():
    for name in NAMES:
        entry = library.load_entry(name)
        if entry.experimental_lattice is None:
            continue
        change = np.array(entry.experimental_lattice) / np.array(entry.lattice) - 1
        assert np.abs(change[:3]).max() < 0.06, name
        assert np.abs(change[3:] * np.array(entry.lattice[3:])).max() < 2.5, name


def test_an_unverified_lattice_is_not_used():
    entry = library.load_entry("Li2P2S6")
    assert entry.experimental_lattice is not None
    assert library.cell_from_entry(entry).cell.cellpar() == pytest.approx(entry.lattice)


def test_p42_nmc_is_origin_choice_1():
    import spglib

    kind = spglib.get_spacegroup_type(library.load_entry("Li10GeP2S12_disordered").hall_number)
    assert (kind.number, kind.choice) == (137, "1")


def test_system_name_gives_its_primary_polymorph():
    assert library.load_entry("Li3PS4").name == "Li3PS4_beta_b"
    assert library.load_entry("GeS2").name == "GeS2_alpha"


@pytest.mark.parametrize(("wrong", "hint"), [
    ("li6ps5cl", "Li6PS5Cl"), ("Li6PS5CI", "Li6PS5Cl"), ("Li2s", "Li2S"), ("LGPS", "Li10GeP2S12"),
    ("LPS-Cl", "Li6PS5Cl"), ("lps", "Li3PS4' or 'Li7P3S11"),
])
def test_unknown_name_says_which_was_meant(wrong, hint):
    with pytest.raises(InputError, match=f"did you mean .*{hint}"):
        library.load_entry(wrong)


def test_partly_occupied_entry_is_no_cell():
    with pytest.raises(InputError, match="partly occupied"):
        library.cell_from_entry(library.load_entry("Li10GeP2S12_disordered"))


def test_library_path_needs_no_heavy_import():
    import subprocess
    import sys

    code = (
        "import sys; from dpa_sse.ops.structures.library import *; cell_from_entry(load_entry('Li10GeP2S12'));"
        "bad = [m for m in ('pymatgen', 'scipy', 'torch', 'dpdata') if m in sys.modules]; sys.exit(bool(bad))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
