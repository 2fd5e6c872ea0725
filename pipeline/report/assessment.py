"""What a run shows, in plain words: what was done, what can be trusted, what is inconclusive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dpa_sse.ops.conductivity.arrhenius import ADVISED_TEMPERATURES
from dpa_sse.ops.conductivity.estimate import WARN_HOPS as MIN_HOPS
from dpa_sse.ops.results.conductivity import explained
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.pipeline.report.advice import advice
from dpa_sse.pipeline.report.comparison import BETTER, compare, not_converged
from dpa_sse.pipeline.report.context import (
    common_conditions,
    conditions,
    evaluation_source,
    label_source,
    measured_of,
    with_interval,
)
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import Level, as_published, clip, interval, kelvin, listed, measured, plural, show
from dpa_sse.pipeline.report.records import evaluation_label
from dpa_sse.pipeline.report.summary import OPEN
from dpa_sse.pipeline.report.transport import Point, arrhenius_parts, combined_verdict, line_trust, transport_points
from dpa_sse.pipeline.report.trust import gate_sentences, self_check_sentences, trust_headline

MAX_RELATIVE_CI = 0.25
MIN_TEMPERATURES = ADVISED_TEMPERATURES
MIN_EDGE_A = 20.0
NEAR_K = 10.0
"""Temperatures of a measurement and of an extrapolation that are compared."""
MAX_ENERGY_MAE = 5.0
"""meV/atom; the report warns above this value and above the next."""
MAX_FORCE_MAE = 100.0
"""meV/A."""


@dataclass
class Assessment:
    """The box at the top of the page."""

    level: Level
    headline: str
    done: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class KeyFigure:
    """A number in large print below the assessment."""

    value: str
    unit: str
    label: str
    note: str = ""


def assess(data: ReportData) -> Assessment:
    """Return the assessment of a run."""
    points = transport_points(data)
    level, headline = _headline(data, points)
    found = Assessment(level, headline)
    _done(data, found)
    _failures(data, found)
    _fine_tuning(data, found)
    _student(data, found)
    _accuracy(data, found)
    _dynamics(data, found)
    for kind, text in (*gate_sentences(data), *self_check_sentences(data)):
        {"good": found.good, "bad": found.bad}.get(kind, found.unsure).append(text)
    _transport(data, points, found)
    if data.history and not data.history[-1].converged:
        found.unsure.append(
            "Concurrent learning stopped before it converged: the models may be wrong for configurations that were not "
            "explored."
        )
    found.next += advice(data)
    return found


def _without_conductivity(data: ReportData) -> tuple[Level, str]:
    if data.config.md is None and data.simplified and data.simplified.finished:
        return "good" if data.simplified.enough else "warn", f"{data.simplified.outcome}."
    return "info", "No conductivity was computed in this run."


def _headline(data: ReportData, points: Sequence[Point]) -> tuple[Level, str]:
    failed = [stage.title or stage.name for stage in data.stages if stage.status == "failed"]
    if failed:
        return "bad", f"The run failed in: {_names(failed)}."
    if not data.conductivity and any("conductivity.json" in note for note in data.notes):
        return "warn", "The conductivity could not be read; the reason is at the end of this page."
    if not data.conductivity:
        return _without_conductivity(data)
    n = sum(p.sigma_mS_cm is not None for p in points)
    holds = f"({common_conditions(data)}; {label_source(data)})" if data.md else f"({label_source(data)})"
    trust = trust_headline(points)
    level: Level = "bad" if any(p.trust == "not trusted" and p.sigma_mS_cm is not None for p in points) else "warn"
    if combined_verdict(points) == "all":
        which = f"{'all ' if n > 1 else ''}{plural(n, 'temperature')}"
        return level if trust else "good", f"Conductivity determined at {which} {holds}{trust}."
    if n:
        which = f"{n} of {plural(len(points), 'temperature')}"
        without = [kelvin(p.temperature_K) for p in points if p.sigma_mS_cm is None]
        one_system = len({p.system for p in points}) == 1
        rest = f"inconclusive at {listed(without)} K" if one_system else f"{len(without)} inconclusive"
        return level, f"Conductivity determined at {which} {holds}{trust}; {rest}."
    return "warn", "Inconclusive: no temperature gave a conductivity."


def _done(data: ReportData, found: Assessment) -> None:
    systems = data.dataset.systems if data.dataset else ()
    frames = sum(part.n_frames for part in systems)
    if frames:
        found.done.append(f"{frames} labelled frames of {_names(part.system for part in systems)}.")
    if data.history:
        labelled = sum(
            report.selected if report.labelled is None else report.labelled for report in data.history
        )
        found.done.append(
            f"{plural(len(data.history), 'iteration')} of concurrent learning, {labelled} frames selected and labelled."
        )
    if data.models:
        found.done.append(f"{plural(len(data.models), 'trained model')}: {_names(data.models)}.")
    if data.md:
        found.done.append(
            f"{plural(len(data.md), 'production run')} of {_names(run.info.system for run in data.md)}."
        )


def _names(values: Iterable[str]) -> str:
    """Return distinct names as a list in words, long lists and names shortened."""
    names = [clip(name, 48) for name in sorted(set(values))]
    return listed(names if len(names) <= 8 else [*names[:7], f"{len(names) - 7} others"])


def _failures(data: ReportData, found: Assessment) -> None:
    if not any(stage.status == "failed" for stage in data.stages):
        lost = sum(stage.tasks_failed for stage in data.stages)
        open_stages = [stage.title or stage.name for stage in data.stages if stage.status in OPEN]
        if lost:
            found.bad.append(f"{plural(lost, 'task')} failed; see Failures.")
        if open_stages:
            found.bad.append(f"Not finished: {_names(open_stages)}.")
    if data.notes:
        found.bad.append(f"{plural(len(data.notes), 'result')} could not be read; see Failures.")


def _fine_tuning(data: ReportData, found: Assessment) -> None:
    if (tuned := _errors(data, "fine_tuned")) is None:
        return
    stuck = not_converged(data)
    # Before fine-tuning the energies of a new element are off by a constant; removing it is not an achievement.
    before = ("zero_shot", "the pre-trained model")
    if "zero_shot_bias" in data.evaluations:
        before = ("zero_shot_bias", "the pre-trained model with refitted energies per element")
    for other, words in (before, ("from_scratch", "the same network trained from scratch")):
        if (old := _errors(data, other)) is None:
            continue
        parts = [
            f"energy MAE {_energy(tuned)} instead of {_energy(old)}",
            f"force MAE {_force(tuned)} instead of {_force(old)}",
        ]
        verdict = compare(tuned, old)
        stop = " (not converged: its errors on its own training frames are as large)" if other in stuck else ""
        text = (
            f"The fine-tuned model is {verdict} than {words}{stop}: {listed(parts)} on "
            f"{plural(tuned.n_frames, 'held-out frame')} ({evaluation_source(tuned)})."
        )
        (found.good if verdict == BETTER and other not in stuck else found.unsure).append(text)


def _where(data: ReportData, point: Point) -> str:
    """Return what a conductivity holds for: system where there are several, state point, label source."""
    several = clip(point.system, 40) + ", " if "," in point.title and point.system else ""
    return f"{several}{conditions(point)}, {label_source(data)}"


def _energy(errors: Evaluation) -> str:
    return with_interval(errors.energy_mae_meV_atom, errors.energy_mae_ci95_meV_atom, "meV/atom")


def _force(errors: Evaluation) -> str:
    return with_interval(errors.force_mae_meV_A, errors.force_mae_ci95_meV_A, "meV/Å")


def _errors(data: ReportData, name: str) -> Evaluation | None:
    return data.evaluations[name].errors if name in data.evaluations else None


def _accurate(errors: Evaluation) -> bool:
    return errors.force_mae_meV_A <= MAX_FORCE_MAE and errors.energy_mae_meV_atom <= MAX_ENERGY_MAE


def _student(data: ReportData, found: Assessment) -> None:
    if (errors := _errors(data, "student_vs_teacher")) is None:
        return
    words = "reproduces its teacher with" if _accurate(errors) else "deviates from its teacher by"
    (found.good if _accurate(errors) else found.unsure).append(
        f"The student {words} a mean absolute error of {_energy(errors)} and {_force(errors)} on "
        f"{plural(errors.n_frames, 'held-out frame')} ({evaluation_source(errors)} of the teacher)."
    )


def _accuracy(data: ReportData, found: Assessment) -> None:
    """Warn when the model that ran the MD is far from its labels: its conductivity is then not the material's."""
    name = next((n for n in ("student", "fine_tuned", "pretrain") if n in data.evaluations), None)
    if name is None or _accurate(errors := data.evaluations[name].errors):
        return
    found.unsure.append(
        f"The {evaluation_label(name)} model deviates from its held-out {evaluation_source(errors)} by "
        f"{_energy(errors)} and {_force(errors)} (MAE; at most {MAX_ENERGY_MAE:g} and {MAX_FORCE_MAE:g} are "
        "recommended): the results are those of this model, not necessarily of the material."
    )


