"""Several tasks side by side in one job: each in a separate process, with its share of cores, memory and cards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.tools import die_with_parent, tail
from dpa_sse.pipeline.engines.slurm.exit_codes import HOPELESS, NO_SPACE, OUT_OF_MEMORY
from dpa_sse.pipeline.engines.slurm.plan_file import MODULE
from dpa_sse.pipeline.engines.slurm.records import BatchFolder, Share

WORST = (HOPELESS, NO_SPACE, OUT_OF_MEMORY)
"""Exit codes of a task that decide about the job, the last one before all others."""


def run_pack(folder: BatchFolder, member: int, numbers: list[int], share: Share) -> int:
    """Do tasks side by side; returns the exit code.

    Each task has a log, ``log/TASK.txt``, and an exit file, ``ends/TASK``: exit code and seconds. SIGTERM is passed on.
    """
    pack = _Pack(folder, member, share)
    signal.signal(signal.SIGTERM, pack.stop)
    (folder.path / "ends").mkdir(exist_ok=True)
    waiting = list(numbers)
    while pack.at_work or (waiting and not pack.stopped):
        while waiting and not pack.stopped and len(pack.at_work) < share.tasks:
            pack.start(waiting.pop(0))
        pack.take_ended()
        time.sleep(0.1)
    if pack.stopped:
        return 128 + signal.SIGTERM
    codes = sorted(pack.codes, key=lambda code: (code in WORST, WORST.index(code) if code in WORST else code))
    return codes[-1] if codes else 0


class _Pack:
    """The processes of a job."""

    def __init__(self, folder: BatchFolder, member: int, share: Share) -> None:
        self.folder = folder
        self.member = member
        self.share = share
        self.codes: list[int] = []
        self.at_work: dict[int, tuple[int, float, subprocess.Popen[bytes]]] = {}
        self.stopped = False

    def start(self, number: int) -> None:
        """Start a task in the first place that is free."""
        place = next(one for one in range(self.share.tasks) if one not in self.at_work)
        with self._log(number).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(self.folder.path), str(self.member), str(number)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **place_environment(self.share, place)},
                preexec_fn=die_with_parent,  # noqa: PLW1509  (this process has no threads)
            )
        self.at_work[place] = number, time.monotonic(), process

    def take_ended(self) -> None:
        """Write the exit files of the processes that have ended."""
        for place, (number, begun, process) in list(self.at_work.items()):
            found = process.poll()
            if found is None:
                continue
            del self.at_work[place]
            code = found if found >= 0 else 128 - found
            self.codes.append(code)
            name = self.folder.batch.tasks[number].name
            if code and not self.stopped:
                sys.stderr.write(f"{name}: exit code {code}; its log ends with: {tail(self._log(number), 1)[:300]}\n")
            write_text(self.folder.path / "ends" / name, f"{code} {time.monotonic() - begun:.0f}\n")

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Ask all tasks to stop, and start no more."""
        self.stopped = True
        for _, _, process in self.at_work.values():
            process.send_signal(signal.SIGTERM)

    def _log(self, number: int) -> Path:
        return self.folder.path / "log" / f"{self.folder.batch.tasks[number].name}.txt"


def place_environment(share: Share, place: int) -> dict[str, str]:
    """Return the variables of a task: its share of what the job has.

    ``srun`` takes the number of processes, cores and memory from them, and cores that no other step of the job has;
    programs on GPUs see their own cards, or one that several tasks share.
    """
    found = {
        "SLURM_NTASKS": f"{share.processes}", "SLURM_NPROCS": f"{share.processes}",
        "SLURM_NTASKS_PER_NODE": f"{share.processes}", "SLURM_TASKS_PER_NODE": f"{share.processes}",
        "SLURM_CPUS_PER_TASK": f"{share.threads}", "SRUN_CPUS_PER_TASK": f"{share.threads}", "SLURM_EXACT": "1",
    } if "SLURM_JOB_ID" in os.environ else {}
    memory = os.environ.get("SLURM_MEM_PER_NODE", "")
    if found and memory.isdigit():
        found["SLURM_MEM_PER_NODE"] = f"{int(memory) // share.tasks}"
    if share.gpus:
        given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        cards = given or [f"{number}" for number in range(share.gpus)]
        each = len(cards) // share.tasks
        own = cards[place * each : (place + 1) * each] if each else [cards[place % len(cards)]]
        found["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    return found
