"""The command line as a user meets it: exit codes, help, messages. (Its speed: bench/command_line.py.)"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from dpa_sse.pipeline import cli
from dpa_sse.pipeline.commands import conductivity, data, structures

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "configs" / "quickstart.yaml"


def dpa_sse(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "dpa_sse.pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


COMMANDS = (
    "init", "check", "plan", "run", "render", "submit", "resume", "status", "watch", "logs", "stop", "download",
    "report", "op", "doctor", "conductivity", "validate", "data", "gates", "models", "structures",
)


def test_every_command_is_listed_with_a_whole_sentence() -> None:
    lines = dpa_sse("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    for line in lines:
        assert re.fullmatch(r"  [a-z]+ +[A-Z][^.]*\.", line), line  # not cut short with ...


def test_every_argument_and_option_is_explained() -> None:
    alone = typer.Typer()
    alone.command()(conductivity.conductivity)
    groups = [get_command(app) for app in (cli.app, data.app, structures.app)]
    commands = [get_command(alone), *(command for group in groups for command in group.commands.values())]
    assert len(commands) >= 25
    parameters = [(command.name, parameter) for command in commands for parameter in command.params]
    assert len(parameters) >= 100
    assert [(name, one.name) for name, one in parameters if not one.help] == []


def test_starter_configuration_is_valid(tmp_path: Path) -> None:
    made = dpa_sse("init", "quickstart")
    config = tmp_path / "my.yaml"
    config.write_text(made.stdout)
    assert dpa_sse("check", config).returncode == 0
    nothing = dpa_sse("init", "quikstart")
    assert nothing.returncode == 2
    assert "quickstart" in nothing.stderr


def test_mistakes_are_listed_with_their_lines_and_nothing_starts(tmp_path: Path) -> None:
    text = QUICKSTART.read_text()
    config = tmp_path / "bad.yaml"
    config.write_text(text.replace("displacement_A", "displacment_A", 1).replace("name: Li2S", "name: Li6PS5Cl", 1))
    for command in (["check", config], ["run", config, "--runs-dir", tmp_path / "runs"], ["plan", config]):
        done = dpa_sse(*command)
        assert done.returncode == 2, done.stdout
        assert "did you mean" in done.stderr
        assert f"{config}:" in done.stderr
        assert "Traceback" not in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith(str(config))]) >= 2
    assert not (tmp_path / "runs").exists()
    listed = json.loads(dpa_sse("check", config, "--json").stdout)
    assert all(problem["line"] for problem in listed)


def test_renamed_options_are_named() -> None:
    done = dpa_sse("structures", "perturb", "cells.extxyz", "--displace-A", "0.1")
    assert done.returncode == 2
    assert "--displace-A was renamed to --displacement-A" in done.stderr
    assert "Traceback" not in done.stderr
    assert "renamed" not in dpa_sse("structures", "perturb", "cells.extxyz", "--displacement", "0.1").stderr


def test_missing_configuration_is_one_line() -> None:
    done = dpa_sse("check", "nowhere.yaml")
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_plan_writes_native_inputs_for_reading(tmp_path: Path) -> None:
    done = dpa_sse("plan", QUICKSTART, "--out", tmp_path / "plan")
    assert done.returncode == 0, done.stderr
    assert "pair_coeff * * Li P S Cl Br" in next((tmp_path / "plan" / "lammps").glob("*.in")).read_text()
    training = json.loads((tmp_path / "plan" / "training" / "pretrain.json").read_text())
    assert training["model"]["descriptor"]["type"] == "dpa2"
    assert training["model"]["type_map"] == ["Li", "P", "S", "Cl", "Br"]
    (tmp_path / "plan" / "notes.txt").write_text("of the user")
    assert dpa_sse("plan", ROOT / "tests/pipeline/flows/mock.yaml", "--out", tmp_path / "plan").returncode == 0
    assert (tmp_path / "plan" / "notes.txt").is_file()
    made = {path for path in (tmp_path / "plan").rglob("*") if path.is_file()}
    assert dpa_sse("plan", ROOT / "tests/pipeline/flows/mock.yaml", "--out", tmp_path / "other").returncode == 0
    new = {tmp_path / "plan" / path.relative_to(tmp_path / "other") for path in (tmp_path / "other").rglob("*.*")}
    assert made == {tmp_path / "plan" / "notes.txt", *(path for path in new if path.is_file())}  # none of the first


def test_single_op_by_hand(tmp_path: Path) -> None:
    from dpa_sse.ops.core.files import write_json
    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.extxyz import read_frames, write_frames
    from dpa_sse.ops.structures.settings import SystemSettings

    write_frames(tmp_path / "cells.extxyz", [build_cell(SystemSettings(name="a", structure="Li2S"), tmp_path, 1)])
    write_json(tmp_path / "settings.json", {"seed": 1, "perturb": {"count": 3}})
    done = dpa_sse(
        "op", "perturb-cells", "--settings", tmp_path / "settings.json", "--out", tmp_path / "out",
        "--input", f"cells={tmp_path / 'cells.extxyz'}",
    )
    assert done.returncode == 0, done.stderr
    assert len(read_frames(tmp_path / "out" / "task.002" / "cell.extxyz")) == 1
    wrong = dpa_sse("op", "perturb-cell")
    assert wrong.returncode == 2
    assert "did you mean 'perturb-cells'" in wrong.stderr
    incomplete = dpa_sse("op", "perturb-cells", "--input", "cell=x")
    assert incomplete.returncode == 2
    assert "takes cells" in incomplete.stderr
    assert "--input cells=... is missing" in incomplete.stderr


def test_list_of_ops_names_what_they_take() -> None:
    text = dpa_sse("op").stdout
    assert "The same" not in text  # the list is sorted by name: no line can speak of the one before
    assert "run-self-exploration     NPT molecular dynamics with the first student" in text
    for name in ("perturb-cells", "run-aimd", "pretrain", "train-student", "run-md", "conductivity"):
        assert name in text


@pytest.mark.parametrize("name", ["ops", "pipeline"])
def test_packages_are_ours(name: str) -> None:
    """PyPI has an unrelated package called `ops`."""
    module = __import__(name)
    assert Path(module.__file__ or "").resolve().parent == ROOT / name


def test_help_of_init_lists_the_templates() -> None:
    from dpa_sse.pipeline.commands.project import starters

    text = " ".join(dpa_sse("init", "--help").stdout.split())
    assert f"Templates: {', '.join(sorted(starters(), key=text.index))}." in text


def test_examples_in_help_texts_are_valid(tmp_path: Path) -> None:
    """Their commands exist, and so do their options."""
    commands = {**get_command(cli.app).commands}
    found = [(name, command.epilog) for name, command in commands.items() if command.epilog]
    assert {name for name, _ in found} >= {"init", "check", "plan", "run", "status", "logs", "report", "op"}
    for name, epilog in found:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        for line in epilog.splitlines()[2:]:
            assert line.startswith(f"  dpa-sse {name}"), line
            assert len(line) <= 80
            assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)) <= known, line
    text = dpa_sse("run", "--help").stdout
    assert "  Examples:\n    dpa-sse run my.yaml\n" in text  # not joined into a paragraph


def test_tables_fit_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = dpa_sse("plan", ROOT / "tests/pipeline/flows/mock.yaml", "--out", tmp_path / "plan").stdout.splitlines()
    rows = [line for line in lines if re.match(r"\d\d-", line)]
    assert len(rows) >= 33
    assert all(len(line.rstrip()) <= 80 for line in rows)
    steps = [row.split()[1] for row in rows]
    assert {"self-exploration-labels", "label-production"} <= {*steps}
    assert not any("…" in step for step in steps)
    assert any(" 2/it. " in row for row in rows)
