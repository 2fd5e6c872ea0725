"""A stand-in for Slurm, PBS and LSF that answers as their documentation says: jobs are processes of this machine.

Installed as ``sbatch``, ``squeue``, ``qsub``, ``bjobs``, ... in a folder by :func:`install`; the name decides what it
is. Its state is in the folder ``$FAKE_BATCH``: ``jobs/N/`` for each job, ``mode`` for faults (``refuse``, ``garbage``,
``hang``, ``down``, ``lost-answer``: accepted, but the answer does not arrive; ``late N``: as that, but accepted N
seconds later), ``limit`` of jobs in the queue,
``array`` for the largest array, ``reason`` for which jobs do not start, ``calls`` with a line for each command,
``nodes`` (n1 and n2), ``broken``: nodes on which no Python starts, ``blind``: nodes that do not see the run folder,
``accounting``: what sacct tells (it complains if there is none), ``most``: how many jobs were at work at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAMS = {
    "slurm": ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct"),
    "pbs": ("qsub", "qstat", "qselect", "qdel", "qalter"),
    "lsf": ("bsub", "bjobs", "bkill", "bmod"),
}
MEMBER = {"slurm": "SLURM_ARRAY_TASK_ID", "pbs": "PBS_ARRAY_INDEX", "lsf": "LSB_JOBINDEX"}
WORDS = {
    "slurm": {"waiting": "PENDING", "running": "RUNNING", "done": "COMPLETED", "failed": "FAILED",
              "cancelled": "CANCELLED", "timeout": "TIMEOUT", "node": "NODE_FAIL", "memory": "OUT_OF_MEMORY",
              "preempted": "PREEMPTED"},
    "pbs": {"waiting": "Q", "running": "R"},
    "lsf": {"waiting": "PEND", "running": "RUN", "done": "DONE"},
}
EXIT_REASONS = {"cancelled": "TERM_OWNER: killed by owner", "timeout": "TERM_RUNLIMIT: run limit reached",
                "memory": "TERM_MEMLIMIT: memory limit", "preempted": "TERM_PREEMPT: preempted", "node": "TERM_RMS"}
PBS_CODES = {"cancelled": 271, "timeout": -29, "memory": -27}


def install(folder: Path, system: str) -> None:
    """Write the commands of a batch system into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS[system]:
        path = folder / name
        path.write_text(f"#!/bin/sh\nexec {sys.executable} -S -E {Path(__file__).resolve()} {name} \"$@\"\n")
        path.chmod(0o755)


