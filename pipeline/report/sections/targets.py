"""Section on the targets of a project: which conducts best, how sure that is, and the page of each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from dpa_sse.ops.results.conductivity import RankedSystem
from dpa_sse.pipeline.report.assessment import Assessment
from dpa_sse.pipeline.report.context import common_conditions, label_source
from dpa_sse.pipeline.report.figures import FigureBook
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    Level,
    LinksBlock,
    PageSection,
    interval,
    kelvin,
    listed,
    measured,
    plural,
    show,
)
from dpa_sse.pipeline.report.plots.compared import plot_energies, plot_parity
from dpa_sse.pipeline.report.plots.order import plot_order
from dpa_sse.pipeline.report.plots.targets import plot_lines, plot_series
from dpa_sse.pipeline.report.sections.self_check import trust_cell
from dpa_sse.pipeline.report.summary import run_word
from dpa_sse.pipeline.report.targets import Line, Outcome, lines, outcomes
from dpa_sse.pipeline.report.transport import line_trust

LEVELS: dict[str, Level] = {"done": "good", "inconclusive": "warn", "failed": "bad", "unfinished": "info"}
MOST_NAMED = 5


def assess_targets(data: ReportData, ranked: Sequence[RankedSystem]) -> Assessment:
    """Return the assessment of a project with targets, ranked as :func:`ranking` does."""
    found = outcomes(data)
    by_word = {word: [one for one in found if one.word == word] for word in LEVELS}
    done = by_word["done"]
    open_stages = data.state in ("running", "interrupted")
    level: Level = "good" if len(done) == len(found) else "warn" if done or open_stages else "bad"
    headline = f"{len(done)} of {plural(len(found), 'target')} with results."
    if len(done) == len(found):
        headline = "The only target has results." if len(found) == 1 else f"All {len(found)} targets have results."
    box = Assessment(level, headline)
    if done:
        box.done.append(f"Results for {_names(done)}; their pages say what can be trusted.")
    box.unsure += [f"{one.name}: no conductivity ({one.reason})." for one in by_word["inconclusive"]]
    box.bad += [f"{one.name}: {one.reason}." for one in by_word["failed"]]
    if by_word["unfinished"]:
        box.unsure.append(f"Not finished: {_names(by_word['unfinished'])}.")
    if ranked:
        box.unsure.append(_order(ranked))
    gates = [one for one in found if one.data.gates is not None and one.data.gates.verdict == "FAIL"]
    if gates:
        box.bad.append(f"Students that failed a gate: {_names(gates)}.")
    return box


def _names(found: Sequence[Outcome]) -> str:
    names = [one.name for one in found]
    return listed(names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} others"])


def _order(ranked: Sequence[RankedSystem]) -> str:
    """Return what the intervals allow to say about the best system."""
    at = f"at {kelvin(ranked[0].temperature_K)} K"
    best = [one for one in ranked if one.rank_ci95[0] == 1]
    if len(best) == 1:
        return f"{best[0].system} has the highest conductivity {at}, as far as the statistics go."
    names = [one.system for one in best[:MOST_NAMED]] + [f"{len(best) - MOST_NAMED} others"] * (len(best) > MOST_NAMED)
    return f"The highest conductivity {at} may be that of {' or '.join(names)}: the intervals do not decide."


def targets(data: ReportData, book: FigureBook, order: Sequence[RankedSystem]) -> PageSection:
    """Return the section with the table in this order, the Arrhenius lines together, series, and links."""
    section = PageSection("targets", "Targets")
    found = outcomes(data)
    drawn = list(lines(found))
    ranked = {one.system: one for one in order}
    after = {one.system: other for one, other in itertools.pairwise(order)}
    places = {one.system: place for place, one in enumerate(order)}
    temperature = kelvin(order[0].temperature_K) if order else "300"
    section.table(
        ("rank", "target", "system", f"σ at {temperature} K (mS/cm)", "95 % interval", "Ea (eV)", "95 % interval ",
         "P (better than next)", "self-check", "gates"),
        [
            _row(one, ranked.get(one.system), after.get(one.system))
            for one in sorted(drawn, key=lambda one: places.get(one.system, len(order)))
        ],
        "Ranks that the 95 % intervals allow; where ranges overlap, the order is not known. The probabilities are "
        f"statistical: they do not contain the errors of the models. Extrapolated to {temperature} K along each line, "
        f"assuming that no phase transition occurs on the way. {_holds(found)}",
        "rank|target|system|self-check|gates", "gates|P (better than next)|rank",
    )
    section.figures([plot_lines(book, drawn)])
    section.figures([plot_energies(book, drawn)])
    section.figures([plot_parity(book, drawn, ranked)])
    section.figures(list(plot_series(book, found, ranked)))
    section.figures(list(plot_order(book, found)))
    section.table(
        ("target", "result", "systems", "fine-tuned on", "force error of the student (meV/Å)", "why"),
        [_target_row(one) for one in found],
        ("Fine-tuned on: labelled frames of the target. " if any(one.data.models.get("finetune") for one in found)
         else "")
        + "Force error: mean absolute error on frames held out of the data that its teacher labelled.",
        "target|result|systems|why", "fine-tuned on|why",
    )
    section.text("A page for each target, with its models, runs, errors and figures:")
    section.blocks.append(LinksBlock([(one.name, one.place) for one in found]))
    return section


def _holds(found: Sequence[Outcome]) -> str:
    """Return state points and level of the labels of the conductivities."""
    states = dict.fromkeys(state for one in found if (state := common_conditions(one.data)))
    levels = dict.fromkeys(label_source(one.data) for one in found if one.data.conductivity is not None)
    return f"Runs: {'; '.join(states)}; {', '.join(levels)}." if states else ""


def _row(one: Line, ranked: RankedSystem | None, after: RankedSystem | None) -> list[str | Cell]:
    line, data = one.line, one.target.data
    gates = data.gates.verdict if data.gates else ABSENT
    level: Level = {"PASS": "good", "FAIL": "bad"}.get(gates, "warn") if data.gates else "info"  # type: ignore[assignment]
    Ea = line.Ea_eV if line.determined else None
    return [
        ranked.rank_text if ranked else ABSENT, one.target.name, one.system,
        measured(ranked.sigma_mS_cm, ranked.sigma_ci95_mS_cm) if ranked else ABSENT,
        interval(ranked.sigma_ci95_mS_cm, 2) if ranked else ABSENT,
        measured(Ea, line.Ea_ci95_eV), interval(line.Ea_ci95_eV, 2) if line.Ea_ci95_eV else ABSENT,
        f"{ranked.better_than[after.system]:.2f}" if ranked and after else ABSENT,
        trust_cell(line_trust(line, one.points)), Cell(gates, level),
    ]


def _target_row(one: Outcome) -> list[str | Cell]:
    data = one.data
    tuned, errors = data.models.get("finetune"), data.evaluations.get("student_vs_teacher")
    frames = tuned.info.frames if tuned else None
    return [
        one.name, Cell(one.word, LEVELS[one.word]), listed([system.name for system in data.config.simulate]),
        plural(frames, "frame") if frames else ABSENT,
        show(errors.errors.force_mae_meV_A) if errors else ABSENT, one.reason or ABSENT,
    ]


def targets_subtitle(data: ReportData) -> str:
    """Return the line below the title."""
    names = [system.name for system in data.config.systems]
    parts = [f"base systems: {', '.join(names)}"] if names else []
    parts += [plural(len(data.targets), "target"), f"status: {run_word(data) or 'not recorded'}"]
    if data.config.seed is not None:
        parts.append(f"seed: {data.config.seed}")
    return "  ·  ".join(parts)
