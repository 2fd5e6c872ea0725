"""The three ways in which a task may fail, and what each means for the workflow."""

from __future__ import annotations

from collections.abc import Sequence


class PipelineError(Exception):
    """Base class of errors whose message is meant for people."""


class InputError(PipelineError):
    """The user's input is wrong: nothing was computed, and a retry is pointless (exit code 2)."""


class FatalError(PipelineError):
    """The task cannot succeed, no matter how often it is tried (exit code 1, no retry)."""


class MissingProgramError(FatalError):
    """A program is not installed."""


REFUSAL = "refused by a gate: "
"""How the reason of a task begins that refuses what follows: a pod can only pass a text on."""


SUSPENSION = "waits for a person: "
"""The same of a task that a person has to approve."""


class RefusedError(FatalError):
    """The input was read and understood, but a gate refuses what follows (exit code 3, no retry)."""


class TransientError(PipelineError):
    """The task may succeed if it is retried (lost node, full queue, killed process)."""


def outside_type_map(elements: Sequence[str], type_map: Sequence[str]) -> str:
    """Return the message for elements that are not in the type map of the project."""
    several = len(elements) > 1
    return (
        f"element{'s' * several} {', '.join(elements)} {'are' if several else 'is'} not in type_map "
        f"[{', '.join(type_map)}]"
    )
