"""The DAG under construction: where steps are added, and what depends on what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.graph import ArtifactRef, Flow


class Source(TaskOP):
    def run(self, out: Path, settings: Any, **inputs: Any) -> None: ...


class Use(TaskOP):
    artifacts = ("one", "other?")
    parameters = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int}

    def run(self, out: Path, settings: Any, **inputs: Any) -> None: ...


class Many(FanOutOP):
    artifacts = ("one",)

    def run(self, out: Path, settings: Any, **inputs: Any) -> None: ...


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    from dpa_sse.pipeline.engines.local.dflow_debug import configure

    configure(tmp_path / "dflow", workers=1)
    made = Flow("toy", tmp_path / "settings", Resources(cores=4))
    made.stage("01")
    return made


def names(steps: list[Any]) -> list[list[str]]:
    """The groups of steps, without those that dflow itself adds to a fan-out."""
    return [[step.name for step in group] for group in steps if not group[0].name.endswith("-init-artifact")]


def test_a_step_depends_on_the_producers_of_its_artifacts(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    first = flow.step("first", Source, {}, title="First")
    many = flow.fan_out("many", Many, {"x": 1}, 8, title="Many", artifacts={"one": first})
    flow.stage("02")
    last = flow.step("last", Many, {}, title="Last", artifacts={"one": flow.upload(tmp_path / "file")})
    assert [ref.producer for ref in (first, many, last)] == ["first", "many", "last"]
    assert [(step.name, step.stage, step.tasks, step.depends) for step in flow.plan] == [
        ("first", "01", 1, ()), ("many", "01", 8, ("first",)), ("last", "02", 1, ()),
    ]
    assert flow.plan[1].settings == '{"x": 1}'
    assert names(flow.workflow.entrypoint.steps) == [["first"], ["many"], ["last"]]


def test_dependencies_pass_through_loops_and_branches(flow: Flow) -> None:
    source = flow.step("source", Source, {}, title="Source")

    def body(inputs: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
        artifacts = {"one": inputs["state"], "other": inputs["absent"]}
        return {"state": flow.step("use", Use, {}, title="Use", artifacts=artifacts)}

    state = flow.loop("learn", {"state": source, "absent": None}, body, feeds_back="state")["state"]
    with flow.side_by_side():
        flow.step("long", Many, {}, title="Long", artifacts={"one": state})
        side = flow.branch("chain", lambda: flow.step("short", Source, {}, title="Short"))
    flow.step("last", Many, {}, title="Last", artifacts={"one": side})
    assert {step.name: (step.loop, step.depends) for step in flow.plan} == {
        "source": (None, ()), "use": ("learn", ("source",)), "long": (None, ("use",)), "short": (None, ()),
        "last": (None, ("short",)),
    }
    assert names(flow.workflow.entrypoint.steps) == [["source"], ["learn"], ["long", "chain"], ["last"]]


def test_a_loop_in_a_parallel_group_adds_its_steps_to_itself(flow: Flow) -> None:
    source = flow.step("source", Source, {}, title="Source")
    with flow.side_by_side():
        flow.step("long", Source, {}, title="Long")
        flow.loop(
            "learn", {"state": source}, lambda inputs: {"state": flow.step("use", Use, {}, title="Use", artifacts={
                "one": inputs["state"]})}, feeds_back="state",
        )
    assert names(flow.workflow.entrypoint.steps) == [["source"], ["long", "learn"]]


@pytest.mark.parametrize("where", ["loop", "branch", "group"])
def test_a_body_that_raises_leaves_the_flow_as_it_was(flow: Flow, where: str) -> None:
    source = flow.step("source", Source, {}, title="Source")

    def fail(*_: Any) -> ArtifactRef:
        raise RuntimeError("body")

    with pytest.raises(RuntimeError, match="body"):
        if where == "loop":
            flow.loop("learn", {"state": source}, fail, feeds_back="state")
        else:
            with flow.side_by_side():
                flow.branch("chain", fail) if where == "branch" else fail()
    flow.step("after", Many, {}, title="After", artifacts={"one": source})
    assert flow.plan[-1].loop is None
    assert names(flow.workflow.entrypoint.steps) == [["source"], ["after"]]
    assert not flow._scope.low_priority


def test_mistakes_are_refused(flow: Flow) -> None:
    source = flow.step("source", Source, {}, title="Source")
    with pytest.raises(ValueError, match="two steps are called source"):
        flow.step("source", Source, {}, title="Again")
    with pytest.raises(ValueError, match="none: a fan-out needs at least one task"):
        flow.fan_out("none", Many, {}, 0, title="None")
    with pytest.raises(ValueError, match="chain: a branch needs a step to run next to"):
        flow.branch("chain", lambda: source)
    with pytest.raises(ValueError, match="must take the parameter `iteration`"):
        flow.loop(
            "learn", {"state": source}, lambda _: {"state": flow.step("plain", Source, {}, title="")},
            feeds_back="state",
        )
