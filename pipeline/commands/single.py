"""`dpa-sse op`: any single OP by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.errors import InputError
from ops.files import read_json, write_json

if TYPE_CHECKING:
    from ops.task import TaskOP


def all_ops() -> dict[str, type[TaskOP]]:
    """Return all OPs by their name on the command line, e.g. ``perturb-cells``."""
    import ops
    from ops.task import FanOutOP, TaskOP

    found: dict[str, type[TaskOP]] = {}
    for package in pkgutil.iter_modules(ops.__path__, "ops."):
        if not package.ispkg:
            continue
        try:
            module = importlib.import_module(f"{package.name}.op")
        except ModuleNotFoundError:
            continue
        for _, member in inspect.getmembers(module, inspect.isclass):
            if issubclass(member, TaskOP) and member not in (TaskOP, FanOutOP) and member.__module__ == module.__name__:
                found[command_name(member)] = member
    return found


def command_name(op: type[TaskOP]) -> str:
    """Return ``perturb-cells`` for ``PerturbCells``."""
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in op.__name__).lstrip("-")


def run_op(
    name: str | None, settings: Path | None, inputs: Sequence[str], numbers: Sequence[str], out: Path
) -> int:
    """Run one OP on files of the user's, outside a workflow."""
    known = all_ops()
    if name is None:
        for key, member in known.items():
            taken = ", ".join([*member.artifacts, *member.numbers]) or "nothing"
            print(f"{key:24s} {(member.__doc__ or '').strip().splitlines()[0]}  [takes {taken}]")
        return 0
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        raise InputError(f"no OP {name!r}" + (f" - did you mean {near[0]!r}?" if near else "; `dpa-sse op` lists them"))
    op = known[name]
    given = gather_inputs(op, inputs, numbers)
    out.mkdir(parents=True, exist_ok=True)
    values = op().run(out.resolve(), read_json(settings) if settings else {}, **given)
    if values:
        write_json(out / "values.json", values)
    print(f"{name}: done, result in {out}")
    return 0


def gather_inputs(op: type[TaskOP], inputs: Sequence[str], numbers: Sequence[str]) -> dict[str, Any]:
    """Return the inputs of an OP from ``name=value`` texts.

    Raises
    ------
    InputError
        With everything that is missing, unknown or unreadable.
    """
    wanted = {name.rstrip("*?"): name for name in op.artifacts}
    given: dict[str, Any] = {key: [] if name.endswith("*") else None for key, name in wanted.items()}
    problems = []
    for text in inputs:
        key, _, value = text.partition("=")
        path = Path(value).expanduser().resolve()
        if key not in wanted:
            problems.append(f"--input {text}: {op.__name__} takes {', '.join(wanted) or 'no input'}")
        elif not path.exists():
            problems.append(f"--input {text}: no such file or folder")
        elif wanted[key].endswith("*"):
            given[key].append(path)
        else:
            given[key] = path
    for text in numbers:
        key, _, value = text.partition("=")
        if not value.lstrip("-").isdigit():
            problems.append(f"--number {text}: not an integer")
        else:
            given[key] = int(value)
    problems += [f"--input {key}=... is missing" for key, name in wanted.items()
                 if not given[key] and not name.endswith("?")]
    problems += [f"--number {name}=... is missing" for name in op.numbers if name not in given]
    if problems:
        raise InputError("\n".join(problems))
    return given