def _dynamics(data: ReportData, found: Assessment) -> None:
    if not data.md:
        return
    stable = sum(run.info.status == "ok" for run in data.md)
    if stable:
        found.good.append(
            f"{stable} of {plural(len(data.md), 'MD run')} remained stable to the end ({common_conditions(data)})."
        )
    exchanged = [run.name for run in data.md if run.info.exchanged]
    if exchanged:
        found.unsure.append(
            f"Anions changed place in {plural(len(exchanged), 'MD run')} ({_names(exchanged)}): the framework is not "
            "that of the starting structure."
        )
    teacher = [run for run in data.teacher_filter.trajectories if run.status != "ok"] if data.teacher_filter else []
    if teacher:
        found.unsure.append(
            f"{plural(len(teacher), 'teacher run')} did not reach the end ({_names(run.status for run in teacher)}): "
            "see Distillation."
        )
    for word in ("exploded", "melted", "failed"):
        runs = [run.name for run in data.md if run.info.status == word]
        if runs:
            found.bad.append(f"{plural(len(runs), 'MD run')} {word} and not used: {_names(runs)}.")


def _transport(data: ReportData, points: Sequence[Point], found: Assessment) -> None:
    for p in points:
        if p.sigma_mS_cm is None:
            found.unsure.append(
                f"{_where(data, p)}: inconclusive, {clip(explained(p.verdict or 'no verdict', p.reasons), 280)}."
            )
            continue
        sigma = measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm)
        text = f"{_where(data, p)}: σ = {sigma} mS/cm (95 %: {interval(p.sigma_ci95_mS_cm)})."
        width = relative_width(p)
        if p.trust != "trusted":
            why = f": {'; '.join(p.check.reasons)}" if p.check and p.check.reasons else ""
            (found.bad if p.trust == "not trusted" else found.unsure).append(f"{text} {p.trust.capitalize()}{why}.")
        elif width is not None and width > MAX_RELATIVE_CI:
            found.unsure.append(f"{text} The run is diffusive, but the interval is wide (± {100 * width:.0f} %).")
        elif p.n_hops is not None and p.n_hops < MIN_HOPS:
            found.unsure.append(f"{text} It is diffusive, but based on {p.n_hops:.0f} hops ({MIN_HOPS} recommended).")
        else:
            found.good.append(text)
    if any(p.sigma_mS_cm is not None for p in points):
        _extrapolation(data, points, found)
        found.unsure += measured_differences(data, points)


