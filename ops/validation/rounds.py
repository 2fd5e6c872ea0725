"""What a round of the loop back to labels does: correct the models or not, short or full production."""

from __future__ import annotations

from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.ops.validation.settings import ValidateSettings


def is_full(settings: ValidateSettings, iteration: int, earlier: SelfCheck | None) -> bool:
    """Return whether the production of a round has its full length.

    With ``round_ps`` the rounds are short until the model is good enough, or the last round is reached.
    """
    satisfied = earlier is not None and not earlier.beyond
    return settings.round_ps is None or iteration >= settings.rounds or satisfied


def md_of_round(md: MdSettings, settings: ValidateSettings, iteration: int, earlier: SelfCheck | None) -> MdSettings:
    """Return the settings of the production of a round."""
    if is_full(settings, iteration, earlier) or settings.round_ps is None:
        return md
    return md.model_copy(update={"production_ps": min(settings.round_ps, md.production_ps)})


def is_finished(settings: ValidateSettings, iteration: int, *, full: bool, beyond: bool) -> bool:
    """Return whether no further round follows: the last one, or a full production that is good enough."""
    return iteration >= settings.rounds or (full and not beyond)
