"""The wheel that the images install: everything that the steps read is in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_wheel_brings_presets_structures_and_templates_along(tmp_path: Path) -> None:
    copied = (ROOT / "images" / "code" / "Dockerfile").read_text().split("COPY")
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        assert any(f" {name} " in line for line in copied), f"the image does not copy {name}"
        shutil.copy(ROOT / name, tmp_path)
    for name in ("ops", "pipeline", "configs"):
        assert any(line.strip().startswith(f"{name} /build/{name}") for line in copied)
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "made", "."]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    wheel = next((tmp_path / "made").glob("*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*") if path.is_file()}
    wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline" / "report").glob("*.[jc]*")}
    assert wanted <= names
