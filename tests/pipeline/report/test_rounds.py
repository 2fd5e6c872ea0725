"""Active fine-tuning and the curve of errors against labels in the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import report_inputs as made

from dpa_sse.pipeline.report.build import build_report
from dpa_sse.pipeline.report.gather import finished_steps
from dpa_sse.pipeline.report.inputs import ReportInputs


def test_rounds_and_curve_are_on_the_page_and_in_the_summary(tmp_path: Path) -> None:
    build_report(
        ReportInputs(title="t", rounds=made.rounds(tmp_path), curve=made.curve(tmp_path)), tmp_path / "out"
    )
    page = (tmp_path / "out/report.html").read_text()
    for text in ("Active fine-tuning", "91.5", "80.2 to 104", "diverse, of 98", "not converged",
                 "below the wanted 65", "1 label failed", "Errors against labels",
                 "122 (120 to 125)", "152 (150 to 155)"):
        assert text in page, text
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert [one["on_policy_force_mae_meV_A"] for one in summary["finetune_rounds"]] == [91.5, 61.5]
    assert len(summary["finetune_curve"]) == 12
    with (tmp_path / "out/figures/finetune_rounds.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    wanted = [("20", "77.5"), ("29", "59.5")]
    assert [(row["training_frames"], row["held_out_force_mae_meV_A"]) for row in rows] == wanted
    with (tmp_path / "out/figures/finetune_curve.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 12


def test_the_results_of_the_last_round_and_of_fine_tuning_are_found_by_their_names() -> None:
    names = [
        "round1-train-000", "round1-collect", "round2-collect", "round10-collect", "finetune-000", "finetune-001",
        "curve-000", "curve-001",
    ]
    found = finished_steps({name: Path(name) for name in names}, {})
    assert found.rounds == Path("round10-collect")
    assert found.variants == [Path("finetune-000"), Path("finetune-001")]
    assert found.curve == [Path("curve-000"), Path("curve-001")]


def test_a_run_without_rounds_has_no_such_sections(tmp_path: Path) -> None:
    build_report(ReportInputs(title="t"), tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "Active fine-tuning" not in page
    assert "Errors against labels" not in page


def test_the_thinning_is_on_the_page_and_in_the_summary(tmp_path: Path) -> None:
    build_report(ReportInputs(title="t", learning_state=made.thinned(tmp_path / "thinned")), tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    for text in ("Thinned data", "70 of 399 training frames are kept", "120 to 178", "102", "What each frame buys"):
        assert text in page, text
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert [one["training_frames"] for one in summary["simplify"]] == [20, 70]
    with (tmp_path / "out/figures/simplify.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["training_frames"], row["force_mae_meV_A"], row["force_low_meV_A"]) for row in rows] == [
        ("20", "146.5", "120.25"), ("70", "87.5", ""),
    ]


def test_thinned_data_are_the_base_data_until_concurrent_learning_has_labelled() -> None:
    names = ["user-data", "simplify-start", "simplify-select-i000", "simplify-select-i001"]
    finished = {name: Path(name) for name in names}
    assert finished_steps(finished, {}).training_data == Path("simplify-select-i001")
    finished["merge-i000"] = Path("merge-i000")
    assert finished_steps(finished, {}).training_data == Path("merge-i000")
