"""Every format gives the same displacements; damaged or ambiguous input is refused with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.readers.formats import open_trajectory
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

TYPES = ["Li", "P", "S"]


def displacements_of(path, timestep_fs=2.0, **options):
    chosen = SourceOptions(elements=TYPES, **options)
    return read_displacements(open_trajectory(path, chosen, timestep_fs), ["Li"])


@pytest.fixture(scope="module")
def expected(sample):
    """Displacement of Li relative to the framework, straight from the definition."""
    moves = sample.positions - sample.positions[0]
    relative = moves[:, :12] - moves[:, 12:].mean(axis=1, keepdims=True)
    return relative.transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("columns", "tolerance"),
    [
        ("id element xu yu zu", 1e-5), ("id type x y z", 1e-5), ("type id x y z ix iy iz", 1e-5),
        ("id type xs ys zs", 1e-4), ("element vx id zu yu xu", 1e-5),
    ],
)
def test_text_dump_columns(makers, sample, expected, tmp_path, columns, tolerance):
    displacements = displacements_of(makers.text(sample, tmp_path / "a.lammpstrj", columns))
    assert displacements.dt_ps == pytest.approx(0.1)
    assert displacements.volume_A3 == pytest.approx(np.linalg.det(makers.CELL))
    np.testing.assert_allclose(displacements.mobile, expected, atol=tolerance)


def test_text_dump_in_any_order_and_compressed(makers, sample, expected, tmp_path):
    displacements = displacements_of(makers.text(sample, tmp_path / "a.lammpstrj.gz", shuffle=True))
    np.testing.assert_allclose(displacements.mobile, expected, atol=1e-5)
    assert displacements.mobile_symbols == ["Li"] * 12


def test_binary_dump(makers, sample, expected, tmp_path):
    displacements = displacements_of(makers.binary(sample, tmp_path / "a.bin"))
    np.testing.assert_allclose(displacements.mobile, expected, atol=1e-5)
    assert displacements.dt_ps == pytest.approx(0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_wrapped(sample, expected, tmp_path, dtype, save):
    save(tmp_path / "a.npz", positions=sample.wrapped().astype(dtype), cells=sample.cells,
         symbols=np.array(sample.symbols), dt_ps=0.1)
    displacements = displacements_of(tmp_path / "a.npz", None)
    np.testing.assert_allclose(displacements.mobile, expected, atol=2e-5)


def ase_images(sample, positions):
    from ase import Atoms

    return [
        Atoms(sample.symbols, positions=frame, cell=cell, pbc=True)
        for frame, cell in zip(positions, sample.cells, strict=True)
    ]


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj", "a.xyz", "XDATCAR"])
def test_ase_formats(sample, expected, tmp_path, name):
    from ase.io import write

    path = tmp_path / name
    write(path, ase_images(sample, sample.wrapped()), format={"XDATCAR": "vasp-xdatcar", "a.xyz": "extxyz"}.get(name))
    displacements = displacements_of(path, 2.0, frame_every=50)
    np.testing.assert_allclose(displacements.mobile, expected, atol=1e-4)
    assert displacements.dt_ps == pytest.approx(0.1)


def test_xdatcar_numbers(sample, tmp_path):
    """Numbers 50, 100, ... are steps; 1, 2, ... may count frames, and then the interval must be given."""
    from ase.io import write

    path = tmp_path / "XDATCAR"
    write(path, ase_images(sample, sample.wrapped())[:200], format="vasp-xdatcar")
    with pytest.raises(InputError, match="--frame-every"):
        displacements_of(path, 2.0)
    assert displacements_of(path, 2.0, frame_every=1).dt_ps == pytest.approx(0.002)
    assert displacements_of(path, 2.0, frame_every=50).dt_ps == pytest.approx(0.1)
    text = path.read_text()
    for k in range(200, 0, -1):
        text = text.replace(f"configuration={k:6d}\n", f"configuration={k * 50:6d}\n")
    path.write_text(text)
    for every in (None, 50):
        displacements = displacements_of(path, 2.0, frame_every=every)
        assert (displacements.dt_ps, displacements.notes) == (pytest.approx(0.1), [])
    with pytest.raises(InputError, match="contradiction: --frame-every 10"):
        displacements_of(path, 2.0, frame_every=10)


def test_extxyz_steps_give_times(sample, tmp_path):
    from ase.io import write

    images = ase_images(sample, sample.wrapped())
    for k, atoms in enumerate(images):
        atoms.info["step"] = 25 * k
    write(tmp_path / "a.extxyz", images)
    assert displacements_of(tmp_path / "a.extxyz").dt_ps == pytest.approx(0.05)


def test_vasprun(sample, expected, tmp_path):
    lines = ['<?xml version="1.0" encoding="ISO-8859-1"?>', "<modeling>", "<incar>"]
    lines += ['<i name="POTIM">   2.5 </i>', "</incar>"]
    lines.append('<atominfo><atoms>30</atoms><array name="atoms"><dimension dim="1">ion</dimension>'
                 '<field type="string">element</field><field type="int">atomtype</field><set>')
    lines += [f"<rc><c>{s:2s}</c><c>1</c></rc>" for s in sample.symbols]
    lines.append("</set></array></atominfo>")
    reduced = np.einsum("tnc,tcd->tnd", sample.wrapped(), np.linalg.inv(sample.cells))

    def structure(t):
        rows = [f"<v> {' '.join(f'{x:.10f}' for x in v)} </v>" for v in sample.cells[t]]
        atoms = [f"<v> {' '.join(f'{x:.10f}' for x in v)} </v>" for v in reduced[t]]
        return ["<structure>", '<crystal><varray name="basis">', *rows, '</varray><i name="volume">1.0</i></crystal>',
                '<varray name="positions">', *atoms, "</varray></structure>"]

    zero = ["<v> 0.0 0.0 0.0 </v>"] * len(sample.symbols)
    energy = ['<energy><i name="e_fr_energy">-1.0</i><i name="e_0_energy">-1.0</i></energy>']
    initial = structure(0)
    lines += ['<structure name="initialpos">', *initial[1:]]
    for t in range(60):
        lines += ["<calculation><scstep>", *energy, "</scstep>", *structure(t), '<varray name="forces">', *zero,
                  "</varray>", *energy, "</calculation>"]
    lines.append("</modeling>")
    path = tmp_path / "vasprun.xml"
    path.write_text("\n".join(lines))
    displacements = displacements_of(path, None)
    assert displacements.dt_ps == pytest.approx(2.5e-3)
    np.testing.assert_allclose(displacements.mobile, expected[:, :, :60], atol=1e-5)


def test_cp2k_xyz_with_cell_file(sample, expected, tmp_path):
    with (tmp_path / "run-pos-1.xyz").open("w") as out, (tmp_path / "run-1.cell").open("w") as cells:
        cells.write("#   Step   Time [fs]   Ax Ay Az Bx By Bz Cx Cy Cz Volume\n")
        for t, (frame, cell) in enumerate(zip(sample.positions, sample.cells, strict=True)):
            out.write(f"{len(frame)}\n i = {t * 50:8d}, time = {t * 100.0:12.3f}, E = -10.0\n")
            atoms = zip(sample.symbols, frame, strict=True)
            out.writelines(f"{s} {x:.10f} {y:.10f} {z:.10f}\n" for s, (x, y, z) in atoms)
            cells.write(f"{t * 50} {t * 100.0} {' '.join(f'{v:.10f}' for v in cell.ravel())} 2730.0\n")
    displacements = displacements_of(tmp_path / "run-pos-1.xyz", None)
    assert displacements.dt_ps == pytest.approx(0.1)
    np.testing.assert_allclose(displacements.mobile, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["a.dcd", "a.xtc"])
def test_dcd_and_xtc(sample, expected, tmp_path, name):
    import MDAnalysis
    from ase.io import write

    write(tmp_path / "top.extxyz", ase_images(sample, sample.positions)[0])
    universe = MDAnalysis.Universe.empty(len(sample.symbols), trajectory=True)
    with MDAnalysis.Writer(str(tmp_path / name), len(sample.symbols), dt=0.1) as writer:
        for t, frame in enumerate(sample.wrapped()):
            universe.atoms.positions = frame
            universe.dimensions = MDAnalysis.lib.mdamath.triclinic_box(*sample.cells[t])
            universe.trajectory.ts.frame = t
            universe.trajectory.ts.time = t * 0.1
            writer.write(universe.atoms)
    timestep = 2.0 if name == "a.dcd" else None
    displacements = displacements_of(tmp_path / name, timestep, topology=str(tmp_path / "top.extxyz"), frame_every=50)
    assert displacements.dt_ps == pytest.approx(0.1, rel=1e-3)
    np.testing.assert_allclose(displacements.mobile, expected, atol=1e-4 if name == "a.dcd" else 0.02)


def test_ase_reads_the_same_dump(makers, sample, tmp_path):
    """The fast reader against ASE's own."""
    from ase.io import read

    path = makers.text(sample, tmp_path / "a.lammpstrj", "id element x y z", digits=17)
    chunk = next(iter(open_trajectory(path, SourceOptions(), 2.0).chunks))
    theirs = read(path, index=5, format="lammps-dump-text")
    np.testing.assert_allclose(chunk.positions[5], theirs.positions, rtol=5e-16)
    np.testing.assert_allclose(chunk.cells[5], np.array(theirs.cell), atol=1e-12)


