"""What to do next: one sentence for each cause that keeps a run from a conductivity, or from a good one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from dpa_sse.ops.results.learning import IterationReport
from dpa_sse.ops.results.self_check import CheckedSystem, SelfCheck
from dpa_sse.ops.structures.series import base_name
from dpa_sse.pipeline.report.context import estimate_text
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import kelvin, listed, plural
from dpa_sse.pipeline.report.transport import Point, transport_points

Cause = Literal["broke off", "too short", "not diffusive", "not read"]
MOST_FAILED = 0.5
"""Share of exploration frames beyond the upper trust level above which more labels do not help."""


def advice(data: ReportData) -> list[str]:
    """Return what to do next, the most important first; empty where nothing is missing."""
    points = transport_points(data)
    return [*_of_conductivities(data, points), *learning_advice(data.history)]


def cause_of(point: Point) -> Cause | None:
    """Return why a temperature has no conductivity; None if it has one."""
    if point.conclusive:
        return None
    word = point.verdict.removeprefix("unreliable: ")
    if word.startswith(("exploded", "melted")):
        return "broke off"
    if word.startswith("too short"):
        return "too short"
    return "not diffusive" if word.startswith("not diffusive") else "not read"


def why_none(points: Sequence[Point]) -> str:
    """Return the causes with their temperatures, by system if there are several: ``600 and 700 K: exploded``."""
    several = len({point.system for point in points}) > 1
    groups: dict[tuple[str, str], list[str]] = {}
    for point in points:
        if point.conclusive:
            continue
        word = point.verdict.removeprefix("unreliable: ").partition(" (")[0] or "no verdict"
        where = "unknown temperature" if point.temperature_K is None else kelvin(point.temperature_K)
        groups.setdefault((point.system if several else "", word), []).append(where)
    return "; ".join(
        f"{f'{system} at ' if system else ''}{listed(list(dict.fromkeys(found)))} K: {word}"
        for (system, word), found in groups.items()
    )


def _of_conductivities(data: ReportData, points: Sequence[Point]) -> Iterator[str]:
    found: dict[Cause, list[Point]] = {}
    for point in points:
        if (cause := cause_of(point)) is not None:
            found.setdefault(cause, []).append(point)
    if broken := found.get("broke off"):
        yield (
            f"The potential does not hold the crystal at {_temperatures(broken)}: it needs more data or training "
            f"({_more_data(data)}). If the crystal itself melts or changes its phase there, lower "
            "`md.temperatures_K`."
        )
    if short := found.get("too short"):
        yield _longer(data, short)
    if caged := found.get("not diffusive"):
        yield (
            f"The ions do not diffuse at {_temperatures(caged)} within these runs: raise `md.temperatures_K` (the "
            "upper limit of D stays in the report), or make the runs several times longer."
        )
    if unread := found.get("not read"):
        yield (
            f"No run at {_temperatures(unread)} could be analysed ({unread[0].verdict}): "
            + (
                "increase `md.production_ps`, or decrease `md.dump_every_fs`."
                if "too few frames" in unread[0].verdict
                else "see Failures, and the logs of these tasks (`dpa-sse logs`)."
            )
        )
    if data.self_check:
        for system in data.self_check.systems:
            if system.verdict == "not trusted":
                advised = trust_advice(system, data.self_check, target=data.target)
                yield f"The model of {system.system} errs in its own production runs. {advised}"


def _more_data(data: ReportData) -> str:
    """Return the keys that give a model more data or training; a target has no loop back to labels."""
    if data.target:
        return (
            "more `frames` or `rounds` of its `finetune`, more `steps` of `finetune` and of `distill.student`, or more "
            "data for the pre-trained model"
        )
    return (
        "more iterations or temperatures of `concurrent_learning`, more `steps` of `pretrain` and `distill.student`, "
        "`validate.rounds`"
    )


def _temperatures(points: Sequence[Point]) -> str:
    values = dict.fromkeys(kelvin(point.temperature_K) for point in points)
    return f"{listed(list(values))} K"


def _longer(data: ReportData, points: Sequence[Point]) -> str:
    """Return to what `md.production_ps` has to be increased: that of the runs now, and the most that is missing."""
    more = max(point.numbers.more_ps_needed or 0.0 for point in points)
    lengths = [
        run.info.steps * run.info.timestep_fs / 1000 for run in data.md
        if any(
            (base_name(run.info.system), run.info.temperature_K) == (point.system, point.temperature_K)
            for point in points
        )
    ]
    where = f"Too short at {_temperatures(points)}"
    if not lengths:
        return f"{where}: the runs need at least {more:.0f} ps more."
    return f"{where}: increase `md.production_ps` to {_round_up(max(lengths) + more):g} (now {max(lengths):g}) or more."


def _round_up(value: float) -> float:
    """Return a length of at least ``value`` with two significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / unit - 1e-9) * unit, 9)


