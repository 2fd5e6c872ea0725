"""Sentences on how the labelled configurations were made: perturbed cells, and molecular dynamics with the labeler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import kelvin, listed, plural
from dpa_sse.pipeline.report.records import AimdExcerpt, PerturbExcerpt, SystemExcerpt


def labelled_runs(data: ReportData) -> Iterator[str]:
    """Yield a sentence for the base systems, and one for the new compound, if the run labelled them itself."""
    config = data.config
    labelled = {part.system for part in data.dataset.systems} if data.dataset else set()
    base = [one for one in config.systems if one.name in labelled]
    if base and config.perturb and config.aimd:
        yield _sentence(base, config.perturb, config.aimd)
    new = config.downstream
    if new is not None and not new.data and new.perturb and new.aimd and "finetune" in data.models:
        yield _sentence(config.new_systems, new.perturb, new.aimd)


def _sentence(systems: Sequence[SystemExcerpt], perturb: PerturbExcerpt, aimd: AimdExcerpt) -> str:
    names = listed([_name(one) for one in systems])
    each = "each of " if len(systems) > 1 else ""
    pressure = f" at {aimd.pressure_GPa:g} GPa" if aimd.ensemble == "npt" else ""
    every = "at every step" if aimd.sample_every == 1 else f"every {aimd.sample_every} steps"
    return (
        f"{plural(perturb.count, 'cell')} of {each}{names}, with components of the strain of up to {perturb.strain:g} "
        f"and displacements of up to {perturb.displacement_A:g} Å, {'was' if perturb.count == 1 else 'were'} the "
        f"starting point{'' if perturb.count == 1 else 's'} of molecular dynamics with this method "
        f"({plural(aimd.steps, 'step')} of {aimd.timestep_fs:g} fs, {aimd.ensemble.upper()}{pressure}, "
        f"{_temperatures(aimd)}); a configuration was taken {every}."
    )


def _name(system: SystemExcerpt) -> str:
    parts = []
    if system.site_disorder is not None:
        parts.append(f"{system.site_disorder:g} of the 4c sites occupied by the halide")
    if system.mixing == "sqs":
        parts.append("special quasi-random structure")
    return f"{system.name} ({', '.join(parts)})" if parts else system.name


def _temperatures(aimd: AimdExcerpt) -> str:
    starts = [kelvin(T) for T in aimd.temperatures_K]
    if aimd.end_temperatures_K:
        pairs = zip(starts, map(kelvin, aimd.end_temperatures_K), strict=False)
        return "heated or cooled from " + listed([f"{start} to {end} K" for start, end in pairs])
    turns = " in turn" if len(starts) > 1 else ""
    return f"{listed(starts)} K{turns}"
