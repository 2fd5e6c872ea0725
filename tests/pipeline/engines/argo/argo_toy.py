"""A toy project: a loop with a fan-out, a gathering step that counts, and what follows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from dpa_sse.ops.core.errors import FatalError, TransientError
from dpa_sse.ops.core.files import read_json, write_json, write_text
from dpa_sse.ops.results.status import require_success
from dpa_sse.ops.runtime.groups import results
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import FanOutOP, TaskOP
from dpa_sse.pipeline.engines.platform import Platform, Resources
from dpa_sse.pipeline.graph import ArtifactRef, Flow
from dpa_sse.pipeline.runs.folder import Run


class ToySettings(TaskSettings):
    """Settings of any toy."""

    model_config = ConfigDict(extra="allow")

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key, default)


def note(line: str) -> None:
    """Write down what was computed, for the tests to count."""
    with Path(os.environ["TOY_NOTES"]).open("a") as stream:
        stream.write(line + "\n")


class Start(TaskOP):
    settings_class = ToySettings
    artifacts = ("text",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        note("start")
        write_json(out / "state.json", [len(inputs["text"].read_text()), settings["word"]])


class Square(FanOutOP):
    settings_class = ToySettings
    artifacts = ("state",)
    parameters = ("iteration",)

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        index = inputs["index"]
        note(f"square {inputs['iteration']} {index}")
        if index in settings.get("fail", []):
            raise FatalError(f"task {index} fails on purpose")
        write_json(out / "square.json", len(read_json(inputs["state"] / "state.json")) + index**2)
        write_json(out / "status.json", {"status": "ok", "reason": "", "items": []})


class Gather(TaskOP):
    settings_class = ToySettings
    artifacts = ("state", "squares*")
    parameters = ("iteration",)
    returns: ClassVar[dict[str, type]] = {"finished": bool, "next_iteration": int, "force_mae_meV_A": float}
    html_page = "page.html"

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> dict[str, Any]:
        found = require_success(results(inputs["squares"]), settings["ratio"], "squares")
        good = [folder for folder, status in found if status.usable]
        numbers = [read_json(folder / "square.json") for folder in good]
        write_json(out / "state.json", [*read_json(inputs["state"] / "state.json"), sum(numbers)])
        write_text(out / "page.html", f"<p>{sum(numbers)}</p>")
        return {
            "finished": inputs["iteration"] >= settings["last"], "next_iteration": inputs["iteration"] + 1,
            "force_mae_meV_A": None,
        }


class End(TaskOP):
    settings_class = ToySettings
    artifacts = ("state", "missing?")

    def run(self, out: Path, settings: ToySettings, **inputs: Any) -> None:
        assert inputs["missing"] is None
        flag = os.environ.get("TOY_FLAKY")
        if flag and not Path(flag).exists():
            Path(flag).touch()
            raise TransientError("first pod fails")
        if settings.get("fatal"):
            raise FatalError("nothing can be done about this")
        note("end")
        write_json(out / "result.json", read_json(inputs["state"] / "state.json"))


def build(folder: Path, text: Path, options: dict[str, Any], platform: Platform | None = None) -> Flow:
    flow = Flow("toy", folder, Resources(cores=2, retries=0), platform)
    flow.stage("01-start")
    state = flow.step("start", Start, {"word": options.get("word", "word")}, title="Start",
                      artifacts={"text": flow.upload(text)})

    def body(inputs: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
        squares = flow.fan_out("square", Square, {"fail": options.get("fail", [])}, options.get("count", 5),
                               title="Squares", artifacts={"state": inputs["state"]})
        last = flow.step("gather", Gather, {"last": options.get("last", 2), "ratio": options.get("ratio", 0.5)},
                         title="Gather", artifacts={"state": inputs["state"], "squares": squares})
        return {"state": last}

    flow.stage("02-loop")
    state = flow.loop("concurrent-learning", {"state": state}, body, feeds_back="state")["state"]
    flow.stage("03-end")
    flow.step("end", End, {"fatal": options.get("fatal", False)}, title="End", artifacts={"state": state})
    return flow


def build_run(run: Run) -> Flow:
    """Called by the driver of the local engine."""
    data = read_json(run.folder / "toy.json")
    return build(run.engine / "inputs", Path(data["text"]), data["options"])
