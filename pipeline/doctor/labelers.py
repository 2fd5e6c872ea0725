"""What the doctor says about the programs that make labels, and the small runs of ``doctor --deep``."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dpa_sse.pipeline.doctor.finding import Finding, Status, answer_in, last_line, probe

CP2K_FILES = ("BASIS_MOLOPT", "GTH_POTENTIALS")
CP2K_FILES_MORE = ("BASIS_MOLOPT_UZH", "xTB_parameters")
VASP_PROGRAMS = ("vasp_std", "vasp_gam", "vasp_ncl", "vasp")


def labelers() -> Iterator[Finding]:
    """Yield findings on DeePMD-kit's program, CP2K with its data files, VASP with its PAW data sets."""
    beside = Path(sys.executable).parent
    path = shutil.which("dp", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    yield Finding("Programs", "dp", "ok" if path else "warning", path or "not found",
                  "" if path else "comes with deepmd-kit; run `make setup`")
    yield from _cp2k()
    yield from _vasp()


def _cp2k() -> Iterator[Finding]:
    purpose = "only needed for labels with CP2K (Debian, Ubuntu: apt-get install cp2k)"
    if shutil.which("cp2k") is None:
        other = next((found for name in ("cp2k.psmp", "cp2k.ssmp", "cp2k.popt") if (found := shutil.which(name))), None)
        if other:
            yield Finding("Programs", "CP2K", "ok", other, f"write `command: {Path(other).name}` for the labeler")
        else:
            yield Finding("Programs", "CP2K", "optional", "not installed", purpose)
        return
    try:
        from dpa_sse.ops.core.errors import InputError
        from dpa_sse.ops.labelers.cp2k.program import command_words, data_folder, version
        from dpa_sse.ops.labelers.settings import Cp2kSettings
    except ImportError as error:
        yield Finding("Programs", "CP2K", "warning", "not looked at", f"our own package can not be imported: {error}")
        return
    settings = Cp2kSettings()
    try:
        words = command_words(settings)
        yield Finding("Programs", "CP2K", "ok", f"{version(tuple(words))}, {shutil.which(words[-1])}")
    except InputError as error:
        yield Finding("Programs", "CP2K", "warning", "does not work", str(error))
    try:
        folder = data_folder(settings)
    except InputError as error:
        yield Finding("Programs", "CP2K data", "warning", "not found", str(error))
        return
    missing = [name for name in CP2K_FILES if not (folder / name).is_file()]
    fewer = [name for name in CP2K_FILES_MORE if not (folder / name).is_file()]
    if missing:
        yield Finding("Programs", "CP2K data", "warning", str(folder), f"{', '.join(missing)} is missing")
    else:
        note = f"without {', '.join(fewer)}: not every basis set or method" if fewer else ""
        yield Finding("Programs", "CP2K data", "ok", str(folder), note)


def _vasp() -> Iterator[Finding]:
    command, problem = vasp_command()
    if problem:
        yield Finding("Programs", "VASP", "warning", os.environ["VASP_COMMAND"], problem)
    elif command:
        yield Finding("Programs", "VASP", "ok", shlex.join(command))
    else:
        yield Finding("Programs", "VASP", "optional", "not installed",
                      "only needed for labels with VASP; VASP_COMMAND says how it is started")
    named = os.environ.get("VASP_POTCAR_DIR")
    if not named:
        if command:
            yield Finding("Programs", "POTCAR library", "warning", "VASP_POTCAR_DIR is not set",
                          "VASP needs its PAW data sets")
        return
    folder = Path(named).expanduser()
    if not folder.is_dir():
        yield Finding("Programs", "POTCAR library", "warning", named, "VASP_POTCAR_DIR names no folder")
        return
    places = {file.parent for depth in ("*", "*/*") for file in folder.glob(f"{depth}/POTCAR*")}
    count = len(places) or len(list(folder.glob("POTCAR.*")))
    yield Finding("Programs", "POTCAR library", "ok" if count else "warning", str(folder),
                  f"{count} data sets" if count else "no POTCAR in it: Li/POTCAR or POTCAR.Li is expected")


def vasp_command() -> tuple[list[str], str]:
    """Return how VASP is started (empty: it is not there), and what is wrong with VASP_COMMAND."""
    text = os.environ.get("VASP_COMMAND")
    if not text:
        found = next((name for name in VASP_PROGRAMS if shutil.which(name)), None)
        return ([found] if found else []), ""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return [], f"VASP_COMMAND: {error}"
    missing = next((word for word in (*words[:1], *words[-1:]) if shutil.which(word) is None), None)
    return ([], f"VASP_COMMAND: program {missing!r} is not found") if missing or not words else (words, "")


def small_runs(findings: list[Finding]) -> Iterator[Finding]:
    """Run a small calculation with every program that was found, and yield the results."""
    found = {one.name: one for one in findings}
    for name, title, needs in (
        ("lammps", "LAMMPS + model", ("LAMMPS",)), ("chgnet", "CHGNet label", ("chgnet",)),
        ("cp2k", "CP2K label", ("CP2K", "CP2K data")), ("vasp", "VASP label", ("VASP", "POTCAR library")),
    ):
        absent = [one for one in needs if one not in found or found[one].status not in {"ok", "warning"}]
        absent += [one for one in needs if one in found and found[one].value in {"does not work", "not found"}]
        if absent:
            yield Finding("Small runs", title, "optional", "not tried", f"{absent[0]} was not found")
            continue
        good, text = probe([sys.executable, "-m", "dpa_sse.pipeline.doctor.deep", name])
        answer = answer_in(text)
        if good and answer:
            yield Finding("Small runs", title, "ok", answer["value"])
        else:
            bad: Status = "missing" if name == "lammps" else "warning"
            yield Finding("Small runs", title, bad, "failed", answer["value"] if answer else last_line(text))
