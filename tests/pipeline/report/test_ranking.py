"""The order of several systems on the page and in ``summary.json``."""

from __future__ import annotations

import re
from pathlib import Path

import report_inputs as made

from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.pipeline.report.build import ReportInputs, build_report


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