class Fake:
    """The system behind one command."""

    def __init__(self, name: str) -> None:
        self.root = Path(os.environ["FAKE_BATCH"])
        self.name = name
        self.system = next((system for system, names in PROGRAMS.items() if name in names), "slurm")
        (self.root / "jobs").mkdir(parents=True, exist_ok=True)
        with (self.root / "calls").open("a") as stream:
            stream.write(f"{name}\n")
        mode = self.root / "mode"
        self.mode = mode.read_text().strip() if mode.exists() else ""

    def main(self, arguments: list[str]) -> int:
        if self.mode == "hang":
            time.sleep(60)
        if self.mode == "down":
            text = {"slurm": "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
                    "pbs": "Connection refused\nqstat: cannot connect to server pbs (errno=15010)",
                    "lsf": "LSF is down. Please wait ..."}
            sys.stderr.write(text[self.system] + "\n")
            return 1
        kind = {"sbatch": "submit", "qsub": "submit", "bsub": "submit", "scancel": "cancel", "qdel": "cancel",
                "bkill": "cancel", "squeue": "query", "qstat": "query", "bjobs": "query", "qselect": "select",
                "scontrol": "config", "sinfo": "nodes", "sacct": "accounting", "qalter": "widen", "bmod": "widen",
                }[self.name]
        if "--version" in arguments:
            print("slurm 22.05.8")
            return 0
        return getattr(self, kind)(arguments)

    def accounting(self, _arguments: list[str]) -> int:
        path = self.root / "accounting"
        if not path.exists():
            sys.stderr.write("Slurm accounting storage is disabled\n")
            return 1
        print(path.read_text(), end="")
        return 0

    def widen(self, arguments: list[str]) -> int:
        text = " ".join(arguments)
        number = re.search(r"JobId=(\d+)|(\d+)(?:\[\])?$", text)
        width = re.search(r"ArrayTaskThrottle=(\d+)|max_run_subjobs=(\d+)|%(\d+)", text)
        assert number is not None
        assert width is not None
        path = self.root / "jobs" / next(filter(None, number.groups())) / "job.json"
        data = json.loads(path.read_text())
        data["most"] = int(next(filter(None, width.groups())))
        path.with_suffix(".new").write_text(json.dumps(data))
        path.with_suffix(".new").replace(path)
        return 0

    def config(self, arguments: list[str]) -> int:
        if "update" in arguments:
            return self.widen(arguments)
        if "partition" in arguments:
            print("PartitionName=cpu AllowAccounts=ALL Default=YES MaxNodes=UNLIMITED MaxTime=1-00:00:00 State=UP")
            print("PartitionName=gpu AllowAccounts=ALL Default=NO MaxNodes=2 MaxTime=12:00:00 State=UP")
        else:
            print("MaxArraySize            = 1001")
        return 0

    def nodes(self, arguments: list[str]) -> int:
        if "--Node" in arguments:
            print("\n".join(node_names(self.root)))
            return 0
        print("cpu|10|64|256000|(null)\ngpu|2|32|512000|gpu:a100:4")
        return 0

    def submit(self, arguments: list[str]) -> int:
        if self.mode == "refuse":
            sys.stderr.write(f"{self.name}: error: Batch job submission failed: Invalid account or account/partition\n")
            return 1
        if self.mode == "garbage":
            print("Welcome to the cluster!")
            return 0
        if self.mode.startswith("late"):
            (self.root / "mode").unlink()
            later = f"sleep {self.mode.split()[1]}; exec {sys.executable} -S -E {__file__} {self.name} \"$@\""
            subprocess.Popen(["bash", "-c", later, "bash", *arguments], start_new_session=True, stdin=sys.stdin,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            sys.stderr.write({"slurm": "sbatch: error: Socket timed out on send/recv operation",
                              "pbs": "Connection timed out", "lsf": "batch daemon not responding"}[self.system] + "\n")
            return 1
        text = sys.stdin.read() if self.name == "bsub" else Path(arguments[-1]).read_text()
        head = "\n".join(line for line in text.splitlines() if line.startswith(("#SBATCH", "#PBS", "#BSUB")))
        array = re.search(r"--array=0-(\d+)%(\d+)|-J 0-(\d+)%(\d+)|\[1-(\d+)\]%(\d+)", head)
        name = re.search(r'--job-name=(\S+)|-N (\S+)|-J "([^"\[]+)', head)
        assert name is not None, head
        last, most = [int(part) for part in array.groups() if part] if array else (None, 1)
        first = 1 if self.system == "lsf" else 0
        members = list(range(first, last + 1)) if last is not None else [-1]
        largest = self.root / "array"
        if largest.exists() and len(members) > int(largest.read_text()):
            sys.stderr.write("sbatch: error: Batch job submission failed: Invalid job array specification\n")
            return 1
        limit = self.root / "limit"
        queued = sum(state in ("waiting", "running") for _, _, states in self.jobs([]) for state in states.values())
        if limit.exists() and queued + len(members) > int(limit.read_text()):
            sys.stderr.write("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
                             "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n")
            return 1
        number = 1
        while True:
            folder = self.root / "jobs" / str(number)
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
        (folder / "script").write_text(text)
        data = {"name": next(filter(None, name.groups())), "members": members, "most": most, "cwd": str(Path.cwd()),
                "array": last is not None, "head": head}
        (folder / "job.json").write_text(json.dumps(data))
        for member in members:
            (folder / f"state.{member}").write_text("waiting")
        subprocess.Popen([sys.executable, "-S", "-E", __file__, "run", str(number), self.system],
                         start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
        if self.mode == "lost-answer":
            (self.root / "mode").unlink()
            sys.stderr.write("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n")
            return 1
        brackets = "[]" if data["array"] else ""
        print({"slurm": f"{number}", "pbs": f"{number}{brackets}.server",
               "lsf": f"Job <{number}> is submitted to queue <normal>."}[self.system])
        return 0

    def jobs(self, wanted: list[str]) -> list[tuple[str, dict[str, Any], dict[int, str]]]:
        found = []
        for number in wanted or sorted((path.name for path in (self.root / "jobs").iterdir()), key=int):
            folder = self.root / "jobs" / number
            if (folder / "job.json").exists():
                data = json.loads((folder / "job.json").read_text())
                states = {member: (folder / f"state.{member}").read_text() for member in data["members"]}
                found.append((number, data, states))
        return found

    def query(self, arguments: list[str]) -> int:
        if self.mode == "garbage":
            print("<html>Service unavailable</html>")
            return 0
        by_name = [part.partition("=")[2] for part in arguments if part.startswith("--name=")]
        if self.name == "bjobs" and "-J" in arguments:
            by_name = [arguments[arguments.index("-J") + 1]]
        if by_name:
            return self.show_named(by_name[0])
        given = ",".join(part.removeprefix("--jobs=") for part in arguments if re.match(r"(--jobs=)?\d", part))
        found = self.jobs(re.findall(r"\d+", given))
        if not found:
            sys.stderr.write({"slurm": "slurm_load_jobs error: Invalid job id specified\n",
                              "pbs": "qstat: Unknown Job Id 7.server\n", "lsf": "Job <7> is not found\n"}[self.system])
            return 1
        {"slurm": self.squeue, "pbs": self.qstat, "lsf": self.bjobs}[self.system](found)
        return 0

    def squeue(self, found: list[Any]) -> None:
        for number, data, states in found:
            waiting = [member for member, state in states.items() if state == "waiting"]
            reason = self.reason or "Resources"
            if data["array"] and waiting:
                places = f"{number}_[{','.join(map(str, waiting))}%{data['most']}]"
                print(f"{places}|PENDING|N/A|0:00||{data['name']}|{reason}")
            for member, state in states.items():
                if state == "waiting" and data["array"]:
                    continue
                place = f"{number}_{member}" if data["array"] else number
                node = self.root / "jobs" / number / f"node.{member}"
                spot = f"0:07|{node.read_text()}" if node.exists() else "0:00|"
                why = reason if state == "waiting" else "None"
                print(f"{place}|{WORDS['slurm'][state]}|N/A|{spot}|{data['name']}|{why}")

    def qstat(self, found: list[Any]) -> None:
        jobs: dict[str, Any] = {}
        for number, data, states in found:
            if data["array"]:
                jobs[f"{number}[].server"] = {"job_state": "B"}
            for member, state in states.items():
                place = f"{number}[{member}].server" if data["array"] else f"{number}.server"
                one: dict[str, Any] = {"job_state": WORDS["pbs"].get(state, "F"), "Job_Name": data["name"]}
                if state == "waiting":
                    one["comment"] = self.reason or "Not Running: Insufficient amount of resource: ncpus"
                elif state != "running":
                    one["Exit_status"] = PBS_CODES.get(state, 0 if state == "done" else 1)
                jobs[place] = one
        print(json.dumps({"timestamp": 1, "pbs_version": "23.06", "Jobs": jobs}))

    def bjobs(self, found: list[Any]) -> None:
        for number, data, states in found:
            for member, state in states.items():
                index = member if data["array"] else 0
                pending = self.reason or "New job is waiting for scheduling" if state == "waiting" else "-"
                name = data["name"] + (f"[{index}]" if index else "")
                code = "-" if state in ("waiting", "running", "done") else "143"
                print(f"{number}|{index}|{WORDS['lsf'].get(state, 'EXIT')}|{code}|-|"
                      f"{EXIT_REASONS.get(state, '-')}|7 second(s)|n1|{name}|{pending}")

    def show_named(self, name: str) -> int:
        for number, data, _ in self.jobs([]):
            if data["name"] == name:
                print(number)
        return 0

    def select(self, arguments: list[str]) -> int:
        name = arguments[arguments.index("-N") + 1]
        for number, data, _ in self.jobs([]):
            if data["name"] == name:
                print(f"{number}{'[]' if data['array'] else ''}.server")
        return 0

    def cancel(self, arguments: list[str]) -> int:
        for text in arguments:
            number, *rest = re.findall(r"\d+", text)
            folder = self.root / "jobs" / number
            for path in folder.glob("state.*"):
                member = path.name.removeprefix("state.")
                if (not rest or member == rest[0]) and path.read_text() in ("waiting", "running"):
                    end(folder, member, "cancelled")
        return 0

    @property
    def reason(self) -> str:
        path = self.root / "reason"
        return path.read_text().strip() if path.exists() else ""


def end(folder: Path, member: str | int, state: str, number: int = signal.SIGTERM) -> None:
    """End a member of a job: its script, and all that it has started."""
    (folder / f"state.{member}").write_text(state)
    pid = folder / f"pid.{member}"
    if pid.exists():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid.read_text()), number)


