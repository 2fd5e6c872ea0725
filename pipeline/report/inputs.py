"""What the report reads: the results of the stages, each of which may be absent or damaged."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.files import jsonable
from dpa_sse.ops.results.base import Result
from dpa_sse.ops.results.conductivity import ConductivityResult

Table = dict[str, list[Any]]
"""Columns of a CSV file: numbers where the whole column is numeric (empty fields are NaN), else text."""

MAX_ROWS = 200_000
ResultModel = TypeVar("ResultModel", bound=Result)
QUANTITIES = ("energy", "force", "virial")
EVALUATION_FILES = ("evaluation.json", "errors.json")


@dataclass(frozen=True)
class ReportInputs:
    """Where the results of a run lie; whatever is None (or empty) is called absent in the report."""

    title: str = ""
    """Name of the run; the project name of the configuration by default."""
    config: Path | None = None
    """Resolved configuration (YAML)."""
    provenance: Path | None = None
    """JSON: versions, host facts, seed, threads; a key ``command`` is shown as the way to reproduce the run."""
    stages: Path | None = None
    """JSON list of {name, title, status, seconds, ended_after_s, tasks, tasks_failed, failures: [{task, reason}]}."""
    seed_data: Path | None = None
    """Data set folder of the base systems (``dataset.json``)."""
    learning_state: Path | None = None
    """``state.json`` of the concurrent learning, or the folder that holds it."""
    models: Mapping[str, Path] = field(default_factory=dict)
    """Model folders by name: ensemble-0, ensemble-1, ..., pretrain, finetune, from_scratch, student."""
    evaluations: Mapping[str, Path] = field(default_factory=dict)
    """Evaluation folders by name (``summary.ERRORS``): pretrain, zero_shot, ..., student, student_vs_teacher."""
    distill_filter: Path | None = None
    """``filter.json`` of the distillation data."""
    parity: Path | None = None
    """``parity.json``: frozen against compressed student."""
    md: Sequence[Path] = ()
    """MD folders (``run.json``, ``thermo.csv``)."""
    conductivity: Path | None = None
    """Folder with ``conductivity.json``, ``msd_*.csv`` and ``arrhenius.csv``."""


@dataclass
class Model:
    """One trained model."""

    info: dict[str, Any]
    curve: Table


@dataclass
class Evaluation:
    """Errors of one model on one data set; the tables have the columns reference, predicted and group."""

    numbers: dict[str, Any]
    energy: Table
    force: Table
    virial: Table


@dataclass
class MdRun:
    """One production run."""

    name: str
    run: dict[str, Any]
    thermo: Table

    @property
    def status(self) -> str:
        """Return the run's status, ``unknown`` where the run left none."""
        return str(self.run.get("status") or "unknown")


