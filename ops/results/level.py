"""The level of theory of labels, as ``status.json`` and ``dataset.json`` record it."""

from __future__ import annotations

from pydantic import Field

from dpa_sse.ops.results.base import ResultPart

NAMES = {"chgnet": "CHGNet"}
VARIANTS = ("model", "model_name", "modal")
"""Arguments of calculators that select weights."""
SHOWN = ("xc", "functional", "GGA", "METAGGA", "ENCUT", "cutoff_Ry", "ecutwfc_Ry")
"""Settings of a density functional calculation that a reader needs first."""


class PotentialFile(ResultPart):
    """The pseudopotential file of one element.

    Attributes
    ----------
    titel : str
        Title line of the file (TITEL of a POTCAR).
    sha256 : str
        Hash of its text; two versions may have the same title.
    """

    titel: str
    sha256: str


class LevelOfTheory(ResultPart):
    """What makes labels comparable: labels of two levels must not be mixed in one data set.

    Attributes
    ----------
    code : str
        Program that computed the labels.
    settings : dict
        Name and value of each setting that changes the labels (functional, cutoff, ...).
    potentials : dict
        Potential of each element: the file, or only a name where nothing more is known.
    incomplete : bool
        Some of the labels do not state their level; they were taken to be of this one.
    """

    code: str
    settings: dict[str, str] = Field(default_factory=dict)
    potentials: dict[str, PotentialFile | str] = Field(default_factory=dict)
    incomplete: bool = False

    @property
    def calculator(self) -> str:
        """Name of a calculator without its module: ``CHGNet``, ``SevenNet``; empty for another source of labels."""
        short = self.settings.get("calculator", "").rpartition(":")[2].removesuffix("Calculator")
        return NAMES.get(short, short)

    @property
    def name(self) -> str:
        """A few words that tell a potential from a density functional: ``CHGNet 0.4.2``, ``VASP PE, ENCUT 520``."""
        return f"{self._stated} and unstated" if self.incomplete else self._stated

    @property
    def _stated(self) -> str:
        if calculator := self.calculator:
            variant = [self.settings.get(key, "").strip('"') for key in VARIANTS]
            words = [calculator, *variant, f"({self.settings.get('version', 'unknown')})"]
            return " ".join(word for word in words if word not in ("", "null", "(unknown)"))
        details = [f"{key} {self.settings[key]}" for key in SHOWN if key in self.settings]
        if self.code == "DeePMD-kit":
            return f"Deep Potential {self.settings.get('model_sha256', '')[:8]}".strip()
        return ", ".join([self.code, *details])
