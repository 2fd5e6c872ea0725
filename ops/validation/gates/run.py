"""Runs gates on a model and writes ``gates.json``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.files import write_csv
from dpa_sse.ops.results.gates import GateResult, Gates
from dpa_sse.ops.validation.gates.base import GateSettings, Measurement, Potential, Reference, formula
from dpa_sse.ops.validation.gates.judge import judge, overall
from dpa_sse.ops.validation.gates.registry import Thresholds, measure_of

if TYPE_CHECKING:
    from ase import Atoms

TABLES = "tables"


@dataclass(frozen=True)
class Candidate:
    """A model to judge, what it is compared with, and where it is to be used.

    Attributes
    ----------
    model : Potential
    reference : Reference
    structures : sequence of Atoms
    settings : GateSettings
        Without protocols.
    sha256 : str or None
        Of the model file.
    not_run : mapping
        Gates that are not to be run, and why.
    """

    model: Potential
    reference: Reference
    structures: Sequence[Atoms]
    settings: GateSettings
    sha256: str | None = None
    not_run: Mapping[str, str] = field(default_factory=dict)


def run_gates(
    candidate: Candidate, thresholds: Thresholds, out: Path | None = None,
    progress: Callable[[GateResult], None] | None = None,
) -> Gates:
    """Measure and judge all gates of a tier.

    Parameters
    ----------
    candidate : Candidate
    thresholds : Thresholds
    out : Path, optional
        Receives ``gates.json`` and ``tables/``.
    progress : callable, optional
        Gets each gate when it is done.
    """
    from dpa_sse.ops.training.train import deepmd_version

    start = time.monotonic()
    settings = candidate.settings
    if candidate.reference.potential is not None:
        candidate.reference.potential.role = "reference"
    results = []
    for key, entry in thresholds.at(settings.tier).items():
        began = time.monotonic()
        own = replace(settings, md=thresholds.md_at(settings.tier), protocol=entry.protocol_at(settings.tier))
        measurement = _measure(key, candidate, own)
        result = judge(key, measurement, entry, settings.tier, time.monotonic() - began)
        if out is not None and measurement.table:
            result = result.model_copy(update={"table": _write_table(out, key, measurement)})
        results.append(result)
        if progress is not None:
            progress(result)
    verdict, reasons = overall(results)
    found = Gates(
        model=candidate.model.name, reference=candidate.reference.name, model_sha256=candidate.sha256,
        structures=tuple(_words(atoms) for atoms in candidate.structures), tier=settings.tier,
        temperature_K=settings.temperature_K, verdict=verdict, reasons=reasons, gates=tuple(results),
        thresholds_sha256=thresholds.sha256, deepmd_version=deepmd_version(),
        seconds=round(time.monotonic() - start, 1),
    )
    if out is not None:
        found.write(out)
    return found


def _measure(key: str, candidate: Candidate, settings: GateSettings) -> Measurement:
    if key in candidate.not_run:
        return Measurement(not_run=candidate.not_run[key])
    return measure_of(key)(candidate.model, candidate.reference, candidate.structures, settings)


def _write_table(out: Path, key: str, measurement: Measurement) -> str:
    name = f"{TABLES}/{key}.csv"
    (out / TABLES).mkdir(parents=True, exist_ok=True)
    write_csv(out / name, measurement.table, list(measurement.table[0]))
    return name


def _words(atoms: Atoms) -> str:
    name = str(atoms.info.get("system") or "")
    own = formula(atoms.get_chemical_symbols())
    return f"{name} ({own})" if name else own
