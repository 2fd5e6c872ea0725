"""The corpus of bad configurations: every problem, at its line, in plain words, and nothing else.

In each file of ``bad/`` a comment ``#> path: words | words`` is in the line where a problem must be reported; the
message must hold all the words. Problems without such a comment fail the test too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpa_sse.pipeline.config import ConfigError, Problem, load_checked

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.yaml"))
JARGON = re.compile(
    r"pydantic|Traceback|errors\.|Input should|unable to parse|valid \w+ instance|NoneType|<class|\[key\]"
)


def problems_of(path: Path, overrides: tuple[str, ...] = ()) -> list[Problem]:
    try:
        load_checked(path, overrides)
    except ConfigError as error:
        assert str(error) == "\n".join(map(str, error.problems))
        return error.problems
    return []


def expected_of(path: Path) -> list[tuple[int | None, str, list[str]]]:
    raw = path.read_bytes()
    text = raw.decode("utf-16" if raw[:2] == b"\xff\xfe" else "latin-1")
    expected: list[tuple[int | None, str, list[str]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        for part in line.split("#>")[1:]:
            where, words = part.strip().split(":", 1)
            expected.append((number, where.strip(), [word.strip() for word in words.split(" | ")]))
    return expected or [(1, "", ["empty"])] if path.name != "yaml_missing_colon.yaml" else [(5, "", ["':' is missing"])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bad_file(path: Path) -> None:
    found = problems_of(path)
    expected = expected_of(path)
    wanted = sorted((line, where) for line, where, _ in expected)
    assert sorted((one.line, one.path) for one in found) == wanted, "\n".join(map(str, found))
    for line, where, words in expected:
        message = next(one.message for one in found if (one.line, one.path) == (line, where))
        for word in words:
            assert word in message
    for one in found:
        place = ": ".join(part for part in (f"{path}:{one.line}", one.path) if part)
        assert str(one) == f"{place}: {one.message}"
        assert "\n" not in one.message
        assert not JARGON.search(one.message), one.message


def test_the_corpus_is_large() -> None:
    assert len(FILES) >= 40


def test_problems_come_in_the_order_of_the_file() -> None:
    lines = [one.line for one in problems_of(BAD / "many_at_once.yaml")]
    assert lines == sorted(lines)
    assert len(lines) == 17


def test_missing_file(tmp_path: Path) -> None:
    found = problems_of(tmp_path / "none.yaml")
    assert [str(one) for one in found] == [
        f"{tmp_path}/none.yaml: no such file; `dpa-sse init quickstart` prints a configuration to start from"
    ]


def test_folder_instead_of_file(tmp_path: Path) -> None:
    assert "directory" in problems_of(tmp_path)[0].message


def test_huge_file(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text("name: x\n" + "# filler\n" * 200_000)
    assert "larger than" in problems_of(path)[0].message


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
        ),
        "name: " + "[" * 5000,
        "name: " + "[" * 200 + "]" * 200,
        "name: " + "1" * 10_000,
    ],
    ids=["a billion laughs", "open brackets", "nested", "long number"],
)
def test_hostile_files_are_refused_quickly(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(text + "\n")
    assert problems_of(path)
