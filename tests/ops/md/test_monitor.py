from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import primitive_neighbor_list

from dpa_sse.ops.md.lammps import temperature_limit
from dpa_sse.ops.md.monitor import WINDOW, Geometry, Monitor
from dpa_sse.ops.md.trajectory import Frame
from dpa_sse.ops.structures.host_lattice import find_framework
from dpa_sse.ops.structures.neighbour_list import near_pairs


def tetrahedra(edge: float = 7.0) -> Atoms:
    """Two PS4 groups and two Li in a cell."""
    corner = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    centres = np.array([[2.0, 2, 2], [2 + edge, 2, 2]])
    positions = [point for centre in centres for point in (centre, *(centre + corner))]
    positions += [[2, 5.5, 5.5], [9, 5.5, 5.5]]
    return Atoms("PS4PS4Li2", positions=positions, cell=[2 * edge, edge, edge], pbc=True)


def frame(atoms: Atoms, step: int, shift: np.ndarray | float = 0.0) -> Frame:
    return Frame(step, atoms.cell.array, atoms.get_chemical_symbols(), atoms.positions + shift)


def test_coordination_of_phosphorus():
    atoms = tetrahedra()
    closest, coordination = Geometry(atoms.get_chemical_symbols()).measure(atoms.cell.array, atoms.positions)
    assert coordination.tolist() == [4, 4]
    assert closest == pytest.approx(2.05 / 2.12, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_near_pairs_by_both_ways(seed):
    rng = np.random.default_rng(seed)
    cell = np.diag([9.0, 10.0, 11.0]) + rng.uniform(-1.5, 1.5, (3, 3))
    positions = rng.uniform(-15, 25, (60, 3))
    i, j, d = near_pairs(cell, positions, 3.0)
    found = primitive_neighbor_list("ijd", (True, True, True), cell, positions, 3.0)
    assert len(i) > 50
    assert sorted(zip(i, j, strict=True)) == sorted(zip(*found[:2], strict=True))
    assert np.sort(d) == pytest.approx(np.sort(found[2]))
    thin = near_pairs(np.diag([2.5, 10.0, 10.0]), np.zeros((1, 3)), 3.0)
    assert thin[2] == pytest.approx([2.5, 2.5])  # its own images


def test_a_quiet_solid_has_no_problem():
    atoms = tetrahedra()
    monitor = Monitor(atoms, 100, melt=True)
    rng = np.random.default_rng(1)
    assert all(monitor.check(frame(atoms, step, rng.normal(0, 0.1, (12, 3)))) is None for step in range(100))
    assert monitor.summary.polyhedra_kept == 1.0


def test_drift_of_everything_and_diffusing_lithium_are_no_melting():
    atoms = tetrahedra()
    monitor = Monitor(atoms, 30, melt=True)
    for step in range(30):
        shift = np.full((12, 3), 0.3 * step)
        shift[-2:] += 7.0 * step  # lithium hops
        assert monitor.check(frame(atoms, step, shift)) is None


def test_atoms_on_top_of_each_other():
    atoms = tetrahedra()
    monitor = Monitor(atoms, 3, melt=False)
    assert monitor.check(frame(atoms, 0)) is None
    bad = atoms.copy()
    bad.positions[-1] = bad.positions[1] + [0.9, 0, 0]
    problem = monitor.check(frame(bad, 7))
    assert problem is not None
    assert (problem.status, problem.step) == ("exploded", 7)
    assert monitor.check(frame(atoms, 8)) is problem


def test_nan_and_a_doubled_volume():
    atoms = tetrahedra()
    monitor = Monitor(atoms, 1, melt=False)
    problem = monitor.check(frame(atoms, 0, np.nan))
    assert (problem.status, problem.reason) == ("exploded", "step 0: positions are not numbers")
    swollen = atoms.copy()
    swollen.set_cell(atoms.cell * 1.3, scale_atoms=True)
    problem = Monitor(atoms, 1, melt=False).check(frame(swollen, 0))
    assert "volume" in problem.reason


def test_broken_polyhedra_count_only_when_they_stay_broken():
    atoms = tetrahedra()
    broken = atoms.copy()
    broken.positions[1] += [1.5, 1.5, 1.5]
    monitor = Monitor(atoms, 40, melt=True)
    for step in range(20):
        assert monitor.check(frame(broken if step == 12 else atoms, step)) is None
    steps = [step for step in range(20, 40) if monitor.check(frame(broken, step)) is not None]
    assert monitor.problem.status == "melted"
    assert 20 <= steps[0] < 20 + WINDOW


def test_polyhedra_are_averaged_over_time_not_only_over_frames():
    """Frames every 5 fs: a bond that is long for 50 fs breaks nothing, one that is for 400 fs does."""
    atoms = tetrahedra()
    broken = atoms.copy()
    broken.positions[1] += [1.5, 1.5, 1.5]
    for frames, problem in ((10, False), (80, True)):
        monitor = Monitor(atoms, 300, melt=True, frame_fs=5.0)
        for step in range(300):
            monitor.check(frame(broken if 100 <= step < 100 + frames else atoms, step))
        assert (monitor.problem is not None) == problem


def test_displacements_by_element():
    atoms = tetrahedra()
    monitor = Monitor(atoms, 2, melt=True)
    monitor.check(frame(atoms, 0))
    shift = np.ones((12, 3))
    shift[-2:, 0] += 3.0
    monitor.check(frame(atoms, 1, shift))
    assert monitor.summary.rms_by_element_A == pytest.approx({"Li": 3.0, "P": 0.0, "S": 0.0})


def argyrodite() -> Atoms:
    """Eight PS4, eight Br and eight free S between them, at the distances of an argyrodite."""
    fcc = np.array([[0, 0, 0], [0, 5, 5], [5, 0, 5], [5, 5, 0]], dtype=float)
    fcc = np.concatenate([fcc, fcc + np.array([0, 0, 10])])
    corner = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    centres = fcc + np.array([5, 0, 0])
    bonded = [point for centre in centres for point in centre + corner]
    positions = [*centres, *bonded, *fcc, *(fcc + 2.5)]
    return Atoms("P8S32Br8S8", positions=positions, cell=[10, 10, 20], pbc=True)


PHOSPHORUS, BONDED, BROMIDE, FREE = slice(0, 8), slice(8, 40), slice(40, 48), slice(48, 56)


def watch(change, n_frames=200, vibration=0.1):
    """Return the monitor after a run of 20 fs per frame in which ``change(shift, step)`` adds displacements."""
    atoms = argyrodite()
    rng = np.random.default_rng(2)
    monitor = Monitor(atoms, n_frames, melt=True, frame_fs=20.0)
    for step in range(n_frames):
        shift = vibration * rng.standard_normal((56, 3)) + 0.02 * step
        change(shift, step)
        if monitor.check(frame(atoms, step, shift)):
            break
    return monitor


def test_the_sites_of_an_argyrodite():
    atoms = argyrodite()
    host = find_framework(atoms.get_chemical_symbols(), atoms.cell.array, atoms.positions)
    assert host.sites.tolist() == [*range(8), *range(40, 56)]
    assert host.bonded.tolist() == list(range(8, 40))
    assert host.spacing_A == pytest.approx(4.1, abs=0.3)


@pytest.mark.parametrize(("who", "name"), [(BROMIDE, "Br"), (FREE, "S")])
def test_anions_that_diffuse_between_whole_tetrahedra_are_a_melt(who, name):
    """Neighbours of one sublattice keep changing places: no pair comes near, every PS4 stays whole."""
    atoms = argyrodite()
    places, moved = atoms.positions[who], np.zeros((8, 3))
    rng = np.random.default_rng(3)

    def flow(shift, step):
        if step > 30 and step % 3 == 0:
            i, j = rng.choice(8, 2, replace=False)
            reduced = (places[j] + moved[j] - places[i] - moved[i]) @ np.linalg.inv(atoms.cell.array)
            hop = (reduced - np.rint(reduced)) @ atoms.cell.array
            moved[i] += hop
            moved[j] -= hop
        shift[who] += moved

    monitor = watch(flow)
    assert monitor.problem.status == "melted"
    assert f"the {name} sublattice diffuses" in monitor.problem.reason
    assert monitor.summary.polyhedra_kept == 1.0
    assert monitor.summary.sublattices["P"].displaced == 0


def test_rotation_of_tetrahedra_is_no_melt():
    atoms = argyrodite()
    arms = atoms.positions[BONDED] - np.repeat(atoms.positions[PHOSPHORUS], 4, axis=0)

    def turn(shift, step):
        angle = 0.02 * step
        matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        shift[BONDED] += arms @ matrix.T - arms

    monitor = watch(turn)
    assert monitor.problem is None
    assert monitor.summary.rms_by_element_A["S"] > 2.0
    assert monitor.summary.sublattices["S"].sites == 8


def test_vibration_at_1200_K_is_no_melt():
    """Halides, free S and whole tetrahedra vibrate by 0.35 A per axis."""
    rng = np.random.default_rng(5)

    def shake(shift, step):
        units = 0.35 * rng.standard_normal((8, 3))
        shift[PHOSPHORUS] += units
        shift[BONDED] += np.repeat(units, 4, axis=0)
        shift[40:] += 0.35 * rng.standard_normal((16, 3))

    monitor = watch(shake, vibration=0.03)
    assert monitor.problem is None
    assert all(one.rms_A < 0.15 * 4.1 for one in monitor.summary.sublattices.values())


def test_tetrahedra_that_swing_by_an_angstrom_with_one_terahertz_are_no_melt():
    """As CHGNet has it in a hot, expanded argyrodite: averages of 0.3 ps are 0.7 A apart, and stay so."""
    generator = np.random.default_rng(6)
    ways, phases = generator.standard_normal((8, 3)), 2 * np.pi * generator.random(8)
    ways *= 1.6 / np.linalg.norm(ways, axis=1)[:, None]

    def swing(shift, step):
        units = ways * np.sin(2 * np.pi * step * 0.02 + phases)[:, None]
        shift[PHOSPHORUS] += units
        shift[BONDED] += np.repeat(units, 4, axis=0)

    monitor = watch(swing, n_frames=400)
    assert monitor.problem is None
    assert monitor.summary.sublattices["P"].rms_A < 0.3


def test_one_exchange_of_a_halide_and_sulfur_is_told():
    def exchange(shift, step):
        if step > 50:
            shift[40] += 2.5
            shift[48] -= 2.5

    monitor = watch(exchange)
    assert monitor.problem is None
    assert monitor.summary.exchanged.startswith("changed place: 1 of 8 Br sites (by 4.")
    assert "1 of 8 S sites" in monitor.summary.exchanged


def test_a_cell_that_breathes_and_grows_is_no_melt():
    atoms = argyrodite()
    monitor = Monitor(atoms, 100, melt=True, frame_fs=50.0)
    for step in range(100):
        other = atoms.copy()
        other.set_cell(atoms.cell * (1 + 0.0005 * step), scale_atoms=True)
        other.positions += [0, 0, 4 * other.cell[2, 2]]  # far from the origin, as a drifting run is
        assert monitor.check(frame(other, step)) is None
    assert monitor.summary.sublattices["Br"].rms_A < 1e-6


def test_diffusing_framework_melts_and_the_verdict_repeats():
    atoms = tetrahedra()
    verdicts = []
    for _ in range(2):
        monitor = Monitor(atoms, 60, melt=True)
        shift = np.zeros((12, 3))
        for step in range(60):
            shift[:5] += 0.15
            if monitor.check(frame(atoms, step, shift)):
                break
        verdicts.append((monitor.problem.status, monitor.problem.step))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][0] == "melted"


@pytest.mark.parametrize(("target", "limit"), [(300, 1000), (1000, 3000), (5000, 10_000)])
def test_temperature_limit(target, limit):
    assert temperature_limit(target) == limit
