"""What a reader met in one file: how many steps it took, how many it left out, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from dpa_sse.ops.results.base import ResultPart

NOT_CONVERGED = "not converged"


class SourceCount(ResultPart):
    """The account of one source: ``found`` is the sum of ``taken`` and of all numbers in ``left_out``.

    Attributes
    ----------
    path : str
        File or folder.
    form : str
        Its format.
    found, taken : int
        Steps (frames) met, and labels taken from them.
    left_out : dict
        Reason and number of the others.
    notes : tuple of str
        Other remarks on the source.
    """

    path: str
    form: str
    found: int
    taken: int
    left_out: dict[str, int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what a person should read about this source: nothing if all of it was taken without remark."""
        lines = [f"{self.path}: {note}" for note in self.notes]
        if self.left_out:
            why = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            lines.insert(0, f"{self.path}: {self.taken} of {self.found} steps taken; {why}")
        return lines


@dataclass
class Account:
    """Counts the steps of one source while it is read."""

    path: Path
    form: str
    taken: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count steps that are left out."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def note(self, text: str) -> None:
        """Add a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def result(self) -> SourceCount:
        """Return the account as it is reported."""
        return SourceCount(
            path=str(self.path), form=self.form, found=self.taken + sum(self.left_out.values()), taken=self.taken,
            left_out=dict(self.left_out), notes=tuple(self.notes),
        )


def summary_line(counts: Iterable[SourceCount]) -> str:
    """Return the account of all sources in one line: ``5 of 9 steps of 3 sources taken; 4 not converged``."""
    counts = list(counts)
    why: dict[str, int] = {}
    for one in counts:
        for reason, number in one.left_out.items():
            why[reason] = why.get(reason, 0) + number
    taken, found = (sum(getattr(one, name) for one in counts) for name in ("taken", "found"))
    left = "; " + ", ".join(f"{count} {reason}" for reason, count in why.items()) if why else ""
    return f"{taken} of {found} steps of {len(counts)} sources taken{left}"
