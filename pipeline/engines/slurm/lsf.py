"""LSF (10.1 and newer): bsub, bjobs, bkill. Members of its arrays are counted from 1."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dpa_sse.pipeline.config.batch import System
from dpa_sse.pipeline.engines.slurm.dialect import AnswerError, Complaints, Entry, Request, State

STATES: dict[str, State] = {
    "PEND": "waiting", "PROV": "waiting", "WAIT": "waiting", "PSUSP": "held", "RUN": "running", "USUSP": "running",
    "SSUSP": "running", "UNKWN": "running", "DONE": "done", "EXIT": "failed", "ZOMBI": "node",
}
ENDED: tuple[tuple[str, State], ...] = (
    ("TERM_RUNLIMIT", "timeout"), ("TERM_DEADLINE", "timeout"), ("TERM_CPULIMIT", "timeout"),
    ("TERM_MEMLIMIT", "memory"), ("TERM_SWAP", "memory"), ("TERM_PREEMPT", "preempted"), ("TERM_REQUEUE", "preempted"),
    ("TERM_OWNER", "cancelled"), ("TERM_ADMIN", "cancelled"), ("TERM_FORCE_ADMIN", "cancelled"),
    ("TERM_FORCE_OWNER", "cancelled"), ("TERM_EXTERNAL_SIGNAL", "cancelled"), ("TERM_RMS", "node"),
    ("TERM_ZOMBIE", "node"), ("TERM_ORPHAN_SYSTEM", "node"),
)
"""Reasons of the end of a job that failed."""
NEVER_STARTS = re.compile(
    r"queue (?:has been|is) deleted|not specified in job submission|cannot be satisfied|"
    r"dependency condition (?:invalid|never)|no (?:suitable|host).*(?:meet|satisf)|Invalid (?:queue|project)",
    re.IGNORECASE,
)
CLOSED = re.compile(r"queue (?:has been|is) (?:closed|inactivated)|Closed by", re.IGNORECASE)
UNREACHABLE = re.compile(
    r"LSF is down|Please wait|Failed in an LSF library call|communication|Connection (?:refused|timed out)|"
    r"batch daemon not responding", re.IGNORECASE,
)
FULL = re.compile(r"limit .*(?:pending|jobs).*reached|Pending job threshold|Job limit exceeded", re.IGNORECASE)


class Lsf(Complaints):
    """LSF."""

    system: System = "lsf"
    title = "LSF"
    member = "$(( ${LSB_JOBINDEX:-0} > 0 ? LSB_JOBINDEX - 1 : 0 ))"
    own = 'own="${LSB_JOBID:-}"'
    lines: tuple[str, ...] = ()
    warns = True
    excludes = False
    forgotten = re.compile(r"is not found|No (?:unfinished )?job found")
    silent = UNREACHABLE
    crowded = FULL
    hopeless = NEVER_STARTS
    closed = CLOSED

    def directives(self, request: Request) -> list[str]:
        """Return the lines at the head of the script; the time limit and the warning are in minutes."""
        job = request.job
        minutes, warning = -(-job.seconds // 60), -(-request.stop_before_s // 60)
        several = f"[1-{request.count}]%{request.width}" if request.count > 1 else ""
        options = [
            f'-J "{request.name}{several}"', f"-n {job.nodes * job.tasks_per_node}",
            f'-R "span[ptile={job.tasks_per_node}]"', f'-R "affinity[core({job.cpus_per_task})]"',
            f"-W {minutes // 60}:{minutes % 60:02d}", f"-wa USR1 -wt {warning}", "-rn",
            "-o log/%I.txt" if request.count > 1 else "-o log/0.txt",
        ]
        options += [f"-P {request.account}"] if request.account else []
        options += [f"-q {job.partition}"] if job.partition else []
        options += [f'-R "rusage[mem={job.mem_MB}MB]"', f"-M {job.mem_MB}MB"] if job.mem_MB else []
        kind = f":gmodel={job.gpu_type}" if job.gpu_type else ""
        options += [f'-gpu "num={job.gpus}{kind}"'] if job.gpus else []
        return [f"#BSUB {option}" for option in [*options, *job.options]]

    def submit(self, request: Request) -> tuple[list[str], str | None]:
        """Return the command that submits a script, and its standard input: bsub reads the script from there."""
        return ["bsub", "-cwd", str(request.folder)], request.script.read_text(encoding="utf-8")

    def job_number(self, answer: str) -> str:
        """Return the number of the job from the answer to bsub: ``Job <123> is submitted to queue <normal>.``."""
        found = re.search(r"Job <(\d+)> is submitted", answer)
        if found is None:
            raise AnswerError(f"bsub answered {answer.strip()[:200]!r}, which holds no job number")
        return found[1]

    def query(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for the state of jobs."""
        fields = "jobid jobindex stat exit_code estimated_start_time exit_reason run_time exec_host job_name"
        return ["bjobs", "-a", "-noheader", "-o", f"{fields} pend_reason delimiter='|'", *jobs]

    def entries(self, answer: str) -> list[Entry]:
        """Return the jobs in the answer of bjobs."""
        found = []
        for line in answer.splitlines():
            parts = [part.strip() for part in line.split("|", 9)]
            if len(parts) != 10 or not parts[0].isdigit() or parts[2] not in STATES:
                continue
            code, start, ended, ran, hosts, name, pending = ("" if part == "-" else part for part in parts[3:])
            state = STATES[parts[2]]
            if state == "failed":
                state = next((kind for mark, kind in ENDED if mark in ended), state)
            members = (int(parts[1]) - 1,) if parts[1].isdigit() and parts[1] != "0" else None
            number = int(code) if code.isdigit() else None
            seconds = re.match(r"\d+", ran)  # "17 second(s)"
            found.append(Entry(
                parts[0], members, state, parts[2], pending or ended, start, number, hosts,
                int(seconds[0]) if seconds else None, name.partition("[")[0],
            ))
        if answer.strip() and not found:
            raise AnswerError(f"bjobs answered {answer.strip()[:200]!r}, which was not understood")
        return found

    def find(self, name: str, user: str) -> list[str]:
        """Return the command that asks for the numbers of jobs of a name."""
        return ["bjobs", "-a", "-noheader", "-u", user, "-J", name, "-o", "jobid"]

    def found(self, answer: str) -> list[str]:
        """Return the numbers of the jobs in the answer."""
        return sorted({line.strip() for line in answer.splitlines() if line.strip().isdigit()}, key=int)

    def cancel(self, jobs: Sequence[tuple[str, int | None]]) -> list[str]:
        """Return the command that cancels jobs, or members of arrays."""
        return ["bkill", *(job if member is None else f"{job}[{member + 1}]" for job, member in jobs)]

    def widen(self, job: str, width: int) -> list[str]:
        """Return the command that changes how many members of an array may run at a time."""
        return ["bmod", "-J", f"%{width}", job]

    def version(self) -> list[str]:
        """Return the command that tells the version."""
        return ["bsub", "-V"]
