"""A file with thresholds of the user (`--gates`): every problem at its line, as in configurations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dpa_sse.ops.validation.gates.registry import Thresholds, faults, load_thresholds
from dpa_sse.pipeline.config.problems import ConfigError, Problem, locate
from dpa_sse.pipeline.config.yaml_file import read_yaml

INFINITE = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}
"""Open ends of ranges, which configurations do not have."""


def read_thresholds(path: Path | None) -> Thresholds:
    """Return the thresholds of the package, with what a file of the user changes.

    Raises
    ------
    ConfigError
        It cannot be read, or has keys or values that do not exist; all of them, with their lines.
    """
    if path is None:
        return load_thresholds()
    try:
        content = read_yaml(path)
    except ConfigError as error:
        raise ConfigError(map(_about_thresholds, error.problems)) from error
    problems = [one for one in content.problems if not any(f" {text}" in f"{one.message} " for text in INFINITE)]
    data = _with_infinity(content.data)
    problems += [locate(content.marks, where, message, path) for where, message in faults(data)]
    if problems:
        raise ConfigError(problems)
    return load_thresholds(data)


def _about_thresholds(problem: Problem) -> Problem:
    """Return a problem without the advice that is about configurations."""
    return Problem(problem.file, problem.line, problem.path, problem.message.partition("; ")[0])


def _with_infinity(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_infinity(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_infinity(one) for one in value]
    return INFINITE.get(value.lower(), value) if isinstance(value, str) else value
