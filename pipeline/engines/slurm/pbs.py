"""PBS: OpenPBS and PBS Professional (19 and newer): qsub, qstat, qdel."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from dpa_sse.pipeline.config.batch import System, clock
from dpa_sse.pipeline.engines.slurm.dialect import AnswerError, Complaints, Entry, Request, State, last_match
from dpa_sse.pipeline.engines.slurm.slurm import slurm_seconds

STATES: dict[str, State] = {
    "Q": "waiting", "W": "waiting", "T": "waiting", "M": "waiting", "H": "held", "R": "running", "S": "running",
    "U": "running", "B": "running", "E": "ending", "F": "done", "X": "done", "C": "done",
}
CODES: dict[int, State] = {-27: "memory", -26: "memory", -29: "timeout", -28: "timeout", 271: "cancelled"}
"""Exit codes by which PBS says why it has killed a job (JOB_EXEC_KILL_...); 271: SIGTERM."""
NEVER_STARTS = re.compile(
    r"Insufficient amount of (?:queue|server) resource|would exceed .*(?:queue|server)'?s? .*max|"
    r"can never run|Not Running: (?:No matching|Invalid)|Job will never run|does not exist",
    re.IGNORECASE,
)
CLOSED = re.compile(r"Queue not started", re.IGNORECASE)
UNREACHABLE = re.compile(
    r"cannot connect to server|Connection (?:refused|timed out|reset)|Communication failure|No active server|"
    r"Server too busy|errno=111", re.IGNORECASE,
)
FULL = re.compile(r"would exceed .*limit (?:on|of) (?:number|jobs)|Maximum number of jobs", re.IGNORECASE)


class Pbs(Complaints):
    """PBS."""

    system: System = "pbs"
    title = "PBS"
    member = "${PBS_ARRAY_INDEX:-0}"
    own = 'own="${PBS_JOBID:-}" own="${own%%.*}" own="${own/\\[*\\]/[]}"'
    lines: tuple[str, ...] = ()
    warns = False
    excludes = False
    forgotten = re.compile(r"Unknown Job Id")
    silent = UNREACHABLE
    crowded = FULL
    hopeless = NEVER_STARTS
    closed = CLOSED

    def directives(self, request: Request) -> list[str]:
        """Return the lines at the head of the script."""
        job = request.job
        chunk = [f"{job.nodes}:ncpus={job.tasks_per_node * job.cpus_per_task}", f"mpiprocs={job.tasks_per_node}"]
        chunk += [f"ompthreads={job.cpus_per_task}", *([f"ngpus={job.gpus}"] if job.gpus else [])]
        chunk += [f"gpu_model={job.gpu_type}"] if job.gpu_type else []
        chunk += [f"mem={job.mem_MB}mb"] if job.mem_MB else []
        options = [
            f"-N {request.name}", f"-l select={':'.join(chunk)}", f"-l walltime={clock(job.seconds)}", "-j oe",
            "-o log/", "-V",
        ]
        options += ["-r n"] if request.count == 1 else []  # arrays have to be rerunnable
        options += [f"-A {request.account}"] if request.account else []
        options += [f"-q {job.partition}"] if job.partition else []
        options += [f"-J 0-{request.count - 1}%{request.width}"] if request.count > 1 else []
        return [f"#PBS {option}" for option in [*options, *job.options]]

    def submit(self, request: Request) -> tuple[list[str], str | None]:
        """Return the command that submits a script, and its standard input."""
        return ["qsub", str(request.script)], None

    def job_number(self, answer: str) -> str:
        """Return the number of the job from the answer to qsub: ``1234.server`` or ``1234[].server``."""
        return last_match(r"\s*(\d+(?:\[\])?)(\.[\w.-]+)?\s*", answer, "qsub")

    def query(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for the state of jobs."""
        return ["qstat", "-x", "-t", "-f", "-F", "json", *jobs]

    def entries(self, answer: str) -> list[Entry]:
        """Return the jobs in the answer of qstat; an array has an entry for itself, which says nothing."""
        try:
            jobs = json.loads(answer).get("Jobs", {}) if answer.strip() else {}
        except (ValueError, AttributeError) as error:
            raise AnswerError(f"qstat answered {answer.strip()[:200]!r}, which was not understood") from error
        found = []
        for name, data in jobs.items():
            place = re.match(r"(\d+)(\[(\d*)\])?", name)
            word = str(data.get("job_state", ""))
            if place is None or word not in STATES or (place[2] and not place[3] and word == "B"):
                continue
            code = data.get("Exit_status")
            state = STATES[word]
            if state == "done" and isinstance(code, int) and code:
                state = CODES.get(code, "failed")
            job = f"{place[1]}[]" if place[2] else place[1]
            start = str(data.get("estimated", {}).get("start_time", "") or data.get("stime", ""))
            members = (int(place[3]),) if place[3] else None
            nodes = re.sub(r"/[^+]*|[()]", "", str(data.get("exec_host", "")))
            ran = slurm_seconds(str(data.get("resources_used", {}).get("walltime", "")))
            found.append(Entry(
                job, members, state, word, str(data.get("comment", "")), start, code, nodes, ran,
                str(data.get("Job_Name", "")),
            ))
        return found

    def find(self, name: str, user: str) -> list[str]:
        """Return the command that asks for the numbers of jobs of a name."""
        return ["qselect", "-x", "-N", name, "-u", user]

    def found(self, answer: str) -> list[str]:
        """Return the numbers of the jobs in the answer."""
        return [match[1] for line in answer.splitlines() if (match := re.match(r"\s*(\d+(?:\[\])?)(?:\.|\s*$)", line))]

    def cancel(self, jobs: Sequence[tuple[str, int | None]]) -> list[str]:
        """Return the command that cancels jobs, or members of arrays."""
        return ["qdel", *(job if member is None else job.replace("[]", f"[{member}]") for job, member in jobs)]

    def widen(self, job: str, width: int) -> list[str]:
        """Return the command that changes how many members of an array may run at a time."""
        return ["qalter", "-W", f"max_run_subjobs={width}", job]

    def version(self) -> list[str]:
        """Return the command that tells the version."""
        return ["qstat", "--version"]
