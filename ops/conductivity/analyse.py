"""The conductivity step: trajectories in, ``conductivity.json``, CSV tables and figures out.

Schema of ``conductivity.json`` (units are in the keys, absent numbers are null, intervals are [low, high] at 95 %):

``runs``: one entry per trajectory
    source, system, temperature_K, length_ps, n_frames, dt_ps, file (its MSD table), bad_input (it could not be read);
    verdict: ``diffusive`` | ``not diffusive (upper limit)`` | ``too short (N more ps needed)`` | ``melted`` |
    ``unreliable: why``; reasons (why, and warnings), more_ps_needed;
    D_cm2_s, D_ci95_cm2_s, or D_upper95_cm2_s for a refused run; D_axes_cm2_s (x, y, z), D_tensor_cm2_s (xx, yy, zz, xy,
    xz, yz); sigma_NE_mS_cm, sigma_NE_ci95_mS_cm (Nernst-Einstein, all mobile species), sigma_NE_upper95_mS_cm;
    sigma_collective_mS_cm, sigma_collective_ci95_mS_cm, onsager_mS_cm (by pair of species, their sum is the collective
    one), sigma_all_ions_mS_cm (formal charges of all ions), haven_ratio, haven_ci95;
    t_start_ps, fit_window_ps, collective_window_ps, n_hops, chi2_red, volume_A3, estimator (parts of the error),
    plateau (D for every start of the fit), mobile_fraction (ions that moved by more than a hop), framework (state of
    the host, by sublattice), species (with several mobile species).
``temperatures``: replicas of one system and temperature pooled
    the same numbers, with n_runs, n_runs_refused, sources, length_ps (all together) and ln_D_sigma.
``arrhenius_by_system``: system -> line, and ``arrhenius``: that of the only system (all null with several)
    Ea_eV, Ea_ci95_eV, D0_cm2_s (for m = -1), exponent_m, chi2_red, curvature_p (of a quadratic term), points_used,
    points_refused, points_compared (temperatures, K); D_300K_cm2_s, D_300K_ci95_cm2_s, sigma_300K_mS_cm,
    sigma_300K_ci95_mS_cm (null with several mobile species), and the same for other temperatures asked for;
    extrapolated (the same as a list, with leave-one-out ranges), curve, notes.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.conductivity import arrhenius
from dpa_sse.ops.conductivity.digits import with_interval
from dpa_sse.ops.conductivity.estimate import estimate_self
from dpa_sse.ops.conductivity.readers.formats import open_trajectory
from dpa_sse.ops.conductivity.readers.points_table import read_measured, read_points
from dpa_sse.ops.conductivity.readers.sources import Source, find_sources
from dpa_sse.ops.conductivity.run import Run, charge_of, measure, nernst_einstein, report
from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.conductivity.tables import write_tables
from dpa_sse.ops.conductivity.tracks import follow
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import jsonable, write_json
from dpa_sse.ops.results.status import TaskStatus

SCHEMA = 1


def analyse_folder(
    sources: Sequence[Path],
    settings: ConductivitySettings,
    out: Path,
    options: SourceOptions | None = None,
    progress: Callable[[str], None] | None = None,
    compare: Path | None = None,
) -> dict[str, Any]:
    """Analyse trajectories and write everything into ``out``.

    Parameters
    ----------
    sources : sequence of Path
        MD folders (``run.json`` and ``traj.lammpstrj``), trajectory files, or folders of either.
    settings : ConductivitySettings
    out : Path
        Receives ``conductivity.json``, ``conductivity.csv``, ``arrhenius.csv``, ``msd_<run>.csv``, ``figures/`` and
        ``status.json``.
    options : SourceOptions, optional
        What files do not say (time step, temperature, elements).
    progress : callable, optional
        Called with one line per finished run.
    compare : Path, optional
        CSV table of measured values, see ``points_table.read_measured``: drawn beside the results.

    Returns
    -------
    dict
        The content of ``conductivity.json``. A run that is short, caged, molten, exploded or unreadable is listed
        with its verdict; it never raises.

    Raises
    ------
    InputError
        A source does not exist or its temperature is not known.
    """
    out.mkdir(parents=True, exist_ok=True)
    options = options or SourceOptions()
    measured = read_measured(compare) if compare else []
    tables = [path for path in sources if path.suffix.lower() == ".csv"]
    rows = [row for path in tables for row in read_points(path)]
    found = find_sources([path for path in sources if path not in tables], options)
    runs = []
    for source in found:
        runs.append(analyse_source(source, settings, options))
        if progress:
            progress(f"{source.label}: {runs[-1].verdict}")
    result = summarise(runs, settings, rows)
    write_json(out / "conductivity.json", result)
    write_tables(runs, result, settings, out)
    if settings.figures:
        from dpa_sse.ops.conductivity.figures.draw import write_figures

        write_figures(runs, result, settings, out / "figures", measured)
    TaskStatus(status="ok" if runs else "empty").write(out)
    return result


def analyse_source(source: Source, settings: ConductivitySettings, options: SourceOptions) -> Run:
    """Analyse one trajectory; whatever is wrong with it becomes its verdict."""
    run = Run(source.label, source.system, source.temperature_K)
    run.folder = source.path.parent if source.facts and source.path else None
    if source.melted:
        run.verdict, run.reasons = "melted", [source.failure]
    elif source.failure or source.path is None:
        run.verdict, run.reasons = f"unreliable: {source.failure.split(':')[0]}", [source.failure]
    else:
        try:
            trajectory = open_trajectory(source.path, options, source.timestep_fs)
            tracks = follow(trajectory, settings.mobile, settings.reference, settings.skip_ps)
            measure(tracks, settings, run)
            run.reasons += off_target(run)
        except InputError as error:
            message = str(error).replace(f"{source.path}: ", "").replace(str(source.path), source.label)
            run.verdict, run.reasons, run.bad_input = f"unreliable: {message}", [message], True
    return run


def off_target(run: Run) -> list[str]:
    """Return a warning when the mean temperature of an MD folder's ``thermo.csv`` is more than 3 % off its target."""
    source = run.folder / "thermo.csv" if run.folder is not None else None
    if source is None or not source.is_file():
        return []
    with source.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    try:
        values = [float(row["temperature_K"]) for row in rows[len(rows) // 2 :]]
    except (KeyError, ValueError, TypeError):
        return []
    mean = float(np.mean(values)) if values else run.temperature_K
    if abs(mean / run.temperature_K - 1) < 0.03:
        return []
    return [f"the mean temperature was {mean:.0f} K, not {run.temperature_K:g} K"]


def group_runs(runs: Sequence[Run]) -> list[list[Run]]:
    """Return runs of one system and temperature together (temperatures equal within 0.5 K), in order."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in sorted(runs, key=lambda r: (r.system, r.temperature_K)):
        if run.temperature_K > 0:
            groups.setdefault((run.system, round(run.temperature_K)), []).append(run)
    return list(groups.values())


def pool(group: Sequence[Run], settings: ConductivitySettings) -> dict[str, Any]:
    """Return one entry of ``temperatures``: the replicas of a group combined."""
    usable = [run for run in group if run.usable and run.parts]
    entry: dict[str, Any] = {
        "system": group[0].system, "temperature_K": group[0].temperature_K, "n_runs": len(usable),
        "n_runs_refused": len(group) - len(usable), "length_ps": sum(run.length_ps for run in usable),
        "sources": [run.source for run in usable], "reasons": [],
    }
    if not usable:
        verdict = Counter(run.verdict for run in group).most_common(1)[0][0]
        reasons = next(run.reasons for run in group if run.verdict == verdict)
        return entry | {"verdict": verdict, "reasons": reasons} | report(group, {}, settings)
    same, entry["reasons"] = _comparable(usable)
    entry |= {"n_runs": len(same), "sources": [run.source for run in same], "length_ps": sum(r.length_ps for r in same)}
    estimates = same[0].estimates
    if len(same) > 1:
        estimates = {
            name: estimate_self([run.parts[name] for run in same], settings.hop_distance_A, settings.start_ps)
            for name in settings.mobile
        }
    main = estimates[settings.mobile[0]]
    entry |= {"verdict": main.verdict, "more_ps_needed": main.more_ps}
    entry["reasons"] += main.reasons
    entry["ln_D_sigma"] = None if main.ln_half95 is None else main.ln_half95 / 1.96
    return entry | report(same, estimates, settings)


def _comparable(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the replicas that can be averaged, and why others can not.

    Replicas need one frame spacing and composition. Those with the same displacements are copies of one run (a file
    given twice, a seed used twice) and count once: they would narrow the interval without any reason.
    """
    spacing = Counter(round(run.dt_ps, 9) for run in runs).most_common(1)[0][0]
    even = [run for run in runs if abs(run.dt_ps - spacing) < 1e-8]
    same = [run for run in even if run.counts == even[0].counts]
    reasons = []
    if len(same) < len(runs):
        reasons.append(f"{len(runs) - len(same)} replicas with another frame spacing or composition left out")
    distinct: list[Run] = []
    for run in same:
        if not any(_copies(run, other) for other in distinct):
            distinct.append(run)
    if len(distinct) < len(same):
        reasons.append(f"{len(same) - len(distinct)} copies of the same run left out")
    return distinct, reasons


def _copies(one: Run, other: Run) -> bool:
    """Return True when two runs move alike.

    The collective displacement tells: it is that of a single series, so two runs never agree in it to a per cent at all
    lags unless they are the same, while formats that round positions keep it.
    """
    first, second = one.charge_msd["total"], other.charge_msd["total"]
    return len(first) == len(second) and bool(np.allclose(first[1:], second[1:], rtol=0.01))


def summarise(
    runs: Sequence[Run], settings: ConductivitySettings, rows: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return the content of ``conductivity.json`` for analysed runs and rows of tables."""
    listed = []
    for run in runs:
        main = run.estimates.get(settings.mobile[0])
        listed.append(
            {"source": run.source, "system": run.system, "temperature_K": run.temperature_K or None,
             "length_ps": run.length_ps or None, "n_frames": run.n_frames or None, "dt_ps": run.dt_ps or None,
             "verdict": run.verdict, "reasons": run.reasons, "more_ps_needed": main.more_ps if main else None}
            | report([run], run.estimates, settings)
            | {"framework": run.framework, "mobile_fraction": run.mobile_fraction,
               "plateau": main.start.scan if main and main.start else [],
               "bad_input": run.bad_input, "file": f"msd_{run.source}.csv" if run.parts else None}
        )
    temperatures = [pool(group, settings) for group in group_runs(runs)] + [with_sigma(row, settings) for row in rows]
    lines: dict[str, Any] = {}
    for system in dict.fromkeys(entry["system"] for entry in temperatures):
        own = [entry for entry in temperatures if entry["system"] == system]
        points = [to_point(entry, runs, settings) for entry in own]
        lines[system], _ = arrhenius.summarise(
            points, settings.extrapolate_to_K, settings.arrhenius_exponent, settings.direct_below_K
        )
        if len(settings.mobile) > 1:
            lines[system]["notes"].append(
                f"the line is that of {settings.mobile[0]}: no conductivity of several mobile species is extrapolated"
            )
    empty, _ = arrhenius.summarise([], settings.extrapolate_to_K, settings.arrhenius_exponent)
    result = {
        "schema": SCHEMA,
        "settings": settings.model_dump(),
        "runs": listed,
        "temperatures": temperatures,
        "arrhenius": next(iter(lines.values())) if len(lines) == 1 else empty,
        "arrhenius_by_system": lines,
    }
    return jsonable(result)


def to_point(entry: dict[str, Any], runs: Sequence[Run], settings: ConductivitySettings) -> arrhenius.Point:
    """Return the Arrhenius point of an entry of ``temperatures``."""
    run = next((r for r in runs if r.source in entry["sources"]), None)
    species, density = settings.mobile[0], None
    carriers = run.counts.get(species, 0) if run else entry.get("n_carriers")
    if carriers and entry.get("volume_A3") and len(settings.mobile) == 1:  # else D is that of the first species only
        density = carriers * charge_of(settings, species) ** 2 / entry["volume_A3"]
    return arrhenius.Point(
        entry["temperature_K"], entry.get("D_cm2_s"), entry.get("ln_D_sigma") or 0.0, entry.get("D_upper95_cm2_s"),
        density,
    )


def with_sigma(row: dict[str, Any], settings: ConductivitySettings) -> dict[str, Any]:
    """Return a row of a table with its Nernst-Einstein conductivity, where carriers and volume are given."""
    if row["D_cm2_s"] is None or not row["n_carriers"] or not row["volume_A3"]:
        return row | {"sigma_NE_mS_cm": None, "sigma_NE_ci95_mS_cm": None}
    factor = nernst_einstein(
        1.0, row["n_carriers"], charge_of(settings, settings.mobile[0]), row["volume_A3"], row["temperature_K"]
    )
    interval = tuple(factor * value for value in row["D_ci95_cm2_s"])
    return row | {"sigma_NE_mS_cm": factor * row["D_cm2_s"], "sigma_NE_ci95_mS_cm": interval}


def plain_verdict(result: dict[str, Any]) -> list[str]:
    """Return the result in a few plain lines for a terminal."""
    lines = []
    for entry in result["temperatures"]:
        head = f"{entry['system']} {entry['temperature_K']:g} K"
        if entry.get("D_cm2_s"):
            low, high = entry["D_ci95_cm2_s"]
            text = f"{entry['verdict']}, D = {entry['D_cm2_s']:.2e} cm2/s (95 %: {low:.2e} to {high:.2e})"
            if entry.get("sigma_NE_mS_cm") is not None:
                text += f", sigma(NE) = {with_interval(entry['sigma_NE_mS_cm'], entry['sigma_NE_ci95_mS_cm'], 'mS/cm')}"
        elif entry.get("D_upper95_cm2_s"):
            text = f"{entry['verdict']}, D < {entry['D_upper95_cm2_s']:.1e} cm2/s"
        else:
            text = entry["verdict"]
        if not entry.get("D_cm2_s") and entry.get("reasons") and entry["reasons"][0] not in text:
            text += f": {entry['reasons'][0]}"
        lines.append(f"{head}: {text}")
    for system, line in result["arrhenius_by_system"].items():
        if line["Ea_eV"] is None:
            lines.append(f"{system}: no Arrhenius line ({line['notes'][0]})")
            continue
        low, high = line["Ea_ci95_eV"]
        lines.append(f"{system}: Ea = {line['Ea_eV']:.3f} eV (95 %: {low:.3f} to {high:.3f})")
        for point in line["extrapolated"]:
            if "sigma_mS_cm" in point:
                sigma = with_interval(point["sigma_mS_cm"], point["sigma_ci95_mS_cm"], "mS/cm")
                lines.append(f"{system}: sigma({point['temperature_K']:g} K) = {sigma}, extrapolated")
        lines += [f"{system}: {note}" for note in line["notes"] if note != arrhenius.ASSUMPTION]
    return lines


def is_diffusive(result: dict[str, Any]) -> bool:
    """Return True when at least one temperature has a diffusion coefficient."""
    return any(np.isfinite(entry["D_cm2_s"]) for entry in result["temperatures"] if entry.get("D_cm2_s") is not None)
