"""The level of theory of an output of VASP: the values that VASP used, not only those that were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.data.elements import element_of_titel
from dpa_sse.ops.data.incar import value_number
from dpa_sse.ops.results.level import LevelOfTheory

FROM_OUTPUT = (
    "GGA", "METAGGA", "ENCUT", "PREC", "ISMEAR", "SIGMA", "LREAL", "LASPH", "ISPIN", "IVDW", "LUSE_VDW", "LDAU",
    "LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ", "ADDGRID", "KSPACING", "KGAMMA", "LHFCALC", "AEXX", "HFSCREEN", "LSORBIT",
    "EDIFF", "PSTRESS",
)
DEFAULTS = {
    "METAGGA": "--", "PREC": "Normal", "LREAL": "F", "LASPH": "F", "ISPIN": "1", "IVDW": "0", "LUSE_VDW": "F",
    "LDAU": "F", "ADDGRID": "F", "KGAMMA": "T", "LHFCALC": "F", "LSORBIT": "F", "PSTRESS": "0", "ISMEAR": "1",
    "SIGMA": "0.2", "LMAXMIX": "2",
}
"""What VASP uses for a tag that is not set."""
ONLY_WITH = {
    "LDAUTYPE": "LDAU", "LDAUL": "LDAU", "LDAUU": "LDAU", "LDAUJ": "LDAU", "LMAXMIX": "LDAU", "AEXX": "LHFCALC",
    "HFSCREEN": "LHFCALC",
}
"""Tags that count only if another one is true."""
DERIVED = ("ENAUG", "NGX", "NGY", "NGZ", "NELECT", "KSPACING", "KGAMMA")
"""Tags that VASP derives from the cell or the potentials if they are not set: compared only where both are."""
UNKNOWN = "unknown"
NO_VALUE = ("--", "none", "f", "")
FAMILIES = {"PAW_PBE": "PE", "PAW_GGA": "91", "PAW": "CA", "US": "CA"}


def vasp_level(
    tags: Mapping[str, str], used: Mapping[str, str], titles: Sequence[str], mesh: Sequence[int] | None,
    cell: NDArray[np.float64] | None,
) -> LevelOfTheory:
    """Return the level of theory of a calculation.

    Parameters
    ----------
    tags, used : mapping
        Tags of the INCAR, and the values that VASP reports as used.
    titles : sequence of str
        Titles of the potentials.
    mesh : sequence of int, optional
        Divisions of the k-mesh.
    cell : ndarray, shape (3, 3), optional
        Lattice vectors, A.
    """
    settings: dict[str, str] = {}
    for name in FROM_OUTPUT:
        value = used.get({"ENCUT": "ENMAX"}.get(name, name), tags.get(name))
        if name in ("LREAL", "PREC", "KSPACING", "KGAMMA", "METAGGA"):  # reported in another form than they are set
            value = tags.get(name, None if name in ("KSPACING", "KGAMMA") else used.get(name))
        if name == "METAGGA" and str(value).strip().lower() in NO_VALUE:
            value = None
        if value is not None and value != "":
            settings[name] = _short(value)
    if "ENCUT" not in settings and "ENCUT" in tags:
        settings["ENCUT"] = _short(tags["ENCUT"])
    if mesh is not None and cell is not None and abs(np.linalg.det(cell)) > 1e-3:
        lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
        only = " (Gamma only)" if max(mesh) == 1 else ""
        settings["k_spacing_per_A"] = f"{float((lengths / np.array(mesh)).max()):.3f}{only}"
    potentials = {element_of_titel(titel): titel for titel in titles if titel}
    return LevelOfTheory(code="VASP", settings=settings, potentials=potentials)


def effective(level: LevelOfTheory) -> dict[str, str | None]:
    """Return the settings of a level with VASP's defaults filled in; None where a value is not known.

    An output that does not state a value says so (:data:`UNKNOWN`); what an INCAR does not set is the default. GGA is
    the functional of the potentials where it is not set.
    """
    given = level.settings
    result: dict[str, str | None] = {**DEFAULTS, **given}
    if (given.get("GGA") or "--").strip().lower() in NO_VALUE:
        families = {_family(one if isinstance(one, str) else one.titel) for one in level.potentials.values()}
        result["GGA"] = next(iter(families)) if len(families) == 1 else None
    if str(result.get("METAGGA")).strip().lower() in NO_VALUE:
        result["METAGGA"] = "--"
    for name, switch in ONLY_WITH.items():
        if value_number(str(result.get(switch, "F")), bool) == 0:
            result.pop(name, None)
    smearing = value_number(str(result["ISMEAR"]), float)
    if smearing is not None and smearing <= -4:  # tetrahedra: SIGMA has no meaning
        result.pop("SIGMA", None)
    for name, value in given.items():
        if value == UNKNOWN:
            result[name] = None
    for name in DERIVED:
        result.setdefault(name, None)
        if name not in given:
            result[name] = None
    return result


def _family(titel: str) -> str | None:
    words = titel.split()
    return FAMILIES.get(words[0]) if words else None


def _short(value: str) -> str:
    number = value_number(value, float)
    return value.strip() if number is None else f"{number:.10g}"
