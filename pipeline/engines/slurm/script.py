"""The script of a job: what the user's settings say, quoted, around one command."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from dpa_sse.pipeline.engines.slurm.dialect import Dialect, Request

NO_FOLDER = 66
"""Exit code of a job that does not see the run folder."""
TERMINATED = 128 + signal.SIGTERM
ANSWER_S = 120
"""How long a job waits to be told whether it or the repetition of its submission is to do the work."""

_CLAIM = (
    "# the file `job` names the job that is to do the work; `repeated`: there may be two of them",
    'mine() { [ -z "$own" ] || [ ! -s job ] || [ "$(cat job)" = "$own" ]; }',
    f"for _ in {{1..{ANSWER_S}}}; do [ -e repeated ] && [ ! -s job ] && [ ! -e closed ] && [ -n \"$own\" ] || break;"
    " sleep 1; done",
    '[ ! -e repeated ] || [ -z "$own" ] || (set -C; echo "$own" >job) 2>/dev/null',
    'if [ -e closed ] || ! mine; then echo "job $own: not the one that is waited for; it does nothing"; exit 0; fi',
)
"""Lines of the script that find out whether this job is to do the work."""


def current_umask() -> int:
    """Return the umask of this process."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def batch_script(
    dialect: Dialect, request: Request, command: Sequence[str | Path], exports: Mapping[str, str], umask: int
) -> str:
    """Return the script of a job, or of all members of an array.

    Parameters
    ----------
    dialect : Dialect
    request : Request
    command : sequence of str or Path
        What does the work; gets the number of the member as its last argument.
    exports : mapping
        Environment variables; no secrets.
    umask : int
        Of the files that the job makes.

    Returns
    -------
    str
        The signal before the time limit, and SIGTERM, are passed to the command, which stops and keeps its checkpoint.
        Exit code, cause, seconds, node and number of the job go to ``exit/N``. A job that nobody waits for does
        nothing: its submission was repeated, and the other job stays, or everything has been taken over.
    """
    folder = shlex.quote(str(request.folder))
    early = max(1, request.job.seconds - request.stop_before_s)
    lines = [
        "#!/bin/bash",
        *dialect.directives(request),
        "",
        f"umask {umask:04o}",
        'node="${SLURMD_NODENAME:-$(hostname)}"',
        f"cd -- {folder} || {{ echo \"$node does not see the run folder\" >&2; exit {NO_FOLDER}; }}",
        f"member={dialect.member}",
        dialect.own,
        *_CLAIM,
        'rm -f "exit/$member"',
        "printf '%-120s\\n' - >\"exit/$member.tmp\"",  # its place is there when the disk is full
        "early=- task=",
        'stop() { [ "$early" != - ] || early=$1; [ -z "$task" ] || kill -TERM "$task" 2>/dev/null; }',
        "finish() {",
        '  mine && printf \'%-120s\\n\' "$1 $early $SECONDS $node $own" 1<>"exit/$member.tmp" &&'
        ' mv -f "exit/$member.tmp" "exit/$member"',
        '  exit "$1"',
        "}",
        "trap 'stop time' USR1",
        "trap 'stop term' TERM",
        *[f"export {name}={shlex.quote(value)}" for name, value in exports.items()],
        *dialect.lines,
        *request.job.setup,
        f'[ "$early" = - ] || finish {TERMINATED}',  # told to stop before it began
        f"{' '.join(shlex.quote(str(part)) for part in command)} \"$member\" &",
        "task=$!",
        '[ "$early" = - ] || kill -TERM "$task" 2>/dev/null',
        *([] if dialect.warns else [f"( sleep {early}; kill -USR1 $$ ) >/dev/null 2>&1 &", "clock=$!"]),
        "while :; do",
        '  wait "$task" && code=0 || code=$?',
        '  kill -0 "$task" 2>/dev/null || break',
        "done",
        *([] if dialect.warns else ['kill "$clock" 2>/dev/null']),
        'finish "$code"',
    ]
    return "\n".join(lines) + "\n"
