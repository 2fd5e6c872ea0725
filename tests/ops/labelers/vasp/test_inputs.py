"""INCAR, KPOINTS and POTCAR: what is written, and what is refused."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.data.incar import incar_text, read_incar
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.registry import aimd_problems, labeler_problems
from dpa_sse.ops.labelers.settings import AimdSettings, VaspSettings
from dpa_sse.ops.labelers.vasp.incar import incar_problems, label_incar, single_point_tags
from dpa_sse.ops.labelers.vasp.job import NAMED_BY, poscar_text
from dpa_sse.ops.labelers.vasp.kpoints import kpoints_text
from dpa_sse.ops.labelers.vasp.potcar import find_potcar
from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile
from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.config.load import load_project
from tests.fake_vasp import FAKE, potcar_text, write_library

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests" / "golden" / "vasp"
PAPER = ROOT / "configs" / "paper" / "labeling_vasp.yaml"


def test_the_papers_incar_line_by_line():
    assert label_incar(load_project(PAPER).labeler).splitlines() == (GOLDEN / "INCAR").read_text().splitlines()
    assert label_incar(VaspSettings()) == (GOLDEN / "INCAR").read_text()


def test_pymatgen_reads_the_incar():
    from pymatgen.io.vasp.inputs import Incar

    incar = Incar.from_str(incar_text(single_point_tags(VaspSettings())))
    assert (incar["ENCUT"], incar["GGA"], incar["EDIFF"], incar["LREAL"]) == (600.0, "Ps", 1e-6, False)


def odd_cells():
    """Needles, plates and skewed cells, 36 of them."""
    for a, b, c in [(3, 3, 40), (40, 3, 3), (3, 25, 25), (4, 5, 6), (12, 12, 12), (2.5, 70, 70)]:
        for angles in [(90, 90, 90), (60, 60, 60), (90, 90, 120), (75, 101, 118), (34, 70, 85), (120, 100, 80)]:
            yield a, b, c, *angles


@pytest.mark.parametrize("kspacing", [0.15, 0.3, 0.5])
@pytest.mark.parametrize("parameters", list(odd_cells()), ids=str)
def test_mesh_is_that_of_vasp(parameters, kspacing):
    """Reference: areas of the faces over the volume; pymatgen's reciprocal lattice."""
    from math import ceil, pi

    from pymatgen.core import Lattice

    lattice = Lattice.from_parameters(*parameters)
    cell = np.array(lattice.matrix)
    volume = abs(np.linalg.det(cell))
    heights = [volume / np.linalg.norm(np.cross(cell[(i + 1) % 3], cell[(i + 2) % 3])) for i in range(3)]
    assert kspacing_mesh(cell, kspacing) == tuple(max(1, ceil(2 * pi / height / kspacing)) for height in heights)
    assert kspacing_mesh(cell, kspacing) == tuple(max(1, ceil(x / kspacing)) for x in lattice.reciprocal_lattice.abc)


def test_mesh_agrees_with_dpgen2():
    from dpgen2.fp.vasp_input import make_kspacing_kpoints

    for parameters, kspacing in itertools.product(odd_cells(), (0.2, 0.3)):
        from pymatgen.core import Lattice

        cell = np.array(Lattice.from_parameters(*parameters).matrix)
        other = make_kspacing_kpoints(cell, kspacing, False).splitlines()[3].split()
        assert list(kspacing_mesh(cell, kspacing)) == [int(n) for n in other]


def test_known_meshes():
    assert kspacing_mesh(np.diag([20.95, 20.9, 4.0]), 0.3) == (1, 2, 6)
    assert kpoints_text((1, 2, 6), gamma=True).splitlines()[2:4] == ["Gamma", "1 2 6"]
    assert "Monkhorst" in kpoints_text((2, 2, 2), gamma=False)


def test_poscar_survives_to_the_last_bits(frames, tmp_path):
    from ase.io import read

    (tmp_path / "POSCAR").write_text(poscar_text(frames[0]))
    again = read(tmp_path / "POSCAR")
    assert sorted(again.get_chemical_symbols()) == sorted(frames[0].get_chemical_symbols())
    assert again.cell.array == pytest.approx(frames[0].cell.array, abs=1e-13)
    first = next(k for k, one in enumerate(frames[0].get_chemical_symbols()) if one == again[0].symbol)
    assert again.positions[0] == pytest.approx(frames[0].positions[first], abs=1e-12)


