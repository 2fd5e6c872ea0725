from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.md.data_file import atomic_masses, write_lammps_data
from dpa_sse.ops.md.lammps import (
    PartNames,
    Restart,
    Simulation,
    input_text,
)
from dpa_sse.ops.md.program import lammps_command
from dpa_sse.ops.md.trajectory import DumpReader, last_error, loop_speed, read_thermo

NUMBERS = {"temperature_K": 300.0, "timestep_fs": 2.0, "steps": 10, "dump_every": 5, "thermo_every": 5, "seed": 1}


def test_command_is_the_binary_not_a_wrapper():
    argv, environment = lammps_command()
    with Path(argv[0]).open("rb") as stream:
        assert stream.read(4) == b"\x7fELF"
    assert "LD_LIBRARY_PATH" in environment


def test_own_lammps(monkeypatch, tmp_path):
    monkeypatch.setenv("DPA_SSE_LMP", str(tmp_path / "lmp"))
    with pytest.raises(FatalError, match="not an executable"):
        lammps_command()
    (tmp_path / "lmp").touch(mode=0o755)
    assert lammps_command() == ([str(tmp_path / "lmp")], {})


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature_K", -1.0), ("temperature_K", float("nan")), ("timestep_fs", 0.0), ("steps", 0), ("seed", -3),
     ("pressure_GPa", float("inf")), ("ensemble", "nph\nshell rm")],
)
def test_only_sound_numbers_reach_an_input(key, value):
    with pytest.raises(InputError):
        Simulation(**{"ensemble": "nvt", **NUMBERS, key: value})


def test_elements_are_written_out():
    text = input_text(Simulation("npt", **NUMBERS), ["Li", "P", "S"], ["model_0.pth"])
    assert "pair_coeff * * Li P S\n" in text
    assert "mass 2 30.97" in text
    with pytest.raises(InputError, match="not chemical elements"):
        input_text(Simulation("npt", **NUMBERS), ["Li", "Xy; shell"], ["model_0.pth"])
    assert atomic_masses(["Li"]) == [pytest.approx(6.94)]


def test_several_models_give_a_deviation_and_a_restart_draws_no_velocities():
    simulation = Simulation("npt", **NUMBERS, deviation_every=5, restart_every=5, pressure_GPa=0.5)
    names = PartNames(deviation="d")
    text = input_text(simulation, ["Li"], ["a.pth", "b.pth"], start=Restart("part.001.state"), names=names)
    assert "pair_style deepmd a.pth b.pth out_file d out_freq 5" in text
    assert "iso 5000 5000" in text
    assert "read_restart part.001.state" in text
    assert "velocity" not in text


def test_elements_outside_the_type_map_are_refused(tmp_path):
    with pytest.raises(InputError, match="Ar"):
        write_lammps_data(tmp_path / "x", bulk("Ar", "fcc", a=5.3), ["Li", "S"])
    with pytest.raises(InputError, match="periodic"):
        write_lammps_data(tmp_path / "x", Atoms("Li", cell=[3, 3, 3], pbc=(True, True, False)), ["Li"])


@pytest.mark.parametrize("seed", range(4))
def test_data_file_keeps_all_distances(tmp_path, seed):
    """Also for left-handed and strongly tilted cells."""
    rng = np.random.default_rng(seed)
    cell = np.diag([6.0, 7.0, 8.0]) + rng.uniform(-3, 3, (3, 3))
    if seed % 2:
        cell[0] *= -1
    atoms = Atoms("Li3S2", cell=cell, pbc=True, positions=rng.uniform(0, 7, (5, 3)))
    write_lammps_data(tmp_path / "cell.data", atoms, ["S", "Cl", "Li"])
    from ase.io import read

    back = read(tmp_path / "cell.data", format="lammps-data", atom_style="atomic", units="metal")
    assert back.get_chemical_symbols() == atoms.get_chemical_symbols()
    assert back.get_all_distances(mic=True) == pytest.approx(atoms.get_all_distances(mic=True), abs=1e-9)
    assert abs(back.get_volume()) == pytest.approx(abs(atoms.get_volume()))


FRAME = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS xy xz yz pp pp pp
-1.0 4.0 1.0
0.0 4.0 -1.0
0.0 4.0 0.5
ITEM: ATOMS id element xu yu zu
1 Li 0.0 0.0 0.0
2 S 7.5 1.0 1.0
"""


def test_frames_of_a_growing_dump(tmp_path):
    path = tmp_path / "x.lammpstrj"
    reader = DumpReader(path)
    assert list(reader.frames()) == []
    first, second = FRAME.format(step=0), FRAME.format(step=5)
    path.write_text(first + second[:-1])
    frames = list(reader.frames())
    assert [frame.step for frame in frames] == [0]
    assert frames[0].cell == pytest.approx(np.array([[3.0, 0, 0], [1, 3.5, 0], [-1, 0.5, 4]]))
    assert frames[0].positions[1] - frames[0].positions[0] == pytest.approx([7.5, 1, 1])
    path.write_text(first + second)
    assert [frame.step for frame in reader.frames()] == [5]
    assert list(reader.frames()) == []


def test_foreign_dump_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_text(FRAME.format(step=0).replace("xu yu zu", "x y z"))
    with pytest.raises(FatalError, match="expected 'id element xu yu zu'"):
        list(DumpReader(path).frames())
    path.write_text("hello\n" * 20)
    with pytest.raises(FatalError, match="not a LAMMPS dump"):
        list(DumpReader(path).frames())


LOG = """LAMMPS
   Step          Time           Temp          Press          PotEng         TotEng         Volume        Density
         0   0              300            1.5           -1             -2             100            2
WARNING: something
        10   0.02           nan            1.5           -1             -2             100            2
Loop time of 2.0 on 1 procs for 10 steps with 2 atoms
   Step          Time           Temp          Press          PotEng         TotEng         Volume        Density
         0   0              301            1.5           -1             -2             100            2
         5   0.01           3"""


def test_log(tmp_path):
    path = tmp_path / "log"
    path.write_text(LOG)
    first, second = read_thermo(path)
    assert [row["step"] for row in first] == [0, 10]
    assert np.isnan(first[1]["temperature_K"])
    assert [row["temperature_K"] for row in second] == [301]
    assert loop_speed(path) == 5.0
    path.write_text(LOG + "\nERROR on proc 0: Lost atoms: original 2 current 1 (src/thermo.cpp:494)\n")
    assert last_error(path).startswith("Lost atoms")
