"""`dpa-sse op`: mistakes in the settings and numbers are named, none ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.commands.op import all_ops, read_settings, run_op

SETTINGS = {"seed": 1, "perturb": {"count": 1}}


@pytest.fixture
def cells(tmp_path: Path) -> str:
    folder = tmp_path / "cells"
    folder.mkdir()
    return f"cells={folder}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"seed": 1,\n "perturb": ', r"settings\.json:2: JSON syntax"),
        (b"[1]", r"settings\.json: the file must contain keys and values"),
        (b'{"name": "m\xe9tal"}', r"settings\.json: the file is not UTF-8"),
        (json.dumps({"seed": 1}).encode(), r"settings\.json: perturb: is missing"),
        (json.dumps({**SETTINGS, "perturb": {"cuont": 1}}).encode(),
         r"settings\.json: perturb\.cuont: unknown key - did you mean 'count'"),
        (json.dumps({**SETTINGS, "perturb": {"count": -1}}).encode(),
         r"settings\.json: perturb\.count: must be at least 1, not -1"),
        (b'{"seed": ' + b"9" * 5000 + b"}", r"settings\.json: cannot be read as JSON"),
        (b"[" * 100_000, r"settings\.json: cannot be read as JSON"),
    ],
)
def test_mistakes_in_the_settings_are_named(tmp_path: Path, cells: str, content: bytes, message: str) -> None:
    settings = tmp_path / "settings.json"
    settings.write_bytes(content)
    with pytest.raises(InputError, match=message):
        run_op("perturb-cells", settings, [cells], [], tmp_path / "out")


def test_settings_that_are_not_there(tmp_path: Path, cells: str) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        run_op("perturb-cells", tmp_path / "nowhere.json", [cells], [], tmp_path / "out")
    with pytest.raises(InputError, match="--settings FILE is missing"):
        run_op("perturb-cells", None, [cells], [], tmp_path / "out")
    assert read_settings(None) == {}


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [
        ("perturb-cells", "iteration=3", "--parameter iteration=3: PerturbCells takes no parameter"),
        ("run-aimd", "index=--5", "--parameter index=--5: not an integer"),
    ],
)
def test_numbers_an_op_does_not_take(tmp_path: Path, cells: str, name: str, number: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_op(name, None, [cells], [number], tmp_path / "out")


def test_one_task_of_a_fan_out_by_hand(tmp_path: Path) -> None:
    from dpa_sse.ops.core.files import write_json
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.extxyz import write_frames
    from dpa_sse.ops.structures.settings import SystemSettings

    cell = build_cell(SystemSettings(name="a", structure="Li2S"), tmp_path, 1)
    (tmp_path / "cells" / "task.000").mkdir(parents=True)
    write_frames(tmp_path / "cells" / "task.000" / "cell.extxyz", [cell])
    aimd = {"temperatures_K": [100], "steps": 2, "timestep_fs": 1.0, "sample_every": 1}
    write_json(tmp_path / "settings.json", {"seed": 1, "labeler": {"kind": "mock"}, "aimd": aimd})
    arguments = ("run-aimd", tmp_path / "settings.json", [f"cells={tmp_path / 'cells'}"])
    with pytest.raises(InputError, match=r"--parameter index=\.\.\. is missing"):
        run_op(*arguments, [], tmp_path / "out")
    assert run_op(*arguments, ["index=0"], tmp_path / "out") == 0
    assert (tmp_path / "out" / "status.json").is_file()


def test_an_op_without_a_task_in_its_inputs_is_not_done(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"type_map": ["Li", "Cl"]}')
    file = tmp_path / "wrong.txt"
    file.write_text("not the result of a step")
    given = ["iteration=0", "index=0"]
    with pytest.raises(InputError, match="nothing was computed, because the inputs hold no task with index 0"):
        run_op("explore", settings, [f"assembled={file}"], given, tmp_path / "out")


def test_an_op_that_failed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from dpa_sse.ops.exploration import op
    from dpa_sse.ops.results.status import TaskStatus

    def fail(_task: Path, _models: object, _type_map: object, out: Path) -> None:
        TaskStatus(status="failed", reason="LAMMPS \x1b[2J ended").write(out)

    monkeypatch.setattr(op, "explore", fail)
    arguments = ("explore", None, [f"assembled={tmp_path}"], ["iteration=0", "index=0"], tmp_path / "out")
    assert run_op(*arguments) == 1
    shown = capsys.readouterr()
    assert "done" not in shown.out
    assert r"explore: failed: LAMMPS \x1b[2J ended" in shown.err
    monkeypatch.setattr(op, "explore", lambda *_: None)  # the status of the first attempt is not that of the second
    assert run_op(*arguments) == 0


NEW_STAGE = '''
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.runtime.settings import TaskSettings
from dpa_sse.ops.runtime.task import TaskOP


class CountAtomsSettings(TaskSettings):
    weight: float = 1.0


class CountAtoms(TaskOP):
    """The number of lines of a file, weighted."""

    artifacts = ("cells",)
    settings_class = CountAtomsSettings

    def run(self, out, settings, **inputs):
        """Write ``count.json``."""
        write_json(out / "count.json", settings.weight * len(inputs["cells"].read_text().splitlines()))
'''


def test_an_op_is_added_by_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A folder with an ``op.py`` is all that `dpa-sse op` and a flow need."""
    from dpa_sse import ops
    from dpa_sse.pipeline.engines.local.dflow_debug import configure
    from dpa_sse.pipeline.engines.platform import Resources
    from dpa_sse.pipeline.graph import Flow

    stage = tmp_path / "more" / "newstage"
    stage.mkdir(parents=True)
    (stage / "__init__.py").write_text("")
    (stage / "op.py").write_text(NEW_STAGE)
    monkeypatch.setattr(ops, "__path__", [*ops.__path__, str(tmp_path / "more")])
    (tmp_path / "cells").write_text("a\nb\n")
    (tmp_path / "settings.json").write_text('{"weight": 2.5}')
    assert run_op(None, None, [], [], tmp_path) == 0
    assert "count-atoms              The number of lines of a file, weighted.  [takes cells]" in capsys.readouterr().out
    cells = [f"cells={tmp_path / 'cells'}"]
    assert run_op("count-atoms", tmp_path / "settings.json", cells, [], tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "count.json").read_text()) == 5.0
    configure(tmp_path / "dflow", workers=1)
    flow = Flow("toy", tmp_path / "inputs", Resources())
    flow.stage("01-count")
    flow.step("count", all_ops()["count-atoms"], {"weight": 2.5}, title="Count",
              artifacts={"cells": flow.upload(tmp_path / "cells")})
    assert [step.name for step in flow.plan] == ["count"]