def test_reading_an_incar():
    text = "SYSTEM = a; ENCUT = 500 ! eV\n# nothing\nMAGMOM = 1 1 \\\n 2 2\n kspacing=0.2\n"
    assert [(tag.name, tag.value, tag.line) for tag in read_incar(text)] == [
        ("SYSTEM", "a", 1), ("ENCUT", "500", 1), ("MAGMOM", "1 1   2 2", 3), ("KSPACING", "0.2", 5),
    ]


GOOD = "ENCUT = 500\nKSPACING = 0.3\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (GOOD + "NSW = 5\n", 3, "NSW = 5: labels are single points"),
        (GOOD + "IBRION = 2\n", 3, "IBRION = 2: labels are single points"),
        (GOOD + "ISIF = 0\n", 3, "the stress is not computed"),
        (GOOD + "ICHARG = 11\n", 3, "not be self-consistent"),
        (GOOD + "ISTART = 1\n", 3, "no WAVECAR"),
        (GOOD + "PSTRESS = 10\n", 3, "added to energies and stresses"),
        (GOOD + "NELM = 5\n", 3, "too few steps"),
        (GOOD + "EDIFF = 1E-2\n", 3, "too noisy"),
        (GOOD + "EDIFF = tight\n", 3, "EDIFF = tight is not a number"),
        (GOOD + "SIGMA = 5\n", 3, "at most 1 eV"),
        (GOOD + "ML_LMLFF = .TRUE.\n", 3, "force field"),
        (GOOD + "KGAMMA = maybe\n", 3, "is not a boolean"),
        (GOOD + "TEBEG = 300\n", 3, "belongs to molecular dynamics"),
        (GOOD + "ENCUTT = 300\n", 3, "unknown tag ENCUTT - did you mean 'ENCUT'?"),
        (GOOD + "LREAL .FALSE.\n", 3, "not of the form TAG = value: LREAL .FALSE."),
        (GOOD + "SIGMA =\n", 3, "not of the form TAG = value"),
        (GOOD + "ENCUT = 400\n", 3, "ENCUT is already set in line 1"),
        ("KSPACING = 0.3\n", 1, "ENCUT is missing"),
        ("ENCUT = 500\n", 1, "KSPACING is missing"),
        ("ENCUT = 5\nKSPACING = 0.3\n", 1, "some hundred eV"),
        ("ENCUT = 500\nKSPACING = 30\n", 2, "at most 2"),
    ],
)
def test_bad_incars(text, line, message):
    found = list(incar_problems(text))
    assert len(found) == 1, found
    assert found[0][0] == line
    assert message in found[0][1]


def test_good_incars():
    author = (
        "PREC = N; ENCUT = 500; ISYM = 0\nEDIFF = 1E-5\nLREAL = Auto\nNPAR = 4\nKPAR = 1\nNELM = 120\nNELMIN = 4\n"
        "ISIF = 2\nISMEAR = 0\nSIGMA = 0.05\nIBRION = -1\nNSW = 0\nLWAVE = F\nLCHARG = F\nKSPACING = 0.2\n"
        "KGAMMA = .FALSE.\nGGA = PS\nNEW_TAG_OF_VASP_9 = 1\n"
    )
    assert list(incar_problems(author)) == []
    assert label_incar(VaspSettings(incar=author)) == author


@pytest.fixture
def folder(tmp_path):
    return write_library(tmp_path / "library")


def test_recommended_variants(folder):
    assert find_potcar(folder, "Ga", {}).symbol == "Ga_d"
    assert find_potcar(folder, "Ge", {}).titel == "PAW_PBE Ge_d 01Jan2000"
    (folder / "POTCAR.Li_sv").write_text(potcar_text("Li_sv"))
    assert find_potcar(folder, "Li", {"Li": "Li_sv"}).symbol == "Li_sv"


def test_layouts_of_libraries(tmp_path):
    for name in ("potpaw_PBE.54/S/POTCAR", "POTCAR.P", "POT_GGA_PAW_PBE/POTCAR.Li.gz"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = potcar_text(name.split("POTCAR.")[-1].split(".")[0] if "POTCAR." in name else "S").encode()
        path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    for element in ("S", "P", "Li"):
        assert find_potcar(tmp_path, element, {}).symbol == element


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "is not a POTCAR: it has no ENMAX, LEXCH, POMASS, TITEL"),
        (potcar_text("S")[:-40], "is truncated: it does not end with 'End of Dataset'"),
        (potcar_text("S") * 2, "holds several data sets"),
        (potcar_text("Se"), "is the data set of another element: PAW_PBE Se 01Jan2000"),
    ],
)
def test_bad_potcars(folder, text, message):
    (folder / "S" / "POTCAR").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        find_potcar(folder, "S", {})
    assert "\n" not in str(caught.value)


