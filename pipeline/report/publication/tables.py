"""Tables of the supporting information, from the same numbers as the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dpa_sse.pipeline.report.context import common_conditions, evaluation_source, label_source, measured_of
from dpa_sse.pipeline.report.inputs import ReportData
from dpa_sse.pipeline.report.page import ABSENT, as_published, interval, kelvin, measured, show
from dpa_sse.pipeline.report.records import evaluation_label
from dpa_sse.pipeline.report.sections.run import dataset_rows
from dpa_sse.pipeline.report.structure import run_density_g_cm3
from dpa_sse.pipeline.report.transport import arrhenius_parts, line_trust, transport_points


@dataclass(frozen=True)
class SiTable:
    """A table of texts.

    Attributes
    ----------
    name : str
        Of its files.
    caption : str
    columns, rows
    words : tuple of str
        The left-aligned columns.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: tuple[str, ...]


def si_tables(data: ReportData) -> list[SiTable]:
    """Return the tables that have rows."""
    found = (
        _conductivities(data), _arrhenius(data), _measured(data), _runs(data), _models(data), _errors(data), _data(data)
    )
    return [table for table in found if table.rows]


def _conductivities(data: ReportData) -> SiTable:
    rows = [
        (
            p.system, kelvin(p.temperature_K), p.numbers.state.text if p.numbers.state else ABSENT, str(p.replicas),
            show(p.numbers.length_ps), measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm), interval(p.sigma_ci95_mS_cm),
            measured(p.D_cm2_s, p.D_ci95_cm2_s), interval(p.D_ci95_cm2_s), p.verdict_word, p.trust,
        )
        for p in transport_points(data)
    ]
    return SiTable(
        "conductivity",
        f"Nernst–Einstein conductivity and tracer diffusion coefficient (95 % intervals), {label_source(data)}.",
        (
            "system", "T (K)", "state point", "runs", "length (ps)", "σ (mS/cm)", "95 %", "D (cm²/s)", "95 % of D",
            "verdict", "self-check",
        ),
        rows, ("system", "state point", "verdict", "self-check"),
    )


def _arrhenius(data: ReportData) -> SiTable:
    rows: list[tuple[str, ...]] = []
    for system, line, own in arrhenius_parts(data, transport_points(data)):
        if line.Ea_eV is None or not line.determined:
            continue
        trust = line_trust(line, own)
        used = ", ".join(kelvin(T) for T in line.points_used)
        first = (system, used, measured(line.Ea_eV, line.Ea_ci95_eV), interval(line.Ea_ci95_eV))
        rows += [
            (
                *first, kelvin(one.temperature_K), measured(one.sigma_mS_cm, one.sigma_ci95_mS_cm),
                interval(one.sigma_ci95_mS_cm), trust,
            )
            for one in line.extrapolated
        ] or [(*first, ABSENT, ABSENT, ABSENT, trust)]
    return SiTable(
        "arrhenius", f"Arrhenius lines and extrapolated conductivities (95 % intervals), {common_conditions(data)}, "
        f"{label_source(data)}.",
        ("system", "fitted T (K)", "Ea (eV)", "95 %", "extrapolated to (K)", "σ (mS/cm)", "95 % of σ", "self-check"),
        rows, ("system", "fitted T (K)", "self-check"),
    )


def _measured(data: ReportData) -> SiTable:
    rows: list[tuple[str, ...]] = []
    for system in dict.fromkeys(run.info.system for run in data.md):
        found = measured_of(data, system)
        for one in found.conductivities:
            value = "–".join(dict.fromkeys((as_published(one.low), as_published(one.high))))
            energy = ABSENT if one.Ea_eV is None else as_published(one.Ea_eV)
            rows.append((
                system, one.material, one.remark, kelvin(one.temperature_K), value, ABSENT, energy, one.reference
            ))
        for one in found.diffusion:
            rows.append((
                system, one.material, one.remark, kelvin(one.temperature_K), ABSENT, as_published(one.middle), ABSENT,
                one.reference,
            ))
    return SiTable(
        "measured", "Measured conductivities and diffusion coefficients of the same compositions.",
        ("system", "material", "sample or method", "T (K)", "σ (mS/cm)", "D (cm²/s)", "Ea (eV)", "reference"), rows,
        ("system", "material", "sample or method", "reference"),
    )


def _runs(data: ReportData) -> SiTable:
    rows = [
        (
            run.info.system, kelvin(run.info.temperature_K), str(run.info.replica), str(run.info.n_atoms),
            run.info.ensemble.upper(), f"{run.info.pressure_GPa:g}", f"{run.info.timestep_fs:g}",
            f"{run.info.equilibration_steps * run.info.timestep_fs / 1000:g}",
            f"{run.info.steps * run.info.timestep_fs / 1000:g}", show(run_density_g_cm3(run.info), 4), run.info.status,
        )
        for run in data.md
    ]
    return SiTable(
        "md", f"Production runs; potential trained on {label_source(data)}.",
        (
            "system", "T (K)", "replica", "atoms", "ensemble", "p (GPa)", "time step (fs)", "equilibration (ps)",
            "planned length (ps)", "density (g/cm³)", "status",
        ),
        rows, ("system", "ensemble", "status"),
    )


def _models(data: ReportData) -> SiTable:
    def rows() -> Iterator[tuple[str, ...]]:
        for name, model in data.models.items():
            info = model.info
            yield (
                name, info.adopted or info.preset or ABSENT, info.descriptor or ABSENT, show(info.rcut_A),
                *(ABSENT if value is None else str(value) for value in (info.n_parameters, info.steps, info.seed)),
                info.deepmd_version or ABSENT,
            )

    return SiTable(
        "models", "Potentials.",
        ("model", "network", "descriptor", "cutoff (Å)", "parameters", "steps", "seed", "DeePMD-kit"), list(rows()),
        ("model", "network", "descriptor", "DeePMD-kit"),
    )


def _errors(data: ReportData) -> SiTable:
    rows = []
    for name in data.ordered_evaluations:
        found = data.evaluations[name].errors
        rows.append((
            evaluation_label(name), found.split, evaluation_source(found), str(found.n_frames),
            show(found.energy_mae_meV_atom), interval(found.energy_mae_ci95_meV_atom, 2), show(found.force_mae_meV_A),
            interval(found.force_mae_ci95_meV_A, 2), show(found.virial_mae_meV_atom),
        ))
    return SiTable(
        "errors", "Mean absolute errors with 95 % intervals over trajectories.",
        ("model", "split", "labels", "frames", "E (meV/atom)", "95 %", "F (meV/Å)", "95 % of F", "virial (meV/atom)"),
        rows, ("model", "split", "labels"),
    )


def _data(data: ReportData) -> SiTable:
    return SiTable(
        "data", f"Labelled configurations of the base systems, {label_source(data)}.",
        ("system", "split", "frames", "atoms", "trajectories"),
        [tuple(row) for row in dataset_rows(data.dataset)], ("system", "split"),
    )
