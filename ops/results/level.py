"""The level of theory of labels, as ``status.json`` and ``dataset.json`` record it."""

from __future__ import annotations

from pydantic import Field

from dpa_sse.ops.results.base import ResultPart


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
    """

    code: str
    settings: dict[str, str] = Field(default_factory=dict)
    potentials: dict[str, PotentialFile | str] = Field(default_factory=dict)
