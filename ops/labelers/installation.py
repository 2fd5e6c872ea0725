"""What the doctor reports about a program with a folder of pseudopotentials."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from dpa_sse.ops.labelers.base import ProgramFinding


def program_with_pseudos(name: str, programs: Sequence[str], purpose: str, variable: str) -> Iterator[ProgramFinding]:
    """Yield whether a program is installed, and how many pseudopotentials its variable names.

    Parameters
    ----------
    name : str
        Name of the code.
    programs : sequence of str
        Names of its program, the usual one first.
    purpose : str
        What it is needed for, where it is missing.
    variable : str
        Environment variable with the folder of pseudopotentials.
    """
    found = next((one for one in programs if shutil.which(one)), None)
    if found is None:
        yield ProgramFinding(name, "optional", "not installed", purpose)
    else:
        note = "" if found == programs[0] else f"write `command: {found}` for the labeler"
        yield ProgramFinding(name, "ok", str(shutil.which(found)), note)
    title, value = f"{name} pseudopotentials", os.environ.get(variable)
    if not value:
        if found:
            yield ProgramFinding(title, "optional", f"{variable} is not set", "or name their folder with pseudo_dir")
        return
    folder = Path(value).expanduser()
    if not folder.is_dir():
        yield ProgramFinding(title, "warning", value, f"{variable} names no folder")
        return
    count = sum(path.suffix.lower() == ".upf" for path in folder.iterdir())
    yield ProgramFinding(title, "ok" if count else "warning", str(folder), f"{count} UPF files")
