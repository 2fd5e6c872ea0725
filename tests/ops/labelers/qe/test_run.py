"""One run of pw.x per cell: numbers with their units and signs, and a reason for every frame without a label."""

from __future__ import annotations

import io
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.espresso import read_espresso_out

from dpa_sse.ops.core.errors import FatalError, InputError, TransientError
from dpa_sse.ops.data.convert import virial_of
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.qe.labeler import QeLabeler
from dpa_sse.ops.labelers.settings import AimdSettings, QeSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from tests.ops.labelers.qe.conftest import DATA, FAKE


def test_numbers_agree_with_a_reading_by_hand_and_with_two_libraries(
    fake: QeSettings, silicon: Atoms, tmp_path: Path
) -> None:
    import dpdata

    (result,) = QeLabeler(fake).label([silicon], tmp_path)
    assert result.atoms is not None, result.reason
    made = result.atoms
    text = (DATA / "Si.out").read_text()

    ry = float(re.search(r"!\s+total energy\s+=\s+(\S+) Ry", text)[1])
    assert made.get_potential_energy() == pytest.approx(ry * 13.605693, rel=2e-7)
    lines = [line for line in text.splitlines() if line.startswith("     atom ")]
    forces = [[float(word) for word in line.split()[-3:]] for line in lines]
    np.testing.assert_allclose(made.get_forces(), np.array(forces[:2]) * 25.711032, rtol=1e-5)  # Ry/bohr in eV/A
    rows = text[text.index("total   stress"):].splitlines()[1:4]
    kilobar = np.array([[float(word) for word in row.split()[3:]] for row in rows])
    # pw.x prints a positive pressure where the cell wants to expand; the virial has the same sign
    np.testing.assert_allclose(virial_of(made) / made.get_volume() * 1602.1766, kilobar, atol=0.02)

    ase = read_espresso_out(io.StringIO(text), slice(None))
    other = next(iter(ase))
    np.testing.assert_array_equal(made.get_stress(), other.get_stress())
    np.testing.assert_array_equal(made.positions, silicon.positions)  # to the last bit, not as printed

    (tmp_path / "Si.in").write_text((tmp_path / "frame.00000/pw.in").read_text())
    (tmp_path / "Si.out").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = dpdata.LabeledSystem([str(tmp_path / "Si.in"), str(tmp_path / "Si.out")], fmt="qe/pw/scf").data
    assert read["energies"][0] == pytest.approx(made.get_potential_energy(), abs=1e-4)
    # dpdata turns cell and vectors into its own frame: what does not depend on it must agree
    assert np.linalg.norm(read["forces"][0]) == pytest.approx(np.linalg.norm(made.get_forces()), rel=1e-5)
    assert np.trace(read["virials"][0]) == pytest.approx(np.trace(virial_of(made)), rel=1e-3)


