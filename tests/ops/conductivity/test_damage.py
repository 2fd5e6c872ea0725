"""Damaged trajectories: a clear refusal or a result, never a traceback; a cut file gives what the whole one does."""

from __future__ import annotations

import gzip
import time

import numpy as np
import pytest

from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.readers.formats import open_trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

FRAMES, FEW = 16, 50
KINDS = ("a.lammpstrj", "a.lammpstrj.gz", "a.bin", "a.extxyz", "x-pos-1.xyz", "XDATCAR", "vasprun.xml", "a.traj",
         "a.npz", "a.dcd", "a.xtc")


@pytest.fixture(scope="module")
def files(makers, tmp_path_factory):
    """Return one small run in every kind of file, and a structure with its elements."""
    from ase import Atoms
    from ase.io import write

    folder = tmp_path_factory.mktemp("sound")
    run = makers.sample(n_frames=FRAMES, n_li=3, cell=np.diag([14.0, 13.0, 15.0]), drift=0.0)
    run.positions, run.symbols = run.positions[:, :8], run.symbols[:8]
    images = [Atoms(run.symbols, p, cell=run.cells[0], pbc=True, info={"step": 50 * t})
              for t, p in enumerate(run.positions)]
    makers.text(run, folder / "a.lammpstrj")
    (folder / "a.lammpstrj.gz").write_bytes(gzip.compress((folder / "a.lammpstrj").read_bytes()))
    makers.binary(run, folder / "a.bin")
    write(folder / "a.extxyz", images)
    write(folder / "a.traj", images)
    write(folder / "top.extxyz", images[0])
    write(folder / "XDATCAR", images, format="vasp-xdatcar")
    np.savez(folder / "a.npz", positions=run.positions, cells=run.cells, symbols=np.array(run.symbols), dt_ps=0.1)
    lines = []
    for t, frame in enumerate(run.positions):
        lines.append(f"{len(frame)}\n i = {t * 50}, time = {t * 100.0}, E = -1.0\n")
        lines += [f"{s} {x:.6f} {y:.6f} {z:.6f}\n" for s, (x, y, z) in zip(run.symbols, frame, strict=True)]
    (folder / "x-pos-1.xyz").write_text("".join(lines))
    cell = "".join(f"<v> {' '.join(map(str, row))} </v>" for row in run.cells[0])
    text = '<modeling><incar><i name="POTIM">100.0</i></incar><atominfo><array name="atoms"><set>\n'
    text += "\n".join(f"<rc><c>{name}</c><c>1</c></rc>" for name in run.symbols) + "\n</set></array></atominfo>\n"
    for frame in run.positions @ np.linalg.inv(run.cells[0]):
        rows = "\n".join(f"<v> {' '.join(f'{x:.8f}' for x in row)} </v>" for row in frame)
        text += f'<calculation><structure><crystal><varray name="basis">{cell}</varray></crystal>\n'
        text += f'<varray name="positions">\n{rows}\n</varray></structure></calculation>\n'
    (folder / "vasprun.xml").write_text(text + "</modeling>\n")
    for name in ("a.dcd", "a.xtc"):
        _write_binary(run, folder / name)
    return folder


def _write_binary(run, path):
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(len(run.symbols), trajectory=True)
    with MDAnalysis.Writer(str(path), len(run.symbols), dt=0.1) as writer:
        for frame in run.positions:
            universe.trajectory.ts.time = 0.1 * universe.trajectory.ts.frame
            universe.atoms.positions = frame
            universe.dimensions = [14.0, 13.0, 15.0, 90.0, 90.0, 90.0]
            writer.write(universe.atoms)


def read(path, folder):
    every = 50 if path.name in {"XDATCAR", "a.dcd", "a.xtc"} else None
    step = None if path.name == "vasprun.xml" else 2.0
    options = SourceOptions(
        elements=["Li", "P", "S"] if path.name == "a.bin" else None, frame_every=every,
        topology=str(folder / "top.extxyz"), cell=[14.0, 13.0, 15.0, 90.0, 90.0, 90.0],
    )
    return read_displacements(open_trajectory(path, options, step), ["Li"])


