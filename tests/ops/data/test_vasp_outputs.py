"""Outputs of VASP: every step is taken or counted, enthalpies are not energies, levels of theory are not mixed."""

import gzip
import shutil

import numpy as np
import pytest

from dpa_sse.ops.audit.run import audit_data
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.incar import read_incar
from dpa_sse.ops.data.reading import read_data
from tests.ops.data.vasp_text import Run, extxyz, outcar, vasprun

WRITERS = {"OUTCAR": outcar, "vasprun.xml": vasprun}


def write(folder, name, run):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text({**WRITERS, "a.extxyz": extxyz}[name](run))
    return folder / name


def joined(data, name):
    return np.concatenate([getattr(block, name) for block in data.blocks])


def test_one_run_in_six_formats_has_one_energy(tmp_path):
    run = Run()
    files = [write(tmp_path / "a", name, run) for name in ("OUTCAR", "vasprun.xml", "a.extxyz")]
    packed = [path.with_name(path.name + ".gz") for path in files]
    for path, target in zip(files, packed, strict=True):
        target.write_bytes(gzip.compress(path.read_bytes()))
    convert_data(files[0], tmp_path / "npy")
    convert_data(files[1], tmp_path / "x.h5")
    for source in (*files, *packed, tmp_path / "npy", tmp_path / "x.h5"):
        data = read_data(source)
        assert joined(data, "energy") == pytest.approx(run.energy, abs=1e-7), source
        assert joined(data, "force") == pytest.approx(run.forces, abs=1e-6), source
        assert joined(data, "virial") == pytest.approx(run.virial, abs=1e-4), source
        assert joined(data, "coord") == pytest.approx(run.fractional @ run.cell, abs=1e-5), source


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("run", "taken", "why"), [
    (Run(cycles=(5, 60, 5)), 2, "1 not converged"),
    (Run(stopped=True), 2, "1 not converged"),
])
def test_steps_without_self_consistency_are_counted(tmp_path, name, run, taken, why):
    data = read_data(write(tmp_path, name, run))
    assert data.notes == [f"{tmp_path / name}: {taken} of 3 steps taken; {why}"]
    assert joined(data, "energy") == pytest.approx([run.energy[k] for k in range(3) if run.cycles[k] < 60][:taken])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.97])
def test_a_cut_file_gives_whole_steps_and_says_so(tmp_path, name, share):
    run = Run()
    path = write(tmp_path, name, run)
    whole = path.read_text()
    path.write_text(whole[: int(share * len(whole))])
    data = read_data(path)
    count = sum(map(len, data.blocks))
    assert 0 < count < 3
    assert joined(data, "energy") == pytest.approx(run.energy[:count], abs=1e-7)
    (source,) = data.sources
    assert source.found == source.taken + sum(source.left_out.values()) > count
    assert f"{count} of {count + 1} steps taken; 1 cut off" in data.notes[0]


def test_a_damaged_step_costs_itself(tmp_path):
    run = Run()
    path = write(tmp_path, "OUTCAR", run)
    parts = path.read_text().split("TOTAL-FORCE (eV/Angst)\n ---\n")
    rows = parts[2].split("\n")
    path.write_text("TOTAL-FORCE (eV/Angst)\n ---\n".join([*parts[:2], "\n".join(rows[1:]), *parts[3:]]))
    data = read_data(path)
    assert joined(data, "energy") == pytest.approx(run.energy[[0, 2]])
    assert "1 incomplete or damaged" in data.notes[0]


@pytest.mark.parametrize("pressure", [-50.0, 100.0])
def test_the_work_against_pstress_is_no_energy(tmp_path, pressure):
    run = Run(pstress=pressure)
    data = read_data(write(tmp_path, "vasprun.xml", run))
    assert joined(data, "energy") == pytest.approx(run.energy, abs=1e-6)
    assert "without P V" in data.notes[0]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("change", "words"), [
    ({"encut": 400.0}, "ENCUT = 500 and ENCUT = 400"),
    ({"tags": {"ISPIN": "2"}}, "ISPIN = 1 and ISPIN = 2"),
    ({"titles": {"Li": "PAW_PBE Li_sv 10Sep2004", "S": "PAW_PBE S 17Jan2003"}}, "the potential of Li"),
])
def test_levels_of_theory_are_mixed_on_request_only(tmp_path, name, change, words):
    write(tmp_path / "calc/a", name, Run())
    write(tmp_path / "calc/b", name, Run(seed=2, **change))
    with pytest.raises(InputError, match=words) as caught:
        convert_data(tmp_path / "calc", tmp_path / "out")
    assert "--mix-levels" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    done = convert_data(tmp_path / "calc", tmp_path / "out", mix_levels=True)
    assert done.n_frames == 6
    assert any("mixed on request" in note for note in done.notes)
    assert done.level.code == "mixed"
    assert read_data(tmp_path / "out").level == done.level
    shutil.rmtree(tmp_path / "calc/b")
    with pytest.raises(InputError, match=r"mixed and VASP|VASP and mixed"):  # any further level is refused again
        read_data(tmp_path)
    shutil.copytree(tmp_path / "calc/a", tmp_path / "calc/b")
    write(tmp_path / "calc/b", name, Run(seed=2, **change))
    assert audit_data([tmp_path / "calc"]).verdict == "unusable"


