"""The environment variables: declared once, and used as declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpa_sse.ops.core import environment as env

ROOT = Path(__file__).resolve().parents[3]
DECLARED = env.declared()
PREFIX = "DPA_SSE_"


def sources() -> dict[str, str]:
    found = {
        path.relative_to(ROOT).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        for top in ("ops", "pipeline") for path in (ROOT / top).rglob("*.py")
    }
    del found["ops/core/environment"]
    assert len(found) > 200
    return found


def users(constant: str) -> list[str]:
    """The modules that mention a variable: ``env.NAME``, or ``NAME`` imported from the module of the variables."""
    imported = re.compile(rf"^from dpa_sse\.ops\.core\.environment import .*\b{constant}\b", re.MULTILINE)
    used = re.compile(rf"\benv\.{constant}\b")
    return [name for name, text in sources().items() if used.search(text) or imported.search(text)]


def test_no_variable_is_named_elsewhere() -> None:
    assert [name for name, text in sources().items() if PREFIX in text] == []


def test_names_are_unique_and_have_the_prefix() -> None:
    names = [variable.name for variable in DECLARED.values()]
    assert len(names) == len(set(names)) > 20
    assert all(name.startswith(PREFIX) for name in names)
    assert all(variable.meaning.endswith(".") for variable in DECLARED.values())


@pytest.mark.parametrize("constant", DECLARED)
def test_each_variable_is_used_where_it_says(constant: str) -> None:
    variable = DECLARED[constant]
    known = [place for place in (*variable.writers, *variable.readers) if place not in (env.USER, env.NAMESPACE)]
    found = users(constant)
    for place in known:
        assert any(name == place or name.startswith(f"{place}/") for name in found), f"{place} does not use {constant}"
    for name in found:
        assert any(name == place or name.startswith(f"{place}/") for place in known), f"{name} is not declared"


def test_values_come_back_from_their_text() -> None:
    for variable, value in (
        (env.RUN, Path("/runs/a")), (env.GPUS, ("0", "1")), (env.NEEDS_GPU, True), (env.NEEDS_GPU, False),
        (env.TASK_TIMEOUT_S, 90.0), (env.RETRIES, 2), (env.STEP, "train"),
    ):
        assert variable.read(dict([variable.entry(value)])) == value


def test_absent_and_empty_variables_have_their_default() -> None:
    for variable in DECLARED.values():
        assert variable.read({}) == variable.read({variable.name: ""}) == variable.default


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"environment variable DPA_SSE_RETRIES: .*'many'"):
        env.RETRIES.read({"DPA_SSE_RETRIES": "many"})
