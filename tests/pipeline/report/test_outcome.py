"""The outcome of a run in words: one status, the results in the terminal, and advice that fits the cause."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import report_inputs as made

from dpa_sse.ops.conductivity.op import Conductivity
from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.results.conductivity import explained
from dpa_sse.ops.results.learning import IterationReport, LearningState, SanityResult
from dpa_sse.ops.results.status import TaskStatus
from dpa_sse.pipeline.commands.monitor import rebuild_report, show_status, watch_run
from dpa_sse.pipeline.commands.run_end import finish_run
from dpa_sse.pipeline.report.advice import advice, learning_advice
from dpa_sse.pipeline.report.build import build_report
from dpa_sse.pipeline.report.gather import inputs_of_run
from dpa_sse.pipeline.report.inputs import ReportData, ReportInputs, load_data
from dpa_sse.pipeline.report.result_lines import result_lines
from dpa_sse.pipeline.runs.folder import CONFIG, Run


def results(root: Path, kinds: Mapping[float, str]) -> ReportInputs:
    """Return production runs of these kinds with their conductivities."""
    md = [made.md_run(root, T, kind, reason="step 80: too hot") for T, kind in kinds.items()]
    return ReportInputs(config=made.config(root), stages=made.stages(), md=md, conductivity=made.analyse(root, md))


def data_of(root: Path, kinds: Mapping[float, str]) -> ReportData:
    return load_data(results(root, kinds))


def run_folder(root: Path, inputs: ReportInputs, code: int = 0) -> Run:
    """Return a run folder whose log names these results."""
    folder = root / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(made.config(root).read_text())
    tasks = {f"md-{number:03d}": path for number, path in enumerate(inputs.md)}
    assert inputs.conductivity is not None
    tasks["conductivity"] = inputs.conductivity
    lines: list[dict[str, object]] = [{"event": "run-start", "time": 0.0}]
    for task, path in tasks.items():
        place = folder / "tasks" / task
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
        lines.append({"event": "done", "time": 1.0, "stage": "07-md", "task": task, "folder": f"tasks/{task}"})
    lines.append({"event": "run-end", "time": 2.0, "code": code})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(folder)


@pytest.mark.parametrize(("kinds", "word", "code"), [
    ({1000.0: "diffusive", 1200.0: "exploded"}, "done", 0),
    ({1000.0: "too short", 1200.0: "exploded"}, "inconclusive", 3),
])
def test_all_commands_say_the_same_word(
    tmp_path: Path, kinds: Mapping[float, str], word: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path, results(tmp_path / "in", kinds))
    assert finish_run(run, 0) == code
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"Report: {run.folder / 'report.html'}"
    assert len(shown) > 1
    name = str(run.folder)
    summary = run.folder / "summary.json"
    assert json.loads(summary.read_text())["status"] == word
    assert f"status: {word}" in (run.folder / "report.html").read_text()
    show_status(name, as_json=True)
    assert json.loads(capsys.readouterr().out)["status"] == word
    assert watch_run(name) == code
    assert capsys.readouterr().out.endswith(f"mine: {word}\n")
    rebuild_report(name)
    assert capsys.readouterr().out.splitlines() == shown
    assert json.loads(summary.read_text())["status"] == word


def test_a_failed_run_is_failed_whatever_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folder(tmp_path, results(tmp_path / "in", {1000.0: "diffusive"}), code=1)
    assert finish_run(run, 1) == 1
    assert json.loads((run.folder / "summary.json").read_text())["status"] == "failed"
    assert "sigma = " in capsys.readouterr().out


def test_an_interrupted_run_has_its_links(tmp_path: Path) -> None:
    run = run_folder(tmp_path, results(tmp_path / "in", {1000.0: "diffusive"}), code=130)
    assert finish_run(run, 130) == 130
    assert (run.folder / "conductivity" / "conductivity.json").is_file()


@pytest.mark.parametrize("ratio", [1.0, 0.0])
def test_technical_failures_of_all_runs_fail_the_run(tmp_path: Path, ratio: float) -> None:
    settings = Conductivity.settings_class(
        type_map=made.TYPE_MAP, conductivity={"figures": False}, min_success_ratio=ratio
    )
    group = tmp_path / "group.000"
    for number in range(2):
        TaskStatus(status="failed", reason="model file not found").write(group / f"task.{number:03d}")
    with pytest.raises(FatalError, match=r"production MD: 0 of 2 succeeded(.|\n)*model file not found"):
        Conductivity().run(tmp_path / "out", settings, trajectories=[group], labels=None)


def test_physical_ends_of_all_runs_do_not_fail_the_run(tmp_path: Path) -> None:
    settings = Conductivity.settings_class(
        type_map=made.TYPE_MAP, conductivity={"figures": False}, min_success_ratio=1.0
    )
    for number, temperature in enumerate((1000.0, 1200.0)):
        run = made.md_run(tmp_path / "in", temperature, "exploded", reason="step 80: too hot")
        (tmp_path / "group.000").mkdir(exist_ok=True)
        run.rename(tmp_path / "group.000" / f"task.{number:03d}")
    out = tmp_path / "out"
    Conductivity().run(out, settings, trajectories=[tmp_path / "group.000"], labels=None)
    assert "exploded" in (out / "conductivity.json").read_text()


def test_a_conductivity_is_printed_with_what_it_holds_for(tmp_path: Path) -> None:
    first, *others = result_lines(data_of(tmp_path, {1000.0: "diffusive", 1200.0: "exploded"}))
    for words in (
        "Li6PS5Br, 1000 K, 0 GPa, NVT, 52 atoms", "sigma = ", " mS/cm (95 %: ",
        "; labels of unknown level; not checked",
    ):
        assert words in first
    assert others[0] == "No conductivity at 1200 K: exploded"
    assert others[1].startswith("Next: The potential does not hold the crystal at 1200 K")


def test_a_checked_conductivity_is_printed_with_its_verdict(tmp_path: Path) -> None:
    data = load_data(made.everything(tmp_path))
    lines = result_lines(data)
    verdicts = {point.verdict for point in data.self_check.points} if data.self_check else set()
    assert verdicts
    assert all(any(verdict in line for verdict in verdicts) for line in lines[:2])
    assert any(line.startswith("Li6PS5Br: sigma(300 K) = ") for line in lines) or any("Ea" in line for line in lines)


def test_a_project_without_conductivities_has_no_outcome() -> None:
    assert result_lines(ReportData("x")) == []


def test_advice_where_the_runs_broke_off(tmp_path: Path) -> None:
    data = data_of(tmp_path, {1000.0: "exploded", 1200.0: "melted"})
    (only,) = advice(data)
    assert only.startswith("The potential does not hold the crystal at 1000 and 1200 K: it needs more data or training")
    assert "lower `md.temperatures_K`" in only
    assert "onger runs" not in only
    summary = build_report(results(tmp_path / "page", {1000.0: "exploded", 1200.0: "melted"}), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert summary.status == "inconclusive"
    assert "The potential does not hold the crystal" in page
    assert "larger cell" not in page
    assert "exploded: exploded" not in page


def test_advice_for_runs_that_are_too_short_can_be_followed(tmp_path: Path) -> None:
    data = data_of(tmp_path, {800.0: "too short"})
    (only,) = advice(data)
    assert data.conductivity is not None
    more = data.conductivity.temperatures[0].more_ps_needed
    assert more is not None
    run = data.md[0].info
    now = run.steps * run.timestep_fs / 1000
    length = float(only.partition("increase `md.production_ps` to ")[2].split()[0])
    assert now + more <= length <= 1.1 * (now + more)
    assert f"(now {now:g})" in only


def test_advice_where_nothing_diffuses(tmp_path: Path) -> None:
    (only,) = advice(data_of(tmp_path, {800.0: "caged"}))
    assert "raise `md.temperatures_K`" in only


@pytest.mark.parametrize(("changes", "words"), [
    ({}, "raise `concurrent_learning.stages.1.max_iterations`"),
    ({"passed_over": 7}, "7 candidates got no label; raise `concurrent_learning.max_selected`"),
    ({"failed_ratio": 0.8}, "80 % beyond the upper trust level"),
    ({"accurate_ratio": None}, "no exploration run produced frames"),
    ({"sanity": "all"}, "no model survives its short sanity MD"),
])
def test_advice_for_concurrent_learning(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    last = LearningState.read(made.learning_state(tmp_path)).history[-1]
    if changes.get("sanity"):
        broken = [SanityResult(**{**one.model_dump(), "status": "failed", "reason": "x"}) for one in last.sanity]
        changes = {"sanity": tuple(broken)}
    plain = {"converged": False, "failed_ratio": 0.1, "accurate_ratio": 0.6, "passed_over": 0}
    report: IterationReport = last.model_copy(update={**plain, **changes})
    (only,) = learning_advice([report])
    assert only.startswith("Concurrent learning did not converge: ")
    assert words in only
    assert learning_advice([report.model_copy(update={"converged": True})]) == []


def test_no_word_of_a_verdict_twice() -> None:
    assert explained("unreliable: exploded", ("exploded: step 80: hot",)) == "unreliable: exploded: step 80: hot"
    assert explained("melted", ("melted: 3 of 4 polyhedra are gone",)) == "melted: 3 of 4 polyhedra are gone"
    assert explained("unreliable: failed", ("failed: no disk",)) == "unreliable: failed: no disk"
    assert explained("unreliable: no steps", ("no steps",)) == "unreliable: no steps"
    assert explained("too short (9 more ps needed)", ("only 3 hops",)) == "too short (9 more ps needed): only 3 hops"


def test_a_rebuilt_report_has_the_runs_that_melted_or_exploded(tmp_path: Path) -> None:
    """Their tasks are logged as failed; a page without them would call all runs stable."""
    run = run_folder(tmp_path, results(tmp_path / "in", {1000.0: "diffusive", 1200.0: "exploded"}))
    log = run.folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if line.get("task") == "md-001":
            line["event"], line["reason"] = "failed", "exploded: step 80: too hot"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = inputs_of_run(run, tmp_path / "work")
    assert [folder.name for folder in found.md] == ["md-000", "md-001"]
