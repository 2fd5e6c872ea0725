"""Expand one entry of the configuration into several systems: series of compositions, several arrangements.

``{name: LGPS, structure: "Li10Ge{1-x}Sn{x}P2S12", series: {x: [0, 0.5, 1]}}`` becomes three systems LGPS-x0,
LGPS-x0.5 and LGPS-x1; ``count: 3`` gives three arrangements of one composition, LGPS.c000 to LGPS.c002.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from dpa_sse.ops.core.errors import InputError

FIELDS = ("site_disorder",)
MOST_SYSTEMS = 1000
_BRACES = re.compile(r"\{([^{}]*)\}")
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def expand_system(item: Mapping[str, Any]) -> list[dict[str, Any]]:  # foreign: unchecked YAML of the user
    """Expand one entry of the configuration into single systems.

    Members of a series have no key ``series``; the arrangements of a composition have a key ``arrangement``.

    Parameters
    ----------
    item : mapping
        As written by the user: name, structure, series, count, and any other key of a system.

    Raises
    ------
    InputError
        The series cannot be expanded; the message does not name the system.
    """
    systems = _expand_series(item) if item.get("series") is not None else [dict(item)]
    count, chosen = item.get("count"), item.get("arrangement")
    if chosen is not None or isinstance(count, bool) or not isinstance(count, int) or not 1 < count <= 100:
        return systems
    return [{**one, "name": f"{one.get('name')}.c{k:03d}", "arrangement": k} for one in systems for k in range(count)]


def _expand_series(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one system for each value (each combination of values) of ``item["series"]``."""
    series, structure = item["series"], str(item.get("structure", ""))
    values = _checked(series)
    unused = [name for name in values if name not in FIELDS and not _uses(structure, name)]
    if unused:
        raise InputError(
            f"'{unused[0]}' does not occur in structure {structure!r}: write amounts like Ge{{1-{unused[0]}}}"
            f"Sn{{{unused[0]}}}"
        )
    systems: list[dict[str, Any]] = []
    for chosen in itertools.product(*values.values()):
        point = dict(zip(values, chosen, strict=True))
        one = {key: value for key, value in item.items() if key != "series"}
        one["structure"] = _BRACES.sub(partial(_replaced, at=point), structure)
        one |= {name: value for name, value in point.items() if name in FIELDS}
        label = "".join(f"-{'d' if name in FIELDS else name}{value:g}" for name, value in point.items())
        one["name"] = f"{item.get('name')}{label}"
        systems.append(one)
    return systems


def base_name(name: str) -> str:
    """Return the common name of the arrangements ``name.c000``, ``name.c001`` ..., which come from one search."""
    return re.sub(r"\.c\d{3}$", "", name)


def _checked(series: Any) -> dict[str, list[float]]:
    """Return the variables and their values; refuse anything but lists of distinct numbers."""
    if not isinstance(series, Mapping) or not series:
        raise InputError("write a series as {x: [0, 0.25, 0.5]}")
    for name, values in series.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f"'{name}' is not a variable name: write a series as {{x: [0, 0.25, 0.5]}}")
        if not isinstance(values, (list, tuple)) or not values:
            raise InputError(f"the values of '{name}' must be a list of numbers, e.g. [0, 0.25, 0.5]")
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        if len(numbers) < len(values) or not all(math.isfinite(value) for value in numbers):
            raise InputError(f"the values of '{name}' must be numbers, not {values}")
        if len({f"{value:g}" for value in numbers}) < len(numbers):
            raise InputError(f"duplicate value of '{name}': {values}")
        if name in FIELDS and not all(0 <= value <= 1 for value in numbers):
            raise InputError(f"the values of '{name}' must be between 0 and 1, not {values}")
    if math.prod(len(values) for values in series.values()) > MOST_SYSTEMS:
        raise InputError(f"the series has more than {MOST_SYSTEMS} members")
    return dict(series)


def _uses(structure: str, name: str) -> bool:
    return any(re.search(rf"\b{name}\b", part) for part in _BRACES.findall(structure))


def _replaced(match: re.Match[str], at: Mapping[str, float]) -> str:
    return _amount(match[1], at)


def _amount(expression: str, point: Mapping[str, float]) -> str:
    """Return the value of ``1-x`` as text for a composition."""
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body, point)
    except (SyntaxError, ZeroDivisionError, RecursionError) as error:
        raise InputError(f"{{{expression}}} in structure is not an amount: write it like {{1-x}} or {{2*x}}") from error
    where = ", ".join(f"{name}={number:g}" for name, number in point.items())
    if not math.isfinite(value) or value < -1e-9:
        raise InputError(f"at {where} the amount {{{expression}}} is {value:g}")
    return f"{abs(value):.6f}".rstrip("0").rstrip(".") or "0"


def _value(node: ast.expr, point: Mapping[str, float]) -> float:
    """Evaluate numbers, variables, + - * / and brackets; nothing else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.Name):
        if node.id not in point:
            raise InputError(f"'{node.id}' in structure is not a variable of the series ({', '.join(point)})")
        return float(point[node.id])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return float(_OPERATORS[type(node.op)](_value(node.left, point), _value(node.right, point)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, point)
    raise SyntaxError("not an amount")