def attempt(path, folder):
    """Return displacements, or None for a refusal; anything else fails the test."""
    start = time.process_time()
    try:
        return read(path, folder)
    except InputError:
        return None
    finally:
        assert time.process_time() - start < 10


def changed(data, rng):
    """Damage a file: lines swapped, dropped or repeated, digits and bytes replaced, a piece cut out."""
    kind = rng.integers(6)
    lines = data.split(b"\n")
    one, other = rng.integers(len(lines), size=2)
    if kind == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 1:
        del lines[one]
    elif kind == 2:
        lines.insert(other, lines[one])
    elif kind == 3:
        words = lines[one].split(b" ")
        words[rng.integers(len(words))] = rng.choice([b"nan", b"*****", b"1e999", b"-7", b"", b"x", b"99999999999999"])
        lines[one] = b" ".join(words)
    elif kind == 4:
        raw = bytearray(data)
        for place in rng.integers(len(raw), size=rng.integers(1, 4)):
            raw[place] = rng.integers(256)
        return bytes(raw)
    else:
        start, stop = np.sort(rng.integers(len(data), size=2))
        return data[:start] + data[stop:]
    return b"\n".join(lines)


def cut_anywhere(files, tmp_path, name, count):
    count = count // 10 if name == "a.xtc" else count  # each takes a process
    data, whole = (files / name).read_bytes(), read(files / name, files)
    path = tmp_path / name
    rng = np.random.default_rng(1)
    for size in rng.integers(len(data), size=count):
        path.write_bytes(data[:size])
        found = attempt(path, files)
        if found is not None:
            assert found.n_frames <= FRAMES, size
            assert found.dt_ps == pytest.approx(whole.dt_ps), size
            np.testing.assert_allclose(found.mobile, whole.mobile[:, :, : found.n_frames], atol=1e-4, err_msg=str(size))


def damaged_anywhere(files, tmp_path, name, count):
    count = count // 10 if name == "a.xtc" else count
    data, path = (files / name).read_bytes(), tmp_path / name
    rng = np.random.default_rng(2)
    for _ in range(count):
        path.write_bytes(changed(data, rng))
        found = attempt(path, files)
        if found is not None:
            assert np.isfinite(found.mobile).all()
            assert found.dt_ps > 0


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_file_gives_the_frames_before_the_cut(files, tmp_path, name):
    cut_anywhere(files, tmp_path, name, FEW)


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_refused_or_survived(files, tmp_path, name):
    damaged_anywhere(files, tmp_path, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_many_damaged_files(files, tmp_path, name):
    """2000 cases for each reader."""
    cut_anywhere(files, tmp_path, name, 1000)
    damaged_anywhere(files, tmp_path, name, 1000)


@pytest.mark.parametrize("name", ["a.lammpstrj", "a.extxyz", "XDATCAR", "x-pos-1.xyz"])
def test_taken_and_left_out_are_the_whole_file(files, tmp_path, name):
    """One line of one frame is broken: frames taken and left out sum to those of the file."""
    lines = (files / name).read_bytes().split(b"\n")
    header = len(lines) // FRAMES + 8
    rng = np.random.default_rng(3)
    checked = 0
    for k in rng.integers(header, len(lines) - 2, size=40):
        if len(lines[k].split()) < 3 or b"=" in lines[k] or b"ITEM" in lines[k]:
            continue
        broken = [*lines[:k], lines[k].rsplit(b" ", 1)[0] + b" ?", *lines[k + 1 :]]
        (tmp_path / name).write_bytes(b"\n".join(broken))
        found = attempt(tmp_path / name, files)
        if found is not None:
            assert found.n_frames + sum(found.left_out.values()) == FRAMES
            checked += 1
    assert checked > 5


def test_a_damaged_last_header_does_not_lead_back(files, tmp_path):
    """Where it lacks `ITEM: TIMESTEP`, the last frame is left out; the frames before are read once."""
    data = (files / "a.lammpstrj").read_bytes()
    start = data.rfind(b"ITEM: TIMESTEP")
    for last in (b"ITEM: TIME\n", b"0\n", b"\n\nITEM: NUMBER\n"):
        path = tmp_path / "a.lammpstrj"
        path.write_bytes(data[:start] + last + data[start + 15 :])
        found = attempt(path, files)
        assert found is None or found.n_frames <= FRAMES - 1
