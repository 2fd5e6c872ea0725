"""The wheel that the images install: everything that the steps read is in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what the image of the code copies."""
    folder = tmp_path_factory.mktemp("wheel")
    copied = (ROOT / "images" / "code" / "Dockerfile").read_text().split("COPY")
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        assert any(f" {name} " in line for line in copied), f"the image does not copy {name}"
        shutil.copy(ROOT / name, folder)
    for name in ("dpa_sse", "ops", "pipeline", "configs"):
        assert any(line.strip().startswith(f"{name} /build/{name}") for line in copied)
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "made", "."]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    return next((folder / "made").glob("*.whl"))


def test_wheel_brings_presets_structures_and_templates_along(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = [path for path in (ROOT / "configs").rglob("*") if path.is_file()]
    shipped += (ROOT / "pipeline" / "report").glob("*.[jc]*")
    assert len(shipped) > 60
    assert {f"dpa_sse/{path.relative_to(ROOT).as_posix()}" for path in shipped} <= names
    assert {name.partition("/")[0] for name in names if not name.startswith("dpa_sse_pipeline-")} == {"dpa_sse"}


def test_foreign_packages_called_ops_or_pipeline_do_no_harm(wheel: Path, tmp_path: Path) -> None:
    """PyPI has packages called ops, pipeline and configs; people have files called ops.py."""
    site, work = tmp_path / "site", tmp_path / "work"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", site, wheel]
    subprocess.run(command, check=True, timeout=300)
    work.mkdir()
    for name in ("ops", "pipeline", "configs"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise ImportError('a foreign package')\n")
        (work / f"{name}.py").write_text("raise ImportError('a file of the user')\n")
    shutil.copy(ROOT / "configs" / "quickstart.yaml", work)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for arguments in (["check", "quickstart.yaml"], ["plan", "quickstart.yaml"]):
        done = subprocess.run(
            [sys.executable, "-m", "dpa_sse.pipeline", *arguments], cwd=work, env=environment, capture_output=True,
            text=True, check=False, timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    code = "import dpa_sse.ops, dpa_sse.pipeline; print(dpa_sse.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=environment, capture_output=True, text=True,
                          check=True)
    assert done.stdout.startswith(str(site))