def test_numbers_of_the_text_parser(tmp_path):
    """Signs, exponents, long mantissas and integers are parsed as Python does."""
    words = ["-1.25e+01", "3", "1e-7", "+0.000123456789012345", "12345.678901234567", "-.5", "7.", "1E3", "0", "-0.0",
             "9007199254740993", "1.7976931348623157e+300"]
    words += [repr(float(x)) for x in np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100)]
    words += ["0"] * (-len(words) % 3)
    rows = [words[k : k + 3] for k in range(0, len(words), 3)]
    body = "".join(f"{i + 1} Li {' '.join(row)}\n" for i, row in enumerate(rows))
    head = f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(rows)}\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    (tmp_path / "a.dump").write_text(f"{head}ITEM: ATOMS id element xu yu zu\n{body}")
    chunk = next(iter(open_trajectory(tmp_path / "a.dump", SourceOptions(), 1.0).chunks))
    expected = np.array([float(word) for word in words]).reshape(-1, 3)
    np.testing.assert_allclose(chunk.positions[0], expected, rtol=5e-16)


def test_frames_larger_than_the_buffer(makers, tmp_path, monkeypatch):
    from dpa_sse.ops.conductivity.readers import lammps_text as lammps

    monkeypatch.setattr(lammps, "_BUFFER", 700)
    small = makers.sample(n_frames=40)
    displacements = displacements_of(makers.text(small, tmp_path / "a.dump"))
    assert displacements.n_frames == 40


