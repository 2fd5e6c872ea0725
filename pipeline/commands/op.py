"""`dpa-sse op`: run a single OP outside a workflow."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.exit_codes import DONE, FAILED
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.results.status import TaskStatus

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.settings import TaskSettings
    from dpa_sse.ops.runtime.task import TaskOP

OpInput = Path | list[Path] | int | None
"""Input artifacts (one path, or several), and parameters; None for an optional artifact that is not given."""


def all_ops() -> dict[str, type[TaskOP]]:
    """Return all OPs by their name on the command line, e.g. ``perturb-cells``; not those of many targets at once."""
    from dpa_sse import ops
    from dpa_sse.ops.runtime.over_targets import OverTargets
    from dpa_sse.ops.runtime.task import FanOutOP, TaskOP

    found: dict[str, type[TaskOP]] = {}
    for package in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}."):
        if not package.ispkg:
            continue
        try:
            module = importlib.import_module(f"{package.name}.op")
        except ModuleNotFoundError as error:
            if error.name != f"{package.name}.op":  # the stage has OPs, but they lack a package
                raise
            continue
        for _, member in inspect.getmembers(module, inspect.isclass):
            if not issubclass(member, TaskOP) or issubclass(member, OverTargets):
                continue
            if member not in (TaskOP, FanOutOP) and member.__module__ == module.__name__:
                found[command_name(member)] = member
    return found


def command_name(op: type[TaskOP]) -> str:
    """Return ``perturb-cells`` for ``PerturbCells``."""
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in op.__name__).lstrip("-")


def parameters_of(op: type[TaskOP]) -> tuple[str, ...]:
    """Return the parameters that an OP takes; for a fan-out also the ``index`` of the task to run."""
    from dpa_sse.ops.runtime.task import FanOutOP

    return (*op.parameters, "index") if issubclass(op, FanOutOP) else op.parameters


def run_op(
    name: str | None, settings: Path | None, inputs: Sequence[str], parameters: Sequence[str], out: Path
) -> int:
    """Run one OP on files of the user, outside a workflow; without a name, list all OPs."""
    known = all_ops()
    if name is None:
        for key, member in known.items():
            taken = ", ".join([*member.artifacts, *parameters_of(member)]) or "nothing"
            print(f"{key:24s} {(member.__doc__ or '').strip().splitlines()[0]}  [takes {taken}]")
        return DONE
    if name not in known:
        raise InputError(f"no OP {name!r}" + (did_you_mean(name, known) or "; `dpa-sse op` lists all OPs"))
    op = known[name]
    given = gather_inputs(op, inputs, parameters)
    checked = _checked_settings(op, settings)
    out.mkdir(parents=True, exist_ok=True)
    TaskStatus.path_in(out).unlink(missing_ok=True)  # of an earlier attempt
    values = op().run(out.resolve(), checked, **given)
    status = TaskStatus.read_if_there(out) or TaskStatus(status="ok")
    if status.status == "empty":
        number = f" with index {given['index']}" if "index" in given else ""
        raise InputError(f"{name}: nothing was computed, because the inputs hold no task{number}: {', '.join(inputs)}")
    if values:
        write_json(out / "values.json", values)
    if status.status == "failed":
        print(f"{name}: failed: {printable(status.reason)}; see {out}", file=sys.stderr)
        return FAILED
    print(f"{name}: done, result in {out}" + (f" ({printable(status.reason)})" if status.reason else ""))
    return DONE


def _checked_settings(op: type[TaskOP], file: Path | None) -> TaskSettings:
    """Return the settings of an OP from a JSON file.

    Raises
    ------
    InputError
        One line for each fault.
    """
    from pydantic import ValidationError

    from dpa_sse.pipeline.config.messages import faults

    content = read_settings(file)
    try:
        return op.settings_class.model_validate(content)
    except ValidationError as error:
        found = faults(error, content, op.settings_class)
    missing = next((".".join(map(str, one.path)) for one in found if one.kind == "missing"), None)
    if file is None and missing is not None:
        raise InputError(
            f"--settings FILE is missing: a JSON file with the key {missing!r}, as in the inputs of a task of a run"
        )
    lines = [f"{'.'.join(map(str, one.path))}: {one.message}" for one in found]
    raise InputError("\n".join(f"{file or '--settings'}: {line}" for line in lines))


def read_settings(path: Path | None) -> dict[str, object]:
    """Return the content of a JSON file with settings, nothing without a file.

    Raises
    ------
    InputError
        The file cannot be read, is not valid JSON, or does not contain keys and values.
    """
    if path is None:
        return {}
    try:
        content = read_json(path)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: JSON syntax: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the file is not UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise InputError(f"{path}: cannot be read as JSON ({printable(str(error))})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: the file must contain keys and values, {{...}}")
    return content


def gather_inputs(op: type[TaskOP], inputs: Sequence[str], parameters: Sequence[str]) -> dict[str, OpInput]:
    """Return the inputs of an OP from ``name=value`` texts.

    Raises
    ------
    InputError
        Something is missing, unknown or unreadable; all of it is reported.
    """
    wanted = {name.rstrip("*?"): name for name in op.artifacts}
    paths: dict[str, list[Path]] = {key: [] for key in wanted}
    numbers: dict[str, int] = {}
    problems = []
    for text in inputs:
        key, _, value = text.partition("=")
        path = Path(value).expanduser().resolve()
        if key not in wanted:
            problems.append(f"--input {text}: {op.__name__} takes {', '.join(wanted) or 'no input'}")
        elif not path.exists():
            problems.append(f"--input {text}: no such file or folder")
        else:
            paths[key].append(path)
    for text in parameters:
        key, _, value = text.partition("=")
        if key not in parameters_of(op):
            problems.append(f"--parameter {text}: {op.__name__} takes {', '.join(parameters_of(op)) or 'no parameter'}")
            continue
        try:
            numbers[key] = int(value)
        except ValueError:
            problems.append(f"--parameter {text}: not an integer")
    problems += [
        f"--input {key}=... is missing" for key, name in wanted.items() if not paths[key] and not name.endswith("?")
    ]
    problems += [f"--parameter {name}=... is missing" for name in parameters_of(op) if name not in numbers]
    if problems:
        raise InputError("\n".join(problems))
    several = {key for key, name in wanted.items() if name.endswith("*")}
    given: dict[str, OpInput] = {
        key: found if key in several else (found[-1] if found else None) for key, found in paths.items()
    }
    return given | numbers
