"""The rooms of the project: imports go downwards only, and only some files know dflow.

Every import counts, wherever it is written: at the top, inside a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DFLOW = ("ops/*/op.py", "ops/runtime/task.py", "pipeline/report/op.py", "pipeline/graph.py", "pipeline/engines/**/*.py",
         "pipeline/flows/render.py")
"""The only files that may import dflow."""
TASK_OP = (*DFLOW, "ops/runtime/over_targets.py", "pipeline/commands/op.py", "pipeline/flows/*.py")
"""The only files that may import the base class of the steps, and dflow with it."""


def modules() -> dict[str, Path]:
    found = {}
    for top in ("ops", "pipeline"):
        for path in (ROOT / top).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(("dpa_sse", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports; of ``from a import b`` both ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: (imported(path) & set(known)) - {name} for name, path in known.items()}


def assert_no_circle(arrows: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from error


def test_no_circle_of_files() -> None:
    arrows = graph()
    assert len(arrows) > 200
    # `from package import name` does not need what else the package's __init__ may import
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert_no_circle({name: {one for one in used if one not in packages} for name, used in arrows.items()})


def test_no_circle_of_folders() -> None:
    arrows: dict[str, set[str]] = {}
    known = modules()

    def room(name: str) -> str:
        """``ops/data``, ``pipeline/config``; a file at the top of pipeline is a room by itself."""
        return "/".join(name.split(".")[1:3])

    for name, used in graph().items():
        arrows.setdefault(room(name), set()).update({room(one) for one in used} - {room(name)})
    assert len(arrows) > 20
    assert known
    assert_no_circle(arrows)


def test_a_circle_would_be_found() -> None:
    try:
        assert_no_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    except AssertionError as error:
        assert "a" in str(error)
    else:
        raise AssertionError("the circle was not found")


def test_who_knows_dflow() -> None:
    for allowed, wanted in ((DFLOW, "dflow"), (TASK_OP, "dpa_sse.ops.runtime.task")):
        may = {path for pattern in allowed for path in ROOT.glob(pattern)}
        users = {
            path for path in modules().values()
            if any(name == wanted or name.startswith(f"{wanted}.") for name in imported(path))
        }
        assert users
        assert users <= may, sorted(str(path.relative_to(ROOT)) for path in users - may)
