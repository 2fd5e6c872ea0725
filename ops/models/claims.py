"""What a card may claim: numbers that a gate has measured, or that are in the summary of its run; nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from dpa_sse.ops.models.card_text import MEASURED, card_page, number
from dpa_sse.ops.results.gates import Gates, JudgedMetric
from dpa_sse.ops.results.model_card import CardMetric, ModelCard
from dpa_sse.ops.results.summary import ErrorSummary, Summary

WORDING = {"95"}
"""Numbers in the wording of a card: the 95 % of an interval."""
TITLES = {
    "student": "held-out labels", "student_vs_teacher": "against its teacher", "fine_tuned": "held-out labels",
    "pretrain": "held-out labels",
}
"""Evaluations in the summary of a run, and what they are called on a card."""
FROM_GATES, FROM_SUMMARY = "gates.json: ", "summary.json: errors."
QUANTITIES = {"energy": "meV/atom", "force": "meV/A", "virial": "meV/atom"}
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)*(?:e[+-]?\d+)?(?![\w])")


def metrics_of(gates: Gates | None, summary: Summary | None, evaluations: Iterable[str]) -> Iterator[CardMetric]:
    """Yield the numbers of a card: those of all gates, and errors of the report.

    Parameters
    ----------
    gates : Gates or None
    summary : Summary or None
    evaluations : iterable of str
        Evaluations in the summary that are of this model, of :data:`TITLES`.
    """
    for gate in gates.gates if gates else ():
        for metric in gate.metrics:
            if metric.value is not None:
                yield _of_gate(gate.key, metric)
    for name in evaluations:
        if summary and name in summary.errors:
            yield from _of_evaluation(name, TITLES[name], summary.errors[name])


def _of_gate(key: str, metric: JudgedMetric) -> CardMetric:
    assert metric.value is not None  # noqa: S101  (for the type checker)
    return CardMetric(
        name=metric.name, value=metric.value, unit=metric.unit, ci95=metric.ci95, n=metric.n,
        source=f"{FROM_GATES}{key}.{metric.name}",
    )


def _of_evaluation(name: str, title: str, found: ErrorSummary) -> Iterator[CardMetric]:
    for quantity, unit in QUANTITIES.items():
        field = f"{quantity}_mae_{unit.replace('/', '_')}"
        value = getattr(found, field)
        if value is not None:
            yield CardMetric(
                name=f"{quantity} MAE, {title}", value=value, unit=unit,
                ci95=getattr(found, field.replace("_mae_", "_mae_ci95_")), n=found.n_frames,
                source=f"{FROM_SUMMARY}{name}.{field}",
            )


def unfounded(card: ModelCard, gates: Gates | None, summary: Summary | None, page: str | None = None) -> list[str]:
    """Return what a card claims although it was not measured; empty for an honest one.

    Parameters
    ----------
    card : ModelCard
    gates, summary : Gates or None, Summary or None
        Kept with the model.
    page : str, optional
        ``MODEL_CARD.md``; made from the card by default.
    """
    known = {one.source: one for one in metrics_of(gates, summary, _evaluations(card))}
    found = [
        f"{one.name} {number(one.value)}: not in {one.source}" for one in card.metrics if known.get(one.source) != one
    ]
    found += _wrong_verdicts(card, gates)
    text = card_page(card) if page is None else page
    measured, other = _sections(text)
    facts = card.model_dump(mode="json", exclude={"metrics", "gates"})
    sources: list[Any] = [gates and gates.model_dump(mode="json"), summary and summary.model_dump(mode="json")]
    founded = WORDING | {word for one in sources for word in _words(one)}
    found += [f"{word}: on the card, but neither in gates.json nor in summary.json"
              for word in _NUMBER.findall(measured) if word not in founded]
    founded |= set(_words(facts))
    found += [f"{word}: on the card, but not measured, and not a fact of model.yaml"
              for word in _NUMBER.findall(other) if word not in founded]
    return found


def _evaluations(card: ModelCard) -> list[str]:
    """Return the evaluations that a card names, as far as there are such."""
    named = (
        one.source.removeprefix(FROM_SUMMARY).rpartition(".")[0]
        for one in card.metrics if one.source.startswith(FROM_SUMMARY)
    )
    return [name for name in dict.fromkeys(named) if name in TITLES]


def altered_page(card: ModelCard, page: str) -> list[str]:
    """Return where ``MODEL_CARD.md`` differs from what is made of ``model.yaml``; empty if it does not."""
    expected, found = card_page(card).splitlines(), page.splitlines()
    for place, (own, other) in enumerate(zip_longest(found, expected), 1):
        if own != other:
            wanted = "nothing more" if other is None else f"'{other[:60]}'" if other else "an empty line"
            return [f"MODEL_CARD.md, line {place}: is not what model.yaml says ({wanted})"]
    return []


def _wrong_verdicts(card: ModelCard, gates: Gates | None) -> Iterator[str]:
    if card.gates is None:
        return
    if gates is None:
        yield "a verdict of gates, but there is no gates.json"
        return
    if (card.gates.verdict, card.gates.model_sha256) != (gates.verdict, gates.model_sha256):
        yield f"the verdict {card.gates.verdict} is not that of gates.json ({gates.verdict})"
    own = [(one.key, one.verdict, one.reason) for one in card.gates.gates]
    if own != [(one.key, one.verdict, one.reason) for one in gates.gates]:
        yield "the gates are not those of gates.json"
    if card.gates.model_sha256 not in {one.sha256 for one in card.files.values()}:
        yield "the gates judged a file that the version does not have"


def _sections(page: str) -> tuple[str, str]:
    """Return the section of what was measured, and the rest."""
    before, mark, after = page.partition(MEASURED)
    measured, heading, rest = after.partition("\n## ")
    return measured, before + (heading + rest if mark else "")


def _words(data: Any) -> Iterator[str]:
    """Yield the numbers in data as they would be on a card, and those in its texts."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _words(key)
            yield from _words(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _words(value)
    elif isinstance(data, str):
        yield from _NUMBER.findall(data)
    elif isinstance(data, (int, float)) and not isinstance(data, bool):
        yield number(data)
        yield f"{data:g}"
        yield str(data)
