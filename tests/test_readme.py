"""The README is true: its configuration is valid, and its commands, options, files and make targets exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from dpa_sse.pipeline import cli
from dpa_sse.pipeline.commands import data, models, structures, validate
from dpa_sse.pipeline.commands.project import TEMPLATES, plan_config
from dpa_sse.pipeline.config import ConfigError, load_checked

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("heading", "missing"), [
    ("In short, a trial:", set()), ("and for results to publish:", {"labeler.command", "labeler.potcar_dir"}),
])
def test_configurations_in_ten_lines(
    heading: str, missing: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("VASP_COMMAND", "VASP_POTCAR_DIR"):
        monkeypatch.delenv(variable, raising=False)
    block = re.search(rf"{heading}\n\n((?:    .*\n)+)", README)
    assert block
    assert len(block[1].splitlines()) == 10
    path = tmp_path / "my.yaml"
    path.write_text(block[1], encoding="utf-8")
    try:
        load_checked(path)
        found = set()
    except ConfigError as error:
        found = {one.path for one in error.problems}
    assert found == missing
    assert plan_config(path, [], tmp_path / "plan", as_json=True) == 0


def test_every_template_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [a-z]", README, re.MULTILINE)
    assert tuple(rows) == TEMPLATES


def test_labelers_of_the_table(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `(\{kind: [^`]*\})` \|.*", README, re.MULTILINE)
    assert len(rows) == 7
    rows.append("{kind: ase, calculator: " + re.findall(r'`calculator: ("[^`]*)`', README)[0] + "}")
    for text in rows:
        path = tmp_path / "my.yaml"
        path.write_text(f"name: x\ntype_map: [Li, S]\nsystems: [{{name: A, structure: Li2S}}]\nlabeler: {text}\n")
        try:
            load_checked(path)
        except ConfigError as error:
            problems = [one for one in error.problems if "unknown key" in one.message or one.path == "labeler.kind"]
            assert not problems, text  # a program or a file may be missing here


def test_commands_and_their_options_exist() -> None:
    known = get_command(cli.app).commands | {
        f"{name} {sub}": command for name, app in (
            ("data", data.app), ("structures", structures.app), ("gates", validate.gates_app), ("models", models.app),
        )
        for sub, command in get_command(app).commands.items()
    }
    known |= {"conductivity": None, "validate": None}
    lines = re.findall(r"(?<!-n )dpa-sse ((?:data |structures |gates |models )?[a-z]+)([^`\n#&]*)", README)
    assert len(lines) >= 20
    for name, rest in lines:
        assert name in known, name
        options = re.findall(r"(?<![\w-])--?[a-z][\w-]*", rest)
        if known[name] is not None:
            accepted = {option for parameter in known[name].params for option in parameter.opts}
            assert set(options) <= accepted, (name, options)
        else:
            text = subprocess.run([sys.executable, "-m", "dpa_sse.pipeline", name, "--help"], cwd=ROOT, text=True,
                                  capture_output=True, check=True).stdout
            assert all(option in text for option in options), options


def test_files_and_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^ {4}make ([a-z-]+)", README, re.MULTILINE)
    assert len(targets) >= 10
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    files = re.findall(r"(?:configs|docs|images|k8s)/[\w./-]+", README)
    assert len(files) >= 8
    for file in files:
        assert (ROOT / file.rstrip(".")).exists(), file
