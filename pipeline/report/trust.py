"""What the self-check says about the conductivities, in plain words for the box at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dpa_sse.ops.results.self_check import CheckedSystem, ErrorEstimate
from dpa_sse.pipeline.report.advice import trust_advice
from dpa_sse.pipeline.report.context import common_conditions, estimate_text, label_source
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import Level, clip, listed, plural
from dpa_sse.pipeline.report.transport import Point


def gate_sentences(data: ReportData) -> Iterator[tuple[Level, str]]:
    """Yield a sentence on the verdict of the gates, if there is one: good, doubtful or bad."""
    found = data.gates
    if found is None:
        return
    if data.self_check is not None and data.self_check.corrections:
        yield "warn", (
            "The gates judged the first student, not the corrected one that ran this MD (`dpa-sse validate` judges any "
            f"model): {found.verdict}{clip('; '.join(('', *found.reasons)), 400)}."
        )
        return
    if found.verdict == "PASS":
        yield "good", f"The student passed all required gates against its teacher (tier {found.tier})."
    elif found.verdict == "FAIL":
        yield "bad", f"The student failed before the production MD: {clip('; '.join(found.reasons), 400)}"
    else:
        yield "warn", f"The student is not cleared by all gates: {clip('; '.join(found.reasons), 400)}"


def self_check_sentences(data: ReportData) -> Iterator[tuple[Level, str]]:
    """Yield a sentence on each system of the self-check, or that there was none: good, doubtful or bad."""
    if not data.md:
        return
    if data.self_check is None or not data.self_check.frames:
        why = "no label succeeded" if data.self_check else "no self-check was made (validate.production_labels)"
        yield "warn", f"The production runs were not compared with the labeler: {why}."
        return
    for system in data.self_check.systems:
        if system.errors is None:
            continue
        text = (
            f"Self-check of {clip(system.system, 40)} ({common_conditions(data, system.system)}): on "
            f"{plural(system.labels, 'frame')} of its production runs ({label_source(data)}) the model is off by "
            f"{_errors(system)}."
        )
        if system.verdict == "trusted":
            yield "good", text
        elif system.verdict == "not trusted":
            yield "bad", f"{text} {trust_advice(system, data.self_check, target=data.target)}"
        else:
            yield "warn", f"{text} {'; '.join(system.reasons)}."


def _errors(system: CheckedSystem) -> str:
    assert system.errors is not None  # noqa: S101  (for the type checker)
    errors = system.errors
    parts = [
        *_part(errors.energy_bias_meV_atom, "meV/atom in energy"), *_part(errors.pressure_error_GPa, "GPa in pressure"),
        *_part(errors.force_mae_meV_A, "meV/Å (MAE) in the forces"),
    ]
    return listed(parts)


def _part(estimate: ErrorEstimate | None, words: str) -> list[str]:
    return [] if estimate is None else [estimate_text(estimate, words)]


def trust_headline(points: Sequence[Point]) -> str:
    """Return the end of the headline: what the self-check says about the conductivities that were determined."""
    valued = [point for point in points if point.sigma_mS_cm is not None]
    verdicts = {point.trust for point in valued}
    if verdicts == {"trusted"}:
        return ""
    if "not trusted" in verdicts:
        bad = sum(point.trust == "not trusted" for point in valued)
        return f"; {'not' if bad == len(valued) else f'{bad} not'} trusted: the model errs in its own production runs"
    if verdicts == {"not checked"}:
        return "; not checked against the labeler"
    return "; to be taken with care"
