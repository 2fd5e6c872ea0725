"""All settings of the space groups, each stated in every way that files use; expected cells by spglib and by hand."""

import gemmi
import numpy as np
import pytest
import spglib

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.read import cif_cell

SITE = np.array([0.0917, 0.2231, 0.1379])
SETTINGS = list(gemmi.spacegroup_table())
CERTAIN = ("operations", "operations and symbol", "hall", "symbol and number")
UNSURE = ("bare symbol and number", "number")


def lattice(operations):
    """A lattice with the symmetry of the operations and, as far as possible, no other; 80 A3 for each of them."""
    metric = np.array([[400.0, 31.0, -27.0], [31.0, 529.0, 43.0], [-27.0, 43.0, 729.0]])
    turns = np.array([np.array(op.rot) // op.DEN for op in operations], float)
    cell = np.linalg.cholesky((np.transpose(turns, (0, 2, 1)) @ metric @ turns).mean(axis=0))
    return cell * (80.0 * len(turns) / np.linalg.det(cell)) ** (1 / 3)


def parameters(cell):
    lengths = np.linalg.norm(cell, axis=1)
    unit = cell / lengths[:, None]
    return [*lengths, *(np.degrees(np.arccos(unit[i] @ unit[j])) for i, j in ((1, 2), (0, 2), (0, 1)))]


def cif(cell, lines):
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = [f"_cell_{tag} {value:.6f}" for tag, value in zip(tags, parameters(cell), strict=True)]
    sites = ["loop_", "_atom_site_label", "_atom_site_type_symbol", *(f"_atom_site_fract_{axis}" for axis in "xyz"),
             "Li1 Li " + " ".join(map(str, SITE))]
    return "\n".join(["data_x", *head, *lines, *sites]) + "\n"


def statement(setting, how):
    operations = ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{op.triplet()}'" for op in setting.operations())]
    number = f"_symmetry_Int_Tables_number {setting.number}"
    return {
        "operations": operations,
        "operations and symbol": [f"_symmetry_space_group_name_H-M '{setting.xhm()}'", *operations],
        "hall": [f"_symmetry_space_group_name_Hall '{setting.hall}'"],
        "symbol and number": [f"_symmetry_space_group_name_H-M '{setting.xhm()}'", number],
        "bare symbol and number": [f"_space_group_name_H-M_alt '{setting.hm}'", number],
        "number": [number],
    }[how]


def expected(setting):
    """All images of the site: by spglib where its table has the Hall symbol, else as the operations say."""
    found = HALL_NUMBERS.get(setting.hall)
    if found is None:
        operations = setting.operations()
        return np.array([op.apply_to_xyz(SITE.tolist()) for op in operations]) % 1.0
    stored = spglib.get_symmetry_from_database(found)
    return (stored["rotations"] @ SITE + stored["translations"]) % 1.0


def hall_numbers():
    return {spglib.get_spacegroup_type(number).hall_symbol.replace("=", '"'): number for number in range(1, 531)}


HALL_NUMBERS = hall_numbers()


def outcome(path, setting, how):
    cell = lattice(list(setting.operations()))
    path.write_text(cif(cell, statement(setting, how)))
    try:
        read = cif_cell(path)
    except InputError:
        return "refused"
    wanted = expected(setting)
    found = read.positions @ np.linalg.inv(read.cell)
    if len(found) != len(wanted):
        return "wrong"
    difference = found[:, None] - wanted[None]
    difference -= np.rint(difference)
    near = np.abs(difference).max(axis=2) < 1e-5
    return "right" if (near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all() else "wrong"


def sweep(settings, tmp_path):
    return {
        (how, setting.xhm()): outcome(tmp_path / "a.cif", setting, how)
        for setting in settings for how in (*CERTAIN, *UNSURE)
    }


def check(outcomes):
    assert [key for key, result in outcomes.items() if result == "wrong"] == []
    assert [key for key, result in outcomes.items() if result == "refused" and key[0] in CERTAIN] == []


def test_every_ninth_setting(tmp_path):
    check(sweep(SETTINGS[::9], tmp_path))


@pytest.mark.slow
def test_all_settings(tmp_path):
    outcomes = sweep(SETTINGS, tmp_path)
    check(outcomes)
    read = [key for key, result in outcomes.items() if result == "right"]
    assert len(SETTINGS) == 564
    assert sum(key[0] == "number" for key in read) > 100
    assert sum(key[0] == "bare symbol and number" for key in read) > 400


def test_most_expected_cells_are_those_of_spglib():
    assert sum(setting.hall in HALL_NUMBERS for setting in SETTINGS) > 500
