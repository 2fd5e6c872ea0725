"""Rough times: from measured rates, from earlier runs, and for what is left of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.runtime.events import Event, EventKind
from dpa_sse.pipeline.config import load_checked, resolved_yaml
from dpa_sse.pipeline.runs.estimate import Estimate, Machine, estimate, rough
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.plan import PlannedStep
from dpa_sse.pipeline.runs.progress import Progress, heartbeat, status_rows, times_left
from dpa_sse.pipeline.runs.stage_status import stage_status
from dpa_sse.pipeline.runs.step_work import DYNAMICS, LABELS, TRAINING, StepWork, project_work

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "configs" / "quickstart.yaml"
MEASURED_S = {
    "02-seed": 47, "03-concurrent-learning": 118, "04-pretrain": 123, "06-distill": 225, "07-md": 235,
}
"""Seconds of stages of the quickstart on two cores of an idle machine."""


def of(path: Path, runs: Path, *overrides: str, cores: int = 2) -> Estimate:
    located = load_checked(path, overrides, runs_here=False)
    atoms = {name: len(cell) for name, cell in located.cells.items()}
    machine = Machine(cores, located.project.resources.threads_per_task)
    return estimate(located.project, located.base_dir, atoms, machine, runs)


def test_quickstart_within_a_factor_of_two(tmp_path: Path) -> None:
    found = of(QUICKSTART, tmp_path)
    assert found.total_s == pytest.approx(950, rel=0.5)  # 950 s on an idle machine
    for stage, seconds in MEASURED_S.items():
        assert seconds / 2 < found.stages[stage] < seconds * 2, stage
    assert (found.unknown, found.earlier) == ((), ())


def test_more_work_takes_longer(tmp_path: Path) -> None:
    before = of(QUICKSTART, tmp_path).stages
    for override, stage in (
        ("aimd.steps=350", "02-seed"), ("pretrain.steps=15000", "04-pretrain"), ("md.production_ps=180", "07-md"),
        ("distill.student.steps=13000", "06-distill"), ("md.supercell=[2, 2, 2]", "07-md"),
    ):
        assert of(QUICKSTART, tmp_path, override).stages[stage] > 2 * before[stage], override
    assert of(QUICKSTART, tmp_path, cores=8).stages["02-seed"] < 0.6 * before["02-seed"]


def test_a_committee_takes_the_time_of_its_networks(tmp_path: Path) -> None:
    def work(train: str) -> dict[str, StepWork]:
        located = load_checked(QUICKSTART, [f"concurrent_learning.train={train}"], runs_here=False)
        atoms = {name: len(cell) for name, cell in located.cells.items()}
        return {step.step: step for step in project_work(located.project, located.base_dir, atoms)
                if step.stage == "03-concurrent-learning"}

    small, large = "{preset: se_e2_a-tiny, steps: 500}", "{preset: dpa2-tiny, steps: 500}"
    one, other, both = work(small), work(large), work(f"[{small}, {large}]")
    for name in ("train", "explore", "assemble"):
        assert both[name].task_s == pytest.approx((one[name].task_s + other[name].task_s) / 2)
        assert (both[name].tasks, both[name].measured) == (one[name].tasks, True)
    assert both["train"].kind == "training of se_e2_a-tiny and dpa2-tiny"


def test_every_step_with_a_duration_is_one_of_the_dag(tmp_path: Path) -> None:
    """A renamed step would lose its rate silently."""
    from dpa_sse.pipeline.engines.local.dflow_debug import configure
    from dpa_sse.pipeline.engines.platform import Resources
    from dpa_sse.pipeline.flows.main import build

    configure(tmp_path / "dflow", workers=1)
    located = load_checked(QUICKSTART, runs_here=False)
    flow = build(located.project, located.base_dir, tmp_path / "inputs", Resources(cores=2))
    stages = {step.name: step.stage for step in flow.plan}
    work = project_work(located.project, located.base_dir, {})
    assert {step.step: step.stage for step in work} == {step.step: stages[step.step] for step in work}
    assert set(TRAINING) == {path.stem for path in (ROOT / "configs" / "presets").glob("*.yaml")} == set(DYNAMICS)


def finished_run(runs: Path, slower: float) -> Path:
    """Write a run folder of the quickstart whose tasks took ``slower`` times the seconds of their rates."""
    located = load_checked(QUICKSTART, runs_here=False)
    run = Run(runs / "before")
    run.create()
    (run.folder / "config.resolved.yaml").write_text(resolved_yaml(located.project))
    run.write_base_dir(located.base_dir)
    atoms = {name: len(cell) for name, cell in located.cells.items()}
    lines = [Event(kind="run-start", time=1.0, cores=2)]
    for step in project_work(located.project, located.base_dir, atoms):
        lines += [
            Event(kind="done", time=2.0, stage=step.stage, task=f"{step.step}-{number:03d}",
                  seconds=slower * step.mean_task_s(2))
            for number in range(step.tasks)
        ]
    run.log.write_text("".join(one.line() for one in lines))
    return run.folder


def test_rates_of_an_earlier_run_on_this_machine_count(tmp_path: Path) -> None:
    plain = of(QUICKSTART, tmp_path)
    finished_run(tmp_path, 3.0)
    found = of(QUICKSTART, tmp_path)
    assert found.runs == ("before",)
    assert {"labels by sevenn", "training of dpa2-tiny", "MD with se_e2_a-tiny"} <= set(found.earlier)
    assert found.stages["04-pretrain"] == pytest.approx(3 * plain.stages["04-pretrain"], rel=0.05)
    other = of(QUICKSTART, tmp_path, "pretrain.preset=dpa2-paper", "pretrain.steps=10")
    assert "training of dpa2-paper" not in other.earlier  # of another kind


def test_cells_of_earlier_runs_are_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.pipeline.runs import estimate as module

    folder = finished_run(tmp_path, 3.0)
    found = of(QUICKSTART, tmp_path)
    found.write(folder)
    monkeypatch.setattr(module, "atoms_of", lambda *_: pytest.fail("built"))
    assert of(QUICKSTART, tmp_path).stages == found.stages
    assert found.atoms == {"Li6PS5Cl": 52, "Li2S": 12, "Li6PS5Br": 52}


def test_a_damaged_earlier_run_is_passed_over(tmp_path: Path) -> None:
    folder = finished_run(tmp_path, 3.0)
    (folder / "config.resolved.yaml").write_text("name: [")
    assert of(QUICKSTART, tmp_path).runs == ()


def test_labels_without_a_rate_are_named_not_guessed(tmp_path: Path) -> None:
    found = of(QUICKSTART, tmp_path, "labeler={kind: vasp}")
    assert found.unknown == ("labels by vasp",)
    assert found.total_text.startswith("at least ")
    assert found.total_s < of(QUICKSTART, tmp_path).total_s


def test_a_task_has_its_share_of_the_start_of_its_process() -> None:
    step = StepWork("s", "label", "labels", 2.0, start_s=5.0, tasks=10, fan_out=True, grouped=True)
    assert step.mean_task_s(2) == pytest.approx(2.0 + 5.0 * 2 / 10)
    assert Machine(2, 1).wall_s(step, 1.0) == pytest.approx(1.5 + 5.0 + 5 * 2.0)
    assert LABELS["sevenn"].task(10, 50) == pytest.approx(10 * (0.03 + 50 * 0.004))


def node(name: str, stage: str) -> PlannedStep:
    return PlannedStep(name=name, stage=stage, title=name, tasks=1)


def event(kind: EventKind, stage: str, task: str, time: float, **more: Any) -> Event:
    return Event(kind=kind, stage=stage, task=task, time=time, **more)


PLAN = [node("seed", "1"), node("train", "2"), node("md", "3")]
EXPECTED = Estimate(stages={"1": 10.0, "2": 100.0, "3": 50.0}, total_s=160.0)


def test_what_is_left_goes_at_the_pace_of_the_run() -> None:
    begun = [event("run-start", "", "", 0.0), event("start", "1", "seed", 0.0), event("done", "1", "seed", 20.0)]
    stages = stage_status(PLAN, [*begun, event("start", "2", "train", 20.0)])
    left = times_left(stages, EXPECTED, 60.0)  # twice as slow as estimated
    assert left == {"1": 0.0, "2": pytest.approx(160.0), "3": pytest.approx(100.0)}
    assert times_left(stages, EXPECTED, 1000.0)["2"] == pytest.approx(20.0)  # it must end some time
    rows = status_rows(stages, 60.0, EXPECTED)
    assert (rows[1]["left"], rows[-1]["stage"], rows[-1]["left"]) == ("~2:40", "in all", "~4:20")
    assert [row["stage"] for row in status_rows(stages, 60.0)] == ["1", "2", "3"]
    assert heartbeat(stages, EXPECTED, 60.0) == "at work: 2 0/1 after 0:40; about 4:20 left in all"
    assert heartbeat(stage_status(PLAN, begun), EXPECTED, 60.0) == ""


def test_no_silence_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpa_sse.pipeline.runs import progress as module

    clock = [1000.0]
    monkeypatch.setattr(module, "now", lambda: clock[0])
    run, lines = Run(tmp_path), []
    run.write_plan(PLAN)
    EXPECTED.write(tmp_path)
    with Progress(run, "x", live=False, print_line=lines.append) as shown:
        run.log.write_text(event("start", "2", "train", 1000.0).line())
        for _ in range(100):
            clock[0] += 1
            shown.tick()
    assert len(lines) == 3  # in 100 s
    assert lines[0].startswith("at work: 2 0/1 after 0:2")


def test_rough_times() -> None:
    assert [rough(seconds) for seconds in (40, 119, 1000, 20000, 1e6)] == ["40 s", "119 s", "17 min", "6 h", "12 days"]
