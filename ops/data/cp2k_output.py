"""The output of CP2K: evaluations of energy, forces and stress, cell, atoms and settings; versions 6 to 2026."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.convergence import CP2K_ENERGY_LINE, cp2k_converged
from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile

STRESS_UNITS_GPA = {
    "gpa": 1.0, "bar": 1e-4, "kbar": 0.1, "mpa": 1e-3, "pa": 1e-9, "atm": 1.01325e-4, "hartree/bohr^3": 29421.02648,
    "a.u.": 29421.02648,
}
ENERGY_UNITS_HARTREE = {
    "a.u.": 1.0, "hartree": 1.0, "ev": 1 / 27.211386245988, "kev": 1e3 / 27.211386245988, "ry": 0.5,
    "kcalmol": 1 / 627.5094740631, "kjmol": 1 / 2625.4996394799,
}
FORCE_UNITS_HARTREE_BOHR = {
    "a.u.": 1.0, "hartree/bohr": 1.0, "ry/bohr": 0.5, "ev/angstrom": 0.529177210903 / 27.211386245988,
    "hartree/angstrom": 0.529177210903, "ev/bohr": 1 / 27.211386245988, "n": 1 / 8.2387234983e-8,
    "mn": 1e-3 / 8.2387234983e-8, "mnewton": 1e-3 / 8.2387234983e-8, "newton": 1 / 8.2387234983e-8,
}
"""Units that a user may choose for what is printed (FORCE_EVAL/PRINT), in small letters."""
SAME_VECTOR_A = 6e-4  # the output prints lattice vectors with three decimals

_NUMBER = r"[+-]?\d+\.\d+(?:[ED][+-]?\d+)?"
_ENERGY = re.compile(
    rf"^ ?{re.escape(CP2K_ENERGY_LINE)} \([^)\n]*\) energy\s*[\[(](?P<unit>[^\])\n]+)[\])]:?"
    rf"\s+(?P<value>{_NUMBER})\s*$", re.M,
)
_FORCES = re.compile(
    r"^ (?:ATOMIC FORCES in \[a\.u\.\]\s*\n\s*\n?.*\n"
    r"(?P<old>(?:[ \t]+\d+[ \t]+\d+[ \t]+\S+(?:[ \t]+\S+){3}[ \t]*\n)+) *SUM OF ATOMIC"
    r"|FORCES\| Atomic forces \[(?P<unit>[^\]\n]+)\]\s*\n FORCES\|\s+Atom.*\n"
    r"(?P<new>(?: FORCES\|[ \t]+\d+(?:[ \t]+\S+){4}[ \t]*\n)+) FORCES\| Sum)", re.M,
)
_STRESS = re.compile(
    r"^ (?:STRESS\| (?:Analytical|Numerical) stress tensor|STRESS TENSOR) \[(?P<unit>[^\]\n]+)\]\s*\n"
    rf"(?:\s*\n)?.*\n(?P<rows>(?: (?:STRESS\|)?[ \t]+[xyzXYZ](?:[ \t]+{_NUMBER}){{3}}[ \t]*\n){{3}})", re.M,
)
_VECTOR = re.compile(r"^ CELL\| Vector ([abc]) \[angstrom\]?:?\s+(\S+)\s+(\S+)\s+(\S+)\s+\|[abc]\| =\s+(\S+)", re.M)
_ANGLE = re.compile(r"^ CELL\| Angle \(\w,\w\), (alpha|beta|gamma)\s+\[degree\]:\s+(\S+)", re.M)
_COORDINATES = re.compile(
    r"MODULE [\w ]+:\s+ATOMIC COORDINATES IN (?P<unit>\w+)\s*\n(?:\s*\n)*.*Atom\s+Kind\s+Element.*\n(?:\s*\n)*"
    r"(?P<rows>(?:[ \t]*\d+[ \t]+\d+[ \t]+\S+[ \t]+\d+(?:[ \t]+\S+){3,}[ \t]*\n)+)", re.I,
)


@dataclass(frozen=True)
class RawEvaluation:
    """One evaluation; what was not printed completely is None.

    Attributes
    ----------
    energy : float
        Hartree.
    forces : ndarray, shape (n, 3), or None
        Hartree/bohr.
    stress : ndarray, shape (3, 3), or None
        GPa, CP2K's sign: positive when the cell tends to expand.
    stress_unit : str
        A unit of the stress that is not known; empty else.
    unknown_unit : str
        A unit of energy or forces that is not known, and of which; empty else. There is no label then.
    converged : bool
        Whether self-consistency was reached.
    """

    energy: float
    forces: NDArray[np.float64] | None
    stress: NDArray[np.float64] | None
    converged: bool
    stress_unit: str = ""
    unknown_unit: str = ""


def raw_evaluations(text: str) -> list[RawEvaluation]:
    """Return the evaluations in an output, in order."""
    found = list(_ENERGY.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)] * bool(found)
    verdicts = cp2k_converged(text)
    result = []
    for k, (energy, end) in enumerate(zip(found, ends, strict=True)):
        part = text[energy.end(): end]
        stress, unit = _stress(part)
        forces, force_unit = _forces(part)
        factor = ENERGY_UNITS_HARTREE.get(energy["unit"].strip().lower())
        unknown = f"energy in {energy['unit'].strip()}" if factor is None else force_unit and f"forces in {force_unit}"
        converged = verdicts[k] if len(verdicts) == len(found) else False
        value = _float(energy["value"]) * (np.nan if factor is None else factor)
        result.append(RawEvaluation(value, forces, stress, converged, unit, unknown))
    return result


def _float(word: str) -> float:
    return float(word.replace("D", "E"))


def _forces(part: str) -> tuple[NDArray[np.float64] | None, str]:
    """Return the forces, hartree/bohr, or None; and their unit if it is not known."""
    match = _FORCES.search(part)
    if match is None:
        return None, ""
    unit = (match["unit"] or "a.u.").strip()
    if unit.lower() not in FORCE_UNITS_HARTREE_BOHR:
        return None, unit
    old = match["old"] is not None
    rows = [line.split() for line in (match["old"] or match["new"]).splitlines() if line.strip()]
    numbers = [int(row[0] if old else row[1]) for row in rows]
    if numbers != list(range(1, len(rows) + 1)):
        return None, ""
    try:
        made = np.array([[_float(word) for word in (row[3:6] if old else row[2:5])] for row in rows])
    except ValueError:  # asterisks
        return np.full((len(rows), 3), np.nan), ""
    return made * FORCE_UNITS_HARTREE_BOHR[unit.lower()], ""


def _stress(part: str) -> tuple[NDArray[np.float64] | None, str]:
    match = _STRESS.search(part)
    if match is None:
        return None, ""
    unit = match["unit"].strip()
    if unit.lower() not in STRESS_UNITS_GPA:
        return None, unit
    rows = [[_float(word) for word in line.split()[-3:]] for line in match["rows"].splitlines()]
    return np.array(rows) * STRESS_UNITS_GPA[unit.lower()], ""


def cell_of(text: str) -> NDArray[np.float64] | None:
    """Return the first cell in an output, A, shape (3, 3); None if it prints none.

    Vectors are printed with three decimals, lengths and angles with six: the cell is made from lengths and angles and
    turned to the vectors.
    """
    vectors = {match[1]: match for match in _VECTOR.finditer(text[: _end_of_cell(text)])}
    angles = {match[1]: match[2] for match in _ANGLE.finditer(text[: _end_of_cell(text)])}
    try:
        printed = np.array([[float(vectors[name][k]) for k in (2, 3, 4)] for name in "abc"])
        parameters = [float(vectors[name][5]) for name in "abc"]
        parameters += [float(angles[name]) for name in ("alpha", "beta", "gamma")]
    except (KeyError, ValueError):
        return None
    return _turned(parameters, printed)


def _end_of_cell(text: str) -> int:
    """Return the place after the first complete description of the cell."""
    place = text.find("\n CELL| Angle (a,b)")
    return len(text) if place < 0 else text.find("\n", place + 1) + 1


def _turned(parameters: list[float], printed: NDArray[np.float64]) -> NDArray[np.float64] | None:
    from ase.geometry import cellpar_to_cell

    if not np.isfinite(parameters).all() or min(parameters) <= 0 or max(parameters[3:]) >= 180:
        return None
    try:
        exact = np.asarray(cellpar_to_cell(parameters), float)
    except (AssertionError, ValueError, ZeroDivisionError):
        return None
    if np.abs(exact - printed).max() < SAME_VECTOR_A:
        return exact
    left, _, right = np.linalg.svd(np.linalg.inv(exact) @ printed)  # the nearest rotation, reflections included
    turned = exact @ (left @ right)
    near_zero = np.abs(printed) < 5e-4
    turned[near_zero & (np.abs(turned) < SAME_VECTOR_A)] = 0.0
    return turned if np.abs(turned - printed).max() < 5 * SAME_VECTOR_A else None


def atoms_of(text: str) -> tuple[list[str], NDArray[np.float64]] | None:
    """Return element and position (A) of each atom; the element is that of the KIND section, whatever its name."""
    from ase.data import chemical_symbols
    from ase.units import Bohr

    match = _COORDINATES.search(text)
    if match is None:
        return None
    rows = [line.split() for line in match["rows"].splitlines() if line.strip()]
    if [int(row[0]) for row in rows] != list(range(1, len(rows) + 1)):
        return None
    numbers = [int(row[3]) for row in rows]
    if min(numbers) < 1 or max(numbers) >= len(chemical_symbols):
        return None
    try:
        positions = np.array([[float(word) for word in row[4:7]] for row in rows])
    except ValueError:
        return None
    scale = {"angstrom": 1.0, "bohr": float(Bohr)}.get(match["unit"].lower())
    return None if scale is None else ([chemical_symbols[number] for number in numbers], positions * scale)


def run_type(text: str) -> str:
    """Return the type of the run (ENERGY_FORCE, MD, ...); empty if it is not printed."""
    return _field(text, r"GLOBAL\| Run type\s+(\S+)")


def project_name(text: str) -> str:
    """Return the name of the project, with which the names of its files start."""
    return _field(text, r"GLOBAL\| Project name\s+(\S+)")


def ensemble(text: str) -> str:
    """Return the ensemble of a molecular dynamics run."""
    return _field(text, r"(?:MD_PAR|MD)\| Ensemble [Tt]ype\s+(\S+)")


def cp2k_level(text: str) -> LevelOfTheory:
    """Return the level of theory that an output states, under the names that the labeler uses."""
    settings: dict[str, str] = {}
    if "xTB|" in text:
        settings["method"] = "gfn1-xtb"
    elif "FUNCTIONAL|" in text:
        settings |= {"method": "dft", "functional": _functional(text)}
        for name, words in (("cutoff_Ry", "Density cutoff"), ("rel_cutoff_Ry", "Relative density cutoff")):
            if value := _field(text, rf"QS\| {words} \[a\.u\.\]:\s+(\S+)"):
                settings[name] = f"{2 * float(value):g}"
        settings["spin"] = "unrestricted" if re.search(r"DFT\|.*unrestricted", text) else "restricted"
        settings["dispersion"] = _dispersion(text)
        settings["density_smoothing"] = _field(text, r"DFT\| XC density smoothing\s+(\S+)") or "NONE"
    return LevelOfTheory(code="CP2K", settings=settings, potentials=_kinds(text))


def _functional(text: str) -> str:
    lines = [line.partition("|")[2].strip() for line in text.splitlines() if line.startswith(" FUNCTIONAL|")]
    names = [line.rstrip(":") for line in lines if line.endswith(":")]
    known = {"PBEsol": "PBEsol", "revPBE": "revPBE"}
    special = [name for name in known if any(line.startswith(name) for line in lines)]
    return "+".join([*special] if special and names in (["PBE"], []) else dict.fromkeys(names))


def _dispersion(text: str) -> str:
    lines = [line.partition("|")[2].split() for line in text.splitlines() if line.startswith(" vdW POTENTIAL|")]
    kept = [" ".join(words) for words in lines if words and words[0] not in ("Pair", "Potential", "Cutoff")]
    return "; ".join(dict.fromkeys(kept)) or "none"


def _kinds(text: str) -> dict[str, PotentialFile | str]:
    """Return basis set and potential of each element."""
    found: dict[str, PotentialFile | str] = {}
    atoms = atoms_of(text)
    parts = re.split(r"^[ \t]+\d+\. Atomic kind: ", text, flags=re.M)[1:]
    match = _COORDINATES.search(text)
    if atoms is None or match is None:
        return {}
    rows = [line.split() for line in match["rows"].splitlines() if line.strip()]
    element = {int(row[1]): symbol for row, symbol in zip(rows, atoms[0], strict=True)}
    for number, part in enumerate(parts, start=1):
        basis = _field(part, r"Orbital Basis Set\s+(\S+)")
        potential = _field(part, r"Potential information for\s+(\S+)")
        if basis and potential and number in element:
            found[element[number]] = f"{basis} {potential}"
    return found


def _field(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match[1].strip() if match else ""
