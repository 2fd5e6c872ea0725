"""The three ways in which a task may fail, and what each one means for the workflow."""

from __future__ import annotations

from collections.abc import Sequence


class PipelineError(Exception):
    """Base of every error whose message is meant for a person."""


class InputError(PipelineError):
    """The user's input is wrong: nothing was computed, retrying is pointless (exit code 2)."""


class FatalError(PipelineError):
    """The task can not succeed however often it is tried (exit code 1, no retry)."""


class TransientError(PipelineError):
    """The task may succeed when it is tried again (lost node, full queue, killed process)."""


def outside_type_map(elements: Sequence[str], type_map: Sequence[str]) -> str:
    """Return in words that elements are not in the type map of the project."""
    several = len(elements) > 1
    return (
        f"element{'s' * several} {', '.join(elements)} {'are' if several else 'is'} not in type_map "
        f"[{', '.join(type_map)}]"
    )
