"""Files of other programs: the time axis, units, labels, compression, and runs that were cut, continued or repeated."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess

import numpy as np
import pytest

from dpa_sse.ops.conductivity.analyse import analyse
from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.readers.formats import kind_of, open_trajectory
from dpa_sse.ops.conductivity.readers.species import element_of
from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.core.errors import InputError

PLAIN = ConductivitySettings(figures=False)


@pytest.fixture(scope="module")
def run(makers):
    """Frames 0.1 ps, 50 steps of 2 fs, apart, in an orthogonal cell."""
    return makers.sample(n_frames=120, n_li=12, D=0.2, cell=np.diag([14.0, 13.0, 15.0]), drift=0.0)


def read(path, timestep_fs=2.0, **options):
    return read_displacements(open_trajectory(path, SourceOptions(**options), timestep_fs), ["Li"])


def verdict(paths, **options):
    found = analyse(paths, PLAIN, SourceOptions(**{"temperature_K": 700.0, "timestep_fs": 2.0, **options}))
    return found.result.runs


def xyz(run, path, comment, frames=None, names=None, lattice=True):
    cell = f'Lattice="{" ".join(f"{x:g}" for x in run.cells[0].ravel())}" Properties=species:S:1:pos:R:3 '
    text = ""
    for t in range(len(run.positions)) if frames is None else frames:
        text += f"{len(run.symbols)}\n{cell if lattice else ''}{comment(t)}\n"
        rows = zip(run.symbols, run.positions[t], strict=True)
        text += "".join(f"{(names or {}).get(s, s)} {x:.6f} {y:.6f} {z:.6f}\n" for s, (x, y, z) in rows)
    path.write_text(text)
    return path


def xdatcar(run, numbers, frames=None, names="Li P S", mark="Direct configuration="):
    cell = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in run.cells[0])
    counts = " ".join(str(run.symbols.count(name)) for name in ("Li", "P", "S"))
    text = f"title\n 1.0\n{cell}\n{names}\n{counts}\n"
    for number, t in zip(numbers, range(len(run.positions)) if frames is None else frames, strict=False):
        reduced = (run.positions[t] @ np.linalg.inv(run.cells[0])) % 1.0
        text += f"{mark}{number}\n" + "".join(" ".join(f"{x:.8f}" for x in row) + "\n" for row in reduced)
    return text


@pytest.mark.parametrize(
    ("comment", "timestep_fs", "every"),
    [
        (lambda t: f"Timestep={t * 50}", 2.0, None), (lambda t: f"step={t * 50}", 2.0, None),
        (lambda t: f"time_fs={t * 100.0}", 2.0, None), (lambda t: f"time_ps={t * 0.1:.3f}", None, None),
        (lambda t: f"Timestep={t * 50} Time={t * 0.1:.3f}", 2.0, None),
        (lambda t: f"Timestep={t * 50} Time={t * 100.0:.3f}", 2.0, None),
        (lambda t: f"Time={t * 100.0}", 2.0, 50), (lambda t: f"time={t * 0.1:.4f}", 2.0, 50), (lambda t: "", 2.0, 50),
    ],
)
def test_what_extended_xyz_says_is_the_time(run, tmp_path, comment, timestep_fs, every):
    path = xyz(run, tmp_path / "a.extxyz", comment)
    assert read(path, timestep_fs, frame_every=every).dt_ps == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("comment", "timestep_fs", "every", "words"),
    [
        (lambda t: "", 2.0, None, "--frame-every"), (lambda t: f"Time={t * 100.0}", 2.0, None, "no unit"),
        (lambda t: f"Timestep={t * 50}", None, None, "--timestep-fs"),
        (lambda t: f"Timestep={t * 50}", 2.0, 10, "contradiction"),
        (lambda t: f"time_ps={t * 0.1}", 2.0, 10, "contradiction"),
        (lambda t: f"step={t * 50} time_ps={t * 0.1}", 1.0, None, "contradiction"),
        (lambda t: f"Timestep={t * 50} Time={t * 7.0}", 2.0, None, "contradiction"),
        (lambda t: f"time_ps={t * 0.1}" if t % 3 else "", 2.0, None, "have no|unit"),
        (lambda t: "step=5", 2.0, None, "--frame-every"),
    ],
)
def test_an_unknown_or_contradicting_time_is_refused(run, tmp_path, comment, timestep_fs, every, words):
    path = xyz(run, tmp_path / "a.extxyz", comment)
    with pytest.raises(InputError, match=words):
        read(path, timestep_fs, frame_every=every)


def headed(text, run, head):
    """Put items before every ITEM: TIMESTEP."""
    parts = text.split("ITEM: TIMESTEP")
    return "".join(head(k) + "ITEM: TIMESTEP" + part for k, part in enumerate(parts[1:]))


@pytest.mark.parametrize(
    ("name", "per_length", "per_time"),
    [("metal", 1, 1), ("real", 1, 1e3), ("electron", 1 / 0.529177210903, 1e3), ("si", 1e-10, 1e-12),
     ("nano", 0.1, 1e-3)],
)
def test_units_and_times_of_lammps(makers, run, tmp_path, name, per_length, per_time):
    """Uneven steps and even times, as with a variable time step; lengths in the units of the run."""
    scaled = makers.Sample(run.positions * per_length, run.cells * per_length, run.symbols)
    steps = np.cumsum(np.random.default_rng(0).integers(40, 61, len(run.positions)))
    path = makers.text(scaled, tmp_path / "a.lammpstrj", steps=steps)
    text = path.read_text()
    path.write_text(headed(text, run, lambda k: ("ITEM: UNITS\n" + name + "\n") * (k == 0)
                           + f"ITEM: TIME\n{k * 0.1 * per_time:.9g}\n"))
    found, expected = read(path, None), read(makers.text(run, tmp_path / "b.lammpstrj"))
    assert found.dt_ps == pytest.approx(0.1)
    np.testing.assert_allclose(found.mobile, expected.mobile, atol=1e-4)
    assert found.volume_A3 == pytest.approx(expected.volume_A3)


def test_reduced_units_and_contradicting_times_are_refused(makers, run, tmp_path):
    path = makers.text(run, tmp_path / "a.lammpstrj")
    text = path.read_text()
    path.write_text("ITEM: UNITS\nlj\n" + text)
    with pytest.raises(InputError, match="ITEM: UNITS lj"):
        read(path)
    path.write_text(headed(text, run, lambda k: f"ITEM: UNITS\nmetal\nITEM: TIME\n{k * 0.025}\n"))
    assert read(path, None).dt_ps == pytest.approx(0.025)
    with pytest.raises(InputError, match=r"say 0\.5 fs"):
        read(path, 2.0)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("name", ["XDATCAR", "a.lammpstrj", "a.extxyz"])
def test_compressed_files_say_the_same(makers, run, tmp_path, kind, name):
    path = tmp_path / name
    if name == "XDATCAR":
        path.write_text(xdatcar(run, range(50, 100000, 50)))
    elif name == "a.extxyz":
        xyz(run, path, lambda t: f"step={50 * t}")
    else:
        makers.text(run, path)
    plain = read(path)
    packed = path.with_name(f"{name}.{kind}")
    if kind == "zst":
        if shutil.which("zstd") is None:
            packed.write_bytes(b"\x28\xb5\x2f\xfd")
            with pytest.raises(InputError, match="zstd"):
                read(packed)
            return
        subprocess.run(["zstd", "-q", str(path), "-o", str(packed)], check=True)
    else:
        packed.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[kind].compress(path.read_bytes()))
    found = read(packed)
    assert found.dt_ps == plain.dt_ps == pytest.approx(0.1)
    np.testing.assert_array_equal(found.mobile, plain.mobile)


def test_the_content_tells_the_kind(makers, run, tmp_path):
    files = {
        "dump.xyz": ("lammps", makers.text(run, tmp_path / "x.dump").read_text()),
        "LLZO_700K_XDATCAR": ("xdatcar", xdatcar(run, range(1, 500))),
        "a.xdatcar": ("xdatcar", xdatcar(run, range(1, 9))),
        "old": ("xdatcar", xdatcar(run, range(1, 500), mark="Konfig=")), "poscar": (None, "Li\n1.0\n" + "1 0 0\n" * 3),
        "notes.txt": (None, "hello\n"),
    }
    for name, (kind, text) in files.items():
        (tmp_path / name).write_text(text)
        assert kind_of(tmp_path / name) == kind, name


@pytest.mark.parametrize("names", ["Li_sv P S", "Li/a1b2c3 P/ff S/01", "Li+ P5+ S2-"])
def test_labels_of_species(run, tmp_path, names):
    (tmp_path / "XDATCAR").write_text(xdatcar(run, range(50, 100000, 50), names=names))
    assert read(tmp_path / "XDATCAR").counts == {"Li": 12, "P": 4, "S": 14}


def test_elements_are_never_guessed():
    known = {"Li": "Li", "Li_sv": "Li", "S2-": "S", "D": "H", "T": "H", "Cl1": "Cl"}
    assert {label: element_of(label) for label in known} == known
    assert [element_of(label) for label in ("SN", "LI", "CL1", "Xx", "Type_0", "li", "1", "", "Lithium")] == [None] * 9


def test_stars_continue_the_numbers(run, tmp_path):
    numbers = [f"{n:6d}" if n < 1_000_000 else "******" for n in range(997_000, 1_003_000, 50)]
    (tmp_path / "XDATCAR").write_text(xdatcar(run, numbers))
    found = read(tmp_path / "XDATCAR")
    assert (found.n_frames, found.dt_ps) == (120, pytest.approx(0.1))
    assert any("60 frames have stars" in note for note in found.notes)


def test_restarts_in_one_file(makers, run, tmp_path):
    """Numbers that start again, repeated frames, a kill in mid-frame: one run; two runs are refused."""
    whole = read(makers.text(run, tmp_path / "whole.lammpstrj"))
    parts = {}
    for name, frames, first in (("a", slice(0, 60), 0), ("b", slice(30, 120), 30), ("c", slice(60, 120), 0)):
        part = makers.Sample(run.positions[frames], run.cells[frames], run.symbols)
        steps = (first + np.arange(len(part.positions))) * 50
        parts[name] = makers.text(part, tmp_path / f"{name}.lammpstrj", steps=steps).read_text()
    for text, left_out in (
        (parts["a"] + parts["b"], {"repeated at a restart": 30}), (parts["a"] + parts["c"], {}),
        (parts["a"][:-500] + parts["b"], {"broken": 1, "repeated at a restart": 29}),
    ):
        (tmp_path / "joined.lammpstrj").write_text(text)
        found = read(tmp_path / "joined.lammpstrj")
        assert found.left_out == left_out
        assert any("joined" in note for note in found.notes)
        np.testing.assert_allclose(found.mobile, whole.mobile, atol=1e-5)
    other = makers.sample(n_frames=60, seed=99, cell=run.cells[0])
    stranger = makers.text(other, tmp_path / "d.lammpstrj").read_text()
    for text in (parts["a"] + stranger, parts["a"] + parts["a"]):
        (tmp_path / "two.lammpstrj").write_text(text)
        with pytest.raises(InputError, match="a separate file"):
            read(tmp_path / "two.lammpstrj")


def test_one_run_in_several_files(makers, run, tmp_path):
    whole = read(makers.text(run, tmp_path / "whole_700K.lammpstrj"))
    chain, single = tmp_path / "chain_700K", tmp_path / "frames_700K"
    for folder, length in ((chain, 30), (single, 1)):
        folder.mkdir()
        for k in range(0, 120 if length > 1 else 40, length):
            frames = slice(k, k + length + (length > 1))
            part = makers.Sample(run.positions[frames], run.cells[frames], run.symbols)
            steps = (k + np.arange(len(part.positions))) * 50
            makers.text(part, folder / f"part{k}.lammpstrj", steps=steps)
    for folder, count in ((chain, 120), (single, 40)):
        runs = verdict([folder], temperature_K=None)
        assert [one.n_frames for one in runs] == [count]
        assert any("files joined" in reason for reason in runs[0].reasons)
        assert runs[0].length_ps == pytest.approx((count - 1) * 0.1)
    assert whole.n_frames == 120


def test_replicas_are_not_joined(makers, tmp_path):
    paths = [
        makers.text(makers.sample(n_frames=100, seed=seed), tmp_path / f"r{seed}_700K.lammpstrj") for seed in (1, 2, 3)
    ]
    assert len(verdict(paths)) == 3


def test_one_run_in_two_formats_counts_once(makers, run, tmp_path):
    folder = tmp_path / "a_700K"
    folder.mkdir()
    makers.text(run, folder / "a.lammpstrj")
    (folder / "XDATCAR").write_text(xdatcar(run, range(0, 100000, 50), frames=range(110)))
    found = analyse([folder], PLAIN, SourceOptions(timestep_fs=2.0)).result.temperatures[0]
    assert found.n_runs == 1
    assert any("copy of the same run" in reason for reason in found.reasons)


def test_sparse_cells_of_cp2k_are_interpolated(run, tmp_path):
    path = xyz(run, tmp_path / "x-pos-1.xyz", lambda t: f" i = {t * 50}, time = {t * 100.0}, E = -1", lattice=False)
    scale = 1 + 0.001 * np.arange(120)
    rows = [f"{t * 50} {t * 100.0} " + " ".join(f"{x:.9f}" for x in (run.cells[0] * scale[t]).ravel()) + " 1.0\n"
            for t in range(0, 120, 10)]
    (tmp_path / "x-1.cell").write_text("# Step Time Ax\n" + "".join(rows))
    found = read(path, None)
    assert found.left_out == {"without a cell in the .cell file": 9}
    expected = np.linalg.det(run.cells[0]) * (scale[:111] ** 3).mean()
    assert found.volume_A3 == pytest.approx(expected, rel=1e-5)
    assert any("interpolated" in note for note in found.notes)


def test_temperatures_of_the_input_file_are_used_and_compared(run, tmp_path):
    (tmp_path / "XDATCAR").write_text(xdatcar(run, range(1, 1000)))
    (tmp_path / "INCAR").write_text("title\nIBRION = 0\nPOTIM = 2.0 ; NBLOCK = 50 # of them\nTEBEG = 650\n")
    one = verdict([tmp_path], temperature_K=None, timestep_fs=None)[0]
    assert (one.temperature_K, one.dt_ps) == (650.0, pytest.approx(0.1))
    assert "TEBEG = 650 K" in verdict([tmp_path], timestep_fs=None)[0].verdict
    (tmp_path / "INCAR").write_text("IBRION = 0\nPOTIM = 2.0\nNBLOCK = 50\nTEBEG = 300\nTEEND = 600\n")
    assert "from 300 to 600 K" in verdict([tmp_path], temperature_K=None, timestep_fs=None)[0].verdict


def test_lost_image_flags_are_repaired_on_request(makers, run, tmp_path):
    lost = run.positions.copy()
    shift = np.floor(run.positions[60] @ np.linalg.inv(run.cells[0])) + np.array([1, 0, 0])
    lost[60:] -= shift @ run.cells[0]
    path = makers.text(makers.Sample(lost, run.cells, run.symbols), tmp_path / "a.lammpstrj")
    assert any("--wrapped" in problem for problem in read(path).problems)
    repaired = read(path, wrapped=True)
    assert repaired.problems == []
    whole = read(makers.text(run, tmp_path / "b.lammpstrj"))
    np.testing.assert_allclose(repaired.mobile, whole.mobile, atol=1e-5)


def test_default_elements_of_lammps_give_way_to_types(makers, run, tmp_path):
    path = makers.text(run, tmp_path / "a.lammpstrj", "id type element xu yu zu")
    text = path.read_text()
    for name in ("Li", "P", "S"):
        text = text.replace(f" {name} ", " C ")
    path.write_text(text)
    assert read(path, elements=["Li", "P", "S"]).counts == {"Li": 12, "P": 4, "S": 14}
    with pytest.raises(InputError, match="'LI' is not an element"):
        read(path, elements=["LI", "P", "S"])
    path.write_text(text.replace("element", "typelabel").replace(" C ", " Li "))
    with pytest.raises(InputError, match="contradicts"):
        read(path, elements=["Li", "P", "S"])


def test_a_lammps_data_file_gives_elements(run, tmp_path):
    from dpa_sse.ops.conductivity.readers.topology import read_elements

    kinds = {"Li": 1, "P": 2, "S": 3}
    atoms = "".join(f"{k + 1} {kinds[name]} 0 0 0\n" for k, name in enumerate(run.symbols))
    head = "title\n\n30 atoms\n3 atom types\n0 14 xlo xhi\n\n"
    data = tmp_path / "start.data"
    data.write_text(f"{head}Masses\n\n1 6.94\n2 30.974\n3 32.06\n\nAtoms # atomic\n\n{atoms}")
    assert read_elements(data, SourceOptions(topology=str(data)), 30)[0] == run.symbols
    data.write_text(f"{head}Atoms # atomic\n\n{atoms}")
    options = SourceOptions(topology=str(data), elements=["Li", "P", "S"])
    assert read_elements(data, options, 30)[0] == run.symbols
    with pytest.raises(InputError, match="--elements"):
        read_elements(data, SourceOptions(topology=str(data)), 30)
    with pytest.raises(InputError, match="31 atoms"):
        read_elements(data, options, 31)
