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
        "CurvePoint.energy_mae_meV_atom", "CurvePoint.seed", "CurvePoint.steps", "CurvePoint.test_frames",
        "FinetuneRound.committee_deviation_eV_A", "Selection.known", "Selection.runs", "Selection.runs_exploded",
        "Selection.similar", "Selection.unphysical",
        "DroppedCandidates.known", "DroppedCandidates.similar", "DroppedCandidates.unphysical",
        "Evaluation.energy_offset_meV_atom", "Evaluation.name", "Evaluation.virial_rmse_meV_atom",
        "IterationReport.dropped", "IterationReport.label_failures", "IterationReport.runs_failed",
        "SanityResult.steps", "SanityResult.temperature_K", "TeacherFilter.split", "TeacherFilter.teacher",
        "TrajectoryFilter.max_force_dropped_eV_A", "TrajectoryFilter.max_force_kept_eV_A", "TrajectoryFilter.system",
    ],
    "shows people which frames have no label, and of what run they are": [
        "DroppedStep.reason", "DroppedStep.status", "DroppedStep.step", "TaskItem.index", "TaskStatus.dropped",
        "TaskStatus.run", "TrajectoryRecord.end_temperature_K", "TrajectoryRecord.frames", "TrajectoryRecord.steps",
        "TrajectoryRecord.system", "TrajectoryRecord.temperature_K", "TrajectoryRecord.trajectory",
    ],
    "is for programs of the users: summary.json is the interface to them": [
        "ArrheniusSummary.labels", "ArrheniusSummary.sigma_300K_ci95_mS_cm", "ArrheniusSummary.sigma_300K_mS_cm",
        "ArrheniusSummary.state", "ArrheniusSummary.system", "ArrheniusSummary.trust",
        "ConductivitySummary.D_ci95_cm2_s", "ConductivitySummary.D_cm2_s", "ConductivitySummary.labels",
        "ConductivitySummary.replicas",
        "ConductivitySummary.sigma_ci95_mS_cm", "ConductivitySummary.system", "ConductivitySummary.trust",
        "ConductivitySummary.trust_reasons", "ErrorSummary.energy_mae_ci95_meV_atom",
        "ErrorSummary.force_mae_ci95_meV_A", "ErrorSummary.labels", "ErrorSummary.split",
        "ErrorSummary.virial_mae_ci95_meV_atom", "ErrorSummary.virial_mae_meV_atom", "IterationSummary.accurate",
        "IterationSummary.candidate", "IterationSummary.failed", "IterationSummary.iteration", "MdSummary.name",
        "MdSummary.steps_per_s", "MdSummary.system", "StageSummary.core_hours", "StageSummary.gpu_hours",
        "StageSummary.seconds", "StageSummary.tasks", "Summary.ranking",
        "StageSummary.tasks_failed", "Summary.name", "Summary.simplify", "Summary.status", "Summary.finetune_curve",
        "Summary.finetune_rounds",
        "TargetSummary.force_mae_meV_A", "TargetSummary.gates", "TargetSummary.labels_trained_on",
        "TargetSummary.reason", "TargetSummary.status", "TargetSummary.systems",
    ],
    "is on a model card for people and their programs": [
        "Architecture.fitting", "CardVerdict.thresholds_sha256", "IntendedUse.highest_temperature_K",
        "ModelCard.n_estimators", "ModelCard.targets",
    ],
    "is a result of `dpa-sse conductivity`: conductivity.json is for people and their programs": [
        "ArrheniusResult.D0_cm2_s", "ArrheniusResult.chi2_red", "ArrheniusResult.points_compared",
        "ArrheniusResult.points_refused", "ErrorBudget.block_scatter", "ErrorBudget.late_rise_over_line",
        "ErrorBudget.late_rise_sigma", "ErrorBudget.ln_half95", "ErrorBudget.ln_half95_arrangements",
        "ErrorBudget.ln_half95_bend",
        "ErrorBudget.ln_half95_blocks", "ErrorBudget.ln_half95_gls_birge", "ErrorBudget.ln_half95_replicas",
        "ErrorBudget.ln_spread_of_starts", "ErrorBudget.replica_D_cm2_s", "Extrapolation.D_leave_one_out_cm2_s",
        "Extrapolation.sigma_leave_one_out_mS_cm", "FrameworkState.drift_A", "FrameworkState.largest_displacement_A",
        "FrameworkState.moved_fraction", "FrameworkState.msd_slope_A2_ps", "FrameworkState.msd_slope_sigma_A2_ps",
        "FrameworkState.n_atoms", "FrameworkState.rmsd_A", "FrameworkState.spacing_A", "FrameworkState.sublattices",
        "KineticState.exponent", "KineticState.lowest_K", "KineticState.msd_A2", "PooledTransport.n_runs_refused",
        "RunTransport.dt_ps", "RunTransport.file", "RunTransport.framework", "RunTransport.kinetics",
        "RunTransport.left_out", "RunTransport.mobile_fraction", "RunTransport.n_frames", "RunTransport.plateau",
        "SpeciesDiffusion.D_ci95_cm2_s", "SpeciesDiffusion.D_cm2_s", "SpeciesDiffusion.D_upper95_cm2_s",
        "SpeciesDiffusion.verdict", "Sublattice.displaced", "Sublattice.largest_A", "Sublattice.rms_A",
        "Sublattice.sites", "TransportNumbers.D_axes_cm2_s", "TransportNumbers.D_tensor_cm2_s",
        "TransportNumbers.chi2_red", "TransportNumbers.collective_window_ps", "TransportNumbers.onsager_mS_cm",
        "TransportNumbers.remarks", "TransportNumbers.sigma_all_ions_mS_cm", "TransportNumbers.species",
    ],
    "is a result of `dpa-sse data audit`: audit.json is for people and their programs, the text shows a part of it": [
        "BulkModulus.frames", "DataSetAudit.splits", "DataSetAudit.virials", "DuplicateNumbers.conflicting",
        "EnergyNumbers.compositions", "EnergyNumbers.offset_eV_atom", "EnergyNumbers.outliers", "Finding.frames",
        "ForceNumbers.above_10_eV_A", "ForceNumbers.largest_eV_A", "ForceNumbers.median_largest_eV_A",
        "SignNumbers.explained", "SignNumbers.forces", "StrainNumbers.largest_difference_eV_atom",
        "VirialNumbers.frames_with_virial", "VirialNumbers.pressure_GPa",
    ],
    "shows people the self-check frame by frame, and on each temperature": [
        "CheckedFrame.energy_error_meV_atom", "CheckedFrame.force_mae_meV_A", "CheckedFrame.pressure_error_GPa",
        "CheckedFrame.replica", "CheckedFrame.step", "CheckedPoint.teacher", "ModelErrors.energy_mae_meV_atom",
        "SelfCheck.full",
    ],
    "describes a run to people who open its run.json": [
        "ExplorationRun.cell", "ExplorationRun.iteration", "ExplorationRun.models", "ExplorationRun.stage",
        "EquilibrationSummary.energy_drift_eV_atom", "EquilibrationSummary.pressure_GPa",
        "EquilibrationSummary.volume_drift", "HostSummary.polyhedra_kept", "HostSummary.rms_by_element_A",
        "HostSummary.sublattices", "MdRun.seconds", "MdRun.threads", "SublatticeMotion.displaced",
        "SublatticeMotion.largest_A", "SublatticeMotion.rms_A", "SublatticeMotion.sites",
        "ThermoSummary.mean_temperature_K",
    ],
    "is handed on from task.json to run.json with the other fields of the task, by name": [
        "MdTask.supercell", "MdTask.trajectory",
    ],
    "describes a model to people who open its folder; ChosenFrames is compared as a whole": [
        "BiasFit.bias_after_eV", "BiasFit.bias_before_eV", "ChosenFrames.frames", "ChosenFrames.of",
        "ModelInfo.messages", "ModelInfo.resumed_at_step",
        "Parity.n_frames",
    ],
    "describes the circumstances of a verdict to people who open its gates.json": [
        "GateResult.tier", "Gates.deepmd_version",
    ],
    "describes a data set to people who open its dataset.json": [
        "DatasetInfo.added", "DatasetInfo.drawn_from", "DatasetInfo.duplicates_dropped", "DatasetInfo.n_frames",
        "DatasetInfo.notes", "DatasetInfo.split_by",
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
    listed = {key for keys in NOT_READ.values() for key in keys}
    assert unread == listed, f"no line reads {sorted(unread - listed)}; listed, but read: {sorted(listed - unread)}"
    assert len(listed) == sum(map(len, NOT_READ.values()))