def test_incomplete_last_frame_is_left_out(makers, sample, expected, tmp_path):
    path = makers.text(sample, tmp_path / "a.dump")
    path.write_bytes(path.read_bytes()[:-300])
    displacements = displacements_of(path)
    assert (displacements.n_frames, displacements.left_out) == (299, {"cut at the end": 1})
    np.testing.assert_allclose(displacements.mobile, expected[:, :, :299], atol=1e-5)


def test_truncated_gzip_and_binary(makers, sample, tmp_path):
    packed = makers.text(sample, tmp_path / "a.dump.gz")
    packed.write_bytes(packed.read_bytes()[:-5000])
    displacements = displacements_of(packed)
    assert 200 < displacements.n_frames < 300
    binary = makers.binary(sample, tmp_path / "a.bin")
    binary.write_bytes(binary.read_bytes()[:-100])
    displacements = displacements_of(binary)
    assert (displacements.n_frames, displacements.left_out) == (299, {"cut at the end": 1})


def later(text, old, new):
    """Change the first occurrence in the second half."""
    half = len(text) // 2
    assert old in text[half:]
    return text[:half] + text[half:].replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace("ATOMS id element", "ATOMS mass element"), "no `id` column"),
        (lambda t: t.replace("xu yu zu", "vx vy vz"), "no position columns"),
        (lambda t: t.replace("ATOMS id element", "ATOMS id mass"), "neither an `element` nor a `type`"),
        (lambda t: "hello\n" * 20, "unknown kind"),
        (lambda t: t.replace("\n30 S", "\n29 S", 1), "duplicate atom id"),
        (lambda t: later(t, "\n30 S", "\n31 S"), "ids at step"),
        (lambda t: later(t, "NUMBER OF ATOMS\n30", "NUMBER OF ATOMS\n29"), "29 atoms"),
        (lambda t: later(t, "xu yu zu", "x y z"), "columns change"),
    ],
)
def test_damaged_text_dumps_are_refused(makers, tmp_path, change, words):
    path = makers.text(makers.sample(n_frames=60), tmp_path / "a.dump")
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=words):
        displacements_of(path)


