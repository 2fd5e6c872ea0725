"""A card from what is recorded: the model's files, its training, the verdict on it; nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.models.card_text import number
from dpa_sse.ops.models.claims import metrics_of
from dpa_sse.ops.models.collect import ModelParts
from dpa_sse.ops.results.dataset import DatasetInfo
from dpa_sse.ops.results.gates import Gates
from dpa_sse.ops.results.model_card import (
    Accepted,
    Architecture,
    CardGate,
    CardVerdict,
    IntendedUse,
    License,
    ModelCard,
    Plain,
    TrainingSystem,
)
from dpa_sse.ops.results.summary import Summary

HYPERPARAMETERS = {
    "graph_construction_radius": "model.descriptor.rcut", "max_neighbors": "model.descriptor.sel",
    "learning_rate": "learning_rate.start_lr", "learning_rate_end": "learning_rate.stop_lr",
    "batch_size": "training.training_data.batch_size", "training_steps": "training.numb_steps",
    "optimizer": "optimizer.type", "loss_start_pref_e": "loss.start_pref_e", "loss_limit_pref_e": "loss.limit_pref_e",
    "loss_start_pref_f": "loss.start_pref_f", "loss_limit_pref_f": "loss.limit_pref_f",
    "loss_start_pref_v": "loss.start_pref_v", "loss_limit_pref_v": "loss.limit_pref_v",
}
"""Names on a card (those of matbench-discovery where it has them), and the keys of DeePMD-kit's input."""


@dataclass(frozen=True)
class Background:
    """What is known about a model beside its files.

    Attributes
    ----------
    gates : Gates or None
    summary : Summary or None
        Of the report of its run.
    evaluations : sequence of str
        Evaluations of that report that are of this model.
    training_set : sequence of TrainingSystem
    distilled_from : str or None
    temperatures_K, pressures_GPa : sequence of float
        Of the MD behind its training data.
    requirements : mapping
        Versions of programs.
    accepted : sequence of Accepted
    license : str or None
    must_not : sequence of str
        Said by its maker.
    notes : sequence of str
    """

    gates: Gates | None = None
    summary: Summary | None = None
    evaluations: Sequence[str] = ()
    training_set: Sequence[TrainingSystem] = ()
    distilled_from: str | None = None
    temperatures_K: Sequence[float] = ()
    pressures_GPa: Sequence[float] = ()
    requirements: Mapping[str, str] = field(default_factory=dict)
    accepted: Sequence[Accepted] = ()
    license: str | None = None
    must_not: Sequence[str] = ()
    notes: Sequence[str] = ()


def make_card(name: str, parts: ModelParts, known: Background) -> ModelCard:
    """Return the card of a model, without version and files, which the registry fills in."""
    own, info = parts.branch, parts.info
    elements = _elements_with_data(parts)
    metrics = tuple(metrics_of(known.gates, known.summary, known.evaluations))
    versions = {"deepmd-kit": info.deepmd_version} if info and info.deepmd_version else {}
    return ModelCard(
        model_name=name, model_version="0", date_added=datetime.now(UTC).date().isoformat(),
        model_params=own.n_parameters or (info.n_parameters if info else None),
        architecture=Architecture(
            type_map=own.type_map, descriptor=own.descriptor, fitting=own.fitting, rcut_A=own.rcut_A,
            precision=own.precision, branch=own.name,
        ),
        training_set=tuple(known.training_set), distilled_from=known.distilled_from,
        hyperparams=dict(_hyperparameters(parts)), requirements={**known.requirements, **versions},
        metrics=metrics, gates=_verdict(known.gates),
        accepted=tuple(known.accepted), license=License(checkpoint=known.license),
        intended_use=IntendedUse(
            elements=elements or own.type_map, elements_with_data_known=bool(elements),
            highest_temperature_K=known.gates.temperature_K if known.gates else None,
            trained_temperatures_K=tuple(sorted(set(known.temperatures_K))),
            trained_pressures_GPa=tuple(sorted(set(known.pressures_GPa))),
            must_not=(*must_not(elements or own.type_map, known.gates, measured=bool(metrics)), *known.must_not),
        ),
        files={}, notes=tuple(known.notes),
    )


def must_not(elements: Sequence[str], gates: Gates | None, *, measured: bool) -> Iterator[str]:
    """Yield what a model must not be used for, as far as its elements and the gates say so.

    ``measured``: there are errors of it, if not gates.
    """
    yield f"elements other than {', '.join(elements)}"
    if gates is None:
        rests = "its stability, or on its accuracy outside of the held-out labels" if measured else (
            "its accuracy or its stability")
        yield f"anything that rests on {rests}: no gate was run"
        return
    yield f"MD above {number(gates.temperature_K)} K"
    yield f"other compositions or phases than {', '.join(gates.structures)}: the gates judged no other"
    yield "pressures at which its cell was not judged: the gates run at the volume of the given cells"
    for gate in gates.gates:
        if gate.verdict in ("FAIL", "NOT_RUN", "INCONCLUSIVE"):
            yield f"what rests on {gate.name} ({gate.key} {gate.verdict}: {gate.reason})"


def training_systems(
    found: DatasetInfo, role: str = "training", n_frames: int | None = None
) -> Iterator[TrainingSystem]:
    """Yield the systems of the training part of a data set.

    Parameters
    ----------
    found : DatasetInfo
    role : {"training", "pre-training"}
    n_frames : int, optional
        Frames that were drawn from it, where it has a single system.
    """
    level = found.level.name if found.level else None
    names = list(dict.fromkeys(one.system for one in found.systems if one.split == "train"))
    for name in names:
        parts = [one for one in found.systems if one.split == "train" and one.system == name]
        total = sum(one.n_frames for one in parts)
        yield TrainingSystem(
            system=printable(name, keep=""), role="training" if role == "training" else "pre-training",
            n_frames=n_frames if n_frames is not None and len(names) == 1 else total,
            n_atoms=tuple(sorted({one.n_atoms for one in parts})), level=level,
        )


def _elements_with_data(parts: ModelParts) -> tuple[str, ...]:
    """Return the elements that occurred in the training data; empty where that is not recorded."""
    if parts.branch.elements_with_data:
        return parts.branch.elements_with_data
    counts = parts.info.neighbours if parts.info else None
    if counts is None or not counts.cutoffs:
        return ()
    most = [max(one.per_type[k] for one in counts.cutoffs.values()) for k in range(len(counts.type_map))]
    return tuple(name for name, count in zip(counts.type_map, most, strict=True) if count)


def _hyperparameters(parts: ModelParts) -> Iterator[tuple[str, Plain]]:
    if parts.info and parts.info.preset:
        yield "preset", printable(parts.info.preset, keep="")
    for name, key in HYPERPARAMETERS.items():
        value: Any = parts.training
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, list) and all(isinstance(one, int) for one in value):
            value = sum(value)  # neighbours of all elements
        if isinstance(value, (int, float, str)):
            yield name, printable(value, keep="") if isinstance(value, str) else value


def _verdict(gates: Gates | None) -> CardVerdict | None:
    if gates is None or gates.model_sha256 is None:
        return None
    return CardVerdict(
        verdict=gates.verdict, model_sha256=gates.model_sha256, reference=gates.reference, tier=gates.tier,
        temperature_K=gates.temperature_K, structures=gates.structures, thresholds_sha256=gates.thresholds_sha256,
        gates=tuple(
            CardGate(key=one.key, name=one.name, required=one.required, verdict=one.verdict, reason=one.reason)
            for one in gates.gates
        ),
    )
