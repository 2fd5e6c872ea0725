"""What the doctor reports about CP2K and its data files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.base import ProgramFinding
from dpa_sse.ops.labelers.cp2k.program import command_words, data_folder, version
from dpa_sse.ops.labelers.programs import program_of
from dpa_sse.ops.labelers.settings import Cp2kSettings

PURPOSE = "only needed for labels with CP2K (Debian, Ubuntu: apt-get install cp2k)"
OTHER_NAMES = ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt")
NEEDED_FILES = ("BASIS_MOLOPT", "GTH_POTENTIALS")
FURTHER_FILES = ("BASIS_MOLOPT_UZH", "xTB_parameters")


def installation_findings() -> Iterator[ProgramFinding]:
    """Yield version and place of CP2K, and its folder of basis sets and potentials."""
    if shutil.which("cp2k") is None:
        other = next((found for name in OTHER_NAMES if (found := shutil.which(name))), None)
        if other:
            yield ProgramFinding("CP2K", "ok", other, f"write `command: {Path(other).name}` for the labeler")
        else:
            yield ProgramFinding("CP2K", "optional", "not installed", PURPOSE)
        return
    settings = Cp2kSettings()
    try:
        words = command_words(settings)
        yield ProgramFinding("CP2K", "ok", f"{version(tuple(words))}, {shutil.which(program_of(words))}")
    except InputError as error:
        yield ProgramFinding("CP2K", "warning", "does not work", str(error))
    try:
        folder = data_folder(settings)
    except InputError as error:
        yield ProgramFinding("CP2K data", "warning", "not found", str(error))
        return
    missing = [name for name in NEEDED_FILES if not (folder / name).is_file()]
    fewer = [name for name in FURTHER_FILES if not (folder / name).is_file()]
    if missing:
        yield ProgramFinding("CP2K data", "warning", str(folder), f"{', '.join(missing)} is missing")
    else:
        note = f"without {', '.join(fewer)}: not every basis set or method" if fewer else ""
        yield ProgramFinding("CP2K data", "ok", str(folder), note)
