"""Toy OPs and flows for the tests of the engine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from dpa_sse.ops.core.errors import FatalError, TransientError
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.ops.validation.op import AskPerson
from dpa_sse.pipeline.engines.platform import Resources
from dpa_sse.pipeline.graph import ArtifactRef, Flow
from dpa_sse.pipeline.runs.folder import Run


class ToySettings(TaskSettings):
    """Settings of any toy."""

    model_config = ConfigDict(extra="allow")

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key, default)


class Numbers(TaskOP):
    settings_class = ToySettings
    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        write_json(out / "numbers.json", list(range(settings["count"])))


class Square(FanOutOP):
    settings_class = ToySettings
    artifacts = ("numbers",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        numbers = read_json(inputs["numbers"] / "numbers.json")
        index = inputs["index"]
        with (Path(os.environ["DPA_SSE_RUN"]) / "computed.txt").open("a") as stream:
            stream.write(f"{settings.get('label', 'square')} {index}\n")
        time.sleep(settings.get("delay_s", 0.0))
        if index in settings.get("fail", []):
            raise FatalError(f"task {index} fails on purpose")
        flag = out / "tried"
        if index in settings.get("flaky", []) and not flag.exists():
            flag.touch()
            raise TransientError("first attempt fails")
        write_json(out / "square.json", numbers[index] ** 2)
        write_json(out / "numbers.json", numbers)
        write_json(out / "status.json", {"status": "ok", "reason": "", "items": []})


class Total(TaskOP):
    settings_class = ToySettings
    artifacts = ("squares*",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        folders = results(inputs["squares"])
        failed = [f.name for f in folders if read_json(f / "status.json")["status"] == "failed"]
        if failed:
            raise FatalError(f"{len(failed)} of {len(folders)} tasks failed: {failed}")
        write_json(out / "total.json", sum(read_json(folder / "square.json") for folder in folders))
        write_json(out / "numbers.json", list(range(len(folders))))


class Add(TaskOP):
    settings_class = ToySettings
    artifacts = ("state",)
    parameters = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int}

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> dict[str, Any]:
        value = read_json(inputs["state"] / "numbers.json")
        write_json(out / "numbers.json", [*value, 10 + inputs["iteration"]])
        return {"finished": inputs["iteration"] >= settings["last"], "next_iteration": inputs["iteration"] + 1}


def options(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "toy.json").read_text())


def flow(run: Run, name: str = "toy") -> Flow:
    resources = Resources(cores=2, retries=1)
    platform = None
    if (run.engine / "batch.json").exists():
        from dpa_sse.pipeline.engines.slurm.plan_file import BatchPlan
        from dpa_sse.pipeline.engines.slurm.platform import SlurmPlatform

        platform = SlurmPlatform(resources, BatchPlan.read(run.engine).jobs)
    return Flow(name, run.engine / "settings", resources, platform)


def build_sum(run: Run) -> Flow:
    data, made = options(run), flow(run)
    made.stage("01-numbers")
    numbers = made.step("numbers", Numbers, {"count": data["count"]}, title="Numbers")
    made.stage("02-squares")
    squares = made.fan_out(
        "square", Square, data.get("square", {}), data["count"], title="Squares",
        artifacts={"numbers": numbers},
    )
    made.stage("03-total")
    made.step("total", Total, data.get("total", {}), title="Total",
              artifacts={"squares": squares})
    return made


def build_chain(run: Run) -> Flow:
    data, made = options(run), flow(run)
    made.stage("01-chain")
    first = made.fan_out("square-a", Count, {}, data["count"], title="a")
    again = made.fan_out("square-b", SquareAgain, {}, data["count"], title="b",
                         artifacts={"squares": first})
    made.fan_out("square-c", SquareAgain, {}, data["count"], title="c",
                 artifacts={"squares": again})
    return made


class Count(FanOutOP):
    settings_class = ToySettings
    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        write_json(out / "square.json", inputs["index"])


class SquareAgain(FanOutOP):
    settings_class = ToySettings
    artifacts = ("squares*",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        value = read_json(results(inputs["squares"])[inputs["index"]] / "square.json")
        write_json(out / "square.json", value**2)


class LoopSquare(Square):
    parameters = ("iteration",)


class LoopTotal(Total):
    parameters = ("iteration",)


def build_loop(run: Run) -> Flow:
    data, made = options(run), flow(run)
    made.stage("01-numbers")
    numbers = made.step("numbers", Numbers, {"count": 2}, title="Numbers")
    made.stage("02-loop")

    def body(artifacts: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
        squares = made.fan_out("square", LoopSquare, {}, 2, title="Squares", artifacts={"numbers": artifacts["state"]})
        made.step("total", LoopTotal, {}, title="Total", artifacts={"squares": squares})
        added = made.step("add", Add, {"last": data["last"]}, title="Add", artifacts={"state": artifacts["state"]})
        return {"state": added}

    state = made.loop("learn", {"state": numbers}, body, feeds_back="state")["state"]
    made.stage("03-after")
    made.step("after", Numbers2, {}, title="After", artifacts={"state": state})
    return made


class Numbers2(TaskOP):
    settings_class = ToySettings
    artifacts = ("state",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        write_json(out / "numbers.json", read_json(inputs["state"] / "numbers.json"))


class Slow(TaskOP):
    settings_class = ToySettings
    artifacts = ("state?",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        time.sleep(settings["seconds"])
        if settings.get("fail"):
            raise FatalError("fails on purpose")
        write_json(out / "numbers.json", [os.nice(0)])


class Both(TaskOP):
    settings_class = ToySettings
    artifacts = ("one", "other")

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        names = {"one": "numbers.json", "other": "total.json"}
        write_json(out / "both.json", [read_json(inputs[name] / file) for name, file in names.items()])


def build_branch(run: Run) -> Flow:
    data, made = options(run), flow(run)

    def chain() -> ArtifactRef:
        made.stage("02-chain")
        numbers = made.step("numbers", Numbers, {"count": data["count"]}, title="Numbers")
        squares = made.fan_out(
            "square", Square, {"delay_s": 0.1}, data["count"], title="Squares",
            artifacts={"numbers": numbers},
        )
        return made.step("total", Total, {}, title="Total", artifacts={"squares": squares})

    made.stage("01-long")
    with made.side_by_side():
        long = made.step("long", Slow, data["long"], title="Long")
        total = made.branch("chain", chain)
    made.stage("03-both")
    made.step("both", Both, {}, title="Both", artifacts={"one": long, "other": total})
    return made


def build_pair(run: Run) -> Flow:
    """Two fan-outs at the same time."""
    data, made = options(run), flow(run)
    made.stage("01-numbers")
    numbers = made.step("numbers", Numbers, {"count": data["count"]}, title="Numbers")

    def squares() -> ArtifactRef:
        made.stage("03-other")
        settings = {**data.get("square", {}), "label": "other"}
        own = made.step("other-numbers", Numbers, {"count": data["count"]}, title="Numbers")
        found = made.fan_out("other", Square, settings, data["count"], title="Other", artifacts={"numbers": own})
        return made.step("other-total", Total, {}, title="Total", artifacts={"squares": found})

    made.stage("02-squares")
    with made.side_by_side():
        one = made.fan_out("square", Square, data.get("square", {}), data["count"], title="Squares",
                           artifacts={"numbers": numbers})
        other = made.branch("second", squares)
    made.stage("04-total")
    first = made.step("total", Total, {}, title="Total", artifacts={"squares": one})
    made.step("both", Totals, {}, title="Both", artifacts={"one": first, "other": other})
    return made


class Totals(TaskOP):
    settings_class = ToySettings
    artifacts = ("one", "other")

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        write_json(out / "both.json", [read_json(inputs[name] / "total.json") for name in self.artifacts])


class Judge(TaskOP):
    """A verdict as the gates write it."""

    returns: ClassVar[dict[str, type]] = {"doubtful": bool}
    settings_class = ToySettings

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> dict[str, bool]:
        found = Gates(
            model="m", reference="teacher", model_sha256=None, structures=(), tier="smoke", temperature_K=900,
            verdict=settings["verdict"], reasons=("G11 volume",), gates=(), thresholds_sha256="", deepmd_version="",
            seconds=1,
        )
        found.write(out)
        return {"doubtful": found.verdict != "PASS"}


def build_verdict(run: Run) -> Flow:
    """A verdict, a person who decides where it is doubtful, and what follows."""
    data, made = options(run), flow(run)
    made.stage("01-gates")
    gates = made.step("gates", Judge, {"verdict": data["verdict"]}, title="Gates")
    made.step("ask-person", AskPerson, {}, title="A person decides", artifacts={"gates": gates})
    made.stage("02-after")
    made.step("numbers", Numbers, {"count": 2}, title="Numbers")
    return made