def node_names(root: Path) -> list[str]:
    """Return the names of the nodes."""
    path = root / "nodes"
    return path.read_text().split() if path.exists() else ["n1", "n2"]


def numbers_of(number: str, member: int, system: str) -> dict[str, str]:
    """Return the variables by which a job knows its number; that of a member of an array of Slurm is another one."""
    if system == "slurm":
        return {"SLURM_JOB_ID": number} if member < 0 else {
            "SLURM_JOB_ID": f"{int(number) * 1000 + member}", "SLURM_ARRAY_JOB_ID": number
        }
    if system == "lsf":
        return {"LSB_JOBID": number}
    return {"PBS_JOBID": f"{number}.server" if member < 0 else f"{number}[{member}].server"}


def begin(root: Path, folder: Path, member: int, variables: dict[str, str], system: str) -> subprocess.Popen[bytes]:
    """Start the script of a member on the first node that it may use."""
    data = json.loads((folder / "job.json").read_text())
    excluded = {name for text in re.findall(r"--exclude=(\S+)", data["head"]) for name in text.split(",")}
    node = next(name for name in node_names(root) if name not in excluded)
    (folder / f"node.{member}").write_text(node)
    broken, blind = (
        node in ((root / name).read_text() if (root / name).exists() else "").split() for name in ("broken", "blind")
    )
    variables |= {"SLURMD_NODENAME": node, **numbers_of(folder.name, member, system)}
    variables |= {"PYTHONHOME": "/nowhere"} if broken else {}
    command = ["false"] if blind else ["bash", str(folder / "script")]
    with (folder / f"out.{member}").open("ab") as out:
        return subprocess.Popen(command, cwd=data["cwd"], env=variables, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=out, start_new_session=True)