@pytest.mark.parametrize(("mode", "status", "reason"), [
    ("unconverged", "not converged", "the SCF did not converge"),
    ("truncated", "failed", "the output of pw.x is truncated"),
    ("no_stress", "failed", "no stress in the output of pw.x"),
    ("no_forces", "failed", "no forces in the output of pw.x"),
    ("nan", "failed", "pw.x returned NaN or infinite numbers"),
    ("asterisks", "failed", "the output of pw.x cannot be read (ValueError)"),
    ("other_functional", "failed", "pw.x used the functional PBESOL, not PBE"),
    ("other_cell", "failed", "pw.x computed another cell than that of the frame"),
    ("max_seconds", "failed", "pw.x was stopped from outside"),
    ("error", "failed", "pw.x: file Si.UPF not found (readpp)"),
    ("silent", "failed", "pw.x ended with an error: "),
    ("SIGSEGV", "failed", "pw.x crashed (SIGSEGV)"),
])
def test_frames_without_a_label(
    mode: str, status: str, reason: str, fake: QeSettings, silicon: Atoms, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_PW", mode)
    (result,) = QeLabeler(fake).label([silicon], tmp_path)
    assert (result.atoms, result.status) == (None, status)
    assert result.reason.startswith(reason), result.reason
    assert "\n" not in result.reason


@pytest.mark.parametrize("mode", ["SIGKILL", "SIGTERM", "rank_killed"])
def test_killed_from_outside_is_tried_again(
    mode: str, fake: QeSettings, silicon: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PW", mode)
    with pytest.raises(TransientError):
        QeLabeler(fake).label([silicon], tmp_path)


def test_a_run_out_of_time_is_no_label(
    fake: QeSettings, silicon: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PW", "hang")
    (result,) = QeLabeler(fake.model_copy(update={"timeout_min": 0.02})).label([silicon], tmp_path)
    assert result.reason == "pw.x took longer than 0.02 min (timeout_min)"


def test_files_that_stay(fake: QeSettings, silicon: Atoms, tmp_path: Path) -> None:
    silicon.info["frame"] = 7
    folder = tmp_path / "frame.00007"
    folder.mkdir()
    (folder / "pw.out").write_text("of an interrupted run")
    assert QeLabeler(fake).label([silicon], tmp_path)[0].status == "ok"
    assert sorted(path.name for path in folder.iterdir()) == ["pw.in", "pw.out"]


def test_one_bad_element_does_not_take_the_others_along(fake: QeSettings, silicon: Atoms, tmp_path: Path) -> None:
    bad = silicon.copy()
    bad.symbols[1] = "Ge"
    results = QeLabeler(fake).label([bad, silicon], tmp_path)
    assert [one.status for one in results] == ["failed", "ok"]
    assert "no pseudopotential of Ge for PBE" in results[0].reason


def test_nothing_starts_without_program_or_pseudopotentials(
    fake: QeSettings, silicon: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    for changes, message in (
        ({"command": "no-such-pw.x"}, "program 'no-such-pw.x' not found (Debian, Ubuntu: apt-get install"),
        ({"pseudo_dir": None}, "no pseudopotentials: set the environment variable ESPRESSO_PSEUDO, or pseudo_dir"),
        ({"pseudo_dir": "/no/such"}, "pseudo_dir names /no/such: no such folder"),
    ):
        with pytest.raises(FatalError, match=re.escape(message)):
            QeLabeler(fake.model_copy(update=changes)).label([silicon], tmp_path)


def test_dynamics_repeats_known_steps_after_an_interruption(
    fake: QeSettings, silicon: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored answer belongs to the first step only: the second one is refused, and the first frame is kept."""
    write_frames(tmp_path / "task/cell.extxyz", [silicon])
    settings = AimdSettings(temperatures_K=[300.0], steps=2, sample_every=1)
    run_aimd(tmp_path / "task", fake, settings, 1, tmp_path / "out")
    status = TaskStatus.read(tmp_path / "out")
    assert status.status == "partial"
    assert "another cell than that of the frame" in status.reason
    assert status.level.code == "Quantum ESPRESSO"
    (frame,) = read_frames(tmp_path / "out/frames.extxyz")
    assert frame.get_potential_energy() == QeLabeler(fake).label([silicon], tmp_path)[0].atoms.get_potential_energy()

    monkeypatch.setenv("FAKE_PW", "SIGKILL")
    with pytest.raises(TransientError):
        run_aimd(tmp_path / "task", fake, settings, 1, tmp_path / "killed")
    with pytest.raises(FatalError, match="not found"):
        run_aimd(tmp_path / "task", fake.model_copy(update={"command": "nothing"}), settings, 1, tmp_path / "missing")


def test_level_of_theory(fake: QeSettings, silicon: Atoms, library: Path) -> None:
    level = QeLabeler(fake).level([silicon])
    assert level.settings["functional"] == "PBE"
    given = [level.settings[key] for key in ("ecutwfc_Ry", "ecutrho_Ry", "kspacing")]
    assert given == ["16", "64", "0.3"]
    assert level.potentials["Si"].titel == "Si.upf"
    same = fake.model_copy(update={"keys": {"mixing_beta": 0.2}, "max_scf": 200})
    assert QeLabeler(same).level([silicon]) == level
    for changes in ({"keys": {"nbnd": 20}}, {"ecutwfc_Ry": 20.0}, {"vdw": "grimme-d3"}, {"magnetization": {"Si": 1.0}}):
        assert QeLabeler(fake.model_copy(update=changes)).level([silicon]) != level
    with (library / "Si.upf").open("a") as stream:
        stream.write("\n<!-- </UPF> -->\n")
    assert QeLabeler(fake).level([silicon]).potentials != level.potentials


def test_relative_folders_are_refused(fake: QeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = fake.model_copy(update={"pseudo_dir": "pseudos"})
    assert any("must be an absolute path" in text for _, text in QeLabeler.problems(settings, ["Si"], tmp_path))
    with pytest.raises(InputError, match="absolute"):
        QeLabeler(settings).prepare()


def test_finished_frames_are_kept_when_the_folder_of_the_files_moves(
    fake: QeSettings, silicon: Atoms, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that resumes has its pseudopotentials in another folder; changed ones begin again."""
    counter = tmp_path / "count"
    script = tmp_path / "counting_pw.py"
    script.write_text(
        "import os, signal, subprocess, sys\nfrom pathlib import Path\n"
        f"count = Path({str(counter)!r})\n"
        "runs = int(count.read_text()) + 1 if count.exists() else 1\ncount.write_text(str(runs))\n"
        "if runs == 3:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.exit(subprocess.run([sys.executable, {str(FAKE)!r}, *sys.argv[1:]]).returncode)\n"
    )
    settings = fake.model_copy(update={"command": f"{sys.executable} {script}"})
    write_frames(tmp_path / "task/frames.extxyz", [silicon] * 4)
    with pytest.raises(TransientError):
        label_frames(tmp_path / "task", settings, tmp_path / "out")
    elsewhere = shutil.copytree(library, tmp_path / "elsewhere")
    label_frames(tmp_path / "task", settings.model_copy(update={"pseudo_dir": str(elsewhere)}), tmp_path / "out")
    assert TaskStatus.read(tmp_path / "out").status == "ok"
    assert len(read_frames(tmp_path / "out/frames.extxyz")) == 4
    assert counter.read_text() == "5"  # two before the kill, the killed one, two after it

    counter.write_text("0")
    with pytest.raises(TransientError):
        label_frames(tmp_path / "task", settings, tmp_path / "other")
    (elsewhere / "Si.upf").write_text((elsewhere / "Si.upf").read_text() + "<!-- </UPF> -->\n")
    label_frames(tmp_path / "task", settings.model_copy(update={"pseudo_dir": str(elsewhere)}), tmp_path / "other")
    assert counter.read_text() == "7"  # all four again


def test_a_workflow_without_the_pseudopotentials_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would travel with the tasks if they were here."""
    from dpa_sse.pipeline.config.schema import Project
    from dpa_sse.pipeline.flows.render import render

    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    project = Project.model_validate({
        "name": "q", "type_map": ["Si"], "systems": [{"name": "A", "structure": str(tmp_path / "a.cif")}],
        "labeler": {"kind": "qe"}, "pretrain": None,
    })
    from ase.build import bulk

    bulk("Si").write(tmp_path / "a.cif")
    found = render(project, tmp_path).remarks
    assert any("the pseudopotentials of qe are not on this machine" in one for one in found), found
