"""The base class of all labelers: labels of single frames, molecular dynamics, and what a command may ask about them.

To add a labeler, write one module and add one line to :data:`dpa_sse.ops.labelers.registry.LABELERS`. The module holds
a settings class (a :class:`dpa_sse.ops.labelers.settings.LabelerSettings` with its own ``kind``) and a class derived
from

* :class:`dpa_sse.ops.labelers.dynamics.CalculatorLabeler` if ASE can run the dynamics with a calculator,
* :class:`dpa_sse.ops.labelers.program_labeler.ProgramLabeler` if a program computes one cell per run, or
* :class:`dpa_sse.ops.labelers.native.NativeLabeler` if a program runs the dynamics itself.

Modules of labelers are imported to read a configuration: heavy imports belong inside functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.labelers.settings import AimdSettings, LabelerSettings
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.status import DroppedStep, ItemStatus, TaskStatus, TrajectoryRecord

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

SettingsT = TypeVar("SettingsT", bound=LabelerSettings)
SettingsProblem = tuple[tuple[str, ...], str]
"""Path of a key below the section ``labeler``, and what is wrong with its value."""


@dataclass(frozen=True)
class LabelResult:
    """Outcome for one frame: labelled atoms if ``status`` is ok, else the reason."""

    atoms: Atoms | None
    status: ItemStatus = "ok"
    reason: str = ""


@dataclass(frozen=True)
class ProgramFinding:
    """What the doctor reports about a program or its data files.

    Attributes
    ----------
    name : str
        The program.
    status : {"ok", "warning", "optional"}
        ``optional``: not installed, and only this labeler needs it.
    value : str
        Version or path.
    note : str
        What it means or what to do; may be empty.
    """

    name: str
    status: Literal["ok", "warning", "optional"]
    value: str
    note: str = ""


@dataclass(frozen=True)
class AimdRun:
    """One trajectory to run.

    Attributes
    ----------
    atoms : Atoms
        Initial structure; its ``info`` (system, trajectory, temperature_K) is copied to every frame.
    settings : AimdSettings
        Ensemble, thermostat, steps.
    temperature_K, end_temperature_K : float
        At the first and at the last step; equal for a run at constant temperature.
    seed : int
        For velocities and thermostat.
    """

    atoms: Atoms
    settings: AimdSettings
    temperature_K: float
    end_temperature_K: float
    seed: int

    def temperature_at(self, step: int) -> float:
        """Return the temperature of the thermostat, K, at a step."""
        return self.temperature_K + (self.end_temperature_K - self.temperature_K) * step / self.settings.steps

    def status(self, frames: int, reason: str, level: LevelOfTheory | None = None) -> TaskStatus:
        """Return how the run ended; one that stopped early but left frames is ``partial``.

        Parameters
        ----------
        frames : int
            Number of labelled frames.
        reason : str
            Why it stopped early; empty if it did not.
        level : LevelOfTheory, optional
            Of the labels.
        """
        info = self.atoms.info
        record = TrajectoryRecord(
            system=str(info.get("system", "")), trajectory=str(info.get("trajectory", "")), frames=frames,
            temperature_K=self.temperature_K, end_temperature_K=self.end_temperature_K, steps=self.settings.steps,
        )
        status = TaskStatus.of_items([("failed", reason) if reason else ("ok", "")], level=level, run=record)
        return status.model_copy(update={"status": "partial"}) if reason and frames else status


@dataclass(frozen=True)
class AimdResult:
    """Labelled frames of one trajectory.

    Attributes
    ----------
    frames : list of Atoms
        Every ``sample_every``-th step from step 0 on, with ``info["step"]``; frames without a valid label are left out.
    reason : str
        Why the run ended before its last step; empty if it did not.
    dropped : tuple of DroppedStep
        Sampled steps without a label.
    """

    frames: list[Atoms]
    reason: str = ""
    dropped: tuple[DroppedStep, ...] = ()


class Labeler(ABC, Generic[SettingsT]):
    """A source of energies (eV), forces (eV/A) and stresses (eV/A^3, ASE's sign).

    Class attributes
    ----------------
    settings_class : type
        Settings of this labeler, with a field ``kind`` that only it has.
    image : str
        Container image with its program, see ``images/``; ``base`` needs nothing but this package.
    code : str
        The code in the level of theory of its labels.
    gpus : bool
        Whether its command, which the user writes, may use several GPUs.
    example : str
        The section ``labeler`` of a configuration file, as a person would write it.
    batch : int
        Frames per call of :meth:`label`; the progress of a task is saved after each call.
    """

    settings_class: ClassVar[type[LabelerSettings]]
    image: ClassVar[str] = "base"
    code: ClassVar[str] = ""
    gpus: ClassVar[bool] = False
    example: ClassVar[str] = ""
    batch: int = 1

    def __init__(self, settings: SettingsT) -> None:
        self.settings = settings

    @abstractmethod
    def label(self, frames: Sequence[Atoms], work: Path) -> list[LabelResult]:
        """Return one result per frame, in order; a bad frame does not raise.

        Parameters
        ----------
        frames : sequence of Atoms
            ``info["frame"]`` is the number of a frame in its task.
        work : Path
            Folder for files, in the folder of the task; the labeler creates it if needed.

        Raises
        ------
        TransientError
            A program was killed; another attempt may succeed.
        FatalError, InputError
            No frame can be labelled: a program or a potential is missing.
        """

    @abstractmethod
    def run_trajectory(self, run: AimdRun, out: Path, work: Path) -> TaskStatus:
        """Run molecular dynamics, write ``out/frames.extxyz`` and return how it ended.

        Called again with the same folders, it resumes an interrupted run. Implemented by the two derived base classes.

        Raises
        ------
        TransientError, FatalError, InputError
            As for :meth:`label`.
        """

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory | None:
        """Return the level of theory of labelled frames; None (the default) if it is not known."""
        return None

    @classmethod
    def versions(cls, settings: SettingsT) -> dict[str, str]:
        """Return the versions of the packages or the program that compute the labels (default: none is known).

        Raises
        ------
        InputError
            The program is missing.
        """
        return {}

    @classmethod
    def files(cls, settings: SettingsT, elements: Sequence[str]) -> list[Path]:
        """Return the files of the folders in ``settings.folders`` that calculations need (default: none).

        Raises
        ------
        InputError
            One is missing.
        """
        return []

    @classmethod
    def problems(cls, settings: SettingsT, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield what is wrong with the settings, or missing on this machine (default: nothing).

        Parameters
        ----------
        settings : LabelerSettings
        type_map : sequence of str
            Elements of the project.
        base_dir : Path
            Folder of the configuration file, to which paths are relative.
        """
        yield from ()

    @classmethod
    def aimd_problems(cls, settings: SettingsT, aimd: AimdSettings) -> Iterator[tuple[str, str]]:
        """Yield what its molecular dynamics cannot do: key of the section ``aimd`` and message (default: nothing)."""
        yield from ()

    @classmethod
    def write_inputs(cls, settings: SettingsT, atoms: Atoms, aimd: AimdSettings, folder: Path) -> None:
        """Write the inputs for one cell, to be read by people (default: there are none).

        Raises
        ------
        InputError
            Data that the inputs need is missing.
        """
        return

    @classmethod
    def findings(cls) -> Iterator[ProgramFinding]:
        """Yield what the doctor reports about the programs that this labeler needs (default: it needs none)."""
        yield from ()


def label_with_calculator(atoms: Atoms, calculator: Calculator) -> LabelResult:
    """Return the single point of one frame; any error of the calculator becomes the reason of a failure."""
    work = atoms.copy()
    work.calc = calculator
    try:
        energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except TransientError:
        raise
    except Exception as error:  # any calculator, any exception: one bad frame must not lose the others
        return LabelResult(None, "failed", one_line(error))
    return finite_label(atoms, energy, forces, stress, "the calculator")


def finite_label(
    atoms: Atoms, energy: float, forces: NDArray[np.float64], stress: NDArray[np.float64], source: str
) -> LabelResult:
    """Return the label of a frame (units as in :func:`with_results`), or its failure if a number is not finite."""
    if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
        return LabelResult(None, "failed", f"{source} returned NaN or infinite numbers")
    return LabelResult(with_results(atoms, energy, forces, stress))


def one_line(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
