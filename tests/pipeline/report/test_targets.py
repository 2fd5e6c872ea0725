"""The report on many targets: the order as far as it is known, a page for each, and why a target has nothing."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import report_inputs as made

from dpa_sse.ops.conductivity.ranking import rank_systems
from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.pipeline.config.load import resolved_yaml
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.config.targets import target_project
from dpa_sse.pipeline.report.build import build_report
from dpa_sse.pipeline.report.inputs import ReportInputs, load_data
from dpa_sse.pipeline.report.result_lines import result_lines
from dpa_sse.pipeline.report.targets import outcomes, ranking

TEMPERATURES = (800.0, 1000.0, 1200.0)
TARGETS = {"LPSCl": ("Li6PS5Cl-d0", "Li6PS5Cl-d0.5"), "<b>": ("Li6PS5Br",), "lost": ("Li6PS5I",), "hot": ("LiHot",)}


def project() -> Project:
    return Project.model_validate({
        "name": "screen", "type_map": ["Li", "P", "S", "Cl", "Br", "I"], "labeler": {"kind": "mock"},
        "pretrain": {"model": "model.pt"}, "distill": {}, "md": {"temperatures_K": TEMPERATURES},
        "targets": [
            {"name": name.strip("<>"), "systems": [{"name": one, "structure": "Li6PS5Cl"} for one in systems]}
            for name, systems in TARGETS.items()
        ],
    })


def results(root: Path) -> ReportInputs:
    """Two targets with conductivities, one without any, one whose student failed."""
    whole, targets = project(), {}
    (root / "config.yaml").parent.mkdir(parents=True, exist_ok=True)
    (root / "config.yaml").write_text(resolved_yaml(whole))
    for target in whole.targets:
        folder = root / target.name
        folder.mkdir()
        (folder / "config.yaml").write_text(resolved_yaml(target_project(whole, target.name)))
        inputs = ReportInputs(title=f"screen: {target.name}", config=folder / "config.yaml", stages=made.stages())
        if target.name == "lost":
            failure = FailedTask(task="student-002", reason="lost: the loss became NaN\nTraceback")
            inputs = replace(inputs, stages=made.stages({"06-distill": [failure]}))
        else:
            kind = "exploded" if target.name == "hot" else "diffusive"
            md = [
                made.md_run(folder / one.name, T, kind, system=one.name) for one in target.systems for T in TEMPERATURES
            ]
            inputs = replace(inputs, md=md, conductivity=made.analyse(folder, md))
        targets[target.name] = inputs
    return ReportInputs(config=root / "config.yaml", stages=made.stages(), targets=targets)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return results(tmp_path_factory.mktemp("targets"))


@pytest.fixture(scope="module")
def built(inputs: ReportInputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built")
    build_report(inputs, out)
    return out


def test_the_summary_holds_what_all_targets_have(inputs: ReportInputs, built: Path) -> None:
    summary = json.loads((built / "summary.json").read_text())
    assert [(one["name"], one["status"], one["reason"]) for one in summary["targets"]] == [
        ("LPSCl", "done", ""), ("b", "done", ""), ("lost", "failed", "the loss became NaN"),
        ("hot", "inconclusive", "800, 1000 and 1200 K: exploded"),
    ]
    assert summary["status"] == "partial"
    lines = {}
    for name in ("LPSCl", "b"):
        folder = inputs.targets[name].conductivity
        assert folder is not None
        found = ConductivityResult.read(folder)
        lines |= found.arrhenius_by_system
    ranking = rank_systems(lines, [300.0])
    assert [one["system"] for one in summary["ranking"]] == [one.system for one in ranking]
    assert len(summary["arrhenius"]) == 4
    assert len(summary["conductivity"]) == 12


def test_every_number_of_the_table_is_in_the_summary(built: Path) -> None:
    summary = json.loads((built / "summary.json").read_text())
    page = (built / "report.html").read_text(encoding="utf-8")
    table = page[page.index("P (better than next)"):]
    table = table[: table.index("</table>")]
    for one, after in zip(summary["ranking"], summary["ranking"][1:], strict=False):
        assert f"{one['better_than'][after['system']]:.2f}" in table
    for one in summary["ranking"]:
        low, high = one["rank_ci95"]
        assert f">{low}<" in table or f">{low}-{high}<" in table
    with (built / "figures" / "arrhenius_targets.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    drawn = {(row["system"], float(row["temperature_K"])): float(row["sigma_mS_cm"]) for row in rows
             if row["kind"] == "value"}
    listed = {
        (one["system"], one["temperature_K"]): one["sigma_mS_cm"] for one in summary["conductivity"]
        if one["sigma_mS_cm"] is not None
    }
    assert drawn == pytest.approx(listed)


def test_a_series_is_drawn_over_its_variable(built: Path) -> None:
    with (built / "figures" / "series_Li6PS5Cl_d.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    summary = json.loads((built / "summary.json").read_text())
    ranked = {one["system"]: one["sigma_mS_cm"] for one in summary["ranking"]}
    assert [float(row["value"]) for row in rows] == [0.0, 0.5]
    assert [float(row["sigma_mS_cm"]) for row in rows] == pytest.approx(
        [ranked["Li6PS5Cl-d0"], ranked["Li6PS5Cl-d0.5"]]
    )


def test_ordered_and_disordered_cells_are_compared_at_the_highest_temperature(
    inputs: ReportInputs, built: Path
) -> None:
    with (built / "figures" / "order_msd_Li6PS5Cl.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["system"], row["site_disorder"], row["temperature_K"]) for row in rows} == {
        ("Li6PS5Cl-d0", "0.0", "1200.0"), ("Li6PS5Cl-d0.5", "0.5", "1200.0"),
    }
    with (built / "figures" / "order_energy_Li6PS5Cl.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    hot = [run for run in load_data(inputs.targets["LPSCl"]).md if run.info.temperature_K == 1200]
    means = {
        run.info.system: 1000 * np.mean(run.thermo["potential_eV"]) / run.info.n_atoms for run in hot
    }
    drawn = {
        name: np.mean([float(row["energy_meV_atom"]) for row in rows if row["system"] == name]) for name in means
    }
    assert drawn["Li6PS5Cl-d0.5"] - drawn["Li6PS5Cl-d0"] == pytest.approx(
        means["Li6PS5Cl-d0.5"] - means["Li6PS5Cl-d0"], abs=0.05
    )
    page = (built / "report.html").read_text()
    assert "Order and disorder of Li6PS5Cl: energy" in page


def test_each_target_has_a_page_and_says_what_it_lacks(built: Path) -> None:
    page = (built / "report.html").read_text(encoding="utf-8")
    for name in ("LPSCl", "b", "lost", "hot"):
        assert f'href="targets/{name}/report.html"' in page
        own = (built / "targets" / name / "report.html").read_text(encoding="utf-8")
        assert f"screen: {name}" in own
    assert "lost: the loss became NaN." in page
    assert "Traceback" not in page[: page.index('id="failures"')]


def test_the_terminal_says_the_same(inputs: ReportInputs) -> None:
    lines = result_lines(load_data(inputs))
    assert any(line.startswith("LPSCl: Li6PS5Cl-d0, 800 K") and "sigma = " in line for line in lines)
    assert "lost: failed: the loss became NaN" in lines
    assert lines[-1].startswith("Ranks by sigma at 300 K that the 95 % intervals allow: ")


def test_a_second_report_replaces_the_first(inputs: ReportInputs, tmp_path: Path) -> None:
    from dpa_sse.pipeline.report.figures import copy_report

    build_report(inputs, tmp_path / "made")
    copy_report(tmp_path / "made", tmp_path / "run")
    names = {path.relative_to(tmp_path / "made") for path in (tmp_path / "made").rglob("*.html")}
    assert {path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*.html")} == names
    assert len(names) == 5


def test_tables_of_gates_may_be_links_to_the_files_of_another_step(tmp_path: Path) -> None:
    from dpa_sse.pipeline.report.inputs import gates_of

    folder = made.gates(tmp_path / "made")
    for path in sorted(folder.rglob("*")):
        place = tmp_path / "links" / path.relative_to(folder)
        if path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    found, tables = gates_of(tmp_path / "links")
    assert found is not None
    assert tables.keys() == {gate.key for gate in found.gates if gate.table}
    assert tables


def test_a_target_with_a_failed_step_has_failed_although_it_has_values(inputs: ReportInputs) -> None:
    """E.g. the self-check of its production, or its gates."""
    lost = replace(inputs.targets["LPSCl"], left_out="the self-check crashed")
    data = load_data(replace(inputs, targets={**inputs.targets, "LPSCl": lost}))
    first = outcomes(data)[0]
    assert (first.name, first.word, first.reason) == ("LPSCl", "failed", "the self-check crashed")


def test_the_reason_is_that_of_the_last_failure(inputs: ReportInputs) -> None:
    early = FailedTask(task="aimd-001", reason="tolerated")
    late = FailedTask(task="student-002", reason="the loss became NaN")
    own = replace(inputs.targets["lost"], stages=made.stages({"02-seed": [early], "06-distill": [late]}))
    data = load_data(replace(inputs, targets={**inputs.targets, "lost": own}))
    assert outcomes(data)[2].reason == "the loss became NaN"


def test_the_order_is_made_at_the_temperature_of_most_systems(inputs: ReportInputs) -> None:
    data = load_data(inputs)
    found = data.targets["b"].conductivity
    assert found is not None
    warm = {
        system: line.model_copy(update={"extrapolated": tuple(
            one.model_copy(update={"temperature_K": 350.0}) for one in line.extrapolated)})
        for system, line in found.arrhenius_by_system.items()
    }
    data.targets["b"].conductivity = found.model_copy(update={
        "arrhenius_by_system": warm, "arrhenius": next(iter(warm.values())),
    })
    assert {(one.system, one.temperature_K) for one in ranking(data)} == {
        ("Li6PS5Cl-d0", 300.0), ("Li6PS5Cl-d0.5", 300.0),
    }