def at_work(path: Path, first: int) -> bool:
    """Whether the job of a file with its state is at work: it runs, and its script has not come to its last line."""
    member = max(0, int(path.suffix[1:]) - first)
    folder = Path(json.loads((path.parent / "job.json").read_text())["cwd"])
    over = (folder / "exit" / f"{member}").exists() or (folder / "closed").exists()
    return path.read_text() == "running" and not over


def note_most(root: Path, system: str) -> None:
    """Write down how many jobs of all scripts are at work, if they have never been so many."""
    first = 1 if system == "lsf" else 0
    count = sum(at_work(path, first) for path in (root / "jobs").glob("*/state.*"))
    path = root / "most"
    with contextlib.suppress(ValueError):
        if count > (int(path.read_text()) if path.exists() else 0):
            path.write_text(f"{count}")


def run(root: Path, number: str, system: str) -> None:
    """Run the members of a job, as many at a time as it allows (the scheduler)."""
    folder = root / "jobs" / number
    data = json.loads((folder / "job.json").read_text())
    waiting, active = list(data["members"]), {}
    while waiting or active:
        data = json.loads((folder / "job.json").read_text())  # its width may have been changed
        while waiting and len(active) < data["most"] and not (root / "reason").exists():
            member = waiting.pop(0)
            if (folder / f"state.{member}").read_text() != "waiting":
                continue
            variables = dict(os.environ)
            if data["array"]:
                variables[MEMBER[system]] = str(member)
            process = begin(root, folder, member, variables, system)
            (folder / f"pid.{member}").write_text(str(process.pid))
            (folder / f"state.{member}").write_text("running")
            active[member] = process
            note_most(root, system)
        for member, process in list(active.items()):
            if process.poll() is not None:
                del active[member]
                if (folder / f"state.{member}").read_text() == "running":
                    (folder / f"state.{member}").write_text("failed" if process.returncode else "done")
        time.sleep(0.05)


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(Path(os.environ["FAKE_BATCH"]), *sys.argv[2:4])
    else:
        sys.exit(Fake(sys.argv[1]).main(sys.argv[2:]))
