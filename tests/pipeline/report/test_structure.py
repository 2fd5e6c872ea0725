"""Structure of the production runs: frames, density and lattice, radial distributions, picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import report_inputs as made
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.structures.library import cell_from_entry, load_entry
from dpa_sse.pipeline.report.build import ReportInputs, build_report
from dpa_sse.pipeline.report.inputs import ProductionRun, ReportData, load_data
from dpa_sse.pipeline.report.measured import MeasuredCell, measured_values
from dpa_sse.pipeline.report.plots.structure import balls_and_sticks
from dpa_sse.pipeline.report.structure import (
    cell_at,
    roles,
    sampled_frames,
    structure_at,
    unit_lattice,
    usable_runs,
)
from tests.md_folders import write_run, write_trajectory

LATTICE = MeasuredCell("x", (8.7, 8.7, 12.6, 90.0, 90.0, 90.0), 19.0, 300.0, "reference")


def crystal(scale: float = 1.0, repeat: tuple[int, int, int] = (1, 1, 1)) -> Atoms:
    atoms = cell_from_entry(load_entry("Li6PS5Br")).repeat(repeat)
    atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
    return atoms


def runs_of(root: Path, atoms: Atoms, frames: int = 12, count: int = 1, **more: object) -> ReportData:
    rng = np.random.default_rng(2)
    folders = []
    for replica in range(count):
        folder = root / f"md.r{replica}"
        folder.mkdir(parents=True)
        moved = []
        for _ in range(frames):
            one = atoms.copy()
            one.positions += rng.normal(0, 0.1, one.positions.shape)
            moved.append(one)
        write_trajectory(folder / "traj.lammpstrj", moved)
        folders.append(write_run(folder, atoms, system="Li6PS5Br", temperature_K=600.0, replica=replica, **more))  # type: ignore[arg-type]
    return load_data(ReportInputs(config=made.config(root), md=folders))


def test_frames_are_spread_over_the_file_and_complete(tmp_path: Path) -> None:
    cells = [bulk("LiCl", "rocksalt", a=5.0 + 0.01 * k, cubic=True) for k in range(50)]
    path = tmp_path / "traj.lammpstrj"
    write_trajectory(path, cells)
    steps = [frame.step for frame in sampled_frames(path, 5)]
    assert len(steps) == 5
    assert np.diff(steps) == pytest.approx(100, abs=20)
    assert [frame.step for frame in sampled_frames(path, 200)] == [10 * k for k in range(50)]  # each once
    path.write_bytes(path.read_bytes()[:-30])  # a run that is still writing
    assert [frame.step for frame in sampled_frames(path, 200)] == [10 * k for k in range(49)]
    path.write_text("nothing of that kind\n")
    with pytest.raises(FatalError, match="not a LAMMPS dump"):
        list(sampled_frames(path, 3))
    path.write_text("")
    assert not list(sampled_frames(path, 3))


def test_density_and_lattice_beside_the_measured_ones(tmp_path: Path) -> None:
    data = runs_of(tmp_path, crystal(1.02, (2, 1, 1)), count=2)
    [(key, runs)] = usable_runs(data).items()
    assert key == ("Li6PS5Br", 600.0)
    [known] = measured_values(runs[0].info.composition, "Li6PS5Br").cells
    found = cell_at(runs, known)
    assert found is not None
    assert found.lattice_A == pytest.approx([1.02 * 9.986] * 3, rel=1e-6)
    atoms = crystal(1.02)
    assert found.density_g_cm3 == pytest.approx(1.66053907 * atoms.get_masses().sum() / atoms.get_volume(), rel=1e-6)
    assert found.excess == pytest.approx(1.02**3 - 1, rel=1e-6)
    assert (found.runs, found.spread) == (2, 0.0)
    assert cell_at(runs, None).lattice_A is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("lengths", "angles", "wanted"),
    [
        ((8.8, 17.6, 12.7), (90, 90, 90), (8.8, 8.8, 12.7)),
        ((17.3, 17.3, 25.0), (90, 90, 90), (8.65, 8.65, 12.5)),
        ((8.8, 8.8, 12.7), (90, 90, 99), None),  # another shape
        ((8.8, 8.8, 19.0), (90, 90, 90), None),  # no multiple
    ],
)
def test_the_unit_cell_of_a_simulated_cell(
    lengths: tuple[float, ...], angles: tuple[float, ...], wanted: tuple[float, ...] | None
) -> None:
    found = unit_lattice(Atoms(cell=[*lengths, *angles]).cell.array, LATTICE, None)
    assert found == (wanted if wanted is None else pytest.approx(wanted, rel=1e-6))


def test_the_mean_volume_sets_the_scale_of_the_lattice() -> None:
    cell = np.diag([8.7, 8.7, 12.6])
    assert unit_lattice(cell, LATTICE, 1.03**3 * 8.7**2 * 12.6) == pytest.approx(1.03 * np.array([8.7, 8.7, 12.6]))


def test_roles_and_pairs() -> None:
    found = roles({"P": 4, "S": 20, "Br": 4, "Li": 24}, ["Li"])
    assert (found.mobile, found.cations, found.anions) == (("Li",), ("P",), ("S", "Br"))
    assert found.pairs == [("Li", "S"), ("Li", "Br"), ("P", "S"), ("Li", "Li"), ("P", "Br")]
    copper = roles({"Cu": 2, "S": 1}, [])
    assert copper.pairs == [("Cu", "S")]


def test_coordination_of_the_tetrahedra(tmp_path: Path) -> None:
    data = runs_of(tmp_path, crystal())
    [runs] = usable_runs(data).values()
    found = structure_at(data, runs, [("P", "S"), ("Li", "S")])
    assert found is not None
    assert (found.frames, found.runs) == (12, 1)
    assert found.reach_A < 9.986 / 2
    shell = found.pairs["P", "S"].first_shell
    assert shell is not None
    assert shell[0] == pytest.approx(2.05, abs=0.1)
    assert shell[2] == pytest.approx(4.0, abs=1e-6)


def test_a_damaged_trajectory_is_named_and_takes_nothing_along(tmp_path: Path) -> None:
    data = runs_of(tmp_path, crystal(), count=2)
    (tmp_path / "md.r0" / "traj.lammpstrj").write_text("broken\n")
    [runs] = usable_runs(data).values()
    found = structure_at(data, runs, [("P", "S")])
    assert found is not None
    assert found.runs == 1
    assert data.notes == ["600 K, replica 0/traj.lammpstrj: damaged (FatalError)"]


def test_polyhedra_are_complete_and_only_real_bonds_are_drawn(tmp_path: Path) -> None:
    data = runs_of(tmp_path, crystal(), frames=1)
    run: ProductionRun = data.md[0]
    assert run.trajectory is not None
    [frame] = sampled_frames(run.trajectory, 1)
    elements = roles(run.info.composition, ["Li"])
    symbols, positions, bonds = balls_and_sticks(frame, elements)
    assert len(positions) == len(symbols)
    assert {(symbols[a], symbols[b]) for a, b in bonds} == {("P", "S")}
    per_cation = {a: sum(pair[0] == a for pair in bonds) for a, symbol in enumerate(symbols) if symbol == "P"}
    assert list(per_cation.values()) == [4] * 4
    distances = [np.linalg.norm(positions[a] - positions[b]) for a, b in bonds]
    assert max(distances) < 2.6  # drawn without a jump across the cell
    assert (symbols.count("Li"), symbols.count("Br")) == (24, 4)
    assert symbols.count("S") == 20  # 16 of the tetrahedra, each drawn once, and 4 free ones


def test_runs_that_broke_off_have_no_structure(tmp_path: Path) -> None:
    data = runs_of(tmp_path, crystal(), status="exploded", reason="too hot")
    assert not usable_runs(data)
    build_report(ReportInputs(md=[tmp_path / "md.r0"]), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Structure and density: no production run reached its end." in page
    assert not list((tmp_path / "out" / "figures").glob("rdf_*"))


def test_runs_without_trajectories_still_have_a_density(tmp_path: Path) -> None:
    runs_of(tmp_path, crystal())
    (tmp_path / "md.r0" / "traj.lammpstrj").unlink()
    build_report(ReportInputs(md=[tmp_path / "md.r0"]), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "no radial distribution functions" in page
    assert "density (g/" in page
