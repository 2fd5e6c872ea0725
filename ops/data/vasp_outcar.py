"""OUTCAR: labels of all steps that are valid, with an account of the others; blocks are read with dpdata."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import NOT_CONVERGED, Account
from dpa_sse.ops.data.convergence import HARD_STOP, NOT_REACHED, vasp_fault
from dpa_sse.ops.data.elements import check_elements
from dpa_sse.ops.data.output_frames import LabelledStep, OutputFrames
from dpa_sse.ops.data.plain_text import read_text
from dpa_sse.ops.data.vasp_level import DEFAULTS, FROM_OUTPUT, UNKNOWN, vasp_level
from dpa_sse.ops.data.vasp_xml import KB_IN_EV_A3
from dpa_sse.ops.results.level import LevelOfTheory

STEP_END = "free  energy   TOTEN"
ML_ENERGY = "free  energy ML TOTEN"
NEVER_PRINTED = ("ADDGRID",)
_TOTEN = re.compile(r"free  energy   TOTEN  =\s+(-?\d+\.\d+) eV\s*$")
_CYCLE = re.compile(r"Iteration\s+(\d+)\(\s*(\d+)\)")


def read_outcar(path: Path) -> OutputFrames:
    """Read an OUTCAR, compressed or not; of one that is cut off, the complete steps.

    Raises
    ------
    InputError
        It is not an OUTCAR, or its elements cannot be told.
    """
    account = Account(path, "outcar")
    text, cut = read_text(path)
    blocks, rest = _blocks(text)
    head = (blocks[0] if blocks else rest).splitlines()
    names, numbers, types, nelm = _header(head, path, account)
    check_elements([name for name, count in zip(names, numbers, strict=True) if count], str(path),
                   " (a pseudo-atom, or an unknown potential)")
    elements = [names[kind] for kind in types]
    frames = OutputFrames(elements, account, level=_level(head))
    for number, block in enumerate(blocks):
        _take(frames, block, len(elements), nelm, first=number == 0)
    if _CYCLE.search(rest):
        account.leave_out("cut off")
    account.leave_out("predicted by a force field (ML_FF)", text.count(ML_ENERGY))
    if cut:
        account.note("the file is truncated")
    return frames


def _blocks(text: str) -> tuple[list[str], str]:
    """Return the text of each ionic step, which ends with the line of its energy, and what follows the last one."""
    blocks, start = [], 0
    while (place := text.find(STEP_END, start)) >= 0:
        end = text.find("\n", place) + 1 or len(text)
        blocks.append(text[start:end])
        start = end
    return blocks, text[start:]


def _header(head: list[str], path: Path, account: Account) -> tuple[list[str], list[int], np.ndarray, int]:
    from dpdata.formats.vasp.outcar import system_info

    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            names, numbers, types, nelm, _ = system_info(head, type_idx_zero=True)
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            why = str(error).strip().splitlines()[:1]
            raise InputError(f"{path}: not readable as outcar, or truncated: {(why or ['no header'])[0]}") from error
    for one in caught:
        account.note(str(one.message).splitlines()[0])
    return names, numbers, types, nelm if nelm is not None else 60


def _take(frames: OutputFrames, block: str, count: int, nelm: int, *, first: bool) -> None:
    """Take the step of one block, which ends with its energy, or count why it gives no label."""
    from dpdata.formats.vasp.outcar import analyze_block

    account = frames.account
    lines = block.splitlines()
    if not first and "ions per type" in block and _other_cell(lines, frames.elements):
        account.leave_out("of another cell (two runs in one file)")
        return
    found = _CYCLE.findall(block)
    cycles, steps = [int(number) for _, number in found], {step for step, _ in found}
    if len(steps) > 1:  # the energies of the steps before are missing
        account.leave_out("incomplete or damaged", len(steps) - 1)
    energy = _TOTEN.search(lines[-1])
    try:
        coord, cell, _, force, stress, _ = analyze_block(lines, count, nelm)
    except (ValueError, IndexError, AssertionError, TypeError):
        account.leave_out("incomplete or damaged")
        return
    stopped = HARD_STOP in block or NOT_REACHED in block
    if vasp_fault(cycles[-1] if cycles else 0, nelm, stopped_inside=stopped):
        account.leave_out(NOT_CONVERGED)
        return
    if len(force) == 0 and len(coord) == 0:
        account.leave_out("without forces (NWRITE)")
        return
    if energy is None or np.shape(force) != (count, 3) or np.shape(cell) != (3, 3):
        account.leave_out("incomplete or damaged")
        return
    box = np.array(cell)
    virial = None if stress is None else stress * KB_IN_EV_A3 * abs(float(np.linalg.det(box)))
    frames.add(LabelledStep(np.array(coord), box, float(energy[1]), np.array(force), virial))


def _other_cell(block: list[str], elements: list[str]) -> bool:
    """Return whether a second header in the file names other atoms."""
    from dpdata.formats.vasp.outcar import system_info

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names, _, types, *_ = system_info(block, type_idx_zero=True)
    except (AssertionError, RuntimeError, ValueError, IndexError):
        return True
    return [names[kind] for kind in types] != elements


def _level(head: list[str]) -> LevelOfTheory:
    """Return the level of theory that the header states."""
    used: dict[str, str] = {}
    titles: list[str] = []
    mesh: list[int] | None = None
    cell = None
    wanted = (*FROM_OUTPUT, "NELM")
    for number, line in enumerate(head):
        if "TITEL" in line and "=" in line:
            titles.append(" ".join(line.partition("=")[2].split()))
        elif "generate k-points for:" in line:
            words = line.partition(":")[2].split()[:3]
            mesh = [int(word) for word in words] if len(words) == 3 and all(map(str.isdigit, words)) else None
        elif cell is None and "direct lattice vectors" in line:
            cell = _cell(head[number + 1: number + 4])
        elif "=" in line and line[:1] == " " and "TOTEN" not in line:
            for part in line.split(";"):
                name, equals, value = part.partition("=")
                name = name.strip()
                if equals and name in wanted and value.split():
                    words = value.split()
                    many = name in ("LDAUL", "LDAUU", "LDAUJ")
                    used.setdefault(name, " ".join(words) if many else words[0])
    used |= _plus_u(head)
    echo = _echo(head)
    for name in NEVER_PRINTED if "GGA" in used else (*DEFAULTS, "GGA"):
        if name not in echo:
            used.setdefault(name, UNKNOWN)
    if "ENCUT" in used:
        used["ENMAX"] = used["ENCUT"]
    return vasp_level({**used, **echo}, {k: v for k, v in used.items() if k not in echo}, titles, mesh, cell)


def _plus_u(head: list[str]) -> dict[str, str]:
    """Return the tags of DFT+U, which have separate lines."""
    found: dict[str, str] = {}
    for line in head:
        for word, name in (("angular momentum for each species", "LDAUL"), ("U (eV)", "LDAUU"), ("J (eV)", "LDAUJ")):
            if word in line and "LDAU" in line and "=" in line:
                found[name] = " ".join(line.rpartition("=")[2].split())
                found["LDAU"] = "T"
    return found


def _echo(head: list[str]) -> dict[str, str]:
    """Return the tags of the INCAR, which VASP 6 repeats at the start."""
    found: dict[str, str] = {}
    start = next((k for k, line in enumerate(head) if line.strip() == "INCAR:"), None)
    for line in [] if start is None else head[start + 1:]:
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            break
        if name.strip() in FROM_OUTPUT:
            found[name.strip()] = " ".join(value.split())
    return found


def _cell(rows: list[str]) -> np.ndarray | None:
    try:
        return np.array([[float(word) for word in row.replace("-", " -").split()[:3]] for row in rows]).reshape(3, 3)
    except ValueError:
        return None
