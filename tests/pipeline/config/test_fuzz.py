"""Random damage to a good configuration ends in a ConfigError with located problems, never in another exception."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dpa_sse.pipeline.config import ConfigError, load_checked, load_project

QUICKSTART = (Path(__file__).parent / "good" / "quickstart.yaml").read_text(encoding="utf-8")
TOKENS = [
    "", "null", "true", "no", "-1", "0", "1e3", ".nan", "-.inf", "[]", "{}", "[1, 2]", "{a: 1}", "text", "'", '"', "*a",
    "&a", "!!str", "!x", "<<: 3", "? x", "- ", "\t", ": ", "#", "%", "@", "`", "|", ">", "\x00", "\u00e9", "1" * 30,
]
PARTS = ["md", "replicas", "systems", "0", "name", "x", "concurrent_learning", "stages", "trust", "overrides",
         "pretrain", "[1]"]


def damage(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        line = lines[at]
        kind = rng.randrange(8)
        if kind == 0:
            del lines[at]
        elif kind == 1 and line:
            place = rng.randrange(len(line))
            lines[at] = line[:place] + line[place + 1 :]
        elif kind == 2:
            place = rng.randint(0, len(line))
            lines[at] = line[:place] + rng.choice(TOKENS) + line[place:]
        elif kind == 3:
            lines.insert(rng.randrange(len(lines)), line)
        elif kind == 4:
            lines[at] = " " * rng.randint(1, 4) + line
        elif kind == 5:
            lines[at] = line.lstrip()
        elif kind == 6 and ":" in line:
            lines[at] = line[: line.index(":") + 1] + " " + rng.choice(TOKENS)
        else:
            words = line.split(" ")
            words[rng.randrange(len(words))] = rng.choice(TOKENS)
            lines[at] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "damaged.yaml"
    for number in range(25):
        text = damage(QUICKSTART, rng)
        path.write_text(text, encoding="utf-8")
        try:
            (load_checked if number % 5 == 0 else load_project)(path)
        except ConfigError as error:
            assert error.problems, text
            for problem in error.problems:
                assert problem.line is not None and 1 <= problem.line <= text.count("\n") + 1, text
                assert problem.message


def test_random_overrides(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "good.yaml"
    path.write_text(QUICKSTART, encoding="utf-8")
    for _ in range(150):
        key = ".".join(rng.choice(PARTS) for _ in range(rng.randint(0, 4)))
        try:
            load_project(path, [f"{key}{rng.choice(['=', ''])}{rng.choice(TOKENS)}"])
        except ConfigError as error:
            assert all(problem.message for problem in error.problems)
