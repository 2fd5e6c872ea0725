"""Trust levels of stages and systems, of the virial, relative and adaptive ones: the classes are those of dpgen2."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read
from dpgen2.exploration.deviation import DeviManager, DeviManagerStd
from dpgen2.exploration.report import ExplorationReportAdaptiveLower, ExplorationReportTrustLevelsRandom
from pydantic import ValidationError

from dpa_sse.ops.exploration.page import learning_page
from dpa_sse.ops.exploration.prepare import prepare_exploration
from dpa_sse.ops.exploration.select import read_explorations, select_candidates
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings, TrustSettings
from dpa_sse.ops.exploration.state import initial_state
from dpa_sse.ops.exploration.trust import sort_frames
from dpa_sse.ops.results.learning import IterationReport, LearningState, SanityCheck, SanityResult
from dpa_sse.ops.results.md import ExplorationTask
from tests.md_folders import write_deviations, write_run, write_trajectory
from tests.ops.exploration.test_select import CELL, thermal

Numbers = list[float]


def learning(trust: dict[str, Any], stage: dict[str, Any] | None = None, **more: Any) -> ConcurrentLearningSettings:
    stages = [{"temperatures_K": [300], "max_iterations": 3, **(stage or {})}, {"temperatures_K": [600]}]
    return ConcurrentLearningSettings(**{"max_selected": 1000, "trust": trust, "stages": stages, **more})


def run(folder: Path, forces: Numbers, virials: Numbers = (), system: str = "LiCl", **record: Any) -> Path:
    folder.mkdir(parents=True)
    write_trajectory(folder / "traj.lammpstrj", [thermal(number) for number in range(len(forces))])
    write_deviations(folder / "model_devi.csv", forces, max_devi_v=virials)
    explored = {"models": (0, 1), "iteration": 0, "stage": 0, "cell": "p000", **record}
    return write_run(
        folder, CELL, system=system, temperature_K=300.0, ensemble="npt", n_frames=len(forces),
        steps=10 * (len(forces) - 1), explored=explored,
    )


def of_dpgen2(report: Any, forces: list[Numbers], virials: list[Numbers]) -> tuple[set[tuple[int, int]], int, int]:
    """Return candidates, and the numbers of accurate and failed frames, as dpgen2 has them."""
    deviations = DeviManagerStd()
    for one in forces:
        deviations.add(DeviManager.MAX_DEVI_F, np.array(one))
    for one in virials:
        deviations.add(DeviManager.MAX_DEVI_V, np.array(one))
    report.record(deviations)
    frames = sum(map(len, forces))
    candidates = {(number, int(frame)) for number, found in enumerate(report.get_candidate_ids()) for frame in found}
    return candidates, round(report.accurate_ratio() * frames), round(report.failed_ratio() * frames)


RNG = np.random.default_rng(4)
FORCES = [RNG.uniform(0, 0.4, 40).round(4).tolist(), [0.1, 0.3, 0.0999, 0.2999, *RNG.uniform(0, 0.4, 16).round(4)]]
VIRIALS = [RNG.uniform(0, 0.04, 40).round(4).tolist(), [0.01, 0.03, 0.02, *RNG.uniform(0, 0.04, 17).round(4)]]


@pytest.mark.parametrize(("trust", "report", "virial"), [
    ({}, ExplorationReportTrustLevelsRandom(0.1, 0.3), False),
    ({"virial_lo_eV_atom": 0.01, "virial_hi_eV_atom": 0.03},
     ExplorationReportTrustLevelsRandom(0.1, 0.3, 0.01, 0.03), True),
    ({"adaptive": {"candidates": 7, "rate": 0.0}},
     ExplorationReportAdaptiveLower(0.3, numb_candi_f=7, rate_candi_f=0.0), False),
    ({"adaptive": {"candidates": 1, "rate": 0.2}},
     ExplorationReportAdaptiveLower(0.3, numb_candi_f=1, rate_candi_f=0.2), False),
    ({"adaptive": {"candidates": 4, "virial_candidates": 6}, "virial_hi_eV_atom": 0.03},
     ExplorationReportAdaptiveLower(0.3, numb_candi_f=4, level_v_hi=0.03, numb_candi_v=6), True),
])
def test_frames_have_the_classes_of_dpgen2(tmp_path: Path, trust: dict[str, Any], report: Any, virial: bool) -> None:
    settings = learning({"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.3, **trust})
    folders = [run(tmp_path / str(number), FORCES[number], VIRIALS[number]) for number in range(2)]
    found = sort_frames(read_explorations(folders)[0], initial_state(settings), settings)
    candidates, accurate, failed = of_dpgen2(report, FORCES, VIRIALS if virial else [])
    assert set(found.candidates) == candidates
    assert (found.count("accurate"), found.count("failed")) == (accurate, failed)
    assert min(accurate, failed, len(candidates)) > 0
    [group] = found.groups
    assert group.force_lo == pytest.approx(report.level_f_lo)
    assert group.virial_lo_eV_atom == (pytest.approx(report.level_v_lo) if virial else None)
    if trust.get("adaptive", {}).get("rate"):
        below = sum(value <= 0.3 for one in FORCES for value in one)
        assert len(candidates) == int(0.2 * below)


def test_a_frame_is_accurate_if_forces_and_virial_are(tmp_path: Path) -> None:
    settings = learning({"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.3, "virial_lo_eV_atom": 0.01,
                         "virial_hi_eV_atom": 0.03})
    forces, virials = [0.05, 0.05, 0.05, 0.2, 0.2, 0.5, 0.05], [0.005, 0.02, 0.05, 0.005, 0.05, 0.005, None]
    report = select_candidates(
        initial_state(settings), settings, [run(tmp_path / "a", forces, virials)], None, 1, tmp_path / "out"
    )
    assert (report.accurate, report.candidate, report.failed) == (1, 2, 4)
    assert report.max_devi_v_eV_atom == 0.05
    chosen = [atoms for path in (tmp_path / "out/tasks").glob("*/*.extxyz") for atoms in read(path, ":")]
    assert {(atoms.info["step"], atoms.info["max_devi_v_eV_atom"]) for atoms in chosen} == {(10, 0.02), (30, 0.005)}


def test_the_adaptive_level_converges_as_in_dpgen2(tmp_path: Path) -> None:
    """The level of an iteration is that of its exploration; equal levels in two iterations end the stage."""
    trust = {"force_hi_eV_A": 0.3, "adaptive": {"candidates": 2, "rate": 0.0, "tolerance": 0.04}}
    settings, state, reports, earlier = learning(trust), None, [], []
    for number, forces in enumerate(([0.1, 0.2, 0.25, 0.35], [0.05, 0.1, 0.15, 0.2], [0.05, 0.1, 0.13, 0.2])):
        folder = run(tmp_path / f"run{number}", forces)
        reports.append(select_candidates(
            state or initial_state(settings), settings, [folder], None, 1, tmp_path / f"out{number}"
        ))
        state = LearningState.read(tmp_path / f"out{number}")
        own = ExplorationReportAdaptiveLower(0.3, numb_candi_f=2, rate_candi_f=0.0, conv_tolerance=0.04)
        of_dpgen2(own, [forces], [])
        assert reports[-1].converged == own.converged(earlier)
        earlier.append(own)
    assert [report.groups[0].force_lo for report in reports] == [0.2, 0.15, 0.13]
    assert [report.converged for report in reports] == [False, False, True]
    assert state is not None
    assert state.stage == 1
    page = learning_page(state.history)
    for level in ("0.2 to 0.3 eV/Å (adaptive)", "0.15 to 0.3 eV/Å (adaptive)", "0.13 to 0.3 eV/Å (adaptive)"):
        assert level in page
    assert "lower trust level 0.13 eV/A" in reports[-1].message


def test_levels_of_stages_and_systems(tmp_path: Path) -> None:
    """A system with its own levels is sorted and converges by them; a stage changes the levels of all."""
    settings = learning(
        {"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.3}, {"trust": {"force_hi_eV_A": 0.5}}, conv_accuracy=0.5,
        trust_of={"LiBr": {"force_lo_eV_A": 0.25}},
    )
    first, second = settings.stages
    levels = [settings.trust_in(stage, name).force_levels for stage in (first, second) for name in ("LiCl", "LiBr")]
    assert levels == [(0.1, 0.5), (0.25, 0.5), (0.1, 0.3), (0.25, 0.3)]
    forces = [0.05, 0.2, 0.4]
    folders = [run(tmp_path / name, forces, system=name) for name in ("LiCl", "LiBr")]
    report = select_candidates(initial_state(settings), settings, folders, None, 1, tmp_path / "out")
    assert {group.systems: (group.accurate, group.candidate, group.converged) for group in report.groups} == {
        ("LiCl",): (1, 2, False), ("LiBr",): (2, 1, True),
    }
    assert (report.accurate, report.candidate, report.failed) == (3, 3, 0)
    assert not report.converged  # half of all frames are accurate, but one third of those of LiCl
    assert report.message.endswith("; not converged: LiCl")
    assert "LiCl: 0.1 to 0.5 eV/A; LiBr: 0.25 to 0.5 eV/A" in (IterationReport.read(tmp_path / "out").levels)


def test_a_system_without_any_run_keeps_the_stage_from_converging(tmp_path: Path) -> None:
    settings = learning({"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.3})
    folder = run(tmp_path / "a", [0.05, 0.05, 0.05], system="LiCl")
    for systems, converged in ((("LiCl",), True), (("LiCl", "LiBr"), False)):
        report = select_candidates(
            initial_state(settings), settings, [folder], None, 1, tmp_path / str(converged), systems=systems
        )
        assert report.converged == converged
        assert ("no run of LiBr" in report.message) == (not converged)


def test_levels_of_an_iteration_without_one_of_the_systems_count(tmp_path: Path) -> None:
    """Runs of B fail in the second iteration: its level, of A alone, is one of the stage nevertheless."""
    trust = {"force_hi_eV_A": 1.0, "adaptive": {"candidates": 1, "rate": 0.0, "tolerance": 0.02}}
    settings, converged = learning(trust), []
    for number, (systems, highest) in enumerate(((("A", "B"), 0.2), (("A",), 0.3), (("A", "B"), 0.19))):
        folders = [run(tmp_path / f"{number}{name}", [0.01, highest], system=name) for name in systems]
        state = initial_state(settings) if not number else LearningState.read(tmp_path / f"out{number - 1}")
        report = select_candidates(state, settings, folders, None, 1, tmp_path / f"out{number}")
        converged.append(report.converged)
    assert converged == [False, False, False]


def test_relative_levels(tmp_path: Path) -> None:
    """They have no unit, and what is relative says so; exploration asks LAMMPS for them."""
    settings = learning({"relative": {"epsilon_eV_A": 0.5, "lo": 0.1, "hi": 0.4}})
    folder = run(tmp_path / "a", [0.05, 0.2, 0.5], epsilon_eV_A=0.5)
    report = select_candidates(initial_state(settings), settings, [folder], None, 1, tmp_path / "out")
    assert (report.accurate, report.candidate, report.failed, report.relative) == (1, 1, 1, True)
    assert report.levels == "0.1 to 0.4 relative to |F| + 0.5 eV/A"
    assert "0.5 (relative)" in learning_page([report])
    [atoms] = [atoms for path in (tmp_path / "out/tasks").glob("*/*.extxyz") for atoms in read(path, ":")]
    assert atoms.info["max_devi_f_relative"] == 0.2
    assert "max_devi_f_eV_A" not in atoms.info

    cells = tmp_path / "cells" / "task.000"
    cells.mkdir(parents=True)
    start = CELL.copy()
    start.info = {"system": "LiCl", "trajectory": "LiCl.p000"}
    start.write(cells / "cell.extxyz")
    good = SanityCheck(models=[SanityResult(
        model=number, status="ok", reason="", max_temperature_K=None, temperature_K=300.0, steps=1
    ) for number in range(2)])
    prepare_exploration(initial_state(settings), settings, tmp_path / "cells", good, 3, tmp_path / "tasks")
    assert ExplorationTask.read(tmp_path / "tasks" / "task.000").epsilon_eV_A == 0.5


def test_frames_beyond_every_level_have_failed(tmp_path: Path) -> None:
    """However high the upper level: a frame that an explosion took away cannot be labelled."""
    settings = learning({"force_lo_eV_A": 0.1, "force_hi_eV_A": 1e9})
    folder = run(tmp_path / "a", [0.2, 3e5, None])
    report = select_candidates(initial_state(settings), settings, [folder], None, 1, tmp_path / "out")
    assert Counter(accurate=report.accurate, candidate=report.candidate, failed=report.failed) == Counter(
        candidate=2, failed=1)


@pytest.mark.parametrize(("trust", "message"), [
    ({"force_lo_eV_A": 0.5}, r"force_lo_eV_A \(0.5\) must be smaller"),
    ({"relative": {"lo": 0.5, "hi": 0.2}}, "relative: lo"),
    ({"virial_lo_eV_atom": 0.1}, "needs virial_hi_eV_atom"),
    ({"virial_hi_eV_atom": 0.1}, "needs virial_lo_eV_atom"),
    ({"virial_lo_eV_atom": 0.1, "virial_hi_eV_atom": 0.1}, "must be smaller than virial_hi_eV_atom"),
    ({"virial_lo_eV_atom": 0.1, "virial_hi_eV_atom": 0.2, "adaptive": {}}, "no effect with adaptive"),
    ({"adaptive": {"virial_candidates": 5}}, "need virial_hi_eV_atom"),
    ({"adaptive": {"candidates": 0, "rate": 0.0}}, "nothing would be a candidate"),
])
def test_inconsistent_levels_are_refused(trust: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrustSettings(**trust)
