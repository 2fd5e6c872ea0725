"""The end of a run is announced by a command and to a web address; what goes wrong there changes nothing."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.pipeline.commands import on_end
from dpa_sse.pipeline.commands.on_end import Ended, announce_end
from dpa_sse.pipeline.commands.run_end import finish_run
from dpa_sse.pipeline.config import ConfigError, Located, load_checked
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.runs.folder import CONFIG, Run

PLAIN: dict[str, Any] = {"name": "x", "type_map": ["Li", "Cl"], "systems": [{"name": "a", "structure": "LiCl"}],
                         "labeler": {"kind": "mock"}}
SAVE = "import os, sys; open('told', 'w').write(os.environ['DPA_SSE_END_STATUS'] + '|' + os.environ[" \
    "'DPA_SSE_END_RESULT'] + '|' + os.environ['DPA_SSE_END_FOLDER'] + '|' + sys.stdin.read() + '|' + sys.argv[1])"


def project(**more: Any) -> Project:
    return Project.model_validate({**PLAIN, "systems": [], "data": ["d"], **more})


@pytest.fixture
def ended(tmp_path: Path) -> Ended:
    return Ended("mine", tmp_path, "inconclusive", 3, ("No conductivity; it's $HOME `x`", "Next: longer"))


@pytest.fixture
def address() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve one address; /no refuses, /slow does not answer in time."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path == "/slow":
                time.sleep(1.0)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"type": self.headers["Content-Type"], **json.loads(body)})
            self.send_response(500 if self.path == "/no" else 204)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def test_the_command_gets_the_result_without_a_shell(ended: Ended) -> None:
    asked = project(on_end=[sys.executable, "-c", SAVE, "a b; touch hacked"])
    assert announce_end(asked, ended.folder, ended) == []
    status, text, folder, standard_input, argument = (ended.folder / "told").read_text().split("|")
    assert (status, folder, argument) == ("inconclusive", str(ended.folder), "a b; touch hacked")
    assert text == "mine: inconclusive\nNo conductivity; it's $HOME `x`\nNext: longer"
    assert json.loads(standard_input)["result"] == list(ended.lines)
    assert not (ended.folder / "hacked").exists()


def test_a_script_next_to_the_configuration(tmp_path: Path, ended: Ended) -> None:
    (tmp_path / "config").mkdir()
    script = tmp_path / "config" / "tell.sh"
    script.write_text("#!/bin/sh\npwd > here\n")
    script.chmod(0o755)
    assert announce_end(project(on_end=["./tell.sh"]), tmp_path / "config", ended) == []
    assert (ended.folder / "here").read_text().strip() == str(ended.folder)


@pytest.mark.parametrize(("argv", "expected"), [
    (["false"], "on_end: false ended with exit code 1; the run is not affected"),
    (["no-such-program"], "on_end: no-such-program could not be started"),
    (["sleep", "60"], "on_end: sleep was stopped after 0.3 s; the run is not affected"),
])
def test_a_command_that_fails_is_reported(
    argv: list[str], expected: str, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_end, "COMMAND_S", 0.3)
    (found,) = announce_end(project(on_end=argv), ended.folder, ended)
    assert found.startswith(expected)


def test_the_address_gets_the_result(
    ended: Ended, address: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = address
    monkeypatch.setenv("MY_HOOK", f"{url}/hook")
    assert announce_end(project(on_end_url="$MY_HOOK"), ended.folder, ended) == []
    assert got == [{
        "type": "application/json", "text": ended.text, "run": "mine", "status": "inconclusive", "exit_code": 3,
        "result": list(ended.lines),
    }]
    assert str(ended.folder) not in json.dumps(got)


@pytest.mark.parametrize(
    "place", ["{url}/no", "{url}/slow", "http://127.0.0.1:1/x", "file:///etc/passwd", "http://[", ""]
)
def test_an_address_that_does_not_answer_is_reported(
    place: str, ended: Ended, address: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_end, "ADDRESS_S", 0.3)
    monkeypatch.setenv("MY_HOOK", place.format(url=address[0]))
    (found,) = announce_end(project(on_end_url="$MY_HOOK"), ended.folder, ended)
    assert found.startswith("on_end_url: ")
    assert place not in found or not place  # the address may be a secret


def test_check_finds_what_cannot_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"

    def problems(*, runs_here: bool = True, **more: Any) -> list[str]:
        path.write_text(json.dumps({**PLAIN, **more}))
        try:
            load_checked(path, runs_here=runs_here)
        except ConfigError as error:
            return [f"{one.path}: {one.message}" for one in error.problems]
        return []

    monkeypatch.delenv("MY_HOOK", raising=False)
    assert problems(on_end=["true"]) == []
    assert problems(on_end=["no-such-program"]) == [
        "on_end.0: no-such-program: not a program that can be started (a list: program and its arguments)"
    ]
    assert problems(on_end=["no-such-program"], on_end_url="$MY_HOOK", runs_here=False) == []
    (shell,) = problems(on_end="mail -s done me")
    assert "must be a list" in shell
    assert problems(on_end_url="$MY_HOOK") == ["on_end_url: the environment variable MY_HOOK is not set"]
    (secret,) = problems(on_end_url="https://hooks.example.org/T0/B1/secret")
    assert "write $NAME, an environment variable" in secret


def test_a_run_that_failed_is_announced_and_keeps_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    run.create()
    (run.folder / CONFIG).write_text("name: x\ntype_map: [Li, Cl]\ndata: [d]\n")
    run.log.write_text('{"time": 1.0, "event": "run-start"}\n{"time": 2.0, "event": "run-end", "code": 1}\n')
    located = Located(project(on_end=[sys.executable, "-c", SAVE, "x"], on_end_url="$NOWHERE"), run.folder / CONFIG, {})
    assert finish_run(run, 1, located) == 1
    assert (run.folder / "told").read_text().startswith("failed|run: failed|")
    assert "on_end_url: $NOWHERE does not hold an address" in capsys.readouterr().err
    (run.folder / "told").unlink()
    assert finish_run(run, 130, located) == 130  # the user was there
    assert not (run.folder / "told").exists()
