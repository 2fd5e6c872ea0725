"""A program that fails in every way: one line for each, and nothing finished is lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.core.errors import FatalError, TransientError
from dpa_sse.ops.data.level_of_theory import join_levels
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.cp2k import program
from dpa_sse.ops.labelers.cp2k.labeler import Cp2kLabeler
from dpa_sse.ops.labelers.cp2k.output import read_evaluations
from dpa_sse.ops.labelers.settings import AimdSettings, Cp2kKind, Cp2kSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from tests.ops.labelers.cp2k.conftest import DATA
from tests.ops.labelers.cp2k.new_format import aborted, as_new

AIMD = AimdSettings(temperatures_K=[300.0], steps=7, sample_every=2, timestep_fs=1.0, thermostat="nose-hoover")


def test_label(fake: Cp2kSettings, licl: Atoms, tmp_path: Path) -> None:
    (result,) = Cp2kLabeler(fake).label([licl], tmp_path)
    (made,) = read_evaluations((DATA / "xtb_LiCl.out").read_text())
    assert result.status == "ok" and result.atoms is not None
    assert result.atoms.get_potential_energy() == made.energy
    assert np.array_equal(result.atoms.get_forces(), made.forces)
    assert np.allclose(result.atoms.get_stress(voigt=False), made.stress, atol=1e-12)
    assert np.array_equal(result.atoms.positions, licl.positions)  # those of the frame, not the rounded ones of CP2K
    assert sorted(path.name for path in (tmp_path / "frame.00000").iterdir()) == ["run.inp", "run.out"]


@pytest.mark.parametrize(("mode", "status", "reason"), [
    ("unconverged", "not converged", "the SCF did not converge"),
    ("charges", "failed", "GFN1-xTB: atomic charges are outside the chemical range"),
    ("no_basis", "failed", "CP2K: The requested basis set <FOO> for element <S> was not found"),
    ("no_stress", "failed", "no stress in the output"),
    ("no_forces", "failed", "no forces in the output"),
    ("nan", "failed", "no stress in the output"),
    ("truncated", "failed", "the output of CP2K is truncated"),
    ("twice", "failed", "the output does not belong to this frame"),
    ("dft", "failed", "the output does not belong to this frame"),
    ("silent", "failed", "CP2K ended with an error: symbol lookup error"),
    ("SIGSEGV", "failed", "CP2K crashed (SIGSEGV)"),
    ("hang", "failed", "CP2K took longer than 0.01 min (timeout_min)"),
])
def test_broken_outputs(
    mode: str, status: str, reason: str, fake: Cp2kSettings, licl: Atoms, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_CP2K", mode)
    settings = fake.model_copy(update={"timeout_min": 0.01}) if mode == "hang" else fake
    (result,) = Cp2kLabeler(settings).label([licl], tmp_path)
    assert (result.status, result.atoms) == (status, None)
    assert result.reason.startswith(reason) and "\n" not in result.reason


@pytest.mark.parametrize(("change", "difference"), [
    ({"functional": "PBE"}, "functional = PBEsol and functional = PBE"),
    ({"cutoff_Ry": 400.0}, "cutoff_Ry = 600 and cutoff_Ry = 400"),
    ({"method": "gfn1-xtb"}, "method = dft and method = gfn1-xtb"),
    ({"basis": "TZV2P"}, "the potential of Cl: DZVP-MOLOPT-SR-GTH-q7 GTH-PBE-q7 and TZV2P-MOLOPT-PBE-GTH-q7"),
    ({"template": "&GLOBAL\n&END\n"}, "cutoff_Ry = 600 and cutoff_Ry = unset"),
    ({"scf": "diagonalization", "max_scf": 99}, ""),
])
def test_labels_of_other_settings_are_not_mixed(
    change: dict[str, object], difference: str, fake: Cp2kSettings, licl: Atoms
) -> None:
    levels = [Cp2kLabeler(fake.model_copy(update=more)).level([licl]) for more in ({}, change)]
    if not difference:
        assert levels[0] == levels[1]
        return
    with pytest.raises(FatalError, match=difference):
        join_levels(levels)
    with pytest.raises(FatalError, match="VASP and CP2K"):
        join_levels([LevelOfTheory(code="VASP"), levels[1]])


def test_status_tells_the_level(fake: Cp2kSettings, licl: Atoms, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    write_frames(tmp_path / "task/frames.extxyz", [licl])
    label_frames(tmp_path / "task", fake.model_copy(update={"method": "gfn1-xtb"}), tmp_path / "out")
    assert status(tmp_path / "out")["status"] == "failed"  # the cell is too small
    label_frames(tmp_path / "task", fake, tmp_path / "dft")
    assert status(tmp_path / "dft")["level"]["settings"]["functional"] == "PBEsol"  # type: ignore[index]


@pytest.mark.parametrize("mode", ["SIGKILL", "SIGTERM", "rank_killed"])
def test_killed_from_outside_is_tried_again(
    mode: str, fake: Cp2kSettings, licl: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CP2K", mode)
    with pytest.raises(TransientError):
        Cp2kLabeler(fake).label([licl], tmp_path)


@pytest.mark.parametrize(("changes", "version", "message"), [
    ({"command": "no-such-cp2k"}, None, "program 'no-such-cp2k' not found"),
    ({"command": "env no-such-cp2k"}, None, "program 'no-such-cp2k' not found"),
    ({"command": ""}, None, "command is empty"),
    ({"command": "cp2k 'x"}, None, "No closing quotation"),
    ({"command": "echo"}, None, "echo is not CP2K"),
    ({"data_dir": "/nowhere"}, None, "data_dir: /nowhere has no GTH_POTENTIALS"),
    ({}, "CP2K version 6.1", "the output of CP2K 6.1 has not been tried; use 8.1 to 2026.2"),
    ({}, "CP2K version 2027.1", "the output of CP2K 2027.1 has not been tried"),
])
def test_nothing_starts_without_a_fit_program(
    changes: dict[str, str], version: str | None, message: str, fake: Cp2kSettings, licl: Atoms, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if version:
        monkeypatch.setenv("FAKE_CP2K_VERSION", version)
    settings = fake.model_copy(update=changes)
    with pytest.raises(FatalError, match=message):
        Cp2kLabeler(settings).label([licl], tmp_path)
    found = list(Cp2kLabeler.problems(settings, ["Li", "Cl"], tmp_path))
    assert any(message in text for _, text in found)


@pytest.mark.parametrize("version", ["2025.1", "2025.2", "2026.1", "2026.2"])
def test_new_versions(
    version: str, fake: Cp2kSettings, licl: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Cp2kLabeler(fake).label([licl], tmp_path / "old")[0].atoms
    program.version.cache_clear()
    monkeypatch.setenv("FAKE_CP2K_VERSION", f" CP2K version {version}")
    (tmp_path / "new.out").write_text(as_new((DATA / "xtb_LiCl.out").read_text()))
    monkeypatch.setenv("FAKE_CP2K_OUTPUT", str(tmp_path / "new.out"))
    made = Cp2kLabeler(fake).label([licl], tmp_path / "new")[0].atoms
    assert made.get_potential_energy() == old.get_potential_energy()
    assert made.get_forces() == pytest.approx(old.get_forces(), abs=1e-10)
    assert made.get_stress() == pytest.approx(old.get_stress(), rel=1e-9)
    (tmp_path / "new.out").write_text(aborted(as_new((DATA / "xtb_unconverged.out").read_text())))
    monkeypatch.setenv("FAKE_CP2K", "aborted")
    (result,) = Cp2kLabeler(fake).label([licl], tmp_path / "aborted")
    assert (result.status, result.reason) == ("not converged", "the SCF did not converge")


def test_problems_of_elements(fake: Cp2kSettings, tmp_path: Path) -> None:
    settings = fake.model_copy(update={"kinds": {"Na": Cp2kKind(), "Li": Cp2kKind(basis="FOO")}})
    found = dict(Cp2kLabeler.problems(settings, ["Li", "Rn", "S"], tmp_path))
    assert set(found) == {("kinds", "Na"), ("kinds", "Li"), ("basis",)}
    assert "no basis set FOO for Li" in found["kinds", "Li"]


def test_problems_of_dynamics() -> None:
    npt = AimdSettings(ensemble="npt")
    assert [key for key, _ in Cp2kLabeler.aimd_problems(Cp2kSettings(), npt)] == ["thermostat"]
    ramp = AimdSettings(temperatures_K=[300.0], end_temperatures_K=[600.0])
    assert [key for key, _ in Cp2kLabeler.aimd_problems(Cp2kSettings(), ramp)] == ["end_temperatures_K"]


def test_small_cells_are_refused_with_xtb(fake: Cp2kSettings, licl: Atoms, cell_task: Path, tmp_path: Path) -> None:
    xtb = Cp2kLabeler(fake.model_copy(update={"method": "gfn1-xtb"}))
    small, large = xtb.label([licl, licl.repeat(2)], tmp_path)
    assert small.reason.startswith("the shortest lattice vector is 3.5") and "use a supercell" in small.reason
    assert large.reason == "the output does not belong to this frame"  # it was run
    run_aimd(cell_task, xtb.settings, AIMD, 1, tmp_path / "out")
    assert "use a supercell" in str(status(tmp_path / "out")["reason"])


def test_no_finished_label_is_lost(
    fake: Cp2kSettings, licl: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tmp_path / "task"
    task.mkdir()
    write_frames(task / "frames.extxyz", [licl] * 3)
    label_frames(task, fake, tmp_path / "other")
    monkeypatch.setenv("FAKE_CP2K", "SIGKILL")
    monkeypatch.setenv("FAKE_CP2K_MARK", str(tmp_path / "mark"))  # killed once
    with pytest.raises(TransientError):
        label_frames(task, fake, tmp_path / "out")
    label_frames(task, fake, tmp_path / "out")
    assert (tmp_path / "out/frames.extxyz").read_bytes() == (tmp_path / "other/frames.extxyz").read_bytes()
    assert len(read_frames(tmp_path / "out/frames.extxyz")) == 3


@pytest.fixture
def cell_task(licl: Atoms, tmp_path: Path) -> Path:
    (tmp_path / "task").mkdir()
    licl.info.update(system="LiCl", trajectory="LiCl.p000")
    write_frames(tmp_path / "task/cell.extxyz", [licl])
    return tmp_path / "task"


def status(out: Path) -> dict[str, object]:
    return json.loads((out / "status.json").read_text())


def test_killed_dynamics_goes_on_and_keeps_its_frames(
    fake: Cp2kSettings, cell_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_aimd(cell_task, fake, AIMD.model_copy(update={"steps": 4}), 1, tmp_path / "short")
    assert [frame.info["step"] for frame in read_frames(tmp_path / "short/frames.extxyz")] == [0, 2, 4]
    (tmp_path / "short/cp2k").rename(tmp_path / "kept")  # as if it had been killed after step 4
    out.mkdir()
    (tmp_path / "kept").rename(out / "cp2k")
    run_aimd(cell_task, fake, AIMD, 1, out)
    frames = read_frames(out / "frames.extxyz")
    assert [frame.info["step"] for frame in frames] == [0, 2, 4, 6]
    assert status(out)["status"] == "ok"
    assert (out / "cp2k/part.001/from.restart").is_file()
    assert "STEPS 3\n" in (out / "cp2k/part.001/run.inp").read_text()
    assert "RESTART_FILE_NAME from.restart" in (out / "cp2k/part.001/run.inp").read_text()
    assert frames[3].info["system"] == "LiCl"
    evaluations = read_evaluations((DATA / "part.001/run.out").read_text())  # step 4 again, then 5, 6, 7
    assert frames[3].get_potential_energy() == evaluations[2].energy
    assert np.array_equal(frames[3].get_forces(), evaluations[2].forces)
    first = read_evaluations((DATA / "part.000/run.out").read_text())
    assert evaluations[0].energy == pytest.approx(first[4].energy, abs=1e-4)


def test_killed_in_the_middle_of_a_step(
    fake: Cp2kSettings, cell_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but whole steps counts; with a restart file that was being written the run starts again."""
    monkeypatch.setenv("FAKE_CP2K", "MD_SIGKILL")
    with pytest.raises(TransientError):
        run_aimd(cell_task, fake, AIMD.model_copy(update={"steps": 4}), 1, tmp_path / "out")
    monkeypatch.setenv("FAKE_CP2K", "ok")
    run_aimd(cell_task, fake, AIMD.model_copy(update={"steps": 4}), 1, tmp_path / "out")
    assert [frame.info["step"] for frame in read_frames(tmp_path / "out/frames.extxyz")] == [0, 2, 4]
    assert status(tmp_path / "out")["status"] == "ok"


