"""The conductivity analysis: trajectories in, :class:`~dpa_sse.ops.results.conductivity.ConductivityResult` out."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dpa_sse.ops.conductivity.arrhenius import ArrheniusPoint, analyse_arrhenius
from dpa_sse.ops.conductivity.displacements import read_displacements
from dpa_sse.ops.conductivity.nernst_einstein import charge_of, nernst_einstein
from dpa_sse.ops.conductivity.pooling import group_runs, pool
from dpa_sse.ops.conductivity.ranking import rank_systems
from dpa_sse.ops.conductivity.readers.parts import find_chains, open_parts
from dpa_sse.ops.conductivity.readers.points_table import read_points
from dpa_sse.ops.conductivity.readers.sources import Source, find_sources
from dpa_sse.ops.conductivity.readers.temperature import run_temperature
from dpa_sse.ops.conductivity.run import AnalysedRun, RunSource, analyse_run
from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.conductivity.transport import transport_numbers
from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.results.conductivity import (
    MELTED,
    ArrheniusResult,
    ConductivityResult,
    PooledTransport,
    RunTransport,
    unread,
    unreliable,
)
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.results.state_point import StatePoint


@dataclass(frozen=True)
class Analysis:
    """The result, and the runs with the curves from which tables and figures are made."""

    runs: tuple[AnalysedRun, ...]
    result: ConductivityResult


def analyse(
    sources: Sequence[Path],
    settings: ConductivitySettings,
    options: SourceOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> Analysis:
    """Analyse trajectories; nothing is written, see :func:`~dpa_sse.ops.conductivity.output.write_analysis`.

    Parameters
    ----------
    sources : sequence of Path
        MD folders (``run.json`` and ``traj.lammpstrj``), trajectory files, folders of either, or CSV tables of
        diffusion coefficients.
    settings : ConductivitySettings
    options : SourceOptions, optional
        What files do not hold (time step, temperature, elements).
    progress : callable, optional
        Called with one line per finished run.

    Returns
    -------
    Analysis
        A run that is short, caged, molten, exploded or unreadable is listed with its verdict; it never raises.

    Raises
    ------
    InputError
        A source does not exist, a table is wrong, or a temperature is unknown.
    """
    options = options or SourceOptions()
    tables = [path for path in sources if path.suffix.lower() == ".csv"]
    points = [point for path in tables for point in read_points(path)]
    runs = []
    found = find_sources([path for path in sources if path not in tables], options)
    for source in found:
        runs.append(analyse_source(source, settings, options))
        if progress and not _is_single_frame(runs[-1]):
            progress(_progress_line(runs[-1]))
    for chain in find_chains(found, runs):
        joined = analyse_source(chain, settings, options)
        if joined.bad_input:  # they remain separate runs
            if progress:
                progress(f"{chain.label}: {len(chain.parts)} files seem to be one run, but {joined.reasons[0]}")
            continue
        parts = {*chain.parts}
        runs = [joined if one.path == chain.path else run
                for one, run in zip(found, runs, strict=True) if one.path == chain.path or one.path not in parts]
        found = [chain if one.path == chain.path else one
                 for one in found if one.path == chain.path or one.path not in parts]
        if progress:
            progress(_progress_line(joined))
    single = [run for run in runs if _is_single_frame(run)]
    if progress and single:
        more = f" (and {len(single) - 1} more files with one frame)" if len(single) > 1 else ""
        progress(_progress_line(single[0]) + more)
    return Analysis(tuple(runs), summarise_runs(runs, settings, points))


def _is_single_frame(run: AnalysedRun) -> bool:
    """Return whether a file holds one frame: it may be a part of a run."""
    return run.ends is not None and run.ends.n_frames == 1


def _progress_line(run: AnalysedRun) -> str:
    """Return the verdict on a run with what was left out or assumed."""
    notes = "".join(f"; {note}" for note in run.notes)
    return f"{run.source.label}: {run.verdict}{notes}"


def analyse_source(source: Source, settings: ConductivitySettings, options: SourceOptions) -> AnalysedRun:
    """Analyse one trajectory; anything wrong with it becomes its verdict."""
    origin = RunSource(source.label, source.system, source.temperature_K, source.folder, source.arrangement)
    if source.melted:
        return AnalysedRun(origin, MELTED, (source.failure,))
    if source.failure or source.path is None:
        verdict = unread(source.failure) if source.bad else unreliable(source.failure.split(":")[0])
        return AnalysedRun(origin, verdict, (source.failure,), bad_input=source.bad)
    try:
        trajectory = open_parts(source.parts or (source.path,), options, source.timestep_fs)
        temperature, about = run_temperature(source, trajectory.temperature_K)
        origin = dataclasses.replace(origin, temperature_K=temperature)
        displacements = read_displacements(trajectory, settings.mobile, settings.reference, settings.skip_ps)
        displacements.notes.extend(about)
        run = analyse_run(displacements, settings, origin)
    except (InputError, OSError) as error:
        message = str(error).replace(f"{source.path}: ", "").replace(str(source.path), source.label)
        ends = getattr(error, "ends", None)
        return AnalysedRun(origin, unread(message), (message,), bad_input=True, ends=ends)
    return dataclasses.replace(run, reasons=(*run.reasons, *_off_target(origin)))


def _off_target(source: RunSource) -> list[str]:
    """Return a warning if the mean temperature in ``thermo.csv`` of an MD folder is more than 3 % off its target."""
    table = source.folder / "thermo.csv" if source.folder is not None else None
    if table is None or not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        values = [float(row["temperature_K"]) for row in rows[len(rows) // 2 :]]
    except (KeyError, ValueError, TypeError):
        return []
    mean = float(np.mean(values)) if values else source.temperature_K
    if abs(mean / source.temperature_K - 1) < 0.03:
        return []
    return [f"the mean temperature was {mean:.0f} K, not {source.temperature_K:g} K"]


def summarise_runs(
    runs: Sequence[AnalysedRun], settings: ConductivitySettings, points: Sequence[PooledTransport] = ()
) -> ConductivityResult:
    """Pool analysed runs and rows of tables, and fit an Arrhenius line per system."""
    rows = [_with_conductivity(point, settings) for point in points]
    temperatures = [*(_with_state(pool(group, settings), runs) for group in group_runs(runs)), *rows]
    lines = {}
    for system in dict.fromkeys(entry.system for entry in temperatures):
        lines[system] = _arrhenius([entry for entry in temperatures if entry.system == system], runs, settings)
    empty = analyse_arrhenius([], settings.extrapolate_to_K, settings.arrhenius_exponent)
    return ConductivityResult(
        settings=settings.model_dump(),
        runs=tuple(_entry(run, settings) for run in runs),
        temperatures=tuple(temperatures),
        arrhenius=next(iter(lines.values())) if len(lines) == 1 else empty,
        arrhenius_by_system=lines,
        ranking=rank_systems(lines, settings.extrapolate_to_K),
    )


def state_of(source: RunSource) -> StatePoint | None:
    """Return the state point of an MD folder of this program; None for other trajectories."""
    info = None
    if source.folder is not None:
        with suppress(FatalError):  # another program's run.json
            info = MdRun.read_if_there(source.folder)
    return StatePoint.of(info) if info else None


def _with_state(entry: PooledTransport, runs: Sequence[AnalysedRun]) -> PooledTransport:
    """Return pooled numbers with the state point of their runs, if they all have the same."""
    states = [
        state_of(run.source) for run in runs
        if run.source.system == entry.system and round(run.source.temperature_K) == round(entry.temperature_K)
    ]
    common = states[0] if len({_conditions(state) for state in states}) == 1 else None
    return entry.model_copy(update={"state": common})


def _conditions(state: StatePoint | None) -> tuple[object, ...]:
    return () if state is None else (state.pressure_GPa, state.ensemble, state.n_atoms)


def _entry(run: AnalysedRun, settings: ConductivitySettings) -> RunTransport:
    """Return the entry of a run."""
    main, data = run.estimates.get(settings.mobile[0]), run.data
    return RunTransport(
        source=run.source.label, system=run.source.system, temperature_K=run.source.temperature_K or None,
        length_ps=data.length_ps or None if data else None, n_frames=data.n_frames if data else None,
        dt_ps=data.dt_ps or None if data else None, verdict=run.verdict, reasons=run.reasons,
        more_ps_needed=main.more_ps if main else None,
        framework=data.framework if data else None, mobile_fraction=data.mobile_fraction if data else None,
        plateau=main.fit.plateau if main and main.fit else (), bad_input=run.bad_input,
        left_out=data.left_out if data else {}, kinetics=data.kinetics if data else None, state=state_of(run.source),
        file=f"msd_{run.source.label}.csv" if data else None,
        **dict(transport_numbers([run], run.estimates, settings)),
    )


def _arrhenius(
    entries: Sequence[PooledTransport], runs: Sequence[AnalysedRun], settings: ConductivitySettings
) -> ArrheniusResult:
    """Return the line of one system."""
    line = analyse_arrhenius(
        [_to_point(entry, runs, settings) for entry in entries], settings.extrapolate_to_K,
        settings.arrhenius_exponent, settings.direct_below_K,
    )
    if len(settings.mobile) == 1:
        return line
    note = f"the line is that of {settings.mobile[0]}: no conductivity of several mobile species is extrapolated"
    return line.model_copy(update={"notes": (*line.notes, note)})


def _to_point(
    entry: PooledTransport, runs: Sequence[AnalysedRun], settings: ConductivitySettings
) -> ArrheniusPoint:
    """Return the Arrhenius point of an entry of ``temperatures``."""
    species, density = settings.mobile[0], None
    data = next((run.data for run in runs if run.source.label in entry.sources and run.data), None)
    carriers = data.counts.get(species, 0) if data else entry.n_carriers
    if carriers and entry.volume_A3 and len(settings.mobile) == 1:  # else D is that of the first species only
        density = carriers * charge_of(settings, species) ** 2 / entry.volume_A3
    return ArrheniusPoint(
        entry.temperature_K, entry.D_cm2_s, entry.ln_D_sigma or 0.0, entry.D_upper95_cm2_s, density
    )


def _with_conductivity(row: PooledTransport, settings: ConductivitySettings) -> PooledTransport:
    """Return a row of a table with its Nernst-Einstein conductivity, if it has carriers and volume."""
    if row.D_cm2_s is None or row.D_ci95_cm2_s is None or not row.n_carriers or not row.volume_A3:
        return row
    charge = charge_of(settings, settings.mobile[0])
    factor = nernst_einstein(1.0, row.n_carriers, charge, row.volume_A3, row.temperature_K)
    low, high = row.D_ci95_cm2_s
    return row.model_copy(
        update={"sigma_NE_mS_cm": factor * row.D_cm2_s, "sigma_NE_ci95_mS_cm": (factor * low, factor * high)}
    )
