"""vasprun.xml: labels of all steps that are valid, with an account of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.account import NOT_CONVERGED, Account
from dpa_sse.ops.data.convergence import HARD_STOP, ends_inside_a_cycle, vasp_fault
from dpa_sse.ops.data.elements import check_elements, element_of_titel
from dpa_sse.ops.data.output_frames import LabelledStep, OutputFrames
from dpa_sse.ops.data.plain_text import open_bytes
from dpa_sse.ops.data.vasp_level import vasp_level

KB_IN_EV_A3 = 6.241509074e-4  # 1 kB = 0.1 GPa
SAME_ENERGY_EV = 2e-3  # per atom, between the last electronic step and the energy of the ionic step
TAIL_BYTES = 1 << 24


def read_vasprun(path: Path) -> OutputFrames:
    """Read a vasprun.xml, compressed or not; of one that is cut off, the complete steps.

    Raises
    ------
    InputError
        It is not a vasprun.xml, or names no elements.
    """
    account = Account(path, "vasprun")
    found: dict[str, Any] = {}
    steps: list[_Calculation] = []
    reader = _Reader()
    cut = ""
    try:
        with open_bytes(path) as stream:
            for element in reader.parts(stream):
                if element.tag == "calculation":
                    steps.append(_Calculation(element))
                    element.clear()
                elif element.tag not in found:
                    found[element.tag] = element
    except (ElementTree.ParseError, EOFError, OSError, UnicodeDecodeError, ValueError) as error:
        cut = str(error).splitlines()[0]
    return _frames(path, account, found, steps, cut, open_step=reader.inside)


class _Reader:
    """Yields the parts of the file that matter, and remembers whether it ended inside a step."""

    inside = False

    def parts(self, stream: IO[bytes]) -> Iterator[ElementTree.Element]:
        for event, element in ElementTree.iterparse(stream, events=("start", "end")):  # noqa: S314 - expat limits entities
            if element.tag == "calculation":
                self.inside = event == "start"
            if event == "end" and element.tag in ("calculation", "incar", "parameters", "kpoints", "atominfo"):
                yield element
            elif event == "end" and element.tag in ("dos", "eigenvalues", "projected", "dielectricfunction"):
                element.clear()


class _Calculation:
    """The numbers of one ionic step; None where they are missing or unreadable."""

    def __init__(self, element: ElementTree.Element) -> None:
        self.cycles = [_number(one, "energy/i[@name='e_fr_energy']") for one in element.findall("scstep")]
        self.energy = _number(element, "energy/i[@name='e_fr_energy']")
        self.cell = _rows(element.find("structure/crystal/varray[@name='basis']"))
        self.fractional = _rows(element.find("structure/varray[@name='positions']"))
        self.forces = _rows(element.find("varray[@name='forces']"))
        self.stress = _rows(element.find("varray[@name='stress']"))
        self.has_stress = element.find("varray[@name='stress']") is not None


def _number(element: ElementTree.Element, path: str) -> float | None:
    found = element.find(path)
    try:
        return float(found.text or "") if found is not None else None
    except ValueError:
        return None


def _rows(element: ElementTree.Element | None) -> NDArray[np.float64] | None:
    if element is None:
        return None
    try:
        rows = [[float(word) for word in (row.text or "").split()] for row in element]
    except ValueError:
        return None
    return np.array(rows) if rows and all(len(row) == 3 for row in rows) else None


def settings_of(element: ElementTree.Element | None) -> dict[str, str]:
    """Return the tags below ``<incar>`` or ``<parameters>`` as text; the first of several values counts."""
    tags: dict[str, str] = {}
    for one in () if element is None else element.iter():
        if one.tag in ("i", "v") and one.get("name"):
            tags.setdefault(str(one.get("name")).upper(), " ".join((one.text or "").split()))
    return tags


def _frames(
    path: Path, account: Account, found: dict[str, Any], steps: list[_Calculation], cut: str, *, open_step: bool
) -> OutputFrames:
    if "atominfo" not in found:
        what = f"truncated ({cut})" if cut else "no atoms in it"
        raise InputError(f"{path}: not readable as vasprun, or truncated: {what}")
    symbols, titles, counts = _atoms(found["atominfo"], path)
    if len(titles) == len(counts):
        for name, titel in zip(dict.fromkeys(symbols), dict.fromkeys(titles), strict=False):
            if element_of_titel(titel) != name and len(titles) == len(set(symbols)):
                account.note(f"element {name} was computed with the potential {titel}")
    tags, used = settings_of(found.get("incar")), settings_of(found.get("parameters"))
    level = vasp_level(tags, used, titles, _mesh(found.get("kpoints")), steps[0].cell if steps else None)
    frames = OutputFrames(symbols, account, level=level)
    nelm, ediff = int(_value(used, tags, "NELM", 60)), abs(_value(used, tags, "EDIFF", 1e-4))
    pstress = _value(used, tags, "PSTRESS", 0.0)
    stopped = _stopped_inside(path)
    for number, step in enumerate(steps):
        last = number == len(steps) - 1 and not open_step
        known = [one for one in step.cycles if one is not None]
        inside = last and (stopped or ends_inside_a_cycle(known, ediff)) and len(step.cycles) < nelm
        _take(frames, step, nelm, pstress, stopped_inside=inside and bool(step.cycles))
    if open_step:
        account.leave_out("cut off")
    if cut:
        account.note("the file is truncated")
    return frames


def _take(frames: OutputFrames, step: _Calculation, nelm: int, pstress: float, *, stopped_inside: bool) -> None:
    """Take one step, or count why it gives no label."""
    account, count = frames.account, len(frames.elements)
    if not step.cycles and (step.energy is None or step.forces is None or step.stress is None):
        account.leave_out("without labels")
        return
    if not step.cycles:
        account.leave_out("without electronic steps (a force field of VASP, or an image that was not computed)")
        return
    if vasp_fault(len(step.cycles), nelm, stopped_inside=stopped_inside):
        account.leave_out(NOT_CONVERGED)
        return
    shapes = {"cell": (3, 3), "fractional": (count, 3), "forces": (count, 3)}
    wrong = any(getattr(step, name) is None or getattr(step, name).shape != shape for name, shape in shapes.items())
    if wrong or step.energy is None or (step.has_stress and (step.stress is None or step.stress.shape != (3, 3))):
        account.leave_out("incomplete or damaged")
        return
    assert step.cell is not None and step.fractional is not None and step.forces is not None  # noqa: S101 - see above
    volume = abs(float(np.linalg.det(step.cell)))
    energy = _without_pv(step.energy, step.cycles[-1], pstress * KB_IN_EV_A3 * volume, count)
    if energy is None:
        account.leave_out("whose energy with PSTRESS does not fit its electronic steps")
        return
    if pstress:
        account.note(f"PSTRESS = {pstress:g} kB: the energies are those without P V")
    virial = None if step.stress is None else step.stress * KB_IN_EV_A3 * volume
    frames.add(LabelledStep(step.fractional @ step.cell, step.cell, energy, step.forces, virial))


def _without_pv(energy: float, electronic: float | None, work: float, count: int) -> float | None:
    """Return the energy without the work against PSTRESS, which VASP adds to it; None if that cannot be told."""
    if not work:
        return energy
    if electronic is None:
        return None
    fitting = [one for one in (energy - work, energy) if abs(one - electronic) < SAME_ENERGY_EV * count]
    return min(fitting, key=lambda one: abs(one - electronic)) if fitting else None


def _value(used: dict[str, str], tags: dict[str, str], name: str, default: float) -> float:
    try:
        return float(used.get(name, tags.get(name, "")).split()[0].lower().replace("d", "e"))
    except (ValueError, IndexError):
        return default


def _atoms(element: ElementTree.Element, path: Path) -> tuple[list[str], list[str], list[int]]:
    """Return the element of each atom, and title and number of atoms of each potential."""
    def cells(name: str) -> list[list[str]]:
        rows = element.findall(f"array[@name='{name}']/set/rc")
        return [[(cell.text or "").strip() for cell in row] for row in rows]

    try:
        names, kinds = cells("atoms"), cells("atomtypes")
        titles, counts = [" ".join(row[4].split()) for row in kinds], [int(row[0]) for row in kinds]
        types = [int(row[1]) - 1 for row in names]
        symbols = [_symbol(row[0], titles[kind]) for row, kind in zip(names, types, strict=True)]
        if [types.count(kind) for kind in range(len(kinds))] != counts:
            raise ValueError("the atoms do not fit their types")
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}: not readable as vasprun, or truncated: {error}") from error
    if not symbols:
        raise InputError(f"{path}: not readable as vasprun, or truncated: no atoms in it")
    check_elements(symbols, str(path), " (a pseudo-atom, or an unknown potential)")
    return symbols, titles, counts


def _symbol(written: str, titel: str) -> str:
    """Return the element; VASP writes X for elements that it does not know, the title of the potential tells them."""
    named = element_of_titel(titel)
    return named if named and (written in ("X", "r", "") or named.startswith(written)) else written


def _mesh(element: ElementTree.Element | None) -> list[int] | None:
    found = element.find("generation/v[@name='divisions']") if element is not None else None
    try:
        mesh = [int(word) for word in (found.text or "").split()] if found is not None else []
    except ValueError:
        return None
    return mesh if len(mesh) == 3 and min(mesh) > 0 else None


def _stopped_inside(path: Path) -> bool:
    """Return whether the OUTCAR beside the file reports that STOPCAR ended a cycle."""
    outcar = path.with_name(path.name.replace("vasprun", "OUTCAR").replace(".xml", ""))
    outcar = outcar if outcar.is_file() else path.with_name("OUTCAR")
    if not outcar.is_file():
        return False
    with outcar.open("rb") as stream:
        stream.seek(max(0, outcar.stat().st_size - TAIL_BYTES))
        return HARD_STOP.encode() in stream.read()
