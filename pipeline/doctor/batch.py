"""Batch systems that can be reached from here, and whether the current folder is on a shared file system."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dpa_sse.pipeline.doctor.finding import Finding, last_line

SYSTEMS = {
    "Slurm": ("sbatch", ["sbatch", "--version"], ["sinfo", "--noheader", "--format=%R"]),
    "PBS": ("qsub", ["qsub", "--version"], ["qstat", "-Q"]),
    "LSF": ("bsub", ["bsub", "-V"], ["bqueues", "-w"]),
}
"""For each system: its program, the command for the version, and one that only works if the system answers."""
SHARED = (
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "beegfs_nodev", "ceph", "fuse.ceph", "cifs", "smb3", "afs", "panfs",
    "pvfs2", "orangefs", "glusterfs", "fuse.glusterfs", "wekafs", "quobyte", "fuse.quobyte", "9p", "virtiofs",
)
ANSWER_S = 20


def batch_systems() -> Iterator[Finding]:
    """Yield what was found of Slurm, PBS and LSF, and the file system of the current folder."""
    found = False
    for title, (program, version, question) in SYSTEMS.items():
        path = shutil.which(program)
        if path is None:
            continue
        found = True
        _, text = _ask(version)
        answers, said = _ask(question)
        if answers:
            yield Finding("Batch systems", title, "ok", f"{last_line(text)}, {path}", "runs with --on " + title.lower())
        else:
            yield Finding("Batch systems", title, "warning", f"{last_line(text)}, {path}",
                          f"does not answer: {last_line(said)}")
    if not found:
        yield Finding("Batch systems", "Slurm, PBS, LSF", "optional", "not found", "only needed for runs with --on")
        return
    kind = file_system(Path.cwd(), _mounts())
    if kind in SHARED:
        yield Finding("Batch systems", "run folder", "ok", f"{Path.cwd()} is on a shared file system ({kind})")
    else:
        where = f"{Path.cwd()} is on {kind or 'an unknown file system'}"
        yield Finding("Batch systems", "run folder", "warning", where,
                      "jobs need a run folder that all nodes see: start runs in a folder on a shared file system")


def file_system(folder: Path, mounts: str) -> str:
    """Return the type of the file system of a folder, from the text of ``/proc/mounts``; empty if it is not known."""
    best, kind = "", ""
    for line in mounts.splitlines():
        parts = line.split()
        if len(parts) < 3:
            continue
        place = parts[1].replace("\\040", " ")
        if (folder.is_relative_to(place)) and len(place) >= len(best):
            best, kind = place, parts[2]
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _ask(argv: list[str]) -> tuple[bool, str]:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=ANSWER_S, check=False)
    except subprocess.TimeoutExpired:
        return False, f"no answer within {ANSWER_S} s"
    except OSError as error:
        return False, error.strerror or str(error)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace")
