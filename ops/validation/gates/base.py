"""What gates take and return: potentials, references, settings, measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.audit.frames import EV_A3_IN_GPA
from dpa_sse.ops.conductivity.arrhenius import KB_EV as KB_EV_K
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.results.gates import Tier

if TYPE_CHECKING:
    from ase import Atoms

Array = NDArray[np.float64]
NEEDS_LABELS = "needs a reference that can label cells: --reference MODEL or LABELER"
"""Why a gate is not run that compares cells which it makes itself."""


class Labels(NamedTuple):
    """Energies (n,) in eV, forces (n, N, 3) in eV/A, virials (n, 3, 3) in eV of n frames; NaN where there is none."""

    energy: Array
    force: Array
    virial: Array

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which frames have numbers for energy and all forces, (n,)."""
        return np.isfinite(self.energy) & np.isfinite(self.force).all(axis=(1, 2))


class MdStore(Protocol):
    """What keeps the MD of a reference."""

    def remember(
        self, atoms: Atoms, settings: GateSettings, make: Callable[[], tuple[list[Any], list[str]]]
    ) -> tuple[list[Any], list[str]]:
        """Return the runs of a cell and why copies ended early, kept or made now."""
        ...


class Potential:
    """A potential energy surface, and a memory for what was computed with it once.

    Attributes
    ----------
    name : str
    elements : tuple of str
        That it knows.
    role : str
        ``model`` or ``reference``: their MD has different random numbers.
    memory : dict
        Trajectories and labels by what they depend on; gates that need the same ones share them.
    stored : MdStore or None
        Where the MD of a reference is kept.
    """

    def __init__(self, name: str, elements: Sequence[str]) -> None:
        self.name, self.elements, self.role = name, tuple(elements), "model"
        self.memory: dict[Any, Any] = {}
        self.stored: MdStore | None = None

    def evaluate(self, symbols: Sequence[str], positions: Array, cells: Array) -> Labels:
        """Return the labels of frames of the same atoms.

        Parameters
        ----------
        symbols : sequence of str
            Elements of the N atoms.
        positions, cells : ndarray, shapes (n, N, 3) and (n, 3, 3)
            Angstrom; periodic.
        """
        raise NotImplementedError

    def descriptors(self, symbols: Sequence[str], positions: Array, cells: Array) -> Array | None:
        """Return the descriptors of the atoms of frames, (n, N, D); None for a potential without."""
        del symbols, positions, cells
        return None

    def of_atoms(self, frames: Sequence[Atoms]) -> Labels:
        """Return the labels of frames of the same atoms in the same order."""
        return self.evaluate(
            frames[0].get_chemical_symbols(), np.array([one.positions for one in frames]),
            np.array([one.cell.array for one in frames]),
        )

    def remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what was made for a key before, or make it now."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]


@dataclass
class Reference:
    """What a model is compared with: a potential, labelled frames, or both; neither for a model without reference.

    Attributes
    ----------
    name : str
    potential : Potential or None
    data : sequence of SystemData
        Labelled frames that the model has not seen.
    type_map : sequence of str
        Of ``data``.
    training : sequence of SystemData
        Frames that the model was trained on, where they are known.
    training_type_map : sequence of str
        Of ``training``.
    before : Potential or None
        The model before its fine-tuning.
    base : sequence of SystemData
        Labelled frames of the systems that ``before`` was trained on.
    base_type_map : sequence of str
        Of ``base``.
    from_scratch : Potential or None
        A model of the same size, trained on the same labels from scratch.
    phases : sequence of Atoms
        Phases into which a material may decompose.
    """

    name: str = ""
    potential: Potential | None = None
    data: Sequence[SystemData] = ()
    type_map: Sequence[str] = ()
    training: Sequence[SystemData] = ()
    training_type_map: Sequence[str] = ()
    before: Potential | None = None
    base: Sequence[SystemData] = ()
    base_type_map: Sequence[str] = ()
    from_scratch: Potential | None = None
    phases: Sequence[Atoms] = ()


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model, where there are any: what is deployed, and what it was made from.

    Attributes
    ----------
    checkpoint, frozen, compressed : Path or None
    branch : str
        Of the checkpoint.
    precision : str
        Of the network.
    """

    checkpoint: Path | None = None
    frozen: Path | None = None
    compressed: Path | None = None
    branch: str = ""
    precision: str = "float64"

    @property
    def deployed(self) -> Path | None:
        """The file that LAMMPS would run."""
        return self.compressed or self.frozen


@dataclass(frozen=True)
class GateSettings:
    """How the gates are run.

    Attributes
    ----------
    tier : Tier
    temperature_K : float
        Highest intended temperature.
    timestep_fs : float
        Of the intended MD.
    seed : int
    mobile : tuple of str
        Species that may diffuse.
    files : ModelFiles
    work : Path or None
        Folder for files of other programs; without one, LAMMPS is not run.
    md : mapping
        Numbers of the MD that gates share: heating, holding, going beyond.
    protocol : mapping
        Numbers of the gate's protocol at this tier.
    """

    tier: Tier = "smoke"
    temperature_K: float = 900.0
    timestep_fs: float = 2.0
    seed: int = 1
    mobile: tuple[str, ...] = ("Li",)
    files: ModelFiles = field(default_factory=ModelFiles)
    work: Path | None = None
    md: Mapping[str, float] = field(default_factory=dict)
    protocol: Mapping[str, float] = field(default_factory=dict)

    def count(self, name: str) -> int:
        """Return an integer of the protocol."""
        return int(self.protocol[name])


@dataclass(frozen=True)
class Value:
    """A measured number: its 95 % interval if it is a sample, and how many independent values are behind it.

    Attributes
    ----------
    value : float
    ci95 : tuple of float or None
    n : int
    more : str
        What would make a too wide interval narrower, with a number: ``12 ps more``.
    where : str
        Where the worst was found: a pair of elements, a frame.
    lacking : str
        Why a sample has no interval: too few runs. Such a number cannot pass.
    spread : tuple of float or None
        The range over its runs, or over parts of a single one: of a sample without interval, or where few runs make it
        too wide to say what each of them says.
    """

    value: float
    ci95: tuple[float, float] | None = None
    n: int = 1
    more: str = ""
    where: str = ""
    lacking: str = ""
    spread: tuple[float, float] | None = None


@dataclass
class Measurement:
    """What a gate found.

    Attributes
    ----------
    values : dict
        By the name of the metric in the thresholds.
    missing : dict
        Metrics that could not be measured, and why.
    broken : dict
        Metrics that could not be measured because of the model, and how: a program that crashes with it.
    notes : list of str
    table : list of dict
        Rows for the figure and its CSV file.
    not_run : str
        Why the whole gate was not run; empty if it was.
    """

    values: dict[str, Value] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    table: list[dict[str, Any]] = field(default_factory=list)
    not_run: str = ""


Measure = Callable[[Potential, Reference, "Sequence[Atoms]", GateSettings], Measurement]


def formula(symbols: Sequence[str]) -> str:
    """Return a formula with all atoms, in alphabetic order."""
    names = sorted(set(symbols))
    return "".join(f"{name}{list(symbols).count(name)}" for name in names)


__all__ = [
    "EV_A3_IN_GPA", "KB_EV_K", "Array", "GateSettings", "Labels", "Measure", "Measurement", "ModelFiles", "Potential",
    "Reference", "Value", "formula",
]
