"""Each key of the result files that the report reads, changed in turn: the page, a figure or the summary changes too.

A key that the report ignores is listed; a reader that asks for another key than the product writes is found here.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_inputs as made
from matplotlib.transforms import IdentityTransform
from pydantic import BaseModel, ValidationError

from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.pipeline.report import build, figures, plots, structure
from dpa_sse.pipeline.report.inputs import ReportInputs
from tests.ops.results.test_readers import models

Place = tuple[str | int, ...]
NOT_READ = {"TaskStatus"}
"""Files that are in the folders, but are for other steps."""
TRIES = 3
NOT_SHOWN = {
    # the errors of a model: what the table, the bars and the captions leave out
    "Evaluation.name", "Evaluation.energy_offset_meV_atom", "Evaluation.virial_rmse_meV_atom",
    # of the loop, the report shows its history only
    "LearningState.iteration", "LearningState.stage", "LearningState.iteration_in_stage", "LearningState.finished",
    # each gate has its reason; the lines of the terminal have the first of those that decide
    "Gates.reasons",
    # details of an iteration that its own page or its message holds
    "IterationReport.candidate_ratio", "IterationReport.failed_ratio", "IterationReport.mean_devi_f",
    "IterationReport.dropped", "IterationReport.runs", "IterationReport.runs_exploded", "IterationReport.runs_failed",
    "IterationReport.label_failures", "IterationReport.max_devi_v_eV_atom", "TrustGroup.accurate",
    "TrustGroup.candidate", "TrustGroup.failed", "TrustGroup.converged",
    "DroppedCandidates.unphysical", "DroppedCandidates.known",
    "DroppedCandidates.similar", "SanityResult.temperature_K", "SanityResult.steps",
    # the teacher's frames: the report shows the sums
    "TeacherFilter.teacher", "TeacherFilter.split", "TeacherFilter.trajectories", "TrajectoryFilter.name",
    "TrajectoryFilter.system", "TrajectoryFilter.n_frames", "TrajectoryFilter.n_kept", "TrajectoryFilter.n_dropped",
    "TrajectoryFilter.max_force_kept_eV_A", "TrajectoryFilter.max_force_dropped_eV_A",
    # the analysis: the report shows the conductivities and their errors; the rest is in conductivity.json and
    # on the page of the analysis
    "ArrheniusCurve.D_cm2_s", "ArrheniusCurve.D_high95_cm2_s", "ArrheniusCurve.D_low95_cm2_s",
    "ArrheniusCurve.temperature_K", "ArrheniusResult.curve", "ArrheniusResult.D0_cm2_s", "ArrheniusResult.chi2_red",
    "ArrheniusResult.points_refused", "ConductivityResult.arrhenius_by_system", "ErrorBudget.block_D_cm2_s",
    "ErrorBudget.block_scatter", "ErrorBudget.late_rise_over_line", "ErrorBudget.late_rise_sigma",
    "ErrorBudget.ln_half95", "ErrorBudget.ln_half95_arrangements", "ErrorBudget.ln_half95_bend",
    "ErrorBudget.ln_half95_blocks",
    "ErrorBudget.ln_half95_gls_birge", "ErrorBudget.ln_half95_replicas", "ErrorBudget.ln_spread_of_starts",
    "PlateauPoint.D_cm2_s", "PlateauPoint.chi2_red", "PlateauPoint.curvature_sigma", "PlateauPoint.sigma_cm2_s",
    "PlateauPoint.start_ps", "PlateauPoint.weight", "PooledTransport.D_axes_cm2_s", "PooledTransport.D_tensor_cm2_s",
    "PooledTransport.chi2_red", "PooledTransport.collective_window_ps", "PooledTransport.estimator",
    "PooledTransport.fit_window_ps", "PooledTransport.ln_D_sigma", "PooledTransport.n_carriers",
    "PooledTransport.n_runs_refused", "PooledTransport.onsager_mS_cm", "PooledTransport.sigma_all_ions_mS_cm",
    "PooledTransport.sources", "PooledTransport.t_start_ps", "PooledTransport.volume_A3", "RunTransport.D_axes_cm2_s",
    "RunTransport.D_tensor_cm2_s", "RunTransport.bad_input", "RunTransport.chi2_red",
    "RunTransport.collective_window_ps", "RunTransport.dt_ps", "RunTransport.estimator", "RunTransport.file",
    "RunTransport.fit_window_ps", "RunTransport.framework", "RunTransport.haven_ci95", "RunTransport.haven_ratio",
    "RunTransport.kinetics", "RunTransport.length_ps", "RunTransport.mobile_fraction", "RunTransport.more_ps_needed",
    "RunTransport.n_frames", "RunTransport.onsager_mS_cm", "RunTransport.plateau", "RunTransport.sigma_NE_ci95_mS_cm",
    "RunTransport.sigma_NE_mS_cm", "RunTransport.sigma_NE_upper95_mS_cm", "RunTransport.sigma_all_ions_mS_cm",
    "RunTransport.sigma_collective_ci95_mS_cm", "RunTransport.sigma_collective_mS_cm", "RunTransport.state",
    "RunTransport.t_start_ps", "RunTransport.volume_A3",
    # the checks of a trajectory: the report shows their verdict
    "FrameworkState.coordinated_fraction", "FrameworkState.drift_A", "FrameworkState.largest_displacement_A",
    "FrameworkState.moved_fraction", "FrameworkState.msd_slope_A2_ps", "FrameworkState.msd_slope_sigma_A2_ps",
    "FrameworkState.n_atoms", "FrameworkState.rmsd_A", "FrameworkState.spacing_A", "FrameworkState.sublattices",
    "FrameworkState.turned_fraction", "FrameworkState.whole_units_fraction", "KineticState.exponent",
    "KineticState.lowest_K", "KineticState.msd_A2", "KineticState.temperature_K", "Sublattice.displaced",
    "Sublattice.largest_A", "Sublattice.rms_A", "Sublattice.sites",
    # the self-check: the report shows means with their intervals, and the verdicts
    "GateResult.tier", "Gates.deepmd_version", "Gates.model_sha256", "Gates.thresholds_sha256", "JudgedMetric.reason",
    "CheckedPoint.teacher", "SelfCheck.finished", "SelfCheck.full",
    # of the errors of a trajectory, the weight; of a level with a calculator, the name of the calculator says more
    "TrajectoryErrors.force_components", "LevelOfTheory.code",
    # the reason of a run that broke off
    "TrajectoryFilter.reason",
    # a run of molecular dynamics: the report shows how it ended, and its curves
    "MdRun.dump_every_fs", "MdRun.max_temperature_K", "MdRun.mean_temperature_K", "MdRun.n_frames",
    "MdRun.polyhedra_kept", "MdRun.seconds", "MdRun.seed", "MdRun.threads", "MdRun.trajectory", "MdRun.width_A",
    # a model: the report shows its table of errors and its learning curve
    "CutoffNeighbours.per_type", "CutoffNeighbours.total", "ModelInfo.branch", "ModelInfo.neighbours",
    "ModelInfo.compressed", "ModelInfo.frames", "ModelInfo.replay_frames", "ModelInfo.resumed_at_step",
    "ModelInfo.strategy", "ModelInfo.type_map", "NeighbourCounts.cutoffs", "NeighbourCounts.minimum_distance_A",
    "NeighbourCounts.type_map", "Parity.max_energy_difference_meV_atom", "Parity.max_force_difference_eV_A",
    "Parity.n_frames",
    # which frames are kept: the page shows how many
    "Simplified.chosen", "Simplified.finished", "Simplified.pool_frames",
}


class Undrawn:
    """Stands for a figure or its axes: takes every call and draws nothing."""

    transData = IdentityTransform()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self

    def get_xlim(self) -> tuple[float, float]:
        return 0.0, 1.0

    get_ylim = get_xlim

    def get_legend_handles_labels(self) -> tuple[list[Any], list[str]]:
        return [], []


def undrawn_panel(size: Any = None, rows: int = 1, *, squeeze: bool = True, **_: Any) -> tuple[Any, Any]:
    """Return a figure and axes as ``figures.panel`` does."""
    if rows == 1 and squeeze:
        return Undrawn(), Undrawn()
    grid = np.array([Undrawn() for _ in range(rows)], dtype=object)
    return Undrawn(), grid if squeeze else grid[:, None]


def observed(inputs: ReportInputs, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return summary, page, SI files, and title, caption and numbers of the figures, which are not drawn."""
    seen: list[Any] = []

    def add(book: figures.FigureBook, figure: Any, name: str, title: str, caption: str, **more: Any) -> Any:
        seen.append((name, title, caption, list(more["rows"])))
        book.figures.append(figures.PageFigure(name, title, caption, "<svg></svg>"))
        return book.figures[-1]

    with monkeypatch.context() as patched:
        patched.setattr(figures.FigureBook, "add", add)
        patched.setattr(structure, "MAX_FRAMES", structure.MIN_FRAMES)
        for module in pkgutil.iter_modules(plots.__path__, f"{plots.__name__}."):
            if hasattr(loaded := importlib.import_module(module.name), "panel"):
                patched.setattr(loaded, "panel", undrawn_panel)
        summary = build.build_report(inputs, out)
    files = {path.name: path.read_bytes() for path in sorted((out / "si").glob("*"))}
    return [summary.model_dump(), (out / "report.html").read_text(encoding="utf-8"), files, repr(seen)]


