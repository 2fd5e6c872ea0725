"""`dpa-sse op`: any single OP by hand."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import read_json, write_json

if TYPE_CHECKING:
    from dpa_sse.ops.runtime.task import TaskOP

NO_SETTINGS = "--settings FILE is missing: a JSON file with the key {!r}, as in the inputs of a task of a run"


def all_ops() -> dict[str, type[TaskOP]]:
    """Return all OPs by their name on the command line, e.g. ``perturb-cells``."""
    from dpa_sse import ops
    from dpa_sse.ops.runtime.task import FanOutOP, TaskOP

    found: dict[str, type[TaskOP]] = {}
    for package in pkgutil.iter_modules(ops.__path__, f"{ops.__name__}."):
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


def parameters_of(op: type[TaskOP]) -> tuple[str, ...]:
    """Return the parameters that an OP takes by hand: of a fan-out also the ``index`` of the one task."""
    from dpa_sse.ops.runtime.task import FanOutOP

    return (*op.parameters, "index") if issubclass(op, FanOutOP) else op.parameters


def run_op(
    name: str | None, settings: Path | None, inputs: Sequence[str], parameters: Sequence[str], out: Path
) -> int:
    """Run one OP on files of the user's, outside a workflow."""
    known = all_ops()
    if name is None:
        for key, member in known.items():
            taken = ", ".join([*member.artifacts, *parameters_of(member)]) or "nothing"
            print(f"{key:24s} {(member.__doc__ or '').strip().splitlines()[0]}  [takes {taken}]")
        return 0
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        raise InputError(f"no OP {name!r}" + (f" - did you mean {near[0]!r}?" if near else "; `dpa-sse op` lists them"))
    op = known[name]
    from pydantic import ValidationError

    given = gather_inputs(op, inputs, parameters)
    values_given = read_settings(settings)
    out.mkdir(parents=True, exist_ok=True)
    try:
        prepared = op.settings_class.model_validate(values_given) if op.settings_class else values_given
        values = op().run(out.resolve(), prepared, **given)
    except ValidationError as error:
        place = settings or "--settings"
        if settings is None and any(one["type"] == "missing" for one in error.errors()):
            raise InputError(NO_SETTINGS.format(error.errors()[0]["loc"][-1])) from error
        lines = [
            f"{place}: the key '{key}' is missing" if one["type"] == "missing" else f"{place}: {key}: {one['msg']}"
            for one in error.errors() for key in [".".join(map(str, one["loc"]))]
        ]
        raise InputError("\n".join(lines)) from error
    if values:
        write_json(out / "values.json", values)
    print(f"{name}: done, result in {out}")
    return 0


class GivenSettings(dict[str, Any]):
    """Settings of an OP; a key that is asked for and not there is the user's omission."""

    source: Path | None = None

    def __missing__(self, key: str) -> Any:
        """Say which key is missing, and where."""
        raise InputError(
            f"{self.source}: the key {key!r} is missing" if self.source
            else NO_SETTINGS.format(key)
        )


def read_settings(path: Path | None) -> GivenSettings:
    """Return the settings in a JSON file, none without a file.

    Raises
    ------
    InputError
        When the file can not be read, is no JSON, or holds no keys and values.
    """
    if path is None:
        return GivenSettings()
    try:
        content = read_json(path)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: JSON syntax: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the file is not UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or 'can not be read').lower()}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: the file must hold keys and values, {{...}}")
    given = GivenSettings(content)
    given.source = path
    return given


def gather_inputs(op: type[TaskOP], inputs: Sequence[str], parameters: Sequence[str]) -> dict[str, Any]:
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
    for text in parameters:
        key, _, value = text.partition("=")
        if key not in parameters_of(op):
            problems.append(f"--parameter {text}: {op.__name__} takes {', '.join(parameters_of(op)) or 'no parameter'}")
            continue
        try:
            given[key] = int(value)
        except ValueError:
            problems.append(f"--parameter {text}: not an integer")
    problems += [f"--input {key}=... is missing" for key, name in wanted.items()
                 if not given[key] and not name.endswith("?")]
    problems += [f"--parameter {name}=... is missing" for name in parameters_of(op) if name not in given]
    if problems:
        raise InputError("\n".join(problems))
    return given
