"""AIMD that was interrupted repeats its known steps without computing them, and ends with the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.labelers import aimd as aimd_module
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.dynamics import RECORD, CalculatorLabeler
from dpa_sse.ops.labelers.recording_calculator import RecordedCalculator
from dpa_sse.ops.labelers.settings import AimdSettings, MockSettings
from dpa_sse.ops.structures.extxyz import write_frames


class Counting(EMT):
    """Breaks off after so many calls; answers in single precision, as networks do."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.calls = limit, 0

    def calculate(self, *arguments: Any) -> None:
        if self.calls == self.limit:
            raise TransientError("the node is gone")
        self.calls += 1
        super().calculate(*arguments)
        self.results["forces"] = self.results["forces"].astype(np.float32)


def run(folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch, settings: AimdSettings) -> Counting:
    atoms = bulk("Cu", cubic=True)
    atoms.info.update(system="Cu", trajectory="Cu.p000")
    write_frames(folder / "task" / "cell.extxyz", [atoms])
    calculator = Counting(limit)

    class Counted(CalculatorLabeler[MockSettings]):
        def calculator(self, work=None) -> Counting:
            return calculator

        def label(self, frames: Any, work: Path) -> Any:
            raise NotImplementedError

    monkeypatch.setattr(aimd_module, "make_labeler", Counted)
    run_aimd(folder / "task", MockSettings(), settings, 1, folder / "out")
    return calculator


@pytest.mark.parametrize("settings", [
    AimdSettings(temperatures_K=[300.0], steps=20, sample_every=2),
    AimdSettings(temperatures_K=[300.0], steps=20, sample_every=2, thermostat="nose-hoover"),
    AimdSettings(temperatures_K=[300.0], steps=20, sample_every=2, ensemble="npt"),
])
def test_interrupted_aimd_goes_on_bit_for_bit(
    settings: AimdSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", 10**6, monkeypatch, settings)
    for limit in (7, 5):
        with pytest.raises(TransientError):
            run(tmp_path / "parts", limit, monkeypatch, settings)
    with (tmp_path / "parts" / "out" / RECORD).open("r+b") as stream:
        stream.truncate((tmp_path / "parts" / "out" / RECORD).stat().st_size - 5)  # killed while writing
    last = run(tmp_path / "parts", 10**6, monkeypatch, settings)
    expected = (tmp_path / "whole" / "out" / "frames.extxyz").read_bytes()
    assert (tmp_path / "parts" / "out" / "frames.extxyz").read_bytes() == expected
    assert last.calls == whole.calls - 11
    assert not (tmp_path / "parts" / "out" / RECORD).exists()


def test_answers_to_other_questions_are_not_used(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    for strain, calls in ((1.0, 1), (1.0, 0), (1.01, 1), (1.0, 1)):
        inner = Counting(5)
        recorded = RecordedCalculator(inner, tmp_path / "record")
        atoms.calc = recorded
        atoms.set_cell(np.eye(3) * 3.6 * strain, scale_atoms=True)
        forces, energy = atoms.get_forces(), atoms.get_potential_energy()
        recorded.close()
        assert inner.calls == calls
        assert forces.dtype == np.float32
        atoms.calc = EMT()
        assert energy == atoms.get_potential_energy()