def _extrapolation(data: ReportData, points: Sequence[Point], found: Assessment) -> None:
    lines = [part for part in arrhenius_parts(data, points) if part[1].Ea_eV is not None]
    n = min((len({p.temperature_K for p in own if p.D_cm2_s is not None}) for _, _, own in lines), default=0)
    if not lines:
        found.unsure.append("No activation energy and nothing at 300 K: fewer than two temperatures gave a value.")
    for _, part, _ in (line for line in lines if not line[1].determined):
        found.unsure.append(
            f"The activation energy is not determined (95 %: {interval(part.Ea_ci95_eV, 2)} eV): the "
            "temperatures are too close together for their error bars. Do not read values off the line."
        )
    if n < MIN_TEMPERATURES and any(part.determined for _, part, _ in lines):
        found.unsure.append(
            f"The activation energy and the values at room temperature are based on {n} temperatures "
            f"({MIN_TEMPERATURES} or more are recommended): treat them as a rough guide."
        )
    edge = smallest_edge(data)
    if edge is not None and edge < MIN_EDGE_A:
        found.unsure.append(
            f"The cell is small ({edge:.0f} Å at its narrowest): use {MIN_EDGE_A:.0f} Å or more, or check the effect "
            "of size."
        )


def measured_differences(data: ReportData, points: Sequence[Point]) -> list[str]:
    """Return a sentence for each system whose extrapolated conductivity does not agree with any measured one.

    It agrees where its 95 % interval reaches the range of the measured values at temperatures within ``NEAR_K``.
    """
    sentences = []
    for system, part, own in arrhenius_parts(data, points):
        name = system or (own[0].system if own else "")
        for one in part.extrapolated:
            known = [
                found for found in measured_of(data, name).conductivities
                if abs(found.temperature_K - one.temperature_K) <= NEAR_K
            ]
            if not known or one.sigma_mS_cm is None or one.sigma_ci95_mS_cm is None:
                continue
            low, high = min(found.low for found in known), max(found.high for found in known)
            if one.sigma_ci95_mS_cm[0] <= high and one.sigma_ci95_mS_cm[1] >= low:
                continue
            side = "above" if one.sigma_mS_cm > high else "below"
            ends = " to ".join(dict.fromkeys((as_published(low), as_published(high))))
            value = measured(one.sigma_mS_cm, one.sigma_ci95_mS_cm)
            sentences.append(
                f"{clip(name, 40)}: σ({one.temperature_K:g} K) = {value} mS/cm (95 %: "
                f"{interval(one.sigma_ci95_mS_cm, 2)}; extrapolated, {label_source(data)}) is {side} all measured "
                f"values of the library ({ends} mS/cm)."
            )
    return sentences


