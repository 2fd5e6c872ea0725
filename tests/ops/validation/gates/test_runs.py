"""Gates that run programs and MD: LAMMPS of G3, stability (G5)."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.validation.gates.base import Labels
from dpa_sse.ops.validation.gates.potentials import Holed
from tests.ops.validation.gates.analytic import Changed, Pairs, crystal, measured, verdict

SHORT = {"hold_ps": 0.2, "ramp_ps": 0.1, "hot_ps": 0.1}


class TestLammps:
    """A program that crashes with the model fails it; only one that is not there leaves the question open."""

    def result(self, tmp_path, monkeypatch: pytest.MonkeyPatch, script: str | None, ranks: int = 1):
        from dpa_sse.ops.validation.gates import parity
        from dpa_sse.ops.validation.gates.base import ModelFiles

        (tmp_path / "model.pth").write_bytes(b"x")
        if script is None:
            monkeypatch.setenv("DPA_SSE_LMP", str(tmp_path / "none"))
        else:
            (tmp_path / "lmp").write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / "lmp").chmod(0o755)
            monkeypatch.setenv("DPA_SSE_LMP", str(tmp_path / "lmp"))
        monkeypatch.setattr(parity, "_files", lambda *_: None)
        monkeypatch.setattr(parity, "_ase", lambda *_: None)
        monkeypatch.setattr(parity, "mpirun", lambda: "mpirun" if ranks > 1 else "")
        found = measured("G3", Pairs(), None, files=ModelFiles(frozen=tmp_path / "model.pth"), work=tmp_path / "work")
        return verdict("G3", found)

    @pytest.mark.parametrize(("script", "line"), [
        ("echo 'ERROR: Unknown pair style' > log.lammps; echo 'Last input line: x' >> log.lammps; exit 1",
         "LAMMPS crashed: ERROR: Unknown pair style"),
        ("echo 'terminate called: bad_alloc'; exit 3", "LAMMPS crashed: terminate called: bad_alloc"),
        ("echo started > log.lammps; kill -SEGV $$", "LAMMPS crashed: started"), ("exit 1", "failed with code 1"),
        ("echo 'Total wall time' > log.lammps", "wrote no energy or forces of frame 0: Total wall time"),
    ])
    def test_a_crash(self, script: str, line: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        result = self.result(tmp_path, monkeypatch, script)
        assert result.verdict == "FAIL" and line in result.reason and "\n" not in result.reason
        states = {one.name: one.verdict for one in result.metrics}
        assert (states["lammps_force"], states["lammps_two_ranks_force"]) == ("FAIL", "NOT_RUN")

    def test_a_missing_program(self, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
        result = self.result(tmp_path, monkeypatch, None)
        assert result.verdict == "PASS"
        assert {one.name: one.verdict for one in result.metrics}["lammps_force"] == "NOT_RUN"


class TestStability:
    def test_a_solid(self) -> None:
        result = verdict("G5", measured("G5", Pairs(), Pairs(), md=SHORT))
        assert result.verdict == "PASS", result.reason

    def test_an_explosion(self) -> None:
        away = Changed(Pairs(), lambda found, places, _: Labels(found.energy, 40.0 * (places - 4.0), found.virial))
        result = verdict("G5", measured("G5", away, Pairs(), md=SHORT))
        assert result.verdict == "FAIL" and "exploded runs" in result.reason and "Label frames" in result.mend

    def test_no_number(self) -> None:
        broken = Changed(Pairs(), lambda found, *_: Labels(found.energy * np.nan, found.force, found.virial))
        assert verdict("G5", measured("G5", broken, Pairs(), md=SHORT)).verdict == "FAIL"

    def test_fused_atoms(self) -> None:
        """A model with an open hole pulls atoms into each other, while the reference keeps them apart."""
        result = verdict("G5", measured("G5", Holed(Pairs(), 40.0, 1.5), Pairs(), md={**SHORT, "hold_ps": 0.4}))
        assert result.verdict == "FAIL"

    def test_a_model_that_heats_itself(self) -> None:
        turn = np.array([[1, 0.9, 0], [-0.9, 1, 0], [0, 0, 1]])
        curl = Changed(Pairs(), lambda found, *_: Labels(found.energy, found.force @ turn, found.virial))
        result = verdict("G5", measured("G5", curl, Pairs(), md={**SHORT, "hold_ps": 0.6}))
        assert result.verdict == "FAIL"

    @pytest.mark.parametrize(("part", "expected"), [("hold", "300 K"), ("hot", "360 K")])
    def test_close_contacts_count_at_both_temperatures(
        self, part: str, expected: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from dataclasses import replace

        from dpa_sse.ops.validation.gates import stability
        from dpa_sse.ops.validation.gates.shared import heated

        def closer(potential, atoms, settings):
            """The runs as they were, but one pair of the model came to 75 % of its distance."""
            runs = heated(potential, atoms, settings)
            if potential.role == "reference":
                return runs
            own = getattr(runs, part)
            positions = own.positions.copy()
            positions[0, 0, 1] = 0.25 * positions[0, 0, 0] + 0.75 * positions[0, 0, 1]
            return replace(runs, **{part: replace(own, positions=positions)})

        assert measured("G5", Pairs(), Pairs(), md=SHORT).values["closest_contact"].value > 0.9
        monkeypatch.setattr(stability, "heated", closer)
        contact = measured("G5", Pairs(), Pairs(), md=SHORT).values["closest_contact"]
        assert contact.value < 0.85 and contact.where.endswith(f"at {expected}")

    def test_units_that_break_above_the_highest_temperature(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from dpa_sse.ops.validation.gates import stability

        class Kept(stability.Geometry):
            """All units are intact below 500 K, a third of them above, in the model only."""
            def measure(self, cell, positions):
                far = np.abs(positions - crystal().positions).max() > 0.5
                return 1.0, np.array([4, 4, 3 if far else 4])

        monkeypatch.setattr(stability, "Geometry", Kept)
        loose = Changed(Pairs(), lambda found, *_: Labels(found.energy, 0.3 * found.force, found.virial))
        md = {**SHORT, "hot_ps": 0.3, "hot_factor": 8.0}
        lost = measured("G5", loose, Pairs(), md=md, temperature_K=150.0).values["polyhedra_lost"]
        assert lost.value > 5 and lost.where == "1200 K"

    def test_a_reference_that_explodes_above_it_is_no_measure(self) -> None:
        class Bounded(Pairs):
            """A surface that ends where only hot atoms get to."""
            def evaluate(self, symbols, positions, cells):
                labels = super().evaluate(symbols, positions, cells)
                far = np.abs(positions - crystal().positions).max(axis=(1, 2)) > 0.3
                return Labels(np.where(far, np.nan, labels.energy), labels.force, labels.virial)

        md = {**SHORT, "hot_ps": 0.3, "hot_factor": 8.0}
        found = measured("G5", Bounded(), Bounded(), md=md, temperature_K=150.0)
        assert found.values["exploded_runs"].value == 0
        assert any("the reference explodes, too" in note for note in found.notes)
        assert measured("G5", Bounded(), Pairs(), md=md, temperature_K=150.0).values["exploded_runs"].value > 0

    def test_a_framework_that_melts(self) -> None:
        """The model has no forces on Cl: its sublattice diffuses, that of the reference does not."""
        free = Changed(Pairs(), lambda found, *_: Labels(found.energy * 0, found.force * 0, found.virial * 0))
        found = measured("G5", free, Pairs(), md={**SHORT, "hold_ps": 1.2}, temperature_K=900.0)
        assert found.values["melted_runs"].value >= 1
        assert verdict("G5", found).verdict == "FAIL"

    def test_broken_polyhedra(self) -> None:
        from dpa_sse.ops.validation.gates.stability import _difference

        rng = np.random.default_rng(1)
        good, bad = 0.97 + rng.normal(0, 0.005, 4), 0.80 + rng.normal(0, 0.005, 4)
        assert _difference([(good, good[::-1])]).value == pytest.approx(0)
        lost = _difference([(bad, good)])
        assert lost.value == pytest.approx(17, abs=1) and lost.ci95 is not None and lost.ci95[0] > 5
