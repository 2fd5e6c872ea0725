"""Explored frames by trust level: the classes of dpgen2, for each group of systems with the same levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings, TrustSettings
from dpa_sse.ops.exploration.state import current_stage
from dpa_sse.ops.results.learning import LearningState, TrustGroup
from dpa_sse.ops.results.md import ExplorationRun

BEYOND = float("inf")
"""Marks a frame that an explosion took away, or that has no deviation."""


@dataclass
class Exploration:
    """One exploration run: its record, and the deviations of every frame that a complete run would have.

    Attributes
    ----------
    forces : ndarray
        ``max_devi_f``: eV/Angstrom, or relative; ``BEYOND`` where there is no number.
    virials : ndarray
        ``max_devi_v``, eV/atom.
    """

    folder: Path
    record: ExplorationRun
    steps: list[int]
    forces: np.ndarray
    virials: np.ndarray


@dataclass(frozen=True)
class Deviations:
    """Explored frames by trust level.

    Attributes
    ----------
    groups : sequence of TrustGroup
        Levels, counts and convergence of the systems that have them in common.
    candidates : sequence of (int, int)
        Run and frame.
    forces, virials : ndarray
        All deviations that are numbers.
    missing : sequence of str
        Systems that were to be explored, and of which no run has frames.
    """

    groups: Sequence[TrustGroup]
    candidates: Sequence[tuple[int, int]]
    forces: np.ndarray
    virials: np.ndarray
    missing: Sequence[str] = ()

    @property
    def converged(self) -> bool:
        """Whether every group has converged, and no system is left without runs."""
        return bool(self.groups) and not self.missing and all(group.converged for group in self.groups)

    def count(self, level: str) -> int:
        """Return the number of frames that are ``accurate``, ``candidate`` or ``failed``."""
        return sum(getattr(group, level) for group in self.groups)

    def share(self, level: str) -> float | None:
        """Return their share of all frames; None if there are none."""
        total = sum(map(self.count, ("accurate", "candidate", "failed")))
        return self.count(level) / total if total else None


def sort_frames(
    runs: Sequence[Exploration], state: LearningState, settings: ConcurrentLearningSettings
) -> Deviations:
    """Return explored frames by trust level.

    Systems with the same levels are one exploration of dpgen2: they share its adaptive levels and its convergence.
    """
    groups: dict[str, list[int]] = {}
    levels: dict[str, TrustSettings] = {}
    for number, run in enumerate(runs):
        trust = settings.trust_in(current_stage(state, settings), run.record.system)
        key = trust.model_dump_json()
        levels[key] = trust
        groups.setdefault(key, []).append(number)
    found: list[TrustGroup] = []
    candidates: list[tuple[int, int]] = []
    for key, numbers in groups.items():
        group, chosen = _sort_group([runs[number] for number in numbers], levels[key], state, settings.conv_accuracy)
        found.append(group)
        candidates += [(numbers[run], frame) for run, frame in chosen]
    forces, virials = (_numbers([getattr(run, name) for run in runs]) for name in ("forces", "virials"))
    return Deviations(found, sorted(candidates), forces, virials)


def _numbers(values: Sequence[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(values) if values else np.empty(0)
    return joined[np.isfinite(joined)]


def _sort_group(
    runs: Sequence[Exploration], trust: TrustSettings, state: LearningState, conv_accuracy: float
) -> tuple[TrustGroup, list[tuple[int, int]]]:
    """Return levels and counts of runs with the same levels, and their candidates."""
    from dpgen2.exploration.deviation import DeviManager, DeviManagerStd

    with_virial = trust.virial_hi_eV_atom is not None
    deviations = DeviManagerStd()
    for run in runs:
        deviations.add(DeviManager.MAX_DEVI_F, run.forces)
        if with_virial:
            deviations.add(DeviManager.MAX_DEVI_V, run.virials)
    systems = tuple(sorted({run.record.system for run in runs}))
    report = _report(trust, conv_accuracy)
    report.record(deviations)
    frames = sum(len(run.forces) for run in runs)
    chosen = sorted(
        (run, int(frame)) for run, members in enumerate(report.get_candidate_ids(clear=False)) for frame in members
    )
    failed = round(report.failed_ratio() * frames)
    group = TrustGroup(
        systems=systems,
        force_lo=float(report.level_f_lo),
        force_hi=float(report.level_f_hi),
        epsilon_eV_A=trust.epsilon_eV_A,
        virial_lo_eV_atom=float(report.level_v_lo) if with_virial else None,
        virial_hi_eV_atom=trust.virial_hi_eV_atom,
        adaptive=trust.adaptive is not None,
        accurate=frames - failed - len(chosen),
        candidate=len(chosen),
        failed=failed,
        converged=bool(report.converged(_earlier(state, systems))),
    )
    return group, chosen


def _report(trust: TrustSettings, conv_accuracy: float) -> Any:
    """Return dpgen2's report, which sorts frames by these levels."""
    from dpgen2.exploration.report import ExplorationReportAdaptiveLower, ExplorationReportTrustLevelsRandom

    lo, hi = trust.force_levels
    if (adaptive := trust.adaptive) is None:
        return ExplorationReportTrustLevelsRandom(
            lo, hi, trust.virial_lo_eV_atom, trust.virial_hi_eV_atom, conv_accuracy=conv_accuracy
        )
    return ExplorationReportAdaptiveLower(
        level_f_hi=hi, numb_candi_f=adaptive.candidates, rate_candi_f=adaptive.rate,
        level_v_hi=trust.virial_hi_eV_atom, numb_candi_v=adaptive.virial_candidates, rate_candi_v=adaptive.virial_rate,
        n_checked_steps=adaptive.checked_iterations, conv_tolerance=adaptive.tolerance,
    )


def _earlier(state: LearningState, systems: tuple[str, ...]) -> list[SimpleNamespace]:
    """Return the lower levels of these systems in the earlier iterations of the stage, under dpgen2's names.

    A system whose runs have all failed is missing in the group of an iteration; its levels count nevertheless.
    """
    return [
        SimpleNamespace(level_f_lo=group.force_lo, level_v_lo=group.virial_lo_eV_atom)
        for report in state.history if report.stage == state.stage
        for group in report.groups if set(group.systems) & set(systems)
    ]
