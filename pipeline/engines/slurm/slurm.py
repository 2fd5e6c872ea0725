"""Slurm (20.02 and newer): sbatch, squeue, scancel; accounting is not needed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dpa_sse.pipeline.config.batch import System, clock
from dpa_sse.pipeline.engines.slurm.dialect import AnswerError, Complaints, Entry, Request, State, last_match

STATES: dict[str, State] = {
    "PENDING": "waiting", "CONFIGURING": "waiting", "REQUEUED": "waiting", "REQUEUE_FED": "waiting",
    "RESV_DEL_HOLD": "held", "REQUEUE_HOLD": "held", "SPECIAL_EXIT": "held",
    "RUNNING": "running", "SUSPENDED": "running", "STOPPED": "running", "SIGNALING": "running", "RESIZING": "running",
    "STAGE_OUT": "running", "COMPLETING": "ending",
    "COMPLETED": "done", "FAILED": "failed", "TIMEOUT": "timeout", "DEADLINE": "timeout",
    "NODE_FAIL": "node", "BOOT_FAIL": "node", "PREEMPTED": "preempted", "REVOKED": "cancelled",
    "OUT_OF_MEMORY": "memory", "CANCELLED": "cancelled",
}
NEVER_STARTS = re.compile(
    r"PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|BadConstraints"
    r"|DependencyNeverSatisfied|AccountNotAllowed|QOSNotAllowed|InvalidAccount|InvalidQOS"
    r"|QOSTimeLimit|AssociationTimeLimit"
    r"|(?:Assoc|QOS)\w*Per(?:Job|Node)\w*|(?:Assoc|QOS)\w*WallDuration\w*|ReservationDeleted"
    r"|FedJobLock|NonZeroExitCode|launch.failed.requeued.held|JobHoldMaxRequeue"
)
"""Reasons of a waiting job that the rest of the queue does not change."""
CLOSED = re.compile(r"PartitionDown|PartitionInactive|FrontEndDown")
"""Reasons that go away when the partition is opened again, e.g. after maintenance."""
UNREACHABLE = re.compile(
    r"Unable to contact slurm controller|Socket timed out|Connection (?:refused|timed out|reset)|Zero Bytes|"
    r"temporarily unable|Resource temporarily unavailable|Transport endpoint|slurm_load_jobs error: .*contact|"
    r"in standby mode|Communication (?:connection failure|shutdown)|Message receive failure|"
    r"Protocol authentication error|Munge (?:en|de)code|establish a configuration source",
    re.IGNORECASE,
)
SUBMIT_LIMIT = re.compile(
    r"SubmitJobs?(?:PerUser)?Limit|(?:Assoc|QOS)(?:Max|Grp)Submit|Invalid job array specification|"
    r"temporarily unable to accept job",
    re.IGNORECASE,
)
OTHER_LIMIT = re.compile(r"\b(?:Assoc|QOS)(?:Max|Min|Grp)\w+")
"""A limit of the job itself, which Slurm names beside the general words on all of them, "job submit limit" included."""
EXCLUDE = re.compile(r"(?:--exclude(?:=|\s+)|-x[=\s]*)(\S.*)")
MEMBERS = re.compile(r"^(\d+)(?:\+\d+)?(?:_(?:(\d+)|\[([^\]]*)\]))?$")


class Slurm(Complaints):
    """Slurm."""

    system: System = "slurm"
    title = "Slurm"
    member = "${SLURM_ARRAY_TASK_ID:-0}"
    own = 'own="${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-}}"'
    lines: tuple[str, ...] = ('export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"',)  # srun does not take it over
    warns = True
    excludes = True
    forgotten = re.compile(r"Invalid job id")
    silent = UNREACHABLE
    crowded = SUBMIT_LIMIT
    hopeless = NEVER_STARTS
    closed = CLOSED

    def directives(self, request: Request) -> list[str]:
        """Return the lines at the head of the script."""
        job = request.job
        gpus = f"gpu:{job.gpu_type}:{job.gpus}" if job.gpu_type else f"gpu:{job.gpus}"
        options = {
            "job-name": request.name, "account": request.account, "partition": job.partition, "qos": job.qos,
            "constraint": job.constraint, "nodes": job.nodes, "ntasks-per-node": job.tasks_per_node,
            "cpus-per-task": job.cpus_per_task, "gres": gpus if job.gpus else None,
            "mem": f"{job.mem_MB}M" if job.mem_MB else None, "time": clock(job.seconds),
            "signal": f"B:USR1@{request.stop_before_s}",
            "array": f"0-{request.count - 1}%{request.width}" if request.count > 1 else None,
            "output": "log/%a.txt" if request.count > 1 else "log/0.txt",
        }
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        more = list(job.options)
        if request.exclude:  # the last one counts, so that it has the user's too
            own = [found[1].strip() for option in more if (found := EXCLUDE.match(option))]
            more.append(f"--exclude={','.join([*own, *request.exclude])}")
        return [f"#SBATCH {option}" for option in [*given, "--no-requeue", "--open-mode=append", *more]]

    def submit(self, request: Request) -> tuple[list[str], str | None]:
        """Return the command that submits a script, and its standard input."""
        return ["sbatch", "--parsable", f"--chdir={request.folder}", str(request.script)], None

    def job_number(self, answer: str) -> str:
        """Return the number of the job from the answer to sbatch: the last line that is one, maybe with a cluster."""
        return last_match(r"\s*(\d+)(;[\w.-]+)?\s*", answer, "sbatch")

    def query(self, jobs: Sequence[str]) -> list[str]:
        """Return the command that asks for the state of jobs."""
        return ["squeue", "--noheader", "--states=all", f"--jobs={','.join(jobs)}", "--format=%i|%T|%S|%M|%N|%j|%r"]

    def entries(self, answer: str) -> list[Entry]:
        """Return the jobs in the answer of squeue."""
        found = []
        for line in answer.splitlines():
            parts = [part.strip() for part in line.split("|", 6)]
            place = MEMBERS.match(parts[0]) if len(parts) == 7 else None
            if place is None or parts[1] not in STATES:
                continue
            members = (int(place[2]),) if place[2] else expand(place[3]) if place[3] else None
            start, ran, nodes, _, reason = ("" if part in ("N/A", "None", "Unknown") else part for part in parts[2:])
            state = STATES[parts[1]]
            if state == "waiting" and reason in ("JobHeldUser", "JobHeldAdmin"):
                state = "held"
            found.append(Entry(
                place[1], members, state, parts[1], reason, start, nodes=nodes, ran_s=slurm_seconds(ran),
                name=parts[5],
            ))
        if answer.strip() and not found:
            raise AnswerError(f"squeue answered {answer.strip()[:200]!r}, which was not understood")
        return found

    def find(self, name: str, user: str) -> list[str]:
        """Return the command that asks for the numbers of jobs of a name."""
        return ["squeue", "--noheader", "--states=all", f"--name={name}", f"--user={user}", "--format=%F"]

    def found(self, answer: str) -> list[str]:
        """Return the numbers of the jobs in the answer."""
        return sorted({line.strip() for line in answer.splitlines() if line.strip().isdigit()}, key=int)

    def cancel(self, jobs: Sequence[tuple[str, int | None]]) -> list[str]:
        """Return the command that cancels jobs, or members of arrays."""
        return ["scancel", *(job if member is None else f"{job}_{member}" for job, member in jobs)]

    def widen(self, job: str, width: int) -> list[str]:
        """Return the command that changes how many members of an array may run at a time."""
        return ["scontrol", "update", f"JobId={job}", f"ArrayTaskThrottle={width}"]

    def full(self, complaint: str) -> bool:
        """Return whether the association or QOS takes no more jobs of this user for now."""
        return super().full(complaint) or (
            "job submit limit" in complaint.lower() and OTHER_LIMIT.search(complaint) is None
        )

    def version(self) -> list[str]:
        """Return the command that tells the version."""
        return ["sbatch", "--version"]


def slurm_seconds(text: str) -> int | None:
    """Return the seconds of a time as Slurm writes it; None for no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if found is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def expand(text: str) -> tuple[int, ...] | None:
    """Return the members in ``0-3,7,10-20:2%5``; None if the list was cut by squeue."""
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        place = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if place is None:
            return None
        first, last, step = int(place[1]), int(place[2] or place[1]), int(place[3] or 1)
        found += range(first, last + 1, step)
    return tuple(found)
