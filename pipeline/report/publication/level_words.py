"""A level of theory as a sentence of a methods section needs it, with its citations."""

from __future__ import annotations

from collections.abc import Mapping

from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile
from dpa_sse.pipeline.report.publication.citations import cite

FUNCTIONALS = {
    "PE": ("PBE", "perdew1996pbe"), "PBE": ("PBE", "perdew1996pbe"), "PS": ("PBEsol", "perdew2008pbesol"),
    "PBESOL": ("PBEsol", "perdew2008pbesol"), "SCAN": ("SCAN", "sun2015scan"),
    "R2SCAN": ("r²SCAN", "furness2020r2scan"),
}
"""Name and citation of functionals, by the value of a VASP tag or a CP2K setting in capitals."""
CALCULATORS = {"chgnet": "deng2023chgnet", "sevennet": "park2024sevennet", "mace": "batatia2022mace"}
"""Citation by the beginning of the name of a calculator, in small letters."""


def level_words(level: LevelOfTheory | None) -> str:
    """Return the source of labels in words, with citations: ``VASP [@...] with the PBE functional ...``."""
    if level is None:
        return "a program that the data set does not record"
    if level.calculator:
        return _calculator(level)
    known = {
        "VASP": _vasp, "CP2K": _cp2k, "Quantum ESPRESSO": _plane_waves, "ABACUS": _plane_waves,
        "DeePMD-kit": _deep_potential, "mock": _mock,
    }
    if level.code in known:
        return known[level.code](level)
    settings = ", ".join(f"{name} {value}" for name, value in level.settings.items())
    return f"{level.code} ({settings})" if settings else level.code


def _mock(_: LevelOfTheory) -> str:
    return "the analytic mock potential of the pipeline, which is unphysical and for tests only"


def _deep_potential(level: LevelOfTheory) -> str:
    head = f", branch {level.settings['head']}" if "head" in level.settings else ""
    digest, version = level.settings.get("model_sha256", "")[:12], level.settings.get("version", "")
    text = f"a Deep Potential (SHA-256 {digest}…{head}) evaluated with DeePMD-kit {version}".rstrip()
    return text + cite("wang2018deepmd", "zeng2025deepmd")


def _calculator(level: LevelOfTheory) -> str:
    name = level.calculator
    keys = [key for start, key in CALCULATORS.items() if name.lower().startswith(start)]
    details = [
        f"{key} {value.strip(chr(34))}" for key, value in level.settings.items()
        if key not in ("calculator", "version") and "sha256" not in key and value not in ("null", '""')
    ]
    if "sevennet" in name.lower() and "-mf" in level.settings.get("model", ""):
        keys.append("kim2025multifidelity")
    if (version := level.settings.get("version", "unknown")) != "unknown":
        details.insert(0, f"version {version}")
    weights = level.settings.get("model_sha256")
    if weights:
        details.append(f"SHA-256 of the weights {weights[:12]}…")
    inside = f" ({', '.join(details)})" if details else ""
    return f"the machine-learning potential {name}{cite(*keys)}{inside} through ASE{cite('larsen2017ase')}"


def _functional(value: str) -> str:
    name, key = FUNCTIONALS.get(value.upper(), (value, ""))
    return f"{name} functional{cite(key) if key else ''}"


def _vasp(level: LevelOfTheory) -> str:
    tags = dict(level.settings)
    hybrid = tags.get("LHFCALC", "").strip(".").upper().startswith("T")
    chosen = tags.pop("METAGGA", "") or tags.get("GGA", "")
    if not hybrid:
        tags.pop("GGA", None)
    text = f"VASP{cite('kresse1996vasp')}"
    if hybrid:
        text += " with a hybrid functional (see LHFCALC, AEXX and HFSCREEN)"
    else:
        text += f" with the {_functional(chosen)}" if chosen else " with the functional of its potential files"
    if cutoff := tags.pop("ENCUT", ""):
        text += f", a plane-wave cutoff of {cutoff} eV"
    if spacing := tags.pop("KSPACING", ""):
        text += f", a k-point spacing of {spacing} Å⁻¹"
    return text + _potentials(level, f"PAW potentials{cite('blochl1994paw', 'kresse1999paw')}") + _rest(tags)


def _potentials(level: LevelOfTheory, what: str) -> str:
    names = ", ".join(
        found.titel if isinstance(found, PotentialFile) else f"{element}: {found}"
        for element, found in level.potentials.items()
    )
    return f", {what} ({names})" if names else ""


def _rest(settings: Mapping[str, str]) -> str:
    rest = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return f"; {rest}" if rest else ""


def _plane_waves(level: LevelOfTheory) -> str:
    settings = dict(level.settings)
    text = f"{level.code}{cite('li2016abacus' if level.code == 'ABACUS' else 'giannozzi2017qe')}"
    if functional := settings.pop("functional", ""):
        text += f" with the {_functional(functional)}"
    if cutoff := settings.pop("ecutwfc_Ry", ""):
        text += f", a plane-wave cutoff of {cutoff} Ry"
        density = settings.pop("ecutrho_Ry", "")
        text += f" ({density} Ry for the density)" if density else ""
    if spacing := settings.pop("kspacing", ""):
        text += f", a k-point spacing of {spacing} Å⁻¹"
    return text + _potentials(level, "pseudopotentials") + _rest(settings)


def _cp2k(level: LevelOfTheory) -> str:
    settings = dict(level.settings)
    text = f"CP2K{cite('kuhne2020cp2k')}"
    method = settings.pop("method", "")
    if method == "gfn1-xtb":
        text += f" with GFN1-xTB{cite('grimme2017xtb')}"
    if functional := settings.pop("functional", ""):
        text += f" with the {_functional(functional)}"
    cutoffs = settings.pop("cutoff_Ry", ""), settings.pop("rel_cutoff_Ry", "")
    if cutoffs[0]:
        text += f", a density cutoff of {cutoffs[0]} Ry"
        text += f" (relative {cutoffs[1]} Ry)" if cutoffs[1] else ""
    if spacing := settings.pop("kspacing", ""):
        text += ", the Gamma point" if spacing == "Gamma" else f", a k-point spacing of {spacing} Å⁻¹"
    if level.potentials:
        known = [str(found) for found in level.potentials.values()]
        keys = ["vandevondele2007molopt"] if any("MOLOPT" in one for one in known) else []
        keys += ["goedecker1996gth"] if any("GTH" in one for one in known) else []
        names = ", ".join(f"{element}: {found}" for element, found in level.potentials.items())
        text += f", basis sets and pseudopotentials{cite(*keys)} ({names})"
    return text + _rest(settings)
