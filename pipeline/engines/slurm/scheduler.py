"""The commands of a batch system, run without a shell and never for longer than a limit."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping, Sequence

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import FatalError, PipelineError, TransientError
from dpa_sse.ops.core.tools import die_with_parent
from dpa_sse.pipeline.engines.slurm.dialect import AnswerError, Dialect, Entry, Request

LIMIT_S = 60.0
"""slurmctld may take half a minute to answer when it is busy."""
OF_THE_USER = ("SLURM_MPI_TYPE", "SLURM_CPU_BIND", "SLURM_HINT", "SBATCH_ACCOUNT")
"""Are kept, too, unless this process is part of a job, which may have set them."""
KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER", "PBS_SERVER", "PBS_CONF_FILE", env.LMP.name)
REMOVED = ("SBATCH_", "SQUEUE_", "SCANCEL_", "SLURM_", "SLURMD_", "PBS_", "LSB_", "LS_", env.PREFIX)


class RefusedError(FatalError):
    """The batch system does not accept a job."""


class SilentError(TransientError):
    """The batch system does not answer."""


def clean_environment() -> dict[str, str]:
    """Return the environment for the commands, which jobs inherit.

    Left out are options that would override those of the script, what belongs to a job that this process may be part
    of, and what describes this process to itself (a job gets that from its folder), secrets of a bucket included.
    """
    named = KEPT if "SLURM_JOB_ID" in os.environ else (*KEPT, *OF_THE_USER)
    kept = {name: value for name, value in os.environ.items() if name in named or not name.startswith(REMOVED)}
    return {**kept, "SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard", "LC_ALL": "C.UTF-8"}


class FullError(SilentError):
    """There are too many jobs: in the array, or in the queue."""


class Scheduler:
    """A batch system that can be asked."""

    def __init__(self, dialect: Dialect, limit_s: float = LIMIT_S) -> None:
        self.dialect = dialect
        self.limit_s = limit_s

    def submit(self, request: Request) -> str:
        """Submit a script and return the number of the job.

        Raises
        ------
        RefusedError
            The system does not accept it.
        SilentError
            The system does not answer; whether it has the job is not known.
        FullError
            It does not take so many jobs, or no more for now.
        AnswerError
            It was accepted, or so it seems, but the answer holds no number.
        """
        argv, text = self.dialect.submit(request)
        without = () if request.account is None else ("SBATCH_ACCOUNT",)  # which would count more than the script
        code, out, complaint = self._call(argv, text, cwd=str(request.folder), without=without)
        if code == 0:
            return self.dialect.job_number(out)
        if self.dialect.full(complaint):
            raise FullError(f"{argv[0]}: {_line(complaint)}")
        if self.dialect.unreachable(complaint):
            raise SilentError(f"{argv[0]}: {_line(complaint)}")
        raise RefusedError(f"{argv[0]} refused the job ({_line(complaint) or f'exit code {code}'})")

    def query(self, jobs: Mapping[str, str]) -> list[Entry]:
        """Return what is known of jobs; those that are forgotten are left out, and others that got their numbers.

        Parameters
        ----------
        jobs : mapping
            Name of the job of each number. A controller that has lost its state counts from the beginning again.

        Raises
        ------
        SilentError
            The system does not answer.
        AnswerError
            The answer is not understood.
        """
        return [one for one in self._entries(jobs) if not _foreign(one, jobs)]

    def _entries(self, jobs: Mapping[str, str]) -> list[Entry]:
        if not jobs:
            return []
        argv = self.dialect.query(sorted(jobs))
        code, out, complaint = self._call(argv)
        if code != 0 and not (self.dialect.none_known(complaint) or out.strip()):
            raise SilentError(f"{argv[0]}: {_line(complaint) or f'exit code {code}'}")
        return self.dialect.entries(out) if out.strip() else []

    def find(self, name: str) -> list[str]:
        """Return the numbers of the jobs of a name.

        Raises
        ------
        SilentError
            The system does not answer.
        """
        argv = self.dialect.find(name, getpass.getuser())
        code, out, complaint = self._call(argv)
        if code != 0 and not self.dialect.none_known(complaint):
            raise SilentError(f"{argv[0]}: {_line(complaint) or f'exit code {code}'}")
        return self.dialect.found(out)

    def cancel(self, jobs: Sequence[tuple[str, int | None]], names: Mapping[str, str]) -> str:
        """Cancel jobs, or members of arrays.

        Parameters
        ----------
        jobs : sequence
            Number of a job or an array, and the member; None for the whole.
        names : mapping
            Name of the job of each number: another job that got the number is not cancelled.

        Returns
        -------
        str
            A complaint, empty if there is none.
        """
        if not jobs:
            return ""
        try:
            asked = {number: names[number] for number, _ in jobs}
            foreign = {one.job for one in self._entries(asked) if _foreign(one, asked)}
            own = [one for one in jobs if one[0] not in foreign]
            if not own:
                return ""
            code, _, complaint = self._call(self.dialect.cancel(own))
        except PipelineError as error:
            return str(error)
        return _line(complaint) if code and not self.dialect.none_known(complaint) else ""

    def widen(self, job: str, width: int) -> str:
        """Change how many members of an array may run at a time; return a complaint, empty if there is none."""
        try:
            code, _, complaint = self._call(self.dialect.widen(job, width))
        except PipelineError as error:
            return str(error)
        return (_line(complaint) or f"exit code {code}") if code else ""

    def version(self) -> str:
        """Return the version of the system."""
        code, out, complaint = self._call(self.dialect.version())
        return _line(out or complaint) if code == 0 or out else ""

    def ask(self, argv: Sequence[str]) -> str:
        """Return the output of another command of the system.

        Raises
        ------
        SilentError
            It failed.
        """
        code, out, complaint = self._call(argv)
        if code:
            raise SilentError(f"{argv[0]}: {_line(complaint) or f'exit code {code}'}")
        return out

    def _call(
        self, argv: Sequence[str], text: str | None = None, cwd: str | None = None, *, without: Sequence[str] = ()
    ) -> tuple[int, str, str]:
        environment = {name: value for name, value in clean_environment().items() if name not in without}
        try:
            done = subprocess.run(
                list(argv), input=(text or "").encode(), capture_output=True, timeout=self.limit_s, check=False,
                env=environment, cwd=cwd, preexec_fn=die_with_parent,
            )
        except FileNotFoundError as error:
            raise RefusedError(
                f"{argv[0]} was not found: {self.dialect.title} is not installed here, or not on the PATH "
                "(dpa-sse doctor shows what is)"
            ) from error
        except PermissionError as error:
            raise RefusedError(f"{argv[0]} cannot be started: {error.strerror}") from error
        except OSError as error:  # too many processes, no memory
            raise SilentError(f"{argv[0]} could not be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"").decode("utf-8", "replace")  # sbatch itself waits for room in a full queue
            if self.dialect.full(said):
                raise FullError(f"{argv[0]}: {_line(said)}") from error
            raise SilentError(f"{argv[0]} did not answer within {self.limit_s:.0f} s") from error
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _foreign(entry: Entry, names: Mapping[str, str]) -> bool:
    """Return whether a job is another one than that of its number; some systems shorten names."""
    return bool(entry.name) and not names.get(entry.job, entry.name).startswith(entry.name)


def _line(text: str) -> str:
    """Return a complaint as one line, without the name of its program before each sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    parts = [line.split(": error: ", 1)[-1] for line in lines]
    return "; ".join(dict.fromkeys(parts))[:500]


__all__ = ["AnswerError", "FullError", "RefusedError", "Scheduler", "SilentError", "clean_environment"]
