"""Reading the results of the stages; each of them may be absent or damaged."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import jsonable
from dpa_sse.ops.core.foreign import inside
from dpa_sse.ops.results.active import CurvePoint, FinetuneRounds
from dpa_sse.ops.results.base import Result
from dpa_sse.ops.results.conductivity import ConductivityResult
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.distillation import TeacherFilter
from dpa_sse.ops.results.evaluation import PARITY_COLUMNS, Evaluation
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.learning import IterationReport, LearningState
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.results.model import ModelInfo, Parity
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.ops.results.simplify import Simplified
from dpa_sse.pipeline.report.records import (
    EVALUATIONS,
    ConfigExcerpt,
    StageRecord,
)

Table = dict[str, list[Any]]
"""Columns of a CSV file: numbers where the whole column is numeric (empty fields are NaN), text otherwise."""

MAX_ROWS = 200_000
QUANTITIES = ("energy", "force", "virial")
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class ReportInputs:
    """Locations of the results of a run; what is None or empty is reported as absent."""

    title: str = ""
    """Name of the run; the project name of the configuration by default."""
    state: str = ""
    """State of the whole run, where it is known (``running``, ``failed``, ...); else it follows from the stages."""
    config: Path | None = None
    """Resolved configuration (YAML)."""
    provenance: Path | None = None
    """``manifest.json`` of the run: versions, machine, seed, and the command that repeats the run."""
    stages: Sequence[StageRecord] = ()
    """Stages in the order of the workflow."""
    seed_data: Path | None = None
    """Data set folder of the base systems."""
    learning_state: Path | None = None
    """Folder with ``state.json`` of concurrent learning and ``simplify.json`` of thinning, where there were any."""
    models: Mapping[str, Path] = field(default_factory=dict)
    """Model folders by name: ensemble-0, ensemble-1, ..., pretrain, finetune, from_scratch, student."""
    evaluations: Mapping[str, Path] = field(default_factory=dict)
    """Evaluation folders by name, see ``records.EVALUATIONS``."""
    teacher_filter: Path | None = None
    """Folder with the ``filter.json`` of the distillation data; absent where nothing was labelled."""
    parity: Path | None = None
    """``parity.json``: frozen against compressed student."""
    md: Sequence[Path] = ()
    """MD folders (``run.json``, ``thermo.csv``)."""
    gates: Path | None = None
    """Folder with ``gates.json``; absent where no gate was run."""
    rounds: Path | None = None
    """Folder with ``rounds.json`` of active fine-tuning; absent where there were none."""
    curve: Sequence[Path] = ()
    """Folders with ``curve.json``: errors of models on parts of the frames."""
    self_check: Path | None = None
    """Folder with ``self_check.json``; absent where the production was not checked."""
    conductivity: Path | None = None
    """Folder with ``conductivity.json`` and ``msd_*.csv``."""
    targets: Mapping[str, ReportInputs] = field(default_factory=dict)
    """Results of each target, in their order; empty for a project with one compound."""
    left_out: str = ""
    """Why steps of a target had nothing to work on; empty if none were left out."""
    target: bool = False
    """The results are those of one of many targets."""


@dataclass(frozen=True)
class TrainedModel:
    """One trained model and its learning curve."""

    info: ModelInfo
    curve: Table


@dataclass(frozen=True)
class ParityTable:
    """Reference and predicted values of one quantity in eV/atom or eV/A; ``groups`` is the element or the system."""

    groups: list[str]
    reference: list[float]
    predicted: list[float]


@dataclass(frozen=True)
class EvaluatedModel:
    """Errors of one model on one data set, and its parity tables by quantity."""

    errors: Evaluation
    parity: Mapping[str, ParityTable]


@dataclass(frozen=True)
class ProductionRun:
    """One production run."""

    name: str
    info: MdRun
    thermo: Table
    trajectory: Path | None = None
    """Dump of the run; read by the sections that show structures."""


@dataclass
class ReportData:
    """Everything the report shows, in memory."""

    title: str
    state: str = ""
    config_text: str = ""
    config: ConfigExcerpt = field(default_factory=ConfigExcerpt)
    provenance: dict[str, Any] = field(default_factory=dict)
    stages: Sequence[StageRecord] = ()
    dataset: DatasetInfo | None = None
    history: Sequence[IterationReport] = ()
    models: dict[str, TrainedModel] = field(default_factory=dict)
    evaluations: dict[str, EvaluatedModel] = field(default_factory=dict)
    teacher_filter: TeacherFilter | None = None
    parity: Parity | None = None
    md: list[ProductionRun] = field(default_factory=list)
    gates: Gates | None = None
    gate_tables: dict[str, Table] = field(default_factory=dict)
    rounds: FinetuneRounds | None = None
    simplified: Simplified | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    self_check: SelfCheck | None = None
    conductivity: ConductivityResult | None = None
    msd: dict[str, Table] = field(default_factory=dict)
    targets: dict[str, ReportData] = field(default_factory=dict)
    left_out: str = ""
    target: bool = False
    notes: list[str] = field(default_factory=list)
    """Inputs that were given but could not be read."""

    @property
    def ordered_evaluations(self) -> list[str]:
        """Names of the evaluations in reading order."""
        return [name for name in EVALUATIONS if name in self.evaluations] + sorted(
            set(self.evaluations) - set(EVALUATIONS)
        )


def load_data(inputs: ReportInputs) -> ReportData:
    """Read all results; a missing or damaged one becomes a line in ``notes``."""
    notes: list[str] = []
    reader = _Reader(notes)
    data = ReportData(title=inputs.title, state=inputs.state, stages=inputs.stages, notes=notes)
    if inputs.config:
        data.config_text = reader.text(inputs.config)
        data.config = reader.config(data.config_text, inputs.config)
    data.title = data.title or data.config.name or "DPA-SSE run"
    if inputs.provenance:
        data.provenance = reader.mapping(inputs.provenance)
    if inputs.seed_data:
        data.dataset = reader.result(DatasetInfo, inputs.seed_data)
    if state := reader.result(LearningState, inputs.learning_state, required=False):
        data.history = state.history
    for name, folder in inputs.models.items():
        if info := reader.result(ModelInfo, folder):
            data.models[name] = TrainedModel(info, reader.table(folder / "lcurve.csv", required=False))
    for name, folder in inputs.evaluations.items():
        if errors := reader.result(Evaluation, folder):
            data.evaluations[name] = EvaluatedModel(errors, _parity_tables(folder, reader))
    data.teacher_filter = reader.result(TeacherFilter, inputs.teacher_filter, required=False)
    if inputs.parity:
        data.parity = reader.result(Parity, inputs.parity)
    data.md = _md_runs(inputs.md, reader)
    if inputs.gates:
        data.gates, data.gate_tables = gates_of(inputs.gates, reader)
    data.rounds = reader.result(FinetuneRounds, inputs.rounds, required=False)
    data.simplified = reader.result(Simplified, inputs.learning_state, required=False)
    data.curve = [point for folder in inputs.curve if (point := reader.result(CurvePoint, folder))]
    data.self_check = reader.result(SelfCheck, inputs.self_check, required=False)
    if inputs.conductivity:
        _load_conductivity(inputs.conductivity, data, reader)
    data.left_out, data.target = inputs.left_out, inputs.target
    data.targets = {name: load_data(one) for name, one in inputs.targets.items()}
    return data


def gates_of(folder: Path, reader: _Reader | None = None) -> tuple[Gates | None, dict[str, Table]]:
    """Return the verdict on a model, and the tables of its gates by key."""
    reader = reader or _Reader([])
    found = reader.result(Gates, folder, required=False)
    named = [(gate.key, gate.table) for gate in found.gates if gate.table] if found else []
    root = Gates.path_in(folder).resolve().parent  # an engine may hand on links to files of another step
    return found, {key: reader.table(inside(root, table, plain=False), required=False) for key, table in named}


def _md_runs(folders: Sequence[Path], reader: _Reader) -> list[ProductionRun]:
    """Return the runs ordered by system, temperature and replica, with names for people."""
    found = []
    for folder in folders:
        if info := reader.result(MdRun, folder):
            name = f"{info.temperature_K:g} K, replica {info.replica}"
            thermo, path = reader.table(folder / "thermo.csv", required=False), folder / "traj.lammpstrj"
            found.append(ProductionRun(name, info, thermo, path if path.is_file() else None))
    return sorted(found, key=lambda run: (run.info.system, run.info.temperature_K, run.name))


def _parity_tables(folder: Path, reader: _Reader) -> dict[str, ParityTable]:
    """Return the parity tables that have numbers in them."""
    found = {}
    for quantity in QUANTITIES:
        path = folder / f"parity_{quantity}.csv"
        system, kind, reference, predicted = PARITY_COLUMNS[quantity]
        table = reader.table(path, required=False)
        if not table:
            continue
        known = set(PARITY_COLUMNS[quantity]) <= table.keys()
        if known and not table[reference]:  # labels without a virial
            continue
        if not known or not all(isinstance(table[name][0], float) for name in (reference, predicted)):
            reader.notes.append(f"{_short(path)}: damaged (columns {', '.join(PARITY_COLUMNS[quantity])} expected)")
            continue
        groups = table[kind if quantity == "force" else system]
        found[quantity] = ParityTable([str(group) for group in groups], table[reference], table[predicted])
    return found


def _load_conductivity(folder: Path, data: ReportData, reader: _Reader) -> None:
    data.conductivity = reader.result(ConductivityResult, folder)
    data.msd = {path.stem: reader.table(path) for path in sorted(folder.glob("msd_*.csv"))}


def number(value: Any) -> float | None:
    """Return ``value`` as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def pair(value: Any) -> tuple[float, float] | None:
    """Return an interval as two finite numbers, or None."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def read_table(path: Path) -> Table:
    """Return the columns of a CSV file (at most ``MAX_ROWS`` rows)."""
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        reader = csv.reader(stream)
        header = [name.strip() for name in next(reader, [])]
        rows = [row for _, row in zip(range(MAX_ROWS), reader, strict=False) if len(row) == len(header)]
    return {name: _column([row[i] for row in rows]) for i, name in enumerate(header)}


def _column(fields: list[str]) -> list[Any]:
    try:
        return [float(text) if text.strip() else math.nan for text in fields]
    except ValueError:
        return list(fields)


class _Reader:
    """Readers that note what they could not read instead of raising."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def _try(self, path: Path, read: Callable[[Path], Any], empty: Any, *, required: bool = True) -> Any:
        try:
            return read(path)
        except FileNotFoundError:
            if required:
                self.notes.append(f"{_short(path)}: missing")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            self.notes.append(f"{_short(path)}: damaged, or of another version ({where}: {first['msg']})")
        except FatalError as error:
            reason = str(error).removeprefix(f"{path}: ").removeprefix("Value error, ")
            self.notes.append(f"{_short(path)}: damaged, or of another version ({reason})")
        except json.JSONDecodeError:
            self.notes.append(f"{_short(path)}: damaged (not a JSON file)")
        except (OSError, ValueError, csv.Error, RecursionError) as error:  # ValueError: not UTF-8
            self.notes.append(f"{_short(path)}: damaged ({type(error).__name__})")
        return empty

    def text(self, path: Path) -> str:
        return str(self._try(path, lambda p: p.read_text(encoding="utf-8"), ""))

    def result(self, kind: type[R], place: Path | None, *, required: bool = True) -> R | None:
        if place is None:
            return None
        found: R | None = self._try(kind.path_in(place), kind.read, None, required=required)
        return found

    def config(self, text: str, path: Path) -> ConfigExcerpt:
        import yaml

        try:
            found = yaml.safe_load(text) or {}
        except yaml.YAMLError:
            self.notes.append(f"{path.name}: not valid YAML")
            return ConfigExcerpt()
        excerpt: ConfigExcerpt = self._try(path, lambda _: ConfigExcerpt.model_validate(found), ConfigExcerpt())
        return excerpt

    def mapping(self, path: Path) -> dict[str, Any]:
        found = self._try(path, _json, {})
        if isinstance(found, dict):
            return found
        self.notes.append(f"{_short(path)}: not a JSON object")
        return {}

    def table(self, path: Path, *, required: bool = True) -> Table:
        return dict(self._try(path, read_table, {}, required=required))


def _json(path: Path) -> Any:
    return jsonable(json.loads(path.read_text(encoding="utf-8")))


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