def test_dynamics_that_stops_early_is_told(
    fake: Cp2kSettings, cell_task: Path, tmp_path: Path
) -> None:
    run_aimd(cell_task, fake, AIMD, 1, tmp_path / "out")  # the stored run has four steps
    record = status(tmp_path / "out")
    assert (record["status"], record["reason"]) == ("partial", "CP2K stopped after step 4 of 7")
    assert len(read_frames(tmp_path / "out/frames.extxyz")) == 3


def test_unconverged_steps_are_no_labels(
    fake: Cp2kSettings, cell_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CP2K", "unconverged")
    run_aimd(cell_task, fake, AIMD.model_copy(update={"steps": 4}), 1, tmp_path / "out")
    record = status(tmp_path / "out")
    assert [frame.info["step"] for frame in read_frames(tmp_path / "out/frames.extxyz")] == [2, 4]
    assert record["status"] == "partial"
    assert record["dropped"] == [{"step": 0, "status": "not converged", "reason": "the SCF did not converge"}]


def test_dynamics_without_stress_is_an_error(
    fake: Cp2kSettings, cell_task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CP2K", "no_stress")
    with pytest.raises(FatalError, match="no stress in the output"):
        run_aimd(cell_task, fake, AIMD.model_copy(update={"steps": 4}), 1, tmp_path / "out")


def test_inputs_for_reading(fake: Cp2kSettings, licl: Atoms, tmp_path: Path) -> None:
    Cp2kLabeler.write_inputs(fake, licl, AIMD, tmp_path / "LiCl")
    assert "RUN_TYPE ENERGY_FORCE" in (tmp_path / "LiCl/label.inp").read_text()
    text = (tmp_path / "LiCl/aimd.inp").read_text()
    assert "RUN_TYPE MD" in text and "TYPE NOSE" in text
    assert str(fake.data_dir) not in text