def test_settings_count_as_vasp_uses_them(tmp_path):
    """Unset and default, another file of the same run, and a tighter EDIFF are one level."""
    write(tmp_path / "calc/a", "vasprun.xml", Run())
    write(tmp_path / "calc/b", "vasprun.xml", Run(seed=2, tags={"ISPIN": "1", "GGA": "PE", "LASPH": ".FALSE."}))
    write(tmp_path / "calc/c", "OUTCAR", Run(seed=3))
    write(tmp_path / "calc/d", "vasprun.xml", Run(seed=4, tags={"EDIFF": "1E-7"}))
    done = convert_data(tmp_path / "calc", tmp_path / "out")
    assert done.n_frames == 12
    assert done.level.settings["ENCUT"] == "500"
    again = read_data(tmp_path / "out")
    assert again.level == done.level
    for name in ("x.h5", "x.extxyz"):
        convert_data(tmp_path / "out", tmp_path / name)
        assert read_data(tmp_path / name).level == done.level


def test_a_functional_that_is_not_that_of_the_potentials_is_another_level(tmp_path):
    write(tmp_path / "calc/a", "vasprun.xml", Run())
    write(tmp_path / "calc/b", "vasprun.xml", Run(seed=2, tags={"GGA": "PS"}))
    with pytest.raises(InputError, match="GGA"):
        read_data(tmp_path / "calc")


def test_everything_in_a_folder_is_read_once(tmp_path):
    """Two formats, a link to a folder, a run in two files, a circle of links, and a file that cannot be read."""
    calc = tmp_path / "calc"
    write(calc / "scale-1.00/000", "OUTCAR", Run(seed=1))
    write(calc / "scale-1.02/000", "vasprun.xml", Run(seed=2))
    write(tmp_path / "store/far", "OUTCAR", Run(seed=3))
    (calc / "linked").symlink_to(tmp_path / "store/far")
    (calc / "circle").symlink_to(calc)
    both = Run(seed=4)
    for name in WRITERS:
        write(calc / "both", name, both)
    (calc / "bad").mkdir()
    (calc / "bad/vasprun.xml").write_text("<modeling><generator>")
    data = read_data(calc)
    assert sum(map(len, data.blocks)) == 12
    assert {name for block in data.blocks for name in block.trajectories} == {
        "scale-1.00/000/OUTCAR", "scale-1.02/000/vasprun.xml", "linked/OUTCAR", "both/vasprun.xml",
    }
    assert any("bad/vasprun.xml" in note and "left out" in note for note in data.notes)
    assert any("circle: the same folder" in note for note in data.notes)


def test_of_a_calculation_the_better_file_is_read(tmp_path):
    run = Run()
    for name in WRITERS:
        path = write(tmp_path, name, run)
    path.write_text(path.read_text()[: 3 * path.stat().st_size // 4])
    data = read_data(tmp_path)
    assert data.form == "outcar"
    assert joined(data, "energy") == pytest.approx(run.energy)
    assert "read instead of vasprun.xml" in data.notes[0]


def test_two_runs_in_one_folder_are_both_read(tmp_path):
    write(tmp_path, "OUTCAR", Run(seed=1))
    write(tmp_path, "vasprun.xml", Run(seed=2))
    assert sum(map(len, read_data(tmp_path).blocks)) == 6


def test_an_old_export_does_not_count_twice(tmp_path):
    write(tmp_path / "calc/a", "OUTCAR", Run(seed=1))
    convert_data(tmp_path / "calc", tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "calc/deepmd")
    write(tmp_path / "calc/b", "OUTCAR", Run(seed=2))
    data = read_data(tmp_path / "calc")
    assert sum(map(len, data.blocks)) == 6
    assert any("3 also there as output of the calculation" in note for note in data.notes)


@pytest.mark.parametrize("titel", ["PAW_PBE H1.25 07Sep2000", "PAW_PBE Zz 07Sep2000"])
@pytest.mark.parametrize("name", WRITERS)
def test_names_that_are_no_elements_are_refused(tmp_path, name, titel):
    path = write(tmp_path, name, Run())
    symbol = titel.split()[1]
    text = path.read_text().replace("PAW_PBE Li 17Jan2003", titel).replace("<c>Li</c>", f"<c>{symbol[:2]}</c>")
    path.write_text(text)
    with pytest.raises(InputError, match=f"not an element: {symbol}"):
        read_data(path)


def test_incar_titles_are_skipped_and_forgotten_signs_are_not():
    text = "INCAR created by Atomic Simulation Environment\nStart parameter:\ngeneral\n ENCUT = 520\n"
    assert [(tag.name, tag.value, tag.line) for tag in read_incar(text)] == [("ENCUT", "520", 4)]
    for line in ("ENCUT 520", "LREAL .FALSE.", "NELM 60"):
        with pytest.raises(InputError, match="not of the form"):
            read_incar(f"title\n{line}\n")
