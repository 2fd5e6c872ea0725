"""Look for wording that the project does not use: ``python -m tests.words``, a part of ``make lint``.

The list is in ``tests/words.toml``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = (
    "k8s/crds/", "tests/data/", "tests/golden/", "tests/words.", "images/requirements/", "requirements", "LICENSE",
)
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".j2", ".css", ".cff", ".sh", ""}


def texts() -> Iterator[Path]:
    """Yield the tracked files that hold texts for people."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in SUFFIXES and not name.startswith(SKIPPED) and path.is_file() and not path.is_symlink():
            yield path


def findings() -> Iterator[str]:
    """Yield ``file:line: words -> what to write instead``."""
    rules = tomllib.loads((ROOT / "tests" / "words.toml").read_text(encoding="utf-8"))
    words = [(re.compile(rule["pattern"]), rule["instead"]) for rule in rules["word"]]
    exceptions = [(item["file"], item["text"]) for item in rules.get("exception", [])]
    for path in texts():
        name = path.relative_to(ROOT).as_posix()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # a test's file that is not UTF-8 on purpose
            continue
        for number, line in enumerate(lines, start=1):
            if any(name == file and text in line for file, text in exceptions):
                continue
            for pattern, instead in words:
                if match := pattern.search(line):
                    yield f"{name}:{number}: {match.group()!r} -> {instead}"


def main() -> int:
    """Print the findings; 1 when there are some."""
    found = list(findings())
    print("\n".join(found) if found else "Words: nothing found.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
