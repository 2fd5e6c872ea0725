"""Several systems, and several arrangements of one, on the page and in ``summary.json``."""

from __future__ import annotations

import re
from pathlib import Path

import report_inputs as made

from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.ops.validation.verdict import worst
from dpa_sse.pipeline.report.build import ReportInputs, build_report
from dpa_sse.pipeline.report.inputs import load_data
from dpa_sse.pipeline.report.publication.methods import methods
from dpa_sse.pipeline.report.transport import transport_points


def test_equal_systems_have_no_order(tmp_path: Path) -> None:
    runs = [
        made.md_run(tmp_path / name, T, system=name) for name in ("One", "<Two>") for T in (800.0, 1000.0, 1200.0)
    ]
    folder = made.analyse(tmp_path, runs)
    ranking = ConductivityResult.read(folder).ranking
    summary = build_report(ReportInputs(md=runs, conductivity=folder), tmp_path / "out")
    assert summary.ranking == ranking
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert len(ranking) == 2
    assert {one.rank_text for one in ranking} == {"1-2"}
    first, second = ranking
    assert f"{first.better_than[second.system]:.2f}" in page
    assert "<Two>" not in page
    table = page[page.index("P (better than next)") :]
    assert re.search(r"1-2</td>\s*<td[^>]*>(One|&lt;Two&gt;)", table[: table.index("</table>")])


def test_a_single_system_has_no_ranking(tmp_path: Path) -> None:
    runs = [made.md_run(tmp_path, T) for T in (800.0, 1000.0, 1200.0)]
    summary = build_report(ReportInputs(md=runs, conductivity=made.analyse(tmp_path, runs)), tmp_path / "out")
    assert summary.ranking == ()
    assert "better than next" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_arrangements_share_a_row_and_the_worst_verdict(tmp_path: Path) -> None:
    runs = [
        made.md_run(tmp_path / f"{k}", T, system=f"LPS.c{k:03d}", replica=k)
        for k in range(3) for T in (800.0, 1000.0, 1200.0)
    ]
    folder = made.analyse(tmp_path, runs)
    data = load_data(ReportInputs(md=runs, conductivity=folder, self_check=made.self_check(tmp_path, runs)))
    points = transport_points(data)
    assert [(p.system, p.replicas, p.arrangements) for p in points] == [("LPS", 3, 3)] * 3
    checks = [one for one in data.self_check.points if one.temperature_K == 800.0]
    assert len(checks) == 3
    assert points[0].trust == worst(*(one.verdict for one in checks))
    build_report(ReportInputs(md=runs, conductivity=folder), tmp_path / "out")
    assert "3 (3 arrangements)" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    text = " ".join(paragraph.text for paragraph in methods(data))
    assert "Cells of LPS (3 arrangements of its atoms) with 52 atoms" in text