@pytest.mark.parametrize("end", [" nan", "", " 1.2.3", " 4e"])
def test_a_frame_with_a_bad_number_is_left_out(makers, tmp_path, end):
    """The longest part without the gap remains, and every frame of the file is accounted for."""
    path = makers.text(makers.sample(n_frames=60), tmp_path / "a.dump")
    lines = path.read_text().splitlines()
    lines[400] = lines[400].rsplit(" ", 1)[0] + end
    path.write_text("\n".join(lines) + "\n")
    displacements = displacements_of(path)
    assert displacements.left_out["broken"] == 1
    assert displacements.n_frames + sum(displacements.left_out.values()) == 60


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("a.npz", b"PK nonsense", {}, "npz"), ("a.unknown", b"hello", {}, "unknown kind"),
        ("a.bin",
         b"\xf6\xff\xff\xff\xff\xff\xff\xffDUMPCUSTOM" + bytes([1, 0, 0, 0, 1]) + b"\0" * 67, {}, "revision 1"),
        ("a.dcd", b"xx", {}, "unknown kind"), ("a.xyz", b"three\n\n", {}, "unknown kind"),
        ("a.traj", b"xx", {}, "traj"),
        ("b.dump", b"", {}, "empty"),
    ],
)
def test_files_that_are_not_trajectories(tmp_path, name, content, options, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        displacements_of(tmp_path / name, **options)


def test_types_need_elements(makers, sample, tmp_path):
    path = makers.text(sample, tmp_path / "a.dump", "id type xu yu zu")
    with pytest.raises(InputError, match="--elements"):
        open_trajectory(path, SourceOptions(), 2.0)
    with pytest.raises(InputError, match="atom type 3"):
        open_trajectory(path, SourceOptions(elements=["Li", "P"]), 2.0)


def test_time_must_be_known(makers, sample, tmp_path):
    path = makers.text(sample, tmp_path / "a.dump")
    with pytest.raises(InputError, match="--timestep-fs"):
        read_displacements(open_trajectory(path, SourceOptions(), None), ["Li"])


def test_xyz_needs_a_cell(tmp_path):
    (tmp_path / "a.xyz").write_text("2\ncomment\nLi 0 0 0\nS 1 1 1\n" * 20)
    with pytest.raises(InputError, match="--cell"):
        displacements_of(tmp_path / "a.xyz", 2.0)
    displacements = displacements_of(tmp_path / "a.xyz", 2.0, frame_every=1, cell=[5, 5, 5, 90, 90, 90])
    assert displacements.n_frames == 20


def test_changing_atoms_without_ids_are_refused(sample, tmp_path):
    from ase.io import write

    images = ase_images(sample, sample.wrapped())
    images[7] = images[7][::-1]
    write(tmp_path / "a.extxyz", images)
    with pytest.raises(InputError, match="order of the atoms changes"):
        displacements_of(tmp_path / "a.extxyz")
