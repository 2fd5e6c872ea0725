"""`check` finds what would fail, or mislead, after hours: data, structures, networks, time steps, cells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.data.exchange import write_data
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.pipeline.commands.conductivity import _checked
from dpa_sse.pipeline.commands.project import check_config, plan_config
from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.config.remarks import remarks
from tests.model_files import checkpoint

PLAIN: dict[str, Any] = {
    "name": "x", "type_map": ["Li", "Cl"], "labeler": {"kind": "mock"},
    "systems": [{"name": "a", "structure": "LiCl"}],
}
DATA: dict[str, Any] = {"name": "x", "type_map": ["Li", "Cl"], "data": ["mine"]}
HARTREE = 1 / 27.211386
CIF = """data_x
_cell_length_a 6.0
_cell_length_b 6.0
_cell_length_c 6.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 1
_space_group_name_H-M_alt 'P 1'
loop_
_space_group_symop_operation_xyz
x,y,z
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_occupancy
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Li1 Li 0.985 0.25 0.25 0.25
Li2 Li 0.985 0.25 0.25 0.75
Li3 Li 0.985 0.25 0.75 0.25
Li4 Li 0.985 0.25 0.75 0.75
Li5 Li 0.985 0.75 0.25 0.25
Li6 Li 0.985 0.75 0.25 0.75
Li7 Li 0.985 0.75 0.75 0.25
Li8 Li 0.985 0.75 0.75 0.75
S1 S 1.0 0.0 0.0 0.0
S2 S 1.0 0.5 0.5 0.0
S3 S 1.0 0.5 0.0 0.5
S4 S 1.0 0.0 0.5 0.5
"""


def config(folder: Path, data: dict[str, Any]) -> Path:
    (folder / "c.yaml").write_text(json.dumps(data))
    return folder / "c.yaml"


def problems(path: Path, *overrides: str) -> list[str]:
    try:
        load_checked(path, overrides)
    except ConfigError as error:
        return [str(one) for one in error.problems]
    return []


def remarked(path: Path, *overrides: str) -> list[str]:
    return [f"{one.path}: {one.message}" for one in remarks(load_checked(path, overrides))]


def own_data(folder: Path, *, trajectories: int = 3, unit: float = 1.0) -> Path:
    """Write walks in small steps with the labels of the mock potential, energies in ``unit`` eV."""
    rng, frames = np.random.default_rng(5), []
    for number in range(trajectories):
        atoms = build_cell(SystemSettings(name="LiCl", structure="LiCl"), folder, 1)
        atoms.set_cell(0.89 * atoms.cell.array, scale_atoms=True)
        atoms.info = {"system": "LiCl", "trajectory": f"t{number}"}
        for _ in range(8):
            atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.03
            frames.append(with_results(atoms, *mock_energy(atoms)))
    blocks = [replace(block, energy=block.energy * unit) for block in frames_to_blocks(frames, ["Li", "Cl"], "train")]
    write_data(folder / "mine", "npy", ["Li", "Cl"], blocks)
    return config(folder, DATA)


def test_energies_in_hartree(tmp_path: Path) -> None:
    path = own_data(tmp_path, unit=HARTREE)
    (found,) = problems(path)
    assert "data.0: mine: signs: " in found
    assert "not in the unit of the energies" in found
    assert "`dpa-sse data audit mine` shows the frames, `audit_data: false` uses the data anyway" in found
    assert problems(path, "audit_data=false") == []


def test_warnings_of_the_audit_are_remarks(tmp_path: Path) -> None:
    path = own_data(tmp_path)
    assert remarked(path) == []
    for file in (tmp_path / "mine").rglob("force.npy"):
        np.save(file, np.load(file) * 1.7)
    (found,) = remarked(path)
    assert "data.0: mine: signs: the forces seem to be 1.7" in found
    assert "`dpa-sse data audit mine` shows the frames" in found
    assert problems(path) == []


def test_sound_data(tmp_path: Path) -> None:
    assert problems(own_data(tmp_path)) == []


@pytest.mark.parametrize(("trajectories", "overrides"), [(1, ()), (3, ("split.test=0",))])
def test_data_without_test_frames(tmp_path: Path, trajectories: int, overrides: tuple[str, ...]) -> None:
    path = own_data(tmp_path, trajectories=trajectories)
    (found,) = problems(path, *overrides)
    assert "data.0: no frames to test the model on" in found
    assert problems(path, *overrides, "pretrain=null") == []  # nothing is tested


def test_cif_that_no_neutral_cell_can_meet(tmp_path: Path) -> None:
    (tmp_path / "mine.cif").write_text(CIF)
    path = config(
        tmp_path, {**PLAIN, "type_map": ["Li", "S"], "systems": [{"name": "a", "structure": "mine.cif"}]}
    )
    found = [one for one in remarked(path) if one.startswith("systems.0")]
    assert any("the cell has Li8S4, but the structure asks for " in one and "Li7.88" in one for one in found), found


def test_site_disorder_that_the_cell_cannot_have(tmp_path: Path) -> None:
    path = config(tmp_path, {**PLAIN, "type_map": ["Li", "P", "S", "Cl"], "systems": [
        {"name": "a", "structure": "Li6PS5Cl", "site_disorder": 0.6}
    ]})
    assert remarked(path) == [
        "systems.0.site_disorder: the cell has 0.500, 0.600 was asked for: its number of sites allows no more; a "
        "larger `supercell` comes closer"
    ]


def test_neighbour_lists_for_other_elements(tmp_path: Path) -> None:
    path = config(tmp_path, {**PLAIN, "pretrain": {
        "preset": "se_e2_a-tiny", "overrides": {"model.descriptor.sel": [10, 10, 10]},
    }})
    (found,) = problems(path)
    assert "model.descriptor.sel has 3 entries, but type_map has 2 elements" in found
    assert problems(path, "pretrain.overrides={model.descriptor.sel: [10, 10]}") == []


def production(**md: object) -> dict[str, Any]:
    return {**PLAIN, "distill": {}, "md": {"temperatures_K": [600], **md}}


def test_production_cells(tmp_path: Path) -> None:
    (small,) = remarked(config(tmp_path, production()))
    assert small.startswith("md.supercell: the production cell of a is 5.1")
    assert "less than twice the cut-off of the student (6 A)" in small
    advised = small.rpartition("md.supercell: ")[2]
    assert remarked(config(tmp_path, production(supercell=json.loads(advised)))) == []
    (narrow,) = remarked(config(tmp_path, production(supercell=[3, 3, 3])),
                         "distill.student={preset: se_e2_a-tiny, overrides: {model.descriptor.rcut: 4.0}}",
                         "md.supercell=[2,3,3]")
    assert "15 A or more are advised, e.g. md.supercell: [3, 3, 3]" in narrow


def test_long_runs_with_a_network_for_trials(tmp_path: Path) -> None:
    path = config(tmp_path, production(supercell=[3, 3, 3], production_ps=200))
    (found,) = remarked(path, "labeler={kind: ase}")
    assert found.startswith("distill.student.preset: 'se_e2_a-tiny' is a network for trials")
    assert remarked(path, "labeler={kind: ase}", "distill.student.preset=se_e2_a") == []


@pytest.mark.parametrize("key", ["aimd", "md", "distill", "concurrent_learning"])
def test_time_steps_in_ps(tmp_path: Path, key: str) -> None:
    sections: dict[str, Any] = {
        "aimd": {"temperatures_K": [300]}, "md": {"temperatures_K": [600]}, "distill": {},
        "concurrent_learning": {"stages": [{"temperatures_K": [300]}]},
    }
    sections[key]["timestep_fs"] = 0.002
    found = [one for one in problems(config(tmp_path, {**PLAIN, **sections})) if f"{key}.timestep_fs" in one]
    assert any("must be at least 0.05 fs, not 0.002; LAMMPS (units metal) counts in ps: 0.002 ps = 2 fs" in one
               for one in found), found


def test_charges_that_are_not_the_formal_ones(tmp_path: Path) -> None:
    found = remarked(config(tmp_path, {**PLAIN, "conductivity": {"charges": {"Li": 2}}}))
    assert found == [
        "conductivity.charges.Li: +2 e, but the formal charge of Li is +1 e; conductivities are 4 times those with it",
        "conductivity: has no effect without a section `md`: no production MD is run",
    ]


def test_celsius_and_time_steps_on_the_command_line() -> None:
    with pytest.raises(InputError, match=r"--extrapolate-to-K 25: must be at least 100 K, not 25; 25 degrees Celsius "
                                         r"are 298\.15 K"):
        _checked(ConductivitySettings, extrapolate_to_K=[25])
    with pytest.raises(InputError, match=r"--timestep-fs 0\.002: must be at least 0\.05 fs.*0\.002 ps = 2 fs"):
        _checked(SourceOptions, timestep_fs=0.002)


@pytest.mark.parametrize(("section", "key", "value"), [("perturb", "strain", 3), ("split", "test", 20)])
def test_per_cent_instead_of_shares(tmp_path: Path, section: str, key: str, value: int) -> None:
    (found,) = problems(config(tmp_path, {**PLAIN, section: {key: value}}))
    assert f"it is a share: {value} % is {value / 100:g}" in found


def test_remarks_are_printed_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config(config(tmp_path, production()), [], as_json=False) == 0
    assert "less than twice the cut-off" in capsys.readouterr().err


def test_plan_of_data_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_config(own_data(tmp_path), [], tmp_path / "plan", as_json=False) == 0
    assert "user-data" in capsys.readouterr().out
    assert not (tmp_path / "plan" / "labels").exists()


def test_plan_of_a_model_only(tmp_path: Path) -> None:
    checkpoint(tmp_path / "m.pt", {"": ["Li"]})
    path = config(tmp_path, {"name": "x", "type_map": ["Li"], "pretrain": {"model": "m.pt"}})
    assert plan_config(path, [], tmp_path / "plan", as_json=False) == 0


def test_arrangements_that_are_not_there_or_miss_temperatures(tmp_path: Path) -> None:
    aimd = {"temperatures_K": [300, 600]}
    perturb = {"count": 2, "arrangements": 2}
    assert remarked(config(tmp_path, {**PLAIN, "perturb": perturb, "aimd": aimd})) == [
        "perturb.count: each arrangement sees only 1 of the 2 temperatures: the test set has some that training lacks; "
        "4 cells would cover all",
        "perturb.arrangements: a has 1: its trajectories are held out one by one",
    ]
    with pytest.raises(ConfigError, match=r"must be a multiple of arrangements \(2\), not 3"):
        load_checked(config(tmp_path, {**PLAIN, "perturb": {**perturb, "count": 3}}))
