"""``MODEL_CARD.md``: a card for people, made from ``model.yaml`` alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.results.model_card import CardMetric, ModelCard

MEASURED = "## What was measured"
NOTHING = "No gate was run on this model: nothing is known about its errors, its stability, or what it may be used for."
NO_GATE = "No gate was run on this model: beyond the errors below, nothing is known, nor what it may be used for."


def card_page(card: ModelCard) -> str:
    """Return the page."""
    return "\n".join(printable(line, keep="") for line in _lines(card)) + "\n"


def _lines(card: ModelCard) -> Iterator[str]:
    yield f"# {card.reference}"
    yield ""
    yield f"A Deep Potential for {', '.join(card.intended_use.elements)}. Verdict of the gates: **{card.verdict}**."
    if card.accepted:
        yield ""
        yield "It was published although it has not passed:"
        yield ""
        yield from (f"- {one.gate}: {one.reason}" for one in card.accepted)
    yield from _use(card)
    yield from _measured(card)
    yield from _origin(card)
    yield from _files(card)


def _use(card: ModelCard) -> Iterator[str]:
    use = card.intended_use
    yield from ("", "## Intended use", "")
    known = "with training data" if use.elements_with_data_known else "of the type map; which have data is not recorded"
    yield f"- elements ({known}): {', '.join(use.elements)}"
    if card.gates is not None:
        yield f"- judged for MD up to {number(card.gates.temperature_K)} K with {', '.join(card.gates.structures)}"
    if use.trained_temperatures_K:
        yield f"- temperatures of the MD behind the training data: {_list(use.trained_temperatures_K)} K"
    if use.trained_pressures_GPa:
        yield f"- pressures of the MD behind the training data: {_list(use.trained_pressures_GPa)} GPa"
    yield from ("", "It must not be used for", "")
    yield from (f"- {one}" for one in use.must_not)


def _measured(card: ModelCard) -> Iterator[str]:
    yield from ("", MEASURED, "")
    if card.gates is None:
        yield NO_GATE if card.metrics else NOTHING
    else:
        gates = card.gates
        against = f"against {gates.reference}" if gates.reference else "without a reference"
        yield f"{gates.verdict} {against}, tier {gates.tier}, on the file with sha256 `{gates.model_sha256}`."
        yield from ("", "| gate | | verdict | why |", "|---|---|---|---|")
        for gate in gates.gates:
            key = gate.key if gate.required else f"({gate.key})"
            yield f"| {key} | {gate.name} | {gate.verdict} | {_cell(gate.reason)} |"
        yield from ("", "A gate in parentheses is not required.")
    if card.metrics:
        yield from ("", "| number | value | 95 % interval | unit | n | from |", "|---|---|---|---|---|---|")
        yield from map(_metric, card.metrics)


def _metric(one: CardMetric) -> str:
    interval = f"{number(one.ci95[0])} to {number(one.ci95[1])}" if one.ci95 else ""
    unit, source = _cell(one.unit), _cell(one.source)
    return f"| {one.name.replace('_', ' ')} | {number(one.value)} | {interval} | {unit} | {one.n} | {source} |"


def _origin(card: ModelCard) -> Iterator[str]:
    network = card.architecture
    yield from ("", "## What it was made from", "")
    parts = [
        network.descriptor or "network not recorded", network.precision or "",
        f"cutoff {number(network.rcut_A)} A" if network.rcut_A else "",
        f"{card.model_params} parameters" if card.model_params else "",
        f"branch {network.branch}" if network.branch else "",
    ]
    yield f"- network: {', '.join(part for part in parts if part)}; type map {' '.join(network.type_map)}"
    if card.training_set:
        for one in card.training_set:
            atoms = _list(one.n_atoms)
            yield f"- {one.role}: {one.n_frames} frames of {one.system} ({atoms} atoms); {one.level or NO_LEVEL}"
    else:
        yield "- training data: not recorded"
    if card.distilled_from:
        yield f"- its teacher was trained on {card.distilled_from}"
    if card.hyperparams:
        yield "- training: " + ", ".join(
            f"{key} {number(value) if isinstance(value, float) else value}" for key, value in card.hyperparams.items()
        )
    if card.requirements:
        yield "- made with " + ", ".join(f"{name} {version}" for name, version in card.requirements.items())
    yield from (f"- {note}" for note in card.notes)
    yield from ("", "## Licence", "", card.license.checkpoint or "Not stated: ask its maker before you pass it on.")


NO_LEVEL = "level of theory of the labels not recorded"


def _files(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Files", "", "| file | bytes | sha256 |", "|---|---|---|")
    for name, one in sorted(card.files.items()):
        yield f"| {name} | {one.size_bytes} | `{one.sha256}` |"


def number(value: float) -> str:
    """Return a number with three digits, as everywhere on a card."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _list(values: Sequence[float]) -> str:
    return ", ".join(number(one) for one in values)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