def test_missing_potcar_names_what_there_is(folder):
    (folder / "S").rename(folder / "S_h")
    with pytest.raises(InputError, match=r"no POTCAR of S: .*; there is S_h: choose with potcars: \{S: S_h\}"):
        find_potcar(folder, "S", {})


def test_two_sets_are_ambiguous(tmp_path):
    write_library(tmp_path / "potpaw_PBE.52")
    write_library(tmp_path / "potpaw_PBE.54")
    with pytest.raises(InputError, match="several POTCARs of S"):
        find_potcar(tmp_path, "S", {})


CONFIG = """name: labels
type_map: [Li, S]
systems:
  - {name: Li2S, structure: Li2S}
pretrain: null
labeler:
  kind: vasp
"""


def problems(tmp_path, lines, **more):
    path = tmp_path / "my.yaml"
    path.write_text(CONFIG + "".join(f"  {line}\n" for line in lines) + "".join(f"{k}: {v}\n" for k, v in more.items()))
    try:
        load_checked(path)
    except ConfigError as error:
        assert all("\n" not in one.message for one in error.problems)
        return [(one.line, one.path, one.message) for one in error.problems]
    return []


COMMAND = f"command: python3 {FAKE}"


def test_a_sound_configuration_is_accepted(library, tmp_path):
    assert problems(tmp_path, [COMMAND]) == []
    (tmp_path / "INCAR").write_text(GOOD + "GGA = PS\n")
    assert problems(tmp_path, [COMMAND, "incar: INCAR"]) == []


@pytest.mark.parametrize(
    ("lines", "line", "path", "message"),
    [
        (["command: no_such_vasp"], 8, "labeler.command", "program 'no_such_vasp' not found"),
        (["command: \"vasp 'open\""], 8, "labeler.command", "No closing quotation"),
        ([COMMAND, "potcar_dir: /no/such"], 9, "labeler.potcar_dir", "no such folder"),
        ([COMMAND, "potcars: {Li: Li_sv}"], 9, "labeler.potcars.Li", "no POTCAR of Li: neither Li_sv/POTCAR"),
        ([COMMAND, "potcars: {Br: Br}"], 9, "labeler.potcars.Br", "'Br' is not in type_map"),
        ([COMMAND, "encut_eV: 200"], 9, "labeler.encut_eV", "ENCUT = 200 eV is below ENMAX = 258.7 eV of S"),
        ([COMMAND, "incar: nothing/INCAR"], 9, "labeler.incar", "no such file"),
        ([COMMAND, "tags: {NSW: 10}"], 9, "labeler.tags.NSW", "labels are single points"),
        ([COMMAND, "tags: {ENCUT: 400}"], 9, "labeler.tags.ENCUT", "use the key `encut_eV`"),
        ([COMMAND, "tags: {ISMEARR: 0}"], 9, "labeler.tags.ISMEARR", "did you mean 'ISMEAR'"),
        ([COMMAND, "tags: {SYSTEM: \"a; NSW = 5\"}"], 9, "labeler.tags.SYSTEM", "not a single INCAR tag"),
        ([COMMAND, "functional: SCAN"], 9, "labeler.functional", "'SCAN'"),
        ([COMMAND, "kspacing: 0"], 9, "labeler.kspacing", "0"),
    ],
)
def test_problems_are_told_with_their_line(library, tmp_path, lines, line, path, message):
    found = problems(tmp_path, lines)
    assert [one[:2] for one in found] == [(line, path)], found
    assert message in found[0][2]


def test_problems_of_a_users_incar_name_its_line(library, tmp_path):
    (tmp_path / "INCAR").write_text(GOOD + "NSW = 5\n")
    found = problems(tmp_path, [COMMAND, "incar: INCAR"])
    assert found[0][2].startswith(f"{tmp_path}/INCAR:3: NSW = 5: labels are single points")


