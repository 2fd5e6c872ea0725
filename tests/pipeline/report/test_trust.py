"""What the page says about trust: intervals, sources and state points of numbers, self-check, comparisons of models."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import report_inputs as made

from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.results.md import MdRun
from dpa_sse.pipeline.report.assessment import assess, key_figures
from dpa_sse.pipeline.report.build import ReportInputs
from dpa_sse.pipeline.report.comparison import compare, not_converged
from dpa_sse.pipeline.report.inputs import load_data
from dpa_sse.pipeline.report.result_lines import result_lines
from dpa_sse.pipeline.report.summary import make_summary
from dpa_sse.pipeline.report.transport import transport_points

QUANTITY = re.compile(r"[0-9](?: [^0-9()]{0,12})? ?(?:mS/cm|meV/atom|meV/Å|GPa in)")


@pytest.mark.parametrize("bias", [0.0, 25.0])
def test_numbers_on_the_first_screen_state_what_they_hold_for(bias: float, tmp_path: Path) -> None:
    """Each physical number has an interval and the source of its labels; those of the MD also have a state point."""
    inputs = made.everything(tmp_path / "in")
    checked = made.self_check(tmp_path / "in" / "again", inputs.md, bias)
    data = load_data(replace(inputs, self_check=checked))
    found = assess(data)
    texts = [*found.good, *found.bad, *found.unsure]
    numbers = [text for text in texts if QUANTITY.search(text)]
    assert len(numbers) >= 5
    for text in numbers:
        assert "95 %" in text or "±" in text, text
        assert "labels" in text, text
        if "mS/cm" in text or "Self-check" in text:
            assert "0 GPa, NVT, 52 atoms" in text, text
    assert "0 GPa, NVT, 52 atoms; CHGNet (0.4.2) labels" in found.headline
    tiles = [tile for tile in key_figures(data) if tile.unit]
    assert {"mS/cm", "meV/Å", "meV/atom"} <= {tile.unit for tile in tiles}
    for tile in tiles:
        assert tile.note.startswith("95 %: "), tile
        assert "labels" in tile.note, tile
        if tile.unit in ("mS/cm", "meV/atom", "eV"):
            assert "0 GPa, NVT, 52 atoms" in tile.note, tile


def test_a_model_that_errs_in_production_is_not_trusted(tmp_path: Path) -> None:
    inputs = made.everything(tmp_path / "in")
    good = load_data(inputs)
    bad = load_data(replace(inputs, self_check=made.self_check(tmp_path / "again", inputs.md, 25.0)))
    assert {point.trust for point in transport_points(good)} == {"trusted"}
    assert {point.trust for point in transport_points(bad)} == {"not trusted"}
    assert "not trusted: the model errs in its own production runs" in assess(bad).headline
    assert assess(bad).level == "bad"
    assert not any("mS/cm" in text for text in assess(bad).good)
    assert any("σ = " in text for text in assess(bad).bad)
    assert any("σ = " in text for text in [*assess(good).good, *assess(good).unsure])
    unchecked = load_data(replace(inputs, self_check=None))
    assert any("not compared with the labeler" in text for text in assess(unchecked).unsure)
    assert "not checked against the labeler" in assess(unchecked).headline


@pytest.mark.parametrize(("bias", "word"), [(0.0, "trusted"), (25.0, "not trusted")])
def test_an_arrhenius_line_has_the_verdict_of_its_temperatures(bias: float, word: str, tmp_path: Path) -> None:
    inputs = made.everything(tmp_path / "in")
    data = load_data(replace(inputs, self_check=made.self_check(tmp_path / "again", inputs.md, bias)))
    assert [line.trust for line in make_summary(data).arrhenius] == [word]
    lines = [line for line in result_lines(data) if "Ea = " in line or "extrapolated" in line]
    assert len(lines) >= 1
    assert all(line.endswith((f"; {word}", f": {word}")) or "library" in line for line in lines)


def test_better_needs_an_interval_that_excludes_zero(tmp_path: Path) -> None:
    """Half the error on each trajectory is better; a smaller mean because of one trajectory is not."""
    rng = np.random.default_rng(3)
    one = Evaluation.read(made.evaluation(tmp_path, "one", rng, 10, 100))

    def scaled(factors: list[float]) -> Evaluation:
        parts = tuple(
            part.model_copy(update={
                "energy_mae_meV_atom": part.energy_mae_meV_atom * factor,
                "force_mae_meV_A": part.force_mae_meV_A * factor,
            })
            for part, factor in zip(one.trajectories, factors, strict=True)
        )
        return one.model_copy(update={"trajectories": parts})

    assert compare(scaled([0.5] * 4), one) == "better"
    assert compare(one, scaled([0.5] * 4)) == "worse"
    assert compare(scaled([0.2, 1, 1, 1]), one).startswith("not shown")


def test_a_training_without_enough_steps_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    evaluations = {
        "fine_tuned": made.evaluation(tmp_path, "fine_tuned", rng, 5, 80),
        "fine_tuned_train": made.evaluation(tmp_path, "fine_tuned_train", rng, 4, 50),
        "from_scratch": made.evaluation(tmp_path, "from_scratch", rng, 25, 220),
        "from_scratch_train": made.evaluation(tmp_path, "from_scratch_train", rng, 25, 225),
    }
    data = load_data(ReportInputs(evaluations=evaluations))
    assert not_converged(data) == {"from_scratch"}
    assert any("not converged" in text for text in assess(data).unsure)


def test_state_points_are_in_the_analysis_also_of_refused_runs(tmp_path: Path) -> None:
    """From run.json: what is printed is what was simulated; replicas at different pressures have no common one."""
    folders = [made.md_run(tmp_path, 1000.0), made.md_run(tmp_path, 1200.0, "melted", reason="P left its site")]
    found = ConductivityResult.read(made.analyse(tmp_path, folders))
    for entry in (*found.runs, *found.temperatures):
        assert entry.state is not None
        assert (entry.state.pressure_GPa, entry.state.ensemble, entry.state.n_atoms) == (0.0, "nvt", 52)
        assert entry.state.width_A == pytest.approx(made.EDGE)
    squeezed = made.md_run(tmp_path / "other", 1000.0, replica=1)
    record = MdRun.read(squeezed).model_copy(update={"pressure_GPa": 2.0})
    record.write(squeezed)
    mixed = ConductivityResult.read(made.analyse(tmp_path / "mixed", [folders[0], squeezed]))
    assert [run.state and run.state.pressure_GPa for run in mixed.runs] == [0.0, 2.0]
    assert [entry.state for entry in mixed.temperatures] == [None]