def values(kind: type[BaseModel], data: Any, path: Place = ()) -> Iterator[tuple[str, Place, Any]]:
    """Yield (``Model.field``, place in the file, value) of a model and of the models in it."""
    for name, field in kind.model_fields.items():
        if name == "format_version" or name not in data:
            continue
        yield f"{kind.__name__}.{name}", (*path, name), data[name]
        for part in list(parts(field.annotation))[:1]:
            inner = data[name] or {}
            if isinstance(inner, list):
                found = [((*path, name, index), one) for index, one in enumerate(inner)]
            elif is_mapping(field.annotation):
                found = [((*path, name, key), one) for key, one in inner.items()]
            else:
                found = [((*path, name), inner)]
            for place, one in found:
                yield from values(part, one, place)


def parts(annotation: Any) -> Iterator[type[ResultPart]]:
    if isinstance(annotation, type) and issubclass(annotation, ResultPart):
        yield annotation
    for one in typing.get_args(annotation):
        yield from parts(one)


def is_mapping(annotation: Any) -> bool:
    return typing.get_origin(annotation) is dict or any(is_mapping(one) for one in typing.get_args(annotation))


def others(value: Any, annotation: Any) -> Iterator[Any]:
    """Yield values to try instead of this one."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, (int, float)):
        yield value + 1 if isinstance(value, int) else 1.5 * value + 0.1
    elif isinstance(value, str):
        yield f"{value} changed"
        yield from re.findall(r"'(\w+)'", repr(annotation))  # of a Literal
    elif isinstance(value, list):
        yield value[:-1]
        yield [1.5 * one + 0.1 for one in value if isinstance(one, float)]
    elif isinstance(value, dict):
        yield None
        yield {}
        yield dict(list(value.items())[:-1])
    else:
        yield from (7.5, 7, "changed")


def put(data: Any, place: Place, value: Any) -> Any:
    """Return a copy of the content of a file with another value at one place."""
    copy = json.loads(json.dumps(data))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


def is_valid(kind: type[Result], data: Any) -> bool:
    try:
        kind.model_validate(data)
    except ValidationError:
        return False
    return True


@dataclass(frozen=True)
class Change:
    """Another valid value of a key at one place of a file."""

    key: str
    place: Place
    value: Any

    @property
    def kind(self) -> Place:
        """The place without the numbers in lists: the runs and the temperatures of an analysis are two kinds."""
        return tuple(part for part in self.place if isinstance(part, str))

    def overlaps(self, other: Change) -> bool:
        """Whether one place is inside the other."""
        length = min(len(self.place), len(other.place))
        return self.place[:length] == other.place[:length]


def changes(kind: type[Result], data: Any, known: Mapping[str, type[ResultPart]]) -> Iterator[Change]:
    """Yield a change for each place that has another valid value."""
    for key, place, value in values(kind, data):
        owner, field = key.split(".")
        for other in others(value, known[owner].model_fields[field].annotation):
            if other != value and is_valid(kind, put(data, place, other)):
                yield Change(key, place, other)
                break


def groups(kind: type[Result], data: Any, found: Iterable[Change]) -> list[list[Change]]:
    """Return changes in groups that can be made at once: none is inside another, and the file stays valid."""
    made_of: list[tuple[list[Change], Any]] = []
    for change in found:
        for k, (members, content) in enumerate(made_of):
            if any(change.overlaps(other) for other in members):
                continue
            if is_valid(kind, other_content := put(content, change.place, change.value)):
                made_of[k] = ([*members, change], other_content)
                break
        else:
            made_of.append(([change], put(data, change.place, change.value)))
    return [members for members, _ in made_of]


def shown_of(
    path: Path, data: Any, members: Sequence[Change], differs: Callable[[], bool]
) -> set[str]:
    """Return the keys among these changes that the report shows: all at once first, then halves of what is shown."""
    content = data
    for one in members:
        content = put(content, one.place, one.value)
    path.write_text(json.dumps(content), encoding="utf-8")
    if not differs():
        return set()
    if len(members) == 1:
        return {members[0].key}
    half = len(members) // 2
    return shown_of(path, data, members[:half], differs) | shown_of(path, data, members[half:], differs)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_key_of_the_files_is_shown_or_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = made.everything(tmp_path / "in")
    read = [inputs.learning_state, inputs.teacher_filter, inputs.conductivity, inputs.self_check, inputs.gates,
            inputs.parity,
            *inputs.md, *inputs.evaluations.values(), *inputs.models.values()]
    before = observed(inputs, tmp_path / "out", monkeypatch)
    assert observed(inputs, tmp_path / "out", monkeypatch) == before
    tried: Counter[tuple[str, Place]] = Counter()
    shown: set[str] = set()
    known = models()
    for kind in known.values():
        if not issubclass(kind, Result) or kind.__name__ in NOT_READ:
            continue
        for path in (kind.path_in(place) for place in read if place is not None):
            if path.name != kind.FILE or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
            data = json.loads(text)
            alone, together = [], []
            for change in changes(kind, data, known):
                if change.key not in shown and tried[change.key, change.kind] < TRIES:
                    tried[change.key, change.kind] += 1
                    (together if change.key in NOT_SHOWN else alone).append(change)
            for members in [*([one] for one in alone), *groups(kind, data, together)]:
                if not {one.key for one in members} <= shown:
                    shown |= shown_of(
                        path, data, members, lambda: observed(inputs, tmp_path / "out", monkeypatch) != before
                    )
            path.write_text(text, encoding="utf-8")
    assert len(shown) > 20
    hidden = {key for key, _ in tried} - shown
    assert hidden == NOT_SHOWN, f"not shown: {sorted(hidden - NOT_SHOWN)}; listed: {sorted(NOT_SHOWN - hidden)}"
