"""The outcome of a run in a few plain lines: every conductivity with what it holds for, or why none, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from dpa_sse.ops.conductivity.digits import with_interval
from dpa_sse.ops.core.foreign import printable
from dpa_sse.pipeline.report.advice import advice, why_none
from dpa_sse.pipeline.report.assessment import measured_differences
from dpa_sse.pipeline.report.context import conditions, label_source
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import plural
from dpa_sse.pipeline.report.targets import outcomes, ranking
from dpa_sse.pipeline.report.transport import Point, arrhenius_parts, line_trust, transport_points


def result_lines(data: ReportData) -> list[str]:
    """Return the outcome for a terminal.

    Returns
    -------
    list of str
        A line for each conductivity, for each Arrhenius line, for what is inconclusive, and for what to do next; empty
        for a project without conductivities.
    """
    if data.targets:
        return _lines_of_targets(data)
    points = transport_points(data)
    if not points:
        return [printable(line) for line in _thinning_lines(data)]
    lines = [_conductivity_line(data, point) for point in points if point.sigma_mS_cm is not None]
    lines += _arrhenius_lines(data, points)
    lines += [one.replace("σ", "sigma") for one in measured_differences(data, points)]
    without = [point for point in points if point.sigma_mS_cm is None]
    if len(without) == len(points):
        lines.append(f"No conductivity at any of {plural(len(points), 'state point')}: {why_none(points)}")
    elif without:
        lines.append(f"No conductivity at {why_none(without)}")
    if data.gates and data.gates.verdict == "FAIL":
        lines.append(f"The student failed a gate: {data.gates.reasons[0]}")
    lines += _self_check_lines(data)
    lines += [f"Next: {one}" for one in advice(data)[:1]]
    return [printable(line) for line in lines]


def _thinning_lines(data: ReportData) -> Iterator[str]:
    """Yield the outcome of a thinning, where the data are, and what to do if they are not enough."""
    found = data.simplified
    if found is None or not found.history:
        return
    last = found.history[-1]
    error = f"; force MAE on test frames {last.force_mae_meV_A:.3g} meV/A" if last.force_mae_meV_A is not None else ""
    yield f"{found.outcome or 'not finished'}{error}"
    yield "Thinned data: data/base/dataset in the run folder"
    if found.finished and not found.enough:
        yield (
            "Next: more `frames` or `max_iterations` of `simplify`; if the models disagree on nearly all frames, train "
            "for longer (`simplify.train.steps`) or choose a larger `force_lo_eV_A`"
        )


def _lines_of_targets(data: ReportData) -> list[str]:
    """Return the outcome of each target, and the order of their conductivities as far as it is known."""
    found = []
    for one in outcomes(data):
        own = [line for line in result_lines(one.data) if not line.startswith("Next: ")]
        if one.word == "failed":
            own = [f"failed: {one.reason}"]
        found += [f"{one.name}: {line}" for line in own]
    ranked = ranking(data)
    if ranked:
        order = ", ".join(f"{one.system} ({one.rank_text})" for one in ranked)
        found.append(f"Ranks by sigma at {ranked[0].temperature_K:g} K that the 95 % intervals allow: {order}")
    return [printable(line) for line in found]


def _self_check_lines(data: ReportData) -> Iterator[str]:
    """Yield what the self-check found of systems that are not trusted, also where there is no conductivity."""
    for system in data.self_check.systems if data.self_check else ():
        if system.verdict == "not trusted":
            yield f"Self-check of {system.system}: not trusted ({'; '.join(system.reasons[:3])}; {label_source(data)})"


def _conductivity_line(data: ReportData, point: Point) -> str:
    sigma = with_interval(point.sigma_mS_cm or 0.0, point.sigma_ci95_mS_cm, "mS/cm")
    reasons = f" ({'; '.join(point.check.reasons)})" if point.check and point.check.reasons else ""
    return f"{point.system}, {conditions(point)}: sigma = {sigma}; {label_source(data)}; {point.trust}{reasons}"


def _arrhenius_lines(data: ReportData, points: list[Point]) -> Iterator[str]:
    for system, line, own in arrhenius_parts(data, points):
        if line.Ea_eV is None or not line.determined:
            continue
        count = len(line.points_used)
        Ea, trust = with_interval(line.Ea_eV, line.Ea_ci95_eV, "eV"), line_trust(line, own)
        yield f"{system}: Ea = {Ea} from {plural(count, 'temperature')}; {trust}"
        for found in line.extrapolated:
            if found.sigma_mS_cm is not None:
                sigma = with_interval(found.sigma_mS_cm, found.sigma_ci95_mS_cm, "mS/cm")
                yield (
                    f"{system}: sigma({found.temperature_K:g} K) = {sigma}, extrapolated from temperatures whose "
                    f"self-check says: {trust}"
                )
