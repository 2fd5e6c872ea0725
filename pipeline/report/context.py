"""What the numbers of the page hold for: state point of the runs, and source of the labels."""

from __future__ import annotations

from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.self_check import ErrorEstimate
from dpa_sse.ops.structures.series import base_name
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.measured import Measured, measured_values
from dpa_sse.pipeline.report.page import Interval, interval, kelvin, show
from dpa_sse.pipeline.report.transport import Point, species_columns

UNKNOWN = "labels of unknown level"


def label_level(data: ReportData) -> LevelOfTheory | None:
    """Return the level of theory of the labels behind the results, where a step recorded it."""
    found = data.conductivity.labels if data.conductivity else None
    if found is None and data.self_check:
        found = data.self_check.level
    if found is None and data.dataset:
        found = data.dataset.level
    return found


def label_source(data: ReportData) -> str:
    """Return the source of the labels in words: ``CHGNet 0.4.2 labels``."""
    level = label_level(data)
    return UNKNOWN if level is None else f"{level.name} labels"


def evaluation_source(errors: Evaluation) -> str:
    """Return the source of the labels of an evaluation."""
    return UNKNOWN if errors.level is None else f"{errors.level.name} labels"


def conditions(point: Point) -> str:
    """Return temperature and state point of a conductivity: ``600 K, 0 GPa, NVT, 52 atoms``."""
    state = point.numbers.state
    temperature = "unknown temperature" if point.temperature_K is None else f"{kelvin(point.temperature_K)} K"
    return f"{temperature}, {state.text}" if state else f"{temperature}, state point not recorded"


def common_conditions(data: ReportData, system: str | None = None) -> str:
    """Return the state points of the production runs, of one system or of all: ``0 GPa, NVT, 52 atoms``."""
    found = dict.fromkeys(
        f"{run.info.pressure_GPa:g} GPa, {run.info.ensemble.upper()}, {run.info.n_atoms} atoms" for run in data.md
        if system in (None, run.info.system, base_name(run.info.system))
    )
    return "; ".join(found)


def mobile_elements(data: ReportData) -> list[str]:
    """Return the mobile species, as the configuration names them; lithium where it has none but diffuses."""
    if data.config.conductivity.mobile:
        return list(data.config.conductivity.mobile)
    return ["Li"] if any("Li" in species_columns(table) for table in data.msd.values()) else []


def measured_of(data: ReportData, system: str) -> Measured:
    """Return the measured values of the library for the composition of a system; nothing where it was not simulated."""
    composition = next((run.info.composition for run in data.md if base_name(run.info.system) == system), None)
    if not composition:
        return Measured()
    structure = next((one.structure for one in data.config.all_systems if base_name(one.name) == system), "")
    return measured_values(composition, structure)


def with_interval(value: float | None, ends: Interval, unit: str) -> str:
    """Return a number with its 95 % interval: ``3.4 meV/atom (95 %: 2.1 to 5.6)``."""
    spread = f"95 %: {interval(ends, 2)}" if ends else "no 95 % interval: too few trajectories"
    return f"{show(value)} {unit} ({spread})"


def estimate_text(estimate: ErrorEstimate, unit: str) -> str:
    """Return a mean error with its interval: ``-4.1 ± 2.0 meV/atom``."""
    half = estimate.half_width
    return f"{show(estimate.mean, 2)} {unit} (one frame)" if half is None else (
        f"{show(estimate.mean, 2)} ± {show(half, 2)} {unit}"
    )
