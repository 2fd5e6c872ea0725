"""Strain and displacement: reproducible, bounded, never on top of each other."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.ase import AseAtomsAdaptor

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_arrangements, build_cell, write_cells
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from dpa_sse.ops.structures.neighbour_list import nearest_distances, neighbour_pairs
from dpa_sse.ops.structures.perturb import perturb_atoms, perturb_cells, perturb_copies
from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings

SYSTEMS = [
    SystemSettings(name="Li2S", structure="Li2S"),
    SystemSettings(name="arg", structure="Li6PS5Cl", site_disorder=0.5),
]


@pytest.fixture(scope="module")
def cell():
    return build_cell(SYSTEMS[1], Path(), 1)


def test_strain_is_symmetric_and_bounded(cell):
    deformation = np.linalg.inv(cell.cell.array) @ perturb_atoms(cell, 0.03, 0.0, np.random.default_rng(0)).cell.array
    assert np.allclose(deformation, deformation.T)
    assert 0 < np.abs(deformation - np.eye(3)).max() <= 0.03


def test_displacements_fill_the_ball(cell):
    rng = np.random.default_rng(0)
    moved = np.concatenate([perturb_atoms(cell, 0.0, 0.1, rng).positions - cell.positions for _ in range(40)])
    radius = np.linalg.norm(moved, axis=1)
    assert radius.max() <= 0.1
    assert np.mean(radius**3) == pytest.approx(0.1**3 / 2, rel=0.05)  # uniform in the volume
    assert np.abs(moved.mean(axis=0)).max() < 0.005


@pytest.mark.parametrize(("strain", "displacement"), [(0.03, 0.1), (0.1, 0.3), (0.2, 0.6)])
def test_contacts_are_kept(cell, strain, displacement):
    nearest = nearest_distances(cell)
    rng = np.random.default_rng(5)
    for _ in range(5):
        i, j, _, distance = neighbour_pairs(perturb_atoms(cell, strain, displacement, rng), 4.0)
        assert np.all(distance >= 0.8 * np.minimum(nearest[i], nearest[j]) - 1e-9)


@pytest.mark.parametrize("floor", [1.9, 1.95])
def test_the_given_floor_is_kept(cell, floor):
    shortest = float(nearest_distances(cell).min())
    assert floor < shortest < 2.06
    settings = PerturbSettings(count=20, strain=0.03, displacement_A=0.1, min_distance_A=floor)
    assert min(nearest_distances(copy).min() for copy in perturb_copies([cell], settings, 1)) >= floor
    loose = settings.model_copy(update={"min_distance_A": 0.0})
    assert min(nearest_distances(copy).min() for copy in perturb_copies([cell], loose, 1)) < floor
    with pytest.raises(InputError, match="of the cell itself are"):
        list(perturb_copies([cell], PerturbSettings(min_distance_A=2.2), 1))


def test_zero_amplitudes_change_nothing(cell):
    same = perturb_atoms(cell, 0.0, 0.0, np.random.default_rng(0))
    assert np.allclose(same.positions, cell.positions, atol=1e-12)


def test_impossible_displacements_are_refused(cell):
    with pytest.raises(InputError, match="at most 3"):
        perturb_atoms(cell, 0.0, 40.0, np.random.default_rng(0))
    with pytest.raises(InputError, match="use smaller values"):
        perturb_atoms(cell, 0.0, 2.9, np.random.default_rng(0))


def test_task_folders(tmp_path):
    write_cells(SYSTEMS, tmp_path, 1, tmp_path / "cells.extxyz")
    settings = PerturbSettings(count=3)
    assert perturb_cells(tmp_path / "cells.extxyz", settings, 7, tmp_path / "out") == 6
    assert perturb_cells(tmp_path / "cells.extxyz", settings, 7, tmp_path / "again") == 6
    names = []
    for number in range(6):
        file = f"task.{number:03d}/cell.extxyz"
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
        names.append(read_frames(tmp_path / "out" / file)[0].info["trajectory"])
    assert names == ["Li2S.p000", "Li2S.p001", "Li2S.p002", "arg.p000", "arg.p001", "arg.p002"]
    info = read_frames(tmp_path / "out/task.004/cell.extxyz")[0].info
    assert (info["system"], info["perturbation"], info["parent"]) == ("arg", 1, "Li6PS5Cl_disordered")


def test_a_system_does_not_depend_on_the_others(tmp_path):
    write_cells(SYSTEMS, tmp_path, 1, tmp_path / "both.extxyz")
    write_cells(SYSTEMS[1:], tmp_path, 1, tmp_path / "one.extxyz")
    perturb_cells(tmp_path / "both.extxyz", PerturbSettings(count=1), 7, tmp_path / "both")
    perturb_cells(tmp_path / "one.extxyz", PerturbSettings(count=1), 7, tmp_path / "one")
    assert (tmp_path / "both/task.001/cell.extxyz").read_bytes() == (tmp_path / "one/task.000/cell.extxyz").read_bytes()


def test_unnamed_or_doubled_systems_are_refused(tmp_path):
    write_cells([SYSTEMS[0], SYSTEMS[0]], tmp_path, 1, tmp_path / "cells.extxyz")
    with pytest.raises(InputError, match="own info"):
        perturb_cells(tmp_path / "cells.extxyz", PerturbSettings(), 1, tmp_path / "out")
    (tmp_path / "none.extxyz").write_text("")
    with pytest.raises(InputError, match="no cell"):
        perturb_cells(tmp_path / "none.extxyz", PerturbSettings(), 1, tmp_path / "out")


def test_cells_are_divided_among_the_arrangements(tmp_path):
    arrangements = build_arrangements(SYSTEMS[1], tmp_path, 1, 2)
    assert np.array_equal(arrangements[0].positions, build_cell(SYSTEMS[1], tmp_path, 1).positions)
    assert pair_distances(arrangements[0]) != pytest.approx(pair_distances(arrangements[1]), abs=1e-3)
    without = [one[one.numbers != 3] for one in arrangements]  # not only lithium differs
    assert not StructureMatcher().fit(*map(AseAtomsAdaptor.get_structure, without))
    assert len(build_arrangements(SYSTEMS[0], tmp_path, 1, 2)) == 1  # an ordered structure has no other
    write_frames(tmp_path / "cells.extxyz", [*arrangements, build_cell(SYSTEMS[0], tmp_path, 1)])
    settings = PerturbSettings(count=4, arrangements=2, strain=0.0, displacement_A=0.0)
    assert perturb_cells(tmp_path / "cells.extxyz", settings, 7, tmp_path / "out") == 8
    made = [read_frames(tmp_path / f"out/task.{k:03d}/cell.extxyz")[0] for k in range(8)]
    assert [one.info["trajectory"] for one in made] == [
        "arg.a0.p000", "arg.a0.p001", "arg.a1.p002", "arg.a1.p003", *(f"Li2S.p00{k}" for k in range(4))
    ]
    for one, start in zip(made, [arrangements[0]] * 2 + [arrangements[1]] * 2, strict=False):
        assert np.allclose(one.positions, start.positions, atol=1e-6)
    with pytest.raises(InputError, match="own info"):
        perturb_cells(tmp_path / "cells.extxyz", PerturbSettings(count=4), 7, tmp_path / "one")


def pair_distances(atoms):
    return np.sort(atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)])


def test_thousand_cells_are_quick():
    import time

    atoms = build_cell(SystemSettings(name="x", structure="Li10GeP2S12", supercell=(2, 2, 1)), Path(), 1)
    from dpa_sse.ops.structures.perturb import find_contacts

    contacts, rng = find_contacts(atoms, 0.1), np.random.default_rng(0)
    start = time.process_time()
    for _ in range(1000):
        perturb_atoms(atoms, 0.03, 0.1, rng, contacts)
    assert time.process_time() - start < 2.0


def test_volumes_of_the_copies_are_stratified(tmp_path):
    write_cells(SYSTEMS[:1], tmp_path, 1, tmp_path / "cells.extxyz")
    (cell,) = read_frames(tmp_path / "cells.extxyz")
    copies = list(perturb_copies([cell], PerturbSettings(count=8), 3))
    means = sorted(
        float(np.trace(np.linalg.inv(cell.cell.array) @ copy.cell.array) / 3 - 1) for copy in copies
    )
    edges = np.linspace(-0.03, 0.03, 9)
    assert all(low <= mean <= high for low, mean, high in zip(edges[:-1], means, edges[1:], strict=True))
    info = copies[3].info
    keys = ("system", "parent", "operation", "composition")
    assert [info[key] for key in keys] == ["Li2S", "Li2S", "perturb", "Li8S4"]
    assert info["seed"] > 0


def test_shape_only_strain_keeps_the_volume(cell):
    settings = PerturbSettings(count=3, strain=0.1, displacement_A=0.0, volume_preserving=True)
    copies = list(perturb_copies([cell], settings, 1))
    assert len(copies) == 3
    for copy in copies:
        assert copy.get_volume() == pytest.approx(cell.get_volume(), rel=1e-8)  # rounded to 1e-8 A
        assert np.abs(copy.cell.array - cell.cell.array).max() > 0.01


@pytest.mark.parametrize("strain", [0.03, 0.1])
def test_shape_only_strain_is_bounded_whatever_the_mean(cell, strain):
    settings = PerturbSettings(count=200, strain=strain, displacement_A=0.0, volume_preserving=True)
    copies = perturb_copies([cell], settings, 1)
    tensors = [np.linalg.solve(cell.cell.array, one.cell.array) - np.eye(3) for one in copies]
    assert max(np.abs(tensor).max() for tensor in tensors) <= strain + 1e-8
    assert min(np.linalg.eigvalsh(tensor)[0] for tensor in tensors) > -0.15
    diagonal = [np.abs(np.diag(tensor)).max() for tensor in tensors]
    assert min(diagonal) > 0.02 * strain  # with a mean at its limit no deviation of the diagonal would be left
    assert np.mean(diagonal) > 0.5 * strain


def test_normal_displacements_of_single_elements(cell):
    settings = PerturbSettings(
        count=60, strain=0.0, displacement_A=0.03, distribution="normal", element_displacement_A={"Li": 0.15, "P": 0.0}
    )
    moved = np.array([copy.positions - cell.positions for copy in perturb_copies([cell], settings, 1)])
    symbols = np.array(cell.get_chemical_symbols())
    assert np.abs(moved[:, symbols == "P"]).max() < 1e-12
    lithium = moved[:, symbols == "Li"]
    assert np.linalg.norm(lithium, axis=-1).max() <= 0.15
    assert lithium.std() == pytest.approx(0.05, rel=0.05)  # the cut at three standard deviations takes 1.4 %
    assert moved[:, symbols == "S"].std() == pytest.approx(0.01, rel=0.05)


def test_amplitudes_of_elements_that_are_not_there(tmp_path):
    write_cells(SYSTEMS[:1], tmp_path, 1, tmp_path / "cells.extxyz")
    with pytest.raises(InputError, match="Cl not in any cell"):
        perturb_cells(tmp_path / "cells.extxyz", PerturbSettings(element_displacement_A={"Cl": 0.1}), 1, tmp_path / "o")
    with pytest.raises(ValidationError, match="between 0 and 1"):
        PerturbSettings(element_displacement_A={"Cl": 3.0})
