"""Radial distribution functions against MDAnalysis, an ideal gas and a crystal."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.structures.rdf import Snapshot, radial_distributions


def snapshots(atoms: Atoms, count: int, width: float, *, far: bool = False) -> list[Snapshot]:
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(count):
        positions = atoms.positions + rng.normal(0, width, atoms.positions.shape)
        if far:  # unwrapped, as LAMMPS writes them
            positions += rng.integers(-2, 3, positions.shape) @ atoms.cell.array
        frames.append(Snapshot(atoms.cell.array, atoms.get_chemical_symbols(), positions))
    return frames


@pytest.mark.parametrize(("repeat", "shear"), [(2, 0.0), (3, 0.0), (2, 0.9)])
def test_it_agrees_with_mdanalysis(repeat: int, shear: float) -> None:
    import MDAnalysis
    from MDAnalysis.analysis.rdf import InterRDF

    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True).repeat(repeat)
    cell = atoms.cell.array.copy()
    cell[1, 0] += shear
    atoms.set_cell(cell, scale_atoms=True)
    frames = snapshots(atoms, 5, 0.2, far=True)
    found = radial_distributions(frames, [("Li", "Cl"), ("Cl", "Cl")], 5.0, 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe.empty(len(atoms), trajectory=True)
        universe.add_TopologyAttr("element", atoms.get_chemical_symbols())
        universe.load_new(np.array([frame.positions for frame in frames]), order="fac")
        for step in universe.trajectory:
            step.dimensions = atoms.cell.cellpar()
        chosen = {one: universe.select_atoms(f"element {one}") for one in ("Li", "Cl")}
        dimensions = atoms.cell.cellpar()
        universe.trajectory.add_transformations(lambda step: _with_cell(step, dimensions))
        for pair in found:
            exclude = (1, 1) if pair[0] == pair[1] else None
            result = InterRDF(chosen[pair[0]], chosen[pair[1]], 50, (0.0, 5.0), exclusion_block=exclude).run().results
            scale = 1.0 if exclude is None else (len(chosen[pair[1]]) - 1) / len(chosen[pair[1]])
            assert found[pair].r_A == pytest.approx(result.bins)
            mine, theirs = found[pair].g, np.asarray(result.rdf) * scale
            assert np.abs(mine - theirs).max() < 0.02 * max(1.0, theirs.max())  # single precision moves a few pairs


def _with_cell(step, dimensions):  # type: ignore[no-untyped-def]
    step.dimensions = dimensions
    return step


def test_a_thin_cell_is_the_same_crystal_as_a_thick_one() -> None:
    """The thin cell needs several images of a pair, and takes the neighbour list."""
    thin = bulk("LiCl", "rocksalt", a=5.1, cubic=True).repeat((1, 3, 3))
    thin.positions += np.random.default_rng(7).normal(0, 0.2, thin.positions.shape)
    pairs = [("Li", "Cl"), ("Cl", "Cl")]
    both = [
        radial_distributions([Snapshot(one.cell.array, one.get_chemical_symbols(), one.positions)], pairs, 5.0, 0.1)
        for one in (thin, thin.repeat((3, 1, 1)))
    ]
    for pair in pairs:
        assert both[0][pair].g == pytest.approx(both[1][pair].g)
        assert both[0][pair].neighbours == pytest.approx(both[1][pair].neighbours)


def test_an_ideal_gas_is_flat_and_counts_its_density() -> None:
    rng = np.random.default_rng(5)
    cell = 12.0 * np.eye(3)
    frames = [Snapshot(cell, ["Li"] * 200 + ["S"] * 100, 12.0 * rng.random((300, 3))) for _ in range(40)]
    found = radial_distributions(frames, [("Li", "S")], 6.0, 0.5)["Li", "S"]
    assert found.g[2:] == pytest.approx(1.0, abs=0.05)
    assert found.neighbours[-1] == pytest.approx(100 / 12**3 * 4 / 3 * np.pi * 6**3, rel=0.02)
    assert found.first_shell is None


def test_a_crystal_has_its_coordination() -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True).repeat(3)
    found = radial_distributions(snapshots(atoms, 10, 0.12), [("Li", "Cl"), ("Li", "Li"), ("Li", "S")], 6.0)
    assert set(found) == {("Li", "Cl"), ("Li", "Li")}  # there is no S
    for pair, distance, number in ((("Li", "Cl"), 2.55, 6), (("Li", "Li"), 3.606, 12)):
        shell = found[pair].first_shell
        assert shell is not None
        assert shell[0] == pytest.approx(distance, abs=0.1)
        assert shell[2] == pytest.approx(number, abs=0.1)


def test_no_frames_give_nothing() -> None:
    assert radial_distributions([], [("Li", "S")], 5.0) == {}
