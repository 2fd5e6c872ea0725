"""CP2K inputs and LAMMPS data files as structures, and what is wrong with bad ones."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import write

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.settings import SystemSettings

BOHR = 0.529177210903


def build(structure, base_dir=Path()):
    return build_cell(SystemSettings(name="sys", structure=structure), base_dir, 1)


@pytest.fixture(scope="module")
def crystal():
    return build("Li7P3S11")  # triclinic


def same(one, other):
    assert one.get_chemical_symbols() == other.get_chemical_symbols()
    assert np.allclose(one.get_all_distances(mic=True), other.get_all_distances(mic=True), atol=1e-5)


def cp2k(atoms, *, scaled=False, bohr=False):
    unit = BOHR if bohr else 1.0
    rows = atoms.get_scaled_positions() if scaled else atoms.positions
    vectors = "\n".join(
        f"{axis} {'[bohr] ' if bohr else ''}{' '.join(repr(float(x) / unit) for x in row)}"
        for axis, row in zip("ABC", atoms.cell.array, strict=True)
    )
    names = [symbol if symbol != "Li" else "LIA" for symbol in atoms.get_chemical_symbols()]
    lines = "\n".join(f"{n} {' '.join(repr(float(x)) for x in row)}" for n, row in zip(names, rows, strict=True))
    return (
        f"&GLOBAL\n PROJECT x\n&END GLOBAL\n&FORCE_EVAL\n&SUBSYS\n&CELL ! the cell\n{vectors}\n&END CELL\n&COORD\n"
        f"{'SCALED' if scaled else ''}\n{lines}\n&END COORD\n&KIND LIA\n ELEMENT Li\n&END KIND\n"
        "&END SUBSYS\n&END FORCE_EVAL\n"
    )


@pytest.mark.parametrize("options", [{}, {"scaled": True}, {"bohr": True}])
def test_cp2k(tmp_path, crystal, options):
    (tmp_path / "a.inp").write_text(cp2k(crystal, **options))
    same(build("a.inp", tmp_path), crystal)


def test_cp2k_with_lengths_angles_and_a_file(tmp_path, crystal):
    from ase.geometry.cell import cellpar_to_cell

    a, b, c, *angles = crystal.cell.cellpar()
    other = crystal.copy()
    other.set_cell(cellpar_to_cell(crystal.cell.cellpar()), scale_atoms=True)
    write(tmp_path / "coords.xyz", other, format="xyz")
    (tmp_path / "a.inp").write_text(
        f"&SUBSYS\n&CELL\nABC {a} {b} {c}\nALPHA_BETA_GAMMA {' '.join(map(str, angles))}\n&END\n&TOPOLOGY\n"
        "COORD_FILE_NAME ./coords.xyz\nCOORD_FILE_FORMAT XYZ\n&END\n&END SUBSYS\n"
    )
    same(build("a.inp", tmp_path), crystal)


def test_left_handed_lattice_vectors_are_exchanged(tmp_path, crystal):
    mirrored = crystal.copy()
    mirrored.set_cell(crystal.cell.array[[1, 0, 2]])
    write(tmp_path / "left.vasp", mirrored, format="vasp")
    atoms = build("left.vasp", tmp_path)
    assert np.linalg.det(atoms.cell.array) > 0
    same(atoms, mirrored)


@pytest.mark.parametrize("name", ["a.data", "a.lmp"])
def test_lammps(tmp_path, crystal, name):
    write(tmp_path / name, crystal, format="lammps-data", masses=True, specorder=["Li", "P", "S"])
    same(build(name, tmp_path), crystal)


def bad_files():
    salt = build("LiCl")
    good = cp2k(salt)
    return [
        ("empty.inp", "", "empty"),
        ("nocell.inp", good.replace("&CELL", "&CELLO"), "no CELL section"),
        ("nocoord.inp", good.replace("&COORD", "&COORDS"), "no COORD section"),
        ("numbers.inp", good.replace("[bohr]", "").replace("A 5", "A five"), "malformed"),
        ("element.inp", good.replace("ELEMENT Li", "ELEMENT Lx"), "unknown element"),
        ("slab.inp", good.replace("&END CELL", "PERIODIC XY\n&END CELL"), "PERIODIC"),
        ("nofile.inp", good.split("&COORD")[0] + "&TOPOLOGY\nCOORD_FILE_NAME x.xyz\n&END\n", "x.xyz is not"),
        ("twice.inp", good.replace("LIA 0.0 0.0 0.0", "LIA 0.0 0.0 0.0\nLIA 0.0 0.0 0.01"), "on top of each other"),
        ("nomass.data", None, "no Masses section"),
        ("mass.data", "mass", "no element has the mass"),
        ("cut.data", "cut", "not readable as lammps-data"),
    ]


@pytest.mark.parametrize(("name", "content", "message"), bad_files(), ids=[name for name, *_ in bad_files()])
def test_bad_files_are_refused_with_one_line(tmp_path, name, content, message):
    if name.endswith(".data"):
        write(tmp_path / name, build("LiCl"), format="lammps-data", masses=content is not None)
        text = (tmp_path / name).read_text()
        if content == "mass":
            text = text.replace("6.93", "999.")
        elif content == "cut":
            text = text[: len(text) - 60]
        (tmp_path / name).write_text(text)
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        build(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
