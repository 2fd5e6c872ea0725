"""MD of a reference, kept beside its model and used again: only if nothing that it depends on has changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.validation.gates.base import Reference
from dpa_sse.ops.validation.gates.shared import heated
from dpa_sse.ops.validation.gates.stored_md import FOLDER, StoredMd, place_for
from tests.ops.validation.gates.analytic import Pairs, crystal, measured, settings

SHORT = {"hold_ps": 0.1, "ramp_ps": 0.02, "hot_ps": 0.04}


class Counted(Pairs):
    """Pairs that count their calls."""

    def __init__(self, stored: StoredMd | None) -> None:
        super().__init__()
        self.role, self.stored, self.calls = "reference", stored, 0

    def evaluate(self, symbols, positions, cells):
        self.calls += 1
        return super().evaluate(symbols, positions, cells)


def test_it_is_used_again_with_the_same_numbers(tmp_path: Path) -> None:
    told: list[str] = []
    stored = StoredMd(tmp_path / FOLDER, "a" * 64, tell=told.append)
    given = settings("G8", md=SHORT)
    first = Counted(stored)
    made = heated(first, crystal(), given)
    assert first.calls > 50 and told == []
    again = Counted(stored)
    found = heated(again, crystal(), given)
    assert again.calls == 0 and told == [f"MD of the reference used again: {next((tmp_path / FOLDER).glob('*.npz'))}"]
    for own, other in ((made.hold, found.hold), (made.hot, found.hot)):
        for name in ("positions", "forces", "energy", "kinetic", "virial", "cell"):
            assert np.array_equal(getattr(own, name), getattr(other, name))
        assert (own.symbols, own.ended, own.dt_fs) == (other.symbols, other.ended, other.dt_fs)
    assert made.ended == found.ended


def test_anything_else_is_made(tmp_path: Path) -> None:
    stored = StoredMd(tmp_path, "a" * 64)
    given = settings("G8", md=SHORT)
    heated(Counted(stored), crystal(), given)
    moved, heavy = crystal(), crystal()
    moved.positions[0, 0] += 1e-9
    heavy.set_masses([7.016 if one == "Li" else 35.45 for one in heavy.get_chemical_symbols()])
    for cell, own, keeper in (
        (crystal(), replace(given, temperature_K=301.0), stored), (crystal(), replace(given, timestep_fs=1.0), stored),
        (crystal(), replace(given, seed=2), stored), (crystal(), replace(given, md={**given.md, "copies": 2}), stored),
        (moved, given, stored), (heavy, given, stored), (crystal(), given, replace(stored, model_sha256="b" * 64)),
        (crystal(), given, replace(stored, branch="PBE")), (crystal(), given, replace(stored, program="3.3.0")),
    ):
        potential = Counted(keeper)
        heated(potential, cell, own)
        assert potential.calls > 0
    assert len(list(tmp_path.glob("*.npz"))) == 10


@pytest.mark.parametrize("harm", ["cut", "empty", "changed", "pickle", "another"])
def test_a_damaged_file_is_made_again_with_one_line(harm: str, tmp_path: Path) -> None:
    told: list[str] = []
    stored = StoredMd(tmp_path, "a" * 64, tell=told.append)
    given = settings("G8", md=SHORT)
    made = heated(Counted(stored), crystal(), given)
    (path,) = tmp_path.glob("*.npz")
    content = path.read_bytes()
    if harm == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "changed":
        path.write_bytes(content[:3000] + bytes(64) + content[3064:])
    elif harm == "pickle":
        np.savez(path, cell0=np.array([{"a": 1}], dtype=object), dt_fs0=np.array(1.0), ended=np.array(["x"]))
    else:
        np.savez(path, x=np.zeros(3))
    again = Counted(stored)
    found = heated(again, crystal(), given)
    assert again.calls > 0 and np.array_equal(found.hold.positions, made.hold.positions)
    (line,) = told
    assert "damaged" in line and "is made again" in line and "\n" not in line
    assert Counted(stored).calls == 0 and heated(Counted(stored), crystal(), given) is not None
    assert told[-1].startswith("MD of the reference used again")


def test_the_model_under_test_is_never_taken_from_a_file(tmp_path: Path) -> None:
    potential = Counted(StoredMd(tmp_path, "a" * 64))
    potential.role = "model"
    heated(potential, crystal(), settings("G8", md=SHORT))
    assert list(tmp_path.iterdir()) == []


def test_a_gate_uses_it(tmp_path: Path) -> None:
    for _ in range(2):
        reference = Counted(StoredMd(tmp_path, "a" * 64))
        found = measured("G8", Pairs(), Reference("pairs", reference), md=SHORT)
        assert "g_of_r_loss" in found.values
    assert reference.calls == 0


def test_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the model; in the cache of the user for one of a registry or a run, or where nothing can be written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "dpa-sse" / FOLDER
    own = tmp_path / "own" / "model.pth"
    own.parent.mkdir()
    assert place_for(own) == own.parent / FOLDER
    (own.parent / "SHA256SUMS").touch()
    assert place_for(own) == cache
    task = tmp_path / "runs" / "x" / "tasks" / "05" / "finetune"
    task.mkdir(parents=True)
    (tmp_path / "runs" / "x" / "log.jsonl").touch()
    (tmp_path / "link").symlink_to(task)
    assert place_for(task / "model.pth") == place_for(tmp_path / "link" / "model.pth") == cache
    monkeypatch.setattr(os, "access", lambda *_: False)
    other = tmp_path / "other" / "model.pth"
    other.parent.mkdir()
    assert place_for(other) == cache


def test_a_place_that_cannot_be_written_costs_the_file_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told: list[str] = []
    potential = Counted(StoredMd(tmp_path / "file" / "x", "a" * 64, tell=told.append))
    heated(potential, crystal(), settings("G8", md=SHORT))
    assert potential.calls > 0 and len(told) == 1 and "not kept" in told[0]
