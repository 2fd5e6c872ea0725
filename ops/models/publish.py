"""Who may publish what: a model that has not passed its gates is refused, unless each failure is accepted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dpa_sse.ops.core.errors import InputError, RefusedError
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model_card import NOT_RUN, Accepted


def accepted_gates(given: Sequence[str], reasons: Sequence[str], gates: Gates | None) -> list[Accepted]:
    """Return what is accepted, each with its reason.

    Parameters
    ----------
    given : sequence of str
        Keys of gates; ``NOT_RUN`` for a model without gates.
    reasons : sequence of str
        One for each.
    gates : Gates or None

    Raises
    ------
    InputError
        A reason is missing or empty, or a key is not that of a gate that keeps the model from being published.
    RefusedError
        Something keeps it from being published that is not accepted.
    """
    if len(given) != len(reasons):
        raise InputError(f"--accept GATE needs one --reason \"...\" each: {len(given)} and {len(reasons)} are given")
    obstacles = dict(_obstacles(gates))
    accepted = []
    for key, reason in zip((one.upper() for one in given), reasons, strict=True):
        if not reason.strip():
            raise InputError(f"--accept {key}: its --reason is empty; it is printed on the card")
        if key not in obstacles:
            names = ", ".join(obstacles) or "nothing"
            raise InputError(f"--accept {key}: does not keep the model from being published ({names} does)")
        accepted.append(Accepted(gate=key, reason=" ".join(reason.split())))
    left = [key for key in obstacles if key not in {one.gate for one in accepted}]
    if left:
        raise RefusedError(
            f"not published: {'; '.join(obstacles[key] for key in left)}. To publish it all the same, with your reason "
            "on the card: " + " ".join(f'--accept {key} --reason "..."' for key in left)
        )
    return accepted


def accepted_of_all(
    given: Sequence[str], reasons: Sequence[str], verdicts: Sequence[Gates | None]
) -> list[tuple[list[str], list[str]]]:
    """Return what is accepted of each of several models: a gate, where it keeps that model from being published.

    Parameters
    ----------
    given, reasons : sequence of str
        As for :func:`accepted_gates`.
    verdicts : sequence of Gates or None
        On the models. For a single one, everything is returned; a gate that keeps none of several is left to the first
        one, which refuses it.
    """
    if len(verdicts) == 1 or len(given) != len(reasons):
        return [(list(given), list(reasons))] * len(verdicts)
    obstacles = [dict(_obstacles(gates)) for gates in verdicts]
    found: list[tuple[list[str], list[str]]] = [([], []) for _ in verdicts]
    for key, reason in zip(given, reasons, strict=True):
        places = [k for k, own in enumerate(obstacles) if key.upper() in own] or [0]
        for k in places:
            found[k][0].append(key)
            found[k][1].append(reason)
    return found


def _obstacles(gates: Gates | None) -> Iterator[tuple[str, str]]:
    """Yield what keeps a model from being published, by the key with which it is accepted."""
    if gates is None:
        yield NOT_RUN, "no gate has judged this model file (dpa-sse validate MODEL; then --gates gates.json)"
        return
    found = False
    for gate in gates.gates:
        if gate.required and gate.verdict in ("FAIL", "NOT_RUN"):
            found = True
            yield gate.key, f"{gate.key} {gate.name} {gate.verdict}: {gate.reason}"
    if gates.verdict == "FAIL" and not found:
        yield NOT_RUN, f"the gates say FAIL: {'; '.join(gates.reasons)}"