@dataclass
class ReportData:
    """Everything the report shows, read into memory."""

    title: str
    config_text: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    stages: list[dict[str, Any]] = field(default_factory=list)
    dataset: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    distill_filter: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    md: list[MdRun] = field(default_factory=list)
    conductivity: ConductivityResult | None = None
    msd: dict[str, Table] = field(default_factory=dict)
    arrhenius: Table = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Inputs that were named but could not be read."""


def load_data(inputs: ReportInputs) -> ReportData:
    """Read all results; a missing or unreadable one becomes a line in ``notes``."""
    notes: list[str] = []
    reader = _Reader(notes)
    data = ReportData(title=inputs.title, notes=notes)
    if inputs.config:
        data.config_text = reader.text(inputs.config)
        data.config = _parse_yaml(data.config_text, inputs.config.name, notes)
    data.title = data.title or str(data.config.get("name") or "DPA-SSE run")
    data.provenance = reader.mapping(inputs.provenance)
    data.stages = reader.records(inputs.stages)
    data.dataset = reader.mapping(_inside(inputs.seed_data, "dataset.json"))
    data.history = _dicts(reader.mapping(_inside(inputs.learning_state, "state.json")).get("history"))
    for name, folder in inputs.models.items():
        data.models[name] = Model(reader.mapping(folder / "model.json"), reader.table(folder / "lcurve.csv"))
    for name, folder in inputs.evaluations.items():
        numbers = next(
            (folder / file for file in EVALUATION_FILES if (folder / file).exists()), folder / EVALUATION_FILES[0]
        )
        tables = [_parity_columns(reader.table(folder / f"parity_{q}.csv", required=False)) for q in QUANTITIES]
        data.evaluations[name] = Evaluation(reader.mapping(numbers), *tables)
    data.distill_filter = reader.mapping(_inside(inputs.distill_filter, "filter.json"))
    data.parity = reader.mapping(_inside(inputs.parity, "parity.json"))
    data.md = _md_runs(inputs.md, reader)
    if inputs.conductivity:
        _load_conductivity(inputs.conductivity, data, reader)
    return data


def _md_runs(folders: Sequence[Path], reader: _Reader) -> list[MdRun]:
    """Return the runs in the order of system, temperature and replica, with names for people."""
    runs = [(folder, reader.mapping(folder / "run.json")) for folder in folders]
    found = []
    for folder, run in runs:
        temperature, replica = number(run.get("temperature_K")), number(run.get("replica"))
        name = folder.name
        if temperature is not None and replica is not None:
            name = f"{temperature:g} K, replica {replica:g}"
        found.append(MdRun(name, run, reader.table(folder / "thermo.csv", required=False)))
    return sorted(
        found, key=lambda md: (str(md.run.get("system", "")), number(md.run.get("temperature_K")) or 0.0, md.name)
    )


def _load_conductivity(folder: Path, data: ReportData, reader: _Reader) -> None:
    data.conductivity = reader.model(ConductivityResult, folder / ConductivityResult.FILE)
    data.msd = {path.stem: reader.table(path) for path in sorted(folder.glob("msd_*.csv"))}
    data.arrhenius = reader.table(folder / "arrhenius.csv", required=False)


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


def _parity_columns(table: Table) -> Table:
    """Return a parity table with the columns ``reference``, ``predicted`` and ``group`` (element or system)."""
    found: Table = {}
    for new, starts in (
        ("reference", ("reference", "label")),
        ("predicted", ("predicted", "model")),
        ("group", ("element", "system")),
    ):
        names = [name for start in starts for name in table if name.startswith(start)]
        if names:
            found[new] = table[names[0]]
    complete = {"reference", "predicted"} <= found.keys()
    numeric = complete and all(isinstance(v, float) for key in ("reference", "predicted") for v in found[key][:1])
    return found if numeric and found["reference"] else {}


def _column(fields: list[str]) -> list[Any]:
    try:
        return [float(text) if text.strip() else math.nan for text in fields]
    except ValueError:
        return list(fields)


class _Reader:
    """Readers that note what they could not read instead of raising."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def _try(self, path: Path, read: Callable[[Path], Any], empty: Any) -> Any:
        try:
            return read(path)
        except FileNotFoundError:
            self.notes.append(f"{_short(path)}: not there")
        except (OSError, ValueError, csv.Error, RecursionError, FatalError) as error:  # ValueError: broken, not UTF-8
            self.notes.append(f"{_short(path)}: unreadable ({type(error).__name__})")
        return empty

    def text(self, path: Path) -> str:
        return str(self._try(path, lambda p: p.read_text(encoding="utf-8"), ""))

    def _json(self, path: Path | None) -> Any:
        if path is None:
            return None
        return jsonable(self._try(path, lambda p: json.loads(p.read_text(encoding="utf-8")), None))

    def mapping(self, path: Path | None) -> dict[str, Any]:
        found = self._json(path)
        if isinstance(found, dict):
            return found
        if found is not None and path is not None:
            self.notes.append(f"{_short(path)}: not a JSON object")
        return {}

    def model(self, kind: type[ResultModel], path: Path) -> ResultModel | None:
        found: ResultModel | None = self._try(path, kind.read, None)
        return found

    def records(self, path: Path | None) -> list[dict[str, Any]]:
        found = self._json(path)
        return _dicts(found.get("stages") if isinstance(found, dict) else found)

    def table(self, path: Path, required: bool = True) -> Table:
        if not required and not path.exists():
            return {}
        return dict(self._try(path, read_table, {}))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _inside(path: Path | None, name: str) -> Path | None:
    return path / name if path is not None and path.is_dir() else path


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _parse_yaml(text: str, name: str, notes: list[str]) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text) if text else {}
    except yaml.YAMLError:
        notes.append(f"{name}: not valid YAML")
        return {}
    return found if isinstance(found, dict) else {}
