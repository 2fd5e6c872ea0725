"""What the doctor reports about VASP and its PAW data sets."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import ProgramFinding
from dpa_sse.ops.labelers.settings import VaspSettings
from dpa_sse.ops.labelers.vasp.job import command_of

PROGRAMS = ("vasp_std", "vasp_gam", "vasp_ncl", "vasp")


def installation_findings() -> Iterator[ProgramFinding]:
    """Yield how VASP is started, and its library of PAW data sets."""
    command, problem = _command()
    if problem:
        yield ProgramFinding("VASP", "warning", os.environ["VASP_COMMAND"], problem)
    elif command:
        yield ProgramFinding("VASP", "ok", shlex.join(command))
    else:
        yield ProgramFinding("VASP", "optional", "not installed",
                             "only needed for labels with VASP; set VASP_COMMAND to the command that starts it")
    named = os.environ.get("VASP_POTCAR_DIR")
    if not named:
        if command:
            yield ProgramFinding("POTCAR library", "warning", "VASP_POTCAR_DIR is not set",
                                 "VASP needs its PAW data sets")
        return
    folder = Path(named).expanduser()
    if not folder.is_dir():
        yield ProgramFinding("POTCAR library", "warning", named, "VASP_POTCAR_DIR names no folder")
        return
    places = {file.parent for depth in ("*", "*/*") for file in folder.glob(f"{depth}/POTCAR*")}
    count = len(places) or len(list(folder.glob("POTCAR.*")))
    yield ProgramFinding("POTCAR library", "ok" if count else "warning", str(folder),
                         f"{count} data sets" if count else "no POTCAR in it: Li/POTCAR or POTCAR.Li is expected")


def _command() -> tuple[list[str], str]:
    """Return the command that starts VASP (empty: there is none), and what is wrong with VASP_COMMAND."""
    if not os.environ.get("VASP_COMMAND"):
        found = next((name for name in PROGRAMS if shutil.which(name)), None)
        return ([found] if found else []), ""
    try:
        return command_of(VaspSettings()), ""
    except InputError as error:
        return [], str(error)
