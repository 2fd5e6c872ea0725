"""Every key of every result file has a reader in the product, or is listed here with the reason why it has none.

All fields of all result models are renamed in a copy of the sources. The type checker then names each place that reads
a field: a key that no line of the product reads is either superfluous or meant for people.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import dpa_sse.ops.results
from dpa_sse.ops.results.base import Result, ResultPart

ROOT = Path(__file__).resolve().parents[3]
RENAMED = "_renamed"
READ = re.compile(r'^(\S+?):\d+: error: (?:Item )?"(\w+)"(?: of ".*?")? has no attribute "(\w+)"', re.MULTILINE)

NOT_READ = {
    "explains a number to people who open the file": [
        "DroppedCandidates.known", "DroppedCandidates.similar", "DroppedCandidates.unphysical",
        "Evaluation.energy_offset_meV_atom", "Evaluation.name", "Evaluation.virial_rmse_meV_atom",
        "IterationReport.dropped", "IterationReport.force_hi_eV_A", "IterationReport.force_lo_eV_A",
        "IterationReport.label_failures", "IterationReport.passed_over", "IterationReport.runs_failed",
        "SanityResult.steps", "SanityResult.temperature_K",
        "TeacherFilter.split", "TeacherFilter.teacher", "TeacherFilter.trajectories",
        "TrajectoryFilter.max_force_dropped_eV_A", "TrajectoryFilter.max_force_kept_eV_A", "TrajectoryFilter.name",
        "TrajectoryFilter.system",
    ],
    "shows people which frames have no label, and of what run they are": [
        "DroppedStep.reason", "DroppedStep.status", "DroppedStep.step", "TaskItem.index", "TaskStatus.dropped",
        "TaskStatus.run", "TrajectoryRecord.end_temperature_K", "TrajectoryRecord.frames", "TrajectoryRecord.steps",
        "TrajectoryRecord.system", "TrajectoryRecord.temperature_K", "TrajectoryRecord.trajectory",
    ],
    "is for programs of the users: summary.json is the interface to them": [
        "ConductivitySummary.replicas", "ConductivitySummary.sigma_ci95_mS_cm", "ErrorSummary.n_frames",
        "ErrorSummary.virial_mae_meV_atom", "IterationSummary.accurate", "IterationSummary.candidate",
        "IterationSummary.failed", "IterationSummary.iteration", "MdSummary.name", "MdSummary.steps_per_s",
        "MdSummary.system", "StageSummary.seconds", "StageSummary.tasks", "StageSummary.tasks_failed", "Summary.name",
        "Summary.status",
    ],
}
"""Why a key is written that no line of the product reads."""


def models() -> dict[str, type[ResultPart]]:
    """Return every model of a result file, and of its parts."""
    for module in pkgutil.iter_modules(dpa_sse.ops.results.__path__):
        importlib.import_module(f"dpa_sse.ops.results.{module.name}")

    def below(kind: type[ResultPart]) -> Iterator[type[ResultPart]]:
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    package = dpa_sse.ops.results.__name__
    found = {one for one in below(ResultPart) if one is not Result and one.__module__.startswith(package)}
    named = {one.__name__: one for one in found}
    assert len(named) == len(found), "two models have the same name"
    return dict(sorted(named.items()))


def fields(kind: type[ResultPart]) -> set[str]:
    return {name for name in kind.__annotations__ if name in kind.model_fields}


def depth(kind: type[ResultPart], field: str, known: dict[str, type[ResultPart]]) -> int:
    """Return how many levels of models a field holds: 0 for numbers and text."""
    parts = [known[name] for name in re.findall(r"\w+", str(kind.__annotations__[field])) if name in known]
    return max((1 + depth(part, name, known) for part in parts for name in fields(part)), default=0)


def rename_fields(path: Path, chosen: set[str]) -> None:
    """Append ``RENAMED`` to fields where they are declared, and nowhere else; ``chosen`` holds ``Model.field``."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for node in ast.parse("".join(lines)).body:
        for line in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                name, start = line.target.id, line.target.col_offset
                if f"{node.name}.{name}" in chosen:
                    text = lines[line.lineno - 1]
                    assert text[start:].startswith(f"{name}:")
                    lines[line.lineno - 1] = f"{text[:start]}{name}{RENAMED}{text[start + len(name):]}"
    path.write_text("".join(lines), encoding="utf-8")


def copy_sources(out: Path) -> None:
    for name in ("ops", "pipeline", "configs"):
        shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "dpa_sse", out / "dpa_sse", symlinks=True)
    shutil.copyfile(ROOT / "pyproject.toml", out / "pyproject.toml")
    (out / "tests").mkdir()
    shutil.copyfile(ROOT / "tests" / "accept_quickstart.py", out / "tests" / "accept_quickstart.py")


def readers_of(sources: Path, chosen: set[str], known: dict[str, type[ResultPart]]) -> dict[str, set[str]]:
    """Return the files that read each of the chosen fields, also through a derived model."""
    for path in (ROOT / "ops" / "results").glob("*.py"):
        shutil.copyfile(path, sources / "ops" / "results" / path.name)
        rename_fields(sources / "ops" / "results" / path.name, chosen)
    command = [sys.executable, "-m", "mypy", "--soft-error-limit=-1", "dpa_sse", "tests/accept_quickstart.py"]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr  # 1: errors in types, not in syntax
    found = defaultdict(set)
    for path, kind, field in READ.findall(done.stdout):
        for base in known[kind].__mro__ if kind in known else ():
            found[f"{base.__name__}.{field}"].add(path)
    return found


@pytest.mark.slow
def test_every_key_is_read_or_listed(tmp_path: Path) -> None:
    known = models()
    levels: dict[int, set[str]] = defaultdict(set)
    for name, kind in known.items():
        for field in fields(kind):
            levels[depth(kind, field, known)].add(f"{name}.{field}")
    assert sum(map(len, levels.values())) > 80
    copy_sources(tmp_path)
    unread: set[str] = set()
    for chosen in levels.values():  # level by level: behind a renamed field the types are not known
        unread |= chosen - readers_of(tmp_path, chosen, known).keys()
    assert sorted(unread) == sorted(key for keys in NOT_READ.values() for key in keys)
