"""Each fault is found where it was put, sound data passes, and signs and units are judged without a calculator."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dpa_sse.ops.audit.consistency import check_bulk_modulus, check_consistency
from dpa_sse.ops.audit.duplicates import find_duplicates
from dpa_sse.ops.audit.frames import make_table
from dpa_sse.ops.audit.labels import check_distances, check_forces, fit_energies
from dpa_sse.ops.audit.run import audit_data
from dpa_sse.ops.audit.text import audit_text
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.writing import write_data
from dpa_sse.ops.labelers.mock import mock_energy
from dpa_sse.ops.results.audit import Audit, DuplicateNumbers
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.settings import SystemSettings

TYPE_MAP = ["Li", "S", "Cl"]
MOCK_SCALE = 0.89  # brings the cells to zero pressure of the mock potential


def label(atoms):
    return with_results(atoms, *mock_energy(atoms))


def walk(system, name, temperature, rng, frames=8):
    """A strained cell and a random walk from it, in steps as small as those of molecular dynamics."""
    atoms = build_cell(SystemSettings(name=system, structure=system), None, 1)
    strain = rng.uniform(-0.03, 0.03, (3, 3))
    atoms.set_cell(MOCK_SCALE * atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    atoms.info = {"system": system, "trajectory": name, "temperature_K": temperature}
    result = []
    for _ in range(frames):
        atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.03
        result.append(label(atoms))
    return result


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(5)
    return [
        frame for system in ("Li2S", "LiCl") for k in range(6)
        for frame in walk(system, f"{system}.p{k:03d}", 300.0 + 300 * (k % 2), rng)
    ]


@pytest.fixture
def blocks(frames):
    made = []
    for split, wanted in (("train", range(5)), ("test", [5])):
        own = [frame for frame in frames if int(frame.info["trajectory"][-1]) in wanted]
        made += frames_to_blocks(own, TYPE_MAP, split)
    return [replace(b, **{n: getattr(b, n).copy() for n in ("coord", "box", "energy", "force", "virial")})
            for b in made]


def table_of(blocks):
    return make_table(blocks, TYPE_MAP, ["data"] * len(blocks))


def audit(blocks, tmp_path, **options):
    write_data(tmp_path / "data", "npy", TYPE_MAP, blocks, overwrite=True)
    return audit_data([tmp_path / "data"], **options)


def found(result, level=None):
    return [
        (one.level, one.check) for entry in result.data_sets for one in entry.findings
        if level in (None, one.level)
    ]


def message(result, check):
    return next(one.message for entry in result.data_sets for one in entry.findings if one.check == check)


def test_sound_data_passes_and_its_numbers_are_right(blocks, tmp_path):
    result = audit(blocks, tmp_path, out=tmp_path / "out")
    assert (result.verdict, found(result)) == ("sound", [])
    (entry,) = result.data_sets
    assert [(one.system, one.train, one.test, one.trajectories) for one in entry.systems] == [
        ("Li2S", 40, 8, 6), ("LiCl", 40, 8, 6),
    ]
    assert entry.temperatures_K == {"300": 48, "600": 48}
    assert entry.signs.forces.slope == pytest.approx(1, abs=0.03)
    assert entry.signs.virials.slope == pytest.approx(1, abs=0.1)
    assert all(one.bulk_modulus_GPa > 5 for one in entry.bulk_moduli)
    assert entry.distances.shortest_A.keys() == {"Li-Li", "Li-S", "Li-Cl"}
    assert Audit.read(tmp_path / "out") == result
    assert (tmp_path / "out/audit.txt").read_text().endswith("verdict: OK: nothing found\n")
    assert len((tmp_path / "out/frames.csv").read_text().splitlines()) == 97
    assert sorted(path.suffix for path in (tmp_path / "out").glob("audit.*")) == [".json", ".png", ".svg", ".txt"]
    assert str(tmp_path) not in (tmp_path / "out/audit.json").read_text()


@pytest.mark.parametrize("name", ["x.extxyz", "x.h5", "x"])
def test_every_format_gives_the_same_answer(blocks, tmp_path, name):
    expected = audit(blocks, tmp_path).data_sets[0]
    convert_data(tmp_path / "data", tmp_path / name, to_format="mixed" if name == "x" else None)
    entry = audit_data([tmp_path / name]).data_sets[0]
    for key in ("systems", "splits", "temperatures_K", "findings"):
        assert getattr(entry, key) == getattr(expected, key)


def scaled(field, factor):
    def damage(blocks):
        for block in blocks:
            setattr(block, field, getattr(block, field) * factor)

    return damage


def put(field, index, value):
    def damage(blocks):
        getattr(blocks[0], field)[index] = value

    return damage


def leak(blocks):
    blocks[0].coord[3], blocks[0].box[3] = blocks[-2].coord[2] + blocks[-2].box[2][0], blocks[-2].box[2]
    for name in ("energy", "force", "virial"):
        getattr(blocks[0], name)[3] = getattr(blocks[-2], name)[2]


def copy_within(blocks):
    for name in ("coord", "box", "energy", "force", "virial"):
        getattr(blocks[0], name)[3] = getattr(blocks[0], name)[17]


def relabelled(blocks):
    copy_within(blocks)
    blocks[0].energy[3] += 0.2


def divided(blocks):
    blocks[-1].trajectories = ["LiCl.p000"] * len(blocks[-1])


def in_hartree(blocks):
    for block in blocks:
        block.energy /= 27.2114
        block.force /= 51.4221
        block.virial /= 27.2114


def close_atoms(blocks):
    blocks[0].coord[2, 0] = blocks[0].coord[2, 9] + 0.2


def other_level(blocks):
    for block in blocks:
        if block.system == "LiCl":
            block.energy -= 3.0 * len(block.types)
            block.energy[::2] += 6.0 * len(block.types)


def halved(blocks):
    for block in blocks:
        if block.system == "LiCl":
            block.virial /= 2


FAULTS = {
    "NaN": (put("energy", 4, np.nan), "unusable", "numbers", "energy contains NaN"),
    "flat cell": (put("box", 4, 0.0), "unusable", "numbers", "cell without volume"),
    "leak, moved by a lattice vector": (leak, "unusable", "duplicates", "both in the training set and in the"),
    "two labels": (relabelled, "unusable", "duplicates", "two different labels.*16.7 meV/atom"),
    "copy": (copy_within, "warning", "duplicates", "1 frames are duplicates within a split"),
    "trajectory in two splits": (divided, "warning", "split", "1 trajectories are split"),
    "forces reversed": (scaled("force", -1), "unusable", "signs", "forces have the wrong sign"),
    "forces in hartree per bohr": (scaled("force", 1 / 51.42), "unusable", "signs", "not in the unit of the energies"),
    "atomic units": (in_hartree, "unusable", "signs", "number of bohr in an Angstrom"),
    "energies in hartree": (scaled("energy", 1 / 27.2114), "unusable", "signs", "not in the unit of the energies"),
    "virial reversed": (scaled("virial", -1), "unusable", "signs", "virials have the wrong sign"),
    "virial twice": (scaled("virial", 2), "warning", "signs", "virials seem to be 2.01 times"),
    "virial of one system halved": (halved, "warning", "signs", "virials seem to be 0.50 times"),
    "forces twice": (scaled("force", 2), "warning", "signs", "forces seem to be 2.00 times"),
    "no virials computed": (scaled("virial", 0.0), "unusable", "virials", "the virial of 96 frames is zero"),
    "virial in kbar": (scaled("virial", 1602.0), "unusable", "virials", "more than 500 GPa"),
    "absurd force": (put("force", (2, 0), [150.0, 0, 0]), "unusable", "forces", "above 100 eV/A"),
    "large force": (put("force", (2, slice(0, 2)), [[15.0, 0, 0], [-15.0, 0, 0]]), "warning", "forces",
                    "above 10 eV/A"),
    "net force": (put("force", (2, 0), [5.0, 0, 0]), "unusable", "force sum", "do not add up to zero"),
    "no forces": (scaled("force", 0.0), "unusable", "forces", "96 frames have no force on any atom"),
    "asymmetric virial": (put("virial", (2, 0, 1), 9.0), "warning", "virials", "not symmetric"),
    "energy outlier": (put("energy", 7, -50.0), "warning", "energies", "1 frames differ in energy from the others"),
    "close atoms": (close_atoms, "unusable", "distances", r"closer than 0.5 A"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found(blocks, tmp_path, fault):
    damage, level, check, words = FAULTS[fault]
    damage(blocks)
    drawn = tmp_path / "out" if fault in ("NaN", "no forces", "flat cell") else None
    result = audit(blocks, tmp_path, out=drawn)  # figures of unsound data too
    assert (level, check) in found(result)
    texts = [one.message for one in result.data_sets[0].findings if (one.level, one.check) ==
             (level, check)]
    assert any(re.search(words, text) for text in texts), texts
    assert result.verdict == ("unusable" if level == "unusable" else "warnings")
    assert all("\n" not in text for text in texts)
    assert words.split(".*")[0].split("\\")[0] in audit_text(result)
    assert check != "signs" or "below 1 is usual" not in audit_text(result)


def test_slopes_come_with_what_is_accepted(blocks, tmp_path):
    text = audit_text(audit(blocks, tmp_path))
    assert "right is 1, accepted are forces 0.5 to 2, virials 0.3 to 3" in text
    assert "+- is the standard error; " in text
    assert "pairs of frames" in text


def test_frames_far_apart_pull_the_slope_below_one(tmp_path):
    """Sound frames, each displaced on its own: the wider, the lower the slope, and the text says so."""
    slopes = []
    for width in (0.03, 0.14):
        rng, frames = np.random.default_rng(7), []
        for k in range(5):
            atoms = build_cell(SystemSettings(name="Li2S", structure="Li2S"), None, 1)
            atoms.set_cell(MOCK_SCALE * atoms.cell.array, scale_atoms=True)
            atoms.info = {"system": "Li2S", "trajectory": f"Li2S.p{k:03d}", "temperature_K": 300.0}
            sites = atoms.positions.copy()
            for _ in range(8):
                atoms.positions = sites + rng.normal(size=sites.shape) * width
                frames.append(label(atoms))
        result = audit(frames_to_blocks(frames, TYPE_MAP, "train"), tmp_path / f"{width}")
        assert "unusable" not in [level for level, check in found(result) if check == "signs"]
        slopes.append(result.data_sets[0].signs.forces.slope)
    assert slopes[1] < slopes[0] - 0.02 < 1
    assert "below 1 is usual for distant frames" in audit_text(result)


def test_missing_virials_are_said(blocks, tmp_path):
    result = audit([replace(blocks[0], virial=None), *blocks[1:]], tmp_path)
    assert message(result, "virials").startswith("40 of 96 frames have no virial")


def test_elements_outside_the_type_map(blocks, tmp_path):
    result = audit(blocks, tmp_path, type_map=["Li", "S"])
    assert result.verdict == "unusable"
    assert "element Cl is not in type_map [Li, S], but in 2 systems" in message(result, "elements")
    both = audit(blocks, tmp_path, type_map=["Li"])
    assert "elements Cl, S are not in type_map [Li], but in " in message(both, "elements")


def test_a_frame_in_another_orientation_and_order_is_a_copy(frames):
    frame = frames[3]
    turned = frame[::-1]
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turned.translate([0.4, 0.1, 0.2])
    turned.info = dict(frame.info)
    again = label(turned)
    assert again.get_potential_energy() == pytest.approx(frame.get_potential_energy(), abs=1e-9)
    counts, findings = find_duplicates(table_of(frames_to_blocks([*frames, again], TYPE_MAP)))
    assert counts == DuplicateNumbers(copies=1, across_splits=0, reoriented=1, conflicting=0)
    assert [one.level for one in findings] == ["warning"]


def test_one_wrong_system_does_not_pull_the_fit(frames):
    """Three elements in four compositions; one of them has another level of theory and is found, the others are not."""
    rng = np.random.default_rng(1)
    true = np.array([-2.0, -4.0, -3.0])
    blocks = []
    for k, counts in enumerate([(8, 4, 0), (4, 0, 4), (6, 2, 2), (2, 2, 6), (4, 4, 4)]):
        types = np.repeat([0, 1, 2], counts)
        energy = np.array(counts) @ true + rng.normal(size=20) * 0.02 * len(types)
        energy += 2.0 * len(types) * (k == 4)
        n = len(types)
        blocks.append(replace(
            frames_to_blocks([frames[0]], TYPE_MAP)[0], system=f"s{k}", types=types, energy=energy,
            coord=np.zeros((20, n, 3)), box=np.tile(np.eye(3) * 9, (20, 1, 1)), force=np.zeros((20, n, 3)),
            virial=None, trajectories=["a"] * 20, temperatures_K=None,
        ))
    numbers, _, findings = fit_energies(table_of(blocks))
    assert list(numbers.per_element_eV.values()) == pytest.approx(true, abs=0.1)
    assert numbers.offset_eV_atom["s4"] == pytest.approx(2.0, abs=0.1)
    assert [one.frames for one in findings if "another functional" in one.message] == [("s4",)]


def test_distances_agree_with_ase(frames):
    numbers, ratio, _ = check_distances(table_of(frames_to_blocks(frames[:8], TYPE_MAP)))
    slow: dict[str, float] = {}
    for frame in frames[:8]:
        large = frame.repeat(2)
        distances = large.get_all_distances(mic=True) + 99 * np.eye(len(large))
        for one in ("Li", "S"):
            for other in ("Li", "S"):
                least = distances[large.symbols == one][:, large.symbols == other].min()
                slow[f"{one}-{other}"] = min(slow.get(f"{one}-{other}", np.inf), least)
    assert numbers.shortest_A.keys() == {"Li-Li", "Li-S"}
    for pair, value in numbers.shortest_A.items():
        assert value == pytest.approx(slow[pair], abs=1e-9)
    assert np.isfinite(ratio).all()


def test_frames_far_apart_give_no_verdict(frames):
    rng = np.random.default_rng(3)
    wild = []
    for frame in frames[:8]:
        atoms = frame.copy()
        atoms.positions += rng.normal(size=(12, 3))
        wild.append(label(atoms))
    numbers, findings = check_consistency(table_of(frames_to_blocks(wild, TYPE_MAP)))
    assert numbers.forces is None
    assert [one.level for one in findings] == ["note"]


def test_reversed_virial_alone_is_seen_in_the_pressure(blocks):
    scaled("virial", -1)(blocks)
    _, findings = check_bulk_modulus(table_of(blocks), sign_known=False)
    assert len(findings) == 2
    assert all("the pressure grows with the volume" in one.message for one in findings)
    assert check_bulk_modulus(table_of(blocks), sign_known=True)[1] == []


@pytest.mark.parametrize(("factor", "words"), [(1, None), (-1, "wrong sign"), (10, "times the finite strain")])
def test_finite_strain_of_a_calculator(blocks, tmp_path, factor, words):
    scaled("virial", factor)(blocks)
    result = audit(blocks, tmp_path, calculator="dpa_sse.ops.labelers.mock:mock_calculator", strain_frames=4)
    strain = result.data_sets[0].strain
    assert strain.frames == 4
    assert strain.slope == pytest.approx(factor, rel=1e-2)
    assert bool(words) == (("unusable", "strain") in found(result))
    if words:
        assert words in message(result, "strain")


def test_net_force_of_perfect_crystals_is_no_error():
    atoms = build_cell(SystemSettings(name="Li2S", structure="Li2S"), None, 1)
    _, findings = check_forces(table_of(frames_to_blocks([label(atoms)], TYPE_MAP)))
    assert "force sum" not in [one.check for one in findings]
    atoms.positions[0] += 0.3
    pulled = label(atoms)
    pulled.calc.results["forces"] += 0.01
    _, findings = check_forces(table_of(frames_to_blocks([pulled], TYPE_MAP)))
    assert "force sum" in [one.check for one in findings]


def test_several_folders_are_one_set_and_a_run_is_several(blocks, tmp_path):
    for name, part in (("a", blocks), ("b", blocks)):
        write_data(tmp_path / name, "npy", TYPE_MAP, part)
    write_data(tmp_path / "c", "npy", ["Cl", "Li", "S"], [
        replace(block, types=np.array([1, 2, 0])[block.types]) for block in blocks[:1]
    ])
    result = audit_data([tmp_path / "a", tmp_path / "c"])
    assert result.data_sets[0].duplicates.copies == len(blocks[0])
    run = tmp_path / "run"
    for name in ("base", "teacher_data"):
        (run / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "steps" / name).mkdir(parents=True)
        write_data(tmp_path / "steps" / name / "dataset", "npy", TYPE_MAP, blocks)
        (run / "data" / name).symlink_to(tmp_path / "steps" / name)
    (run / "config.resolved.yaml").write_text("name: x\n")
    result = audit_data([run], out=tmp_path / "out")
    assert [entry.title for entry in result.data_sets] == ["run/base", "run/teacher_data"]
    assert (tmp_path / "out/frames-2.csv").is_file()
    assert result.verdict == "sound"


def test_all_unreadable_sources_are_named(blocks, tmp_path):
    write_data(tmp_path / "a", "npy", TYPE_MAP, blocks)
    (tmp_path / "e").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.resolved.yaml").write_text("")
    with pytest.raises(InputError) as caught:
        audit_data([tmp_path / "a", tmp_path / "none", tmp_path / "e", tmp_path / "run"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "no data set yet" in lines[0]
    assert "no such file" in lines[1]
    assert "is empty" in lines[2]