def relative_width(point: Point) -> float | None:
    """Return half the 95 % interval of sigma over its value."""
    if not point.sigma_mS_cm or point.sigma_ci95_mS_cm is None:
        return None
    return (point.sigma_ci95_mS_cm[1] - point.sigma_ci95_mS_cm[0]) / 2 / point.sigma_mS_cm


def smallest_edge(data: ReportData) -> float | None:
    """Return the smallest distance between opposite faces of a cell among the runs, in A."""
    return min((run.info.width_A for run in data.md if run.info.width_A is not None), default=None)


def key_figures(data: ReportData) -> list[KeyFigure]:
    """Return the key figures below the assessment."""
    found = _transport_figures(data)
    for name, words in (("fine_tuned", "fine-tuned"), ("pretrain", "pre-trained")):
        if errors := _errors(data, name):
            note = (
                f"95 %: {interval(errors.force_mae_ci95_meV_A, 2)}; held-out frames, {evaluation_source(errors)}; "
                f"energy MAE {_energy(errors)}"
            )
            found.append(KeyFigure(show(errors.force_mae_meV_A), "meV/Å", f"force MAE, {words}", note))
            break
    if data.self_check:
        for system in data.self_check.systems:
            if system.errors and (bias := system.errors.energy_bias_meV_atom):
                note = f"95 %: {interval(bias.ci95, 2)}; {common_conditions(data, system.system)}; " \
                    f"{label_source(data)}"
                found.append(KeyFigure(show(bias.mean, 2), "meV/atom", "energy error in production", note))
                break
    if data.md:
        stable = sum(run.info.status == "ok" for run in data.md)
        speeds = [run.info.steps_per_s for run in data.md if run.info.steps_per_s is not None]
        ends = list(dict.fromkeys(show(v) for v in (min(speeds), max(speeds)))) if speeds else []
        note = "; ".join([common_conditions(data), *([f"{' to '.join(ends)} steps/s"] if ends else [])])
        found.append(KeyFigure(f"{stable} / {len(data.md)}", "", "stable MD runs", note))
    return found


def _transport_figures(data: ReportData) -> list[KeyFigure]:
    found: list[KeyFigure] = []
    points = transport_points(data)
    valued = [p for p in points if p.sigma_mS_cm is not None]
    if valued:
        p = valued[-1]
        note = f"95 %: {interval(p.sigma_ci95_mS_cm, 2)}; {conditions(p)}; {label_source(data)}; {p.trust}"
        sigma = measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm)
        found.append(KeyFigure(sigma, "mS/cm", f"conductivity at {p.title}", note))
    elif points:
        found.append(KeyFigure("none", "", "conductivity", "inconclusive at every temperature"))
    parts = arrhenius_parts(data, points)
    for system, part, own in parts[:2]:
        if part.Ea_eV is not None:
            of = f", {clip(system, 30)}" if len(parts) > 1 else ""
            holds = f"{common_conditions(data)}; {label_source(data)}; {line_trust(part, own)}"
            note = f"95 %: {interval(part.Ea_ci95_eV)} eV; {holds}"
            if not part.determined:
                found.append(KeyFigure("undetermined", "", f"activation energy{of}", note))
                continue
            found.append(KeyFigure(measured(part.Ea_eV, part.Ea_ci95_eV), "eV", f"activation energy{of}", note))
    return found
