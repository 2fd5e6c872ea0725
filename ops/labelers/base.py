"""What a labeler offers: single points with a verdict per frame, and molecular dynamics in one of two ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.results.status import ItemStatus

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from dpa_sse.ops.labelers.settings import AimdSettings



@dataclass(frozen=True)
class LabelResult:
    """Outcome for one frame: labelled atoms when ``status`` is ok, else the reason."""

    atoms: Atoms | None
    status: ItemStatus = "ok"
    reason: str = ""


@dataclass(frozen=True)
class AimdRun:
    """One trajectory to run.

    Attributes
    ----------
    atoms : Atoms
        Where it starts; ``info`` (system, trajectory, temperature_K) belongs into every frame.
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


@dataclass(frozen=True)
class AimdResult:
    """Labelled frames of one trajectory.

    Attributes
    ----------
    frames : list of Atoms
        Every ``sample_every``-th step from step 0 on, ``info["step"]`` set, those without a sound label left out.
    reason : str
        Why the run ended before its last step; empty when it did not.
    dropped : list of tuple of int, str and str
        Step, status and reason of each sampled frame without a label.
    """

    frames: list[Atoms]
    reason: str = ""
    dropped: list[tuple[int, ItemStatus, str]] = field(default_factory=list)


def level_of(labeler: Any, frames: Sequence[Atoms]) -> dict[str, Any] | None:
    """Return the level of theory of labels, where the labeler tells it (``level(frames)``)."""
    return labeler.level(frames) if hasattr(labeler, "level") and frames else None


class Labeler(Protocol):
    """A source of energies (eV), forces (eV/A) and stresses (eV/A^3, ASE sign).

    A labeler also drives molecular dynamics: it is a :class:`CalculatorLabeler` or :class:`NativeAimd`. For the
    command `check` its class may have the static methods ``problems(settings, type_map, base_dir)``, which yields the
    path of a key below the section and a message, and ``aimd_problems(settings, aimd)``, which yields key and message;
    for `plan`, ``write_inputs(settings, atoms, aimd, folder)``, which writes the inputs for one cell to be read.

    Attributes
    ----------
    batch : int
        Frames per call of :meth:`label`: the progress of a task is kept after each call.
    """

    batch: int

    def label(self, frames: Sequence[Atoms], work: Path) -> list[LabelResult]:
        """Return one result per frame, in order; a bad frame does not raise.

        ``info["frame"]`` numbers the frames of a task; files go below ``work``, a folder of the task that the labeler
        makes when it needs it.

        Raises
        ------
        TransientError
            A program was killed: another attempt may succeed.
        FatalError, InputError
            No frame can be labelled: a program or a potential is missing.
        """
        ...


@runtime_checkable
class CalculatorLabeler(Protocol):
    """A labeler whose molecular dynamics is done by ASE."""

    def calculator(self) -> Calculator:
        """Return an ASE calculator for molecular dynamics."""
        ...


@runtime_checkable
class NativeAimd(Protocol):
    """A labeler that runs molecular dynamics itself."""

    def aimd(self, run: AimdRun, work: Path) -> AimdResult:
        """Run one trajectory; called again with the same ``work`` it goes on where an interrupted run has stopped.

        With a method ``frames_so_far(run, work)`` a labeler gives the frames of a run that was broken off.

        Raises
        ------
        TransientError, FatalError, InputError
            As :meth:`Labeler.label`.
        """
        ...


def label_with_calculator(atoms: Atoms, calculator: Calculator) -> LabelResult:
    """Return the single point of one frame; whatever the calculator raises becomes the reason of a failure."""
    work = atoms.copy()
    work.calc = calculator
    try:
        energy, forces, stress = work.get_potential_energy(), work.get_forces(), work.get_stress()
    except TransientError:
        raise
    except Exception as error:  # any calculator, any exception: one bad frame must not lose the others
        return LabelResult(None, "failed", one_line(error))
    if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
        return LabelResult(None, "failed", "the calculator returned NaN or infinite numbers")
    return LabelResult(with_results(atoms, energy, forces, stress))


def one_line(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