def test_no_library_at_all(tmp_path, monkeypatch):
    monkeypatch.delenv("VASP_POTCAR_DIR", raising=False)
    found = problems(tmp_path, [COMMAND])
    assert [one[1] for one in found] == ["labeler.potcar_dir"]
    assert "set the environment variable VASP_POTCAR_DIR" in found[0][2]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"lexch": "CA"}, "must be made with PBE"), ({"family": "PAW_LDA"}, "different families")],
)
def test_mixed_potcars_are_refused(library, tmp_path, change, message):
    (library / "S" / "POTCAR").write_text(potcar_text("S", **change))
    assert any(message in one[2] for one in problems(tmp_path, [COMMAND]))


@pytest.mark.parametrize(
    ("aimd", "key"),
    [
        ({"ensemble": "npt", "thermostat": "nose-hoover"}, "thermostat"),
        ({"ensemble": "npt", "pressure_GPa": 1.0}, "pressure_GPa"),
    ],
)
def test_dynamics_that_vasp_does_not_know(aimd, key):
    assert [one[0] for one in aimd_problems(VaspSettings(), AimdSettings(**aimd))] == [key]
    assert aimd_problems(VaspSettings(), AimdSettings(ensemble="npt", end_temperatures_K=[300.0])) == []


def test_launcher_without_program(library, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "which", lambda name: "/bin/mpirun" if name == "mpirun" else None)
    found = labeler_problems(VaspSettings(command="mpirun -np 4 vasp_std"), ["Li"], Path())
    assert found[0] == (("command",), "program 'vasp_std' not found" + NAMED_BY)


def test_labels_of_different_levels_are_not_mixed():
    from dpa_sse.ops.data.level_of_theory import join_levels

    one = LevelOfTheory(
        code="VASP", settings={"GGA": "PS", "ENCUT": "600"}, potentials={"Li": PotentialFile(titel="Li", sha256="1")}
    )
    sulfide = one.model_copy(update={"potentials": {"S": PotentialFile(titel="S", sha256="2")}})
    joined = join_levels([one, None, sulfide])
    assert joined is not None
    assert set(joined.potentials) == {"Li", "S"}
    for change, message in [
        ({"settings": {"GGA": "PE", "ENCUT": "600"}}, "GGA = PS and GGA = PE"),
        ({"settings": {"GGA": "PS", "ENCUT": "500"}}, "ENCUT = 600 and ENCUT = 500"),
        ({"code": "CP2K"}, "VASP and CP2K"),
        ({"potentials": {"Li": PotentialFile(titel="Li_sv", sha256="3")}}, "the potential of Li: Li and Li_sv"),
        ({"potentials": {"Li": "Li_sv"}}, "the potential of Li: Li and Li_sv"),
        ({"potentials": {"Li": PotentialFile(titel="Li", sha256="3")}}, "Li in two versions"),
    ]:
        with pytest.raises(FatalError, match=message):
            join_levels([one, one.model_copy(update=change)])


@pytest.mark.parametrize(("name", "one", "other", "same"), [
    ("EDIFF", "1E-6", "1.0E-06", True), ("KGAMMA", ".TRUE.", "T", True), ("PREC", "Accurate", "accura", True),
    ("GGA", "PS", "Ps", True), ("LREAL", "Auto", "A", True), ("LDAUU", "4 0", "4  0", True),
    ("METAGGA", "R2SCAN", "R2SCANL", False), ("METAGGA", "TPSS", "TM", False), ("LREAL", ".FALSE.", "Auto", False),
    ("ENCUT", "600", "600.1", False),
])
def test_spelling_is_no_other_level(name, one, other, same):
    from dpa_sse.ops.data.level_of_theory import join_levels

    levels = [LevelOfTheory(code="VASP", settings={name: value}) for value in (one, other)]
    if same:
        assert join_levels(levels).settings == {name: one}
    else:
        with pytest.raises(FatalError, match=f"{name} = {one} and {name} = {other}"):
            join_levels(levels)


def test_plan_writes_the_inputs(tmp_path, cell):
    from dpa_sse.ops.labelers.vasp.labeler import VaspLabeler

    VaspLabeler.write_inputs(VaspSettings(), cell, AimdSettings(), tmp_path / "Li2S")
    assert (tmp_path / "Li2S/INCAR").read_text() == (GOLDEN / "INCAR").read_text()
    assert (tmp_path / "Li2S/KPOINTS").read_text().splitlines()[3] == "4 4 4"
    assert "MDALGO = 3" in (tmp_path / "Li2S/INCAR.aimd").read_text()
    assert {path.name for path in (tmp_path / "Li2S").iterdir()} == {"INCAR", "INCAR.aimd", "KPOINTS", "POSCAR"}
