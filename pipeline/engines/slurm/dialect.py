"""What a batch system has to be asked and told: text in, text out. One small file for each system."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.pipeline.config.batch import Job, System

State = Literal[
    "waiting", "held", "running", "ending", "done", "failed", "timeout", "node", "preempted", "memory", "cancelled"
]
"""Of a job: the first four are in the queue, the others have ended."""
PENDING: tuple[State, ...] = ("waiting", "held")
IN_QUEUE: tuple[State, ...] = (*PENDING, "running", "ending")


class AnswerError(PipelineError):
    """A batch system gave an answer that was not understood."""


@dataclass(frozen=True)
class Request:
    """Jobs to be submitted at once.

    Attributes
    ----------
    name : str
        Of the jobs; unique, so that they can be found again if the answer is lost.
    folder : Path
        Working folder of the jobs, on a file system that all nodes see.
    script : Path
        In that folder.
    count : int
        Number of jobs; several are an array.
    job : Job
        What each of them asks for.
    account : str, optional
        That they are charged to.
    stop_before_s : int
        How long before its time limit a task is asked to stop.
    width : int
        How many members of an array may run at a time.
    exclude : tuple of str
        Nodes that they must not run on.
    """

    name: str
    folder: Path
    script: Path
    count: int
    job: Job
    account: str | None
    stop_before_s: int
    width: int = 1
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """Jobs in the answer to a question about the queue.

    Attributes
    ----------
    job : str
        Number of the job, of the array for its members.
    members : tuple of int, optional
        Members of the array, from 0; None for all that have no entry.
    state : str
    word : str
        The state in the system's own words.
    reason : str
        Why it waits, or has ended.
    start : str
        When it may start, or has started; empty if unknown.
    code : int, optional
        Exit code, if the system tells.
    nodes : str
        Where it runs or ran; empty if unknown.
    ran_s : int, optional
        How long it has run.
    name : str
        Of the job; empty if the system does not tell.
    """

    job: str
    members: tuple[int, ...] | None
    state: State
    word: str
    reason: str = ""
    start: str = ""
    code: int | None = None
    nodes: str = ""
    ran_s: int | None = None
    name: str = ""


class Dialect(Protocol):
    """What differs between batch systems. Commands are lists of arguments, which no shell reads."""

    system: System
    title: str
    member: str
    """Expression of the shell for the number of the member of an array, from 0."""
    own: str
    """Line of the script that sets ``own`` to the number of the job, as :meth:`job_number` returns it."""
    lines: tuple[str, ...]
    """Lines of the script before the user's."""
    warns: bool
    """Whether the system can send SIGUSR1 to the script before the time limit."""
    excludes: bool
    """Whether a job can be kept off nodes by their names."""

    def directives(self, request: Request) -> list[str]:
        """Return the lines at the head of the script."""

    def submit(self, request: Request) -> tuple[list[str], str | None]:
        """Return the command that submits a script, and its standard input."""

    def job_number(self, answer: str) -> str:
        """Return the number of the job from the answer to :meth:`submit`.

        Raises
        ------
        AnswerError
            There is none in it.
        """

    def query(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for the state of jobs, ended ones included as far as they are known."""

    def entries(self, answer: str) -> list[Entry]:
        """Return the jobs in the answer to :meth:`query`.

        Raises
        ------
        AnswerError
            It is not understood.
        """

    def find(self, name: str, user: str) -> list[str]:
        """Return the command that asks for the numbers of jobs of a name, ended ones included."""

    def found(self, answer: str) -> list[str]:
        """Return the numbers of the jobs in the answer to :meth:`find`."""

    def cancel(self, jobs: Sequence[tuple[str, int | None]]) -> list[str]:
        """Return the command that cancels jobs, or single members of arrays."""

    def widen(self, job: str, width: int) -> list[str]:
        """Return the command that changes how many members of an array may run at a time."""

    def none_known(self, complaint: str) -> bool:
        """Return whether a failed :meth:`query` means that all of its jobs have been forgotten."""

    def unreachable(self, complaint: str) -> bool:
        """Return whether a command failed because the system does not answer or is full: it may succeed later."""

    def full(self, complaint: str) -> bool:
        """Return whether a submission failed because it has too many jobs: for an array, or for the queue as it is."""

    def never_starts(self, entry: Entry) -> bool:
        """Return whether a waiting job will not start, whatever else happens on the system."""

    def shut(self, entry: Entry) -> bool:
        """Return whether a waiting job will not start until people open its partition or queue again."""

    def version(self) -> list[str]:
        """Return the command that tells the version."""


class Complaints:
    """What a batch system means by its words, told by patterns."""

    forgotten: re.Pattern[str]
    """None of the jobs is known any more."""
    silent: re.Pattern[str]
    """The system does not answer, or takes no more jobs for now."""
    crowded: re.Pattern[str]
    """Too many jobs: for an array, or for the queue as it is."""
    hopeless: re.Pattern[str]
    """Reasons of a waiting job that the rest of the queue does not change."""
    closed: re.Pattern[str]
    """Reasons that go away when people open a partition or queue again: maintenance, a node that is down."""

    def none_known(self, complaint: str) -> bool:
        """Return whether a failed question means that all of its jobs have been forgotten."""
        return self.forgotten.search(complaint) is not None

    def unreachable(self, complaint: str) -> bool:
        """Return whether a command failed because the system does not answer or is full: it may succeed later."""
        return self.silent.search(complaint) is not None

    def full(self, complaint: str) -> bool:
        """Return whether a submission failed because it has too many jobs: for an array, or for the queue as it is."""
        return self.crowded.search(complaint) is not None

    def never_starts(self, entry: Entry) -> bool:
        """Return whether a waiting job will not start, whatever else happens on the system."""
        return entry.state in PENDING and self.hopeless.search(entry.reason) is not None

    def shut(self, entry: Entry) -> bool:
        """Return whether a waiting job will not start until people open its partition or queue again."""
        return entry.state in PENDING and self.closed.search(entry.reason) is not None


def last_match(pattern: str, answer: str, program: str) -> str:
    """Return the first group of a pattern in the last line of an answer that is like it: the number of a job.

    Raises
    ------
    AnswerError
        There is no such line.
    """
    for line in reversed(answer.splitlines()):
        if found := re.fullmatch(pattern, line):
            return found[1]
    raise AnswerError(f"{program} answered {answer.strip()[:200]!r}, which holds no job number")