def trust_advice(system: CheckedSystem, check: SelfCheck, *, target: bool = False) -> str:
    """Return what would mend a model that is not trusted: labels where the teacher is wrong, too, else training.

    The energy or the pressure decides, whichever of the student is further beyond its bar.
    """
    teacher, own, bars = system.teacher, system.errors, check.bars
    more = f"(`validate: {{rounds: {len(check.rounds)}}}`)"  # one more than were made
    if target:
        more = "(`finetune: {rounds: 2}` of the target collects them)"
    if teacher is None or own is None:
        return f"More labels of configurations like these are needed {more}."
    found = [
        (abs(mine.mean) / bar, abs(other.mean) > abs(mine.mean) / 2, estimate_text(other, unit))
        for mine, other, bar, unit in (
            (own.energy_bias_meV_atom, teacher.energy_bias_meV_atom, bars.max_energy_bias_meV_atom, "meV/atom"),
            (own.pressure_error_GPa, teacher.pressure_error_GPa, bars.max_pressure_error_GPa, "GPa"),
        )
        if mine is not None and other is not None
    ]
    size, teacher_too, text = max(found, default=(0.0, True, ""))
    if size <= 1:  # the forces, or a single temperature
        return f"More labels of configurations like these are needed {more}."
    if teacher_too:
        return f"Its teacher is off by {text}, too: labels of configurations like these are missing {more}."
    return (
        f"Its teacher is off by only {text}: train the student for longer, or on more frames of the production MD."
    )


def learning_advice(history: Sequence[IterationReport]) -> list[str]:
    """Return what to change where concurrent learning has ended before it converged."""
    if not history or history[-1].converged:
        return []
    last = history[-1]
    return [f"Concurrent learning did not converge: {_what_to_change(last)}."]


def _what_to_change(last: IterationReport) -> str:
    stage = f"`concurrent_learning.stages.{last.stage}"
    broken = sum(result.status == "failed" for result in last.sanity)
    if last.sanity and broken == len(last.sanity):
        return (
            "no model survives its short sanity MD; train for longer (`concurrent_learning.train.steps`), or start "
            "from more data (`perturb.count`, higher `aimd.temperatures_K`)"
        )
    if last.accurate_ratio is None:
        return "no exploration run produced frames; explore at lower temperatures, and see the failed tasks"
    shares = f"{100 * last.accurate_ratio:.0f} % of the frames of its last iteration are accurate"
    if (last.failed_ratio or 0.0) > MOST_FAILED:
        return (
            f"{shares}, {100 * (last.failed_ratio or 0.0):.0f} % beyond the upper trust level, where nothing is "
            f"labelled; explore more gently (a stage at lower temperatures before {stage}`, fewer `steps`), or train "
            "for longer (`concurrent_learning.train.steps`)"
        )
    if last.passed_over:
        return (
            f"{shares}, and {plural(last.passed_over, 'candidate')} got no label; raise "
            f"`concurrent_learning.max_selected` or {stage}.max_iterations`"
        )
    return f"{shares}; raise {stage}.max_iterations`"
