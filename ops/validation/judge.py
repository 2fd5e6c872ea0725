"""The self-check of production: errors of model and teacher on labelled frames of the MD, and the verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.data.results import GatheredFrames
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.results.self_check import (
    CheckBars,
    CheckedFrame,
    CheckedPoint,
    CheckedSystem,
    EnergyShift,
    ErrorEstimate,
    ModelErrors,
    RoundSummary,
    SelfCheck,
    Trust,
    needs_correction,
)
from dpa_sse.ops.validation.choose import Production, production_runs
from dpa_sse.ops.validation.compare import (
    FrameErrors,
    by_composition,
    composition_of,
    errors_of_frames,
    mean_energy_error,
    mean_force_error,
)
from dpa_sse.ops.validation.rounds import is_finished, is_full
from dpa_sse.ops.validation.settings import ValidateSettings
from dpa_sse.ops.validation.verdict import (
    Metric,
    estimates,
    judge_point,
    judge_system,
    model_errors,
    overall_estimate,
    relative,
    widened,
    worst,
)

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Evidence:
    """What the self-check compares.

    Attributes
    ----------
    model, teacher : DeepPot
        The model of the MD, and the one that it was distilled from.
    labelled : GatheredFrames
        Labelled production frames: ``info`` holds system, temperature, replica and step.
    datasets : sequence of Path
        Labelled data sets of the teacher.
    type_map : sequence of str
    """

    model: Any
    teacher: Any
    labelled: GatheredFrames
    datasets: Sequence[Path]
    type_map: Sequence[str]


@dataclass(frozen=True)
class _Frames:
    """Labelled frames of one system, with the errors of both models; energies after the shift, None without one."""

    frames: list[Atoms]
    model: FrameErrors
    teacher: FrameErrors
    shift: EnergyShift | None

    @property
    def temperatures(self) -> list[float]:
        return [float(atoms.info["temperature_K"]) for atoms in self.frames]

    @property
    def runs(self) -> list[tuple[float, int]]:
        """Temperature and replica of each frame."""
        return [(float(atoms.info["temperature_K"]), int(atoms.info["replica"])) for atoms in self.frames]

    def energies(self, *, teacher: bool = False) -> np.ndarray | None:
        """Errors of the energies after the shift, meV/atom."""
        if self.shift is None:
            return None
        if teacher:
            return self.teacher.energy_meV_atom - self.shift.teacher_meV_atom
        return self.model.energy_meV_atom - self.shift.model_meV_atom


def self_check(
    evidence: Evidence, folders: Sequence[Path], settings: ValidateSettings, iteration: int, earlier: SelfCheck | None
) -> SelfCheck:
    """Compare the model with the labels of its production frames.

    Parameters
    ----------
    evidence : Evidence
    folders : sequence of Path
        MD folders.
    settings : ValidateSettings
    iteration : int
        Round, from 0.
    earlier : SelfCheck or None
        Of the previous round.

    Returns
    -------
    SelfCheck

    Raises
    ------
    FatalError
        A model does not know an element, or predicts NaN or infinity.
    """
    training = by_composition(evidence.datasets, "train", evidence.type_map)
    held_out = by_composition(evidence.datasets, "test", evidence.type_map)
    runs = production_runs(folders)
    shifts, points, systems, frames = [], [], [], []
    for name in dict.fromkeys(run.info.system for run in runs):
        own = [run for run in runs if run.info.system == name]
        composition = composition_of(_symbols(own[0].info))
        found = _errors(evidence, name, _shift(evidence, name, composition, training))
        limit = _held_out_error(evidence, composition, held_out) if found.frames else None
        if found.shift is not None:
            shifts.append(found.shift)
        system, of_system = _judge(name, composition, own, found, limit, settings)
        systems.append(system)
        points += of_system
        frames += _frame_rows(name, found)
    bars = CheckBars(
        max_energy_bias_meV_atom=settings.max_energy_bias_meV_atom,
        max_pressure_error_GPa=settings.max_pressure_error_GPa,
        max_force_mae_ratio=settings.max_force_mae_ratio,
    )
    full, beyond = is_full(settings, iteration, earlier), needs_correction(points, systems, bars)
    latest = RoundSummary(
        round=iteration, corrected=earlier is not None and earlier.beyond, labels=len(frames), systems=tuple(systems)
    )
    return SelfCheck(
        level=evidence.labelled.level,
        bars=bars,
        shifts=tuple(shifts),
        points=tuple(points),
        systems=tuple(systems),
        frames=tuple(frames),
        failed=evidence.labelled.failed,
        rounds=(*(earlier.rounds if earlier else ()), latest),
        full=full,
        finished=is_finished(settings, iteration, full=full, beyond=beyond),
    )


def _symbols(info: MdRun) -> list[str]:
    return [symbol for symbol, count in info.composition.items() for _ in range(count)]


def _shift(
    evidence: Evidence, system: str, composition: str, training: dict[str, list[SystemData]]
) -> EnergyShift | None:
    """Return the shift from the training frames of the system itself, else of all with its composition.

    Production frames that later rounds learned do not count: the errors of all rounds are relative to the same frames.
    """
    every = training.get(composition, [])
    blocks = [block for block in every if block.system == system] or every
    if not blocks:
        return None
    model, teacher = (mean_energy_error(one, blocks, evidence.type_map) for one in (evidence.model, evidence.teacher))
    return EnergyShift(
        composition=composition, model_meV_atom=model.mean, teacher_meV_atom=teacher.mean,
        half95_meV_atom=model.half_width, teacher_half95_meV_atom=teacher.half_width, n_frames=model.n,
    )


def _held_out_error(
    evidence: Evidence, composition: str, held_out: dict[str, list[SystemData]]
) -> float | None:
    """Return the force MAE of the model on held-out labels: of the composition, else of all that it knows."""
    known = set(evidence.model.get_type_map())
    blocks = held_out.get(composition) or [
        block for own in held_out.values() for block in own
        if {evidence.type_map[k] for k in block.types} <= known
    ]
    return mean_force_error(evidence.model, blocks, evidence.type_map) if blocks else None


def _errors(evidence: Evidence, system: str, shift: EnergyShift | None) -> _Frames:
    frames = [atoms for atoms in evidence.labelled.frames if atoms.info["system"] == system]
    if not frames:
        nothing = FrameErrors(np.empty(0), np.empty(0), None)
        return _Frames([], nothing, nothing, shift)
    model, teacher = (
        errors_of_frames(one, frames, evidence.type_map) for one in (evidence.model, evidence.teacher)
    )
    return _Frames(frames, model, teacher, shift)


def _judge(
    system: str, composition: str, runs: Sequence[Production], found: _Frames, held_out: float | None,
    settings: ValidateSettings,
) -> tuple[CheckedSystem, list[CheckedPoint]]:
    local, overall = _means(found, teacher=False)
    local_teacher, teacher = _means(found, teacher=True)
    general = _general_reasons(found, held_out)
    metrics = _metrics(overall, None, held_out, settings)
    verdict, reasons = judge_system(metrics) if found.frames else ("not checked", ())
    points = []
    for temperature in dict.fromkeys(run.info.temperature_K for run in runs):
        own = [run.info for run in runs if run.info.temperature_K == temperature]
        mine: Trust = "not checked"
        why: tuple[str, ...] = ()
        if found.frames:
            mine, why = judge_point(_metrics(overall, local.get(temperature), held_out, settings))
            if verdict != "trusted" and mine == "trusted":
                mine, why = "to be taken with care", reasons
        caution = [*general, *(reason for info in own for reason in run_reasons(info))]
        if found.frames and temperature not in local:
            caution.append("no labelled frame at this temperature")
        if caution and mine == "trusted":
            mine = "to be taken with care"
        if all(info.status in ("exploded", "melted") for info in own):
            mine = "not trusted"
        first = own[0]
        points.append(CheckedPoint(
            system=system, composition=composition, temperature_K=temperature, pressure_GPa=first.pressure_GPa,
            ensemble=first.ensemble, n_atoms=first.n_atoms, runs=len(own),
            labels=found.temperatures.count(temperature), errors=local.get(temperature),
            teacher=local_teacher.get(temperature), verdict=mine, reasons=(*why, *dict.fromkeys(caution)),
        ))
    if general and verdict == "trusted":
        verdict = "to be taken with care"
    if found.frames and (lowest := worst(verdict, *(point.verdict for point in points))) != verdict:
        reasons = (*reasons, *(
            f"{point.temperature_K:g} K: {reason}" for point in points if point.verdict == lowest
            for reason in point.reasons
        ))
        verdict = lowest
    ratio = overall.force_mae_meV_A.mean / held_out if overall and held_out else None
    return CheckedSystem(
        system=system, labels=len(found.frames), errors=overall, teacher=teacher, held_out_force_mae_meV_A=held_out,
        force_mae_ratio=ratio, verdict=verdict, reasons=(*reasons, *general),
    ), points


def _means(found: _Frames, *, teacher: bool) -> tuple[dict[float, ModelErrors], ModelErrors | None]:
    """Return the mean errors at each temperature, and over all of them."""
    if not found.frames:
        return {}, None
    errors, energies = found.teacher if teacher else found.model, found.energies(teacher=teacher)
    at = found.temperatures
    force, energy, pressure = (
        _grouped(at, values) for values in (errors.force_mae_meV_A, energies, errors.pressure_GPa)
    )
    half = None
    if found.shift:
        half = found.shift.teacher_half95_meV_atom if teacher else found.shift.half95_meV_atom
    energy = {key: widened(one, half) for key, one in energy.items()}
    local = {
        temperature: model_errors(
            energy.get(temperature), [] if energies is None else energies[np.array(at) == temperature].tolist(),
            force[temperature], pressure.get(temperature),
        )
        for temperature in dict.fromkeys(at)
    }
    runs = found.runs
    total_force = overall_estimate(errors.force_mae_meV_A.tolist(), runs)
    assert total_force is not None  # noqa: S101  (there are frames)
    overall = model_errors(
        None if energies is None or (total := overall_estimate(energies.tolist(), runs)) is None
        else widened(total, half),
        [] if energies is None else energies.tolist(), total_force,
        None if errors.pressure_GPa is None else overall_estimate(errors.pressure_GPa.tolist(), runs),
    )
    return local, overall


def _grouped(temperatures: Sequence[float], values: np.ndarray | None) -> dict[float, ErrorEstimate]:
    groups: dict[float, list[float]] = defaultdict(list)
    for temperature, value in zip(temperatures, () if values is None else values.tolist(), strict=values is not None):
        groups[temperature].append(value)
    return estimates(groups)


def _metrics(
    overall: ModelErrors | None, local: ModelErrors | None, held_out: float | None, settings: ValidateSettings
) -> list[Metric]:
    def part(errors: ModelErrors | None, name: str) -> ErrorEstimate | None:
        return None if errors is None else getattr(errors, name)

    found = [
        Metric("energy error", "meV/atom", settings.max_energy_bias_meV_atom,
               part(overall, "energy_bias_meV_atom"), part(local, "energy_bias_meV_atom")),
        Metric("pressure error", "GPa", settings.max_pressure_error_GPa,
               part(overall, "pressure_error_GPa"), part(local, "pressure_error_GPa")),
    ]
    if held_out:
        ratios = [
            None if errors is None else relative(errors.force_mae_meV_A, held_out) for errors in (overall, local)
        ]
        found.append(Metric("force MAE relative to held-out frames", "", settings.max_force_mae_ratio, *ratios))
    return found


def _general_reasons(found: _Frames, held_out: float | None) -> tuple[str, ...]:
    """Return what could not be judged in a system that has labels."""
    if not found.frames:
        return ()
    missing = []
    if found.shift is None:
        missing.append("energies not judged: no labelled training frame has this composition")
    if found.model.pressure_GPa is None:
        missing.append("pressure not judged: the labels have no stress")
    if held_out is None:
        missing.append("forces not judged: there is no held-out labelled frame")
    return tuple(missing)


def run_reasons(info: MdRun) -> list[str]:
    """Return what makes a conductivity from a run doubtful, whatever the errors of the model are."""
    found = []
    if info.status != "ok":
        found.append(f"replica {info.replica} {info.status}: {info.reason}")
    if info.exchanged:
        found.append(f"replica {info.replica}: {info.exchanged}")
    if info.equilibration is not None:
        found += [f"replica {info.replica}: {reason}" for reason in info.equilibration.reasons]
    return found


def _frame_rows(system: str, found: _Frames) -> list[CheckedFrame]:
    energies, pressures = found.energies(), found.model.pressure_GPa
    return [
        CheckedFrame(
            system=system, temperature_K=float(atoms.info["temperature_K"]), replica=int(atoms.info["replica"]),
            step=int(atoms.info["step"]),
            energy_error_meV_atom=None if energies is None else float(energies[k]),
            force_mae_meV_A=float(found.model.force_mae_meV_A[k]),
            pressure_error_GPa=None if pressures is None else float(pressures[k]),
        )
        for k, atoms in enumerate(found.frames)
    ]

