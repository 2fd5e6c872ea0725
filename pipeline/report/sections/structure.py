"""Section on the structure: picture of the cell, density and lattice beside measurement, radial distributions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dpa_sse.pipeline.report.context import label_source, measured_of, mobile_elements
from dpa_sse.pipeline.report.figures import FigureBook, PageFigure
from dpa_sse.pipeline.report.inputs import ProductionRun, ReportData
from dpa_sse.pipeline.report.measured import MeasuredCell
from dpa_sse.pipeline.report.page import ABSENT, Cell, DetailsBlock, PageSection, TableBlock, clip, kelvin, plural, show
from dpa_sse.pipeline.report.plots.structure import plot_rdf, plot_structure
from dpa_sse.pipeline.report.structure import (
    CellAt,
    Pair,
    Roles,
    StructureAt,
    cell_at,
    first_frame,
    roles,
    structure_at,
    usable_runs,
)

MAX_EXCESS = 0.05
"""Relative difference of the volume from the measured one above which the page warns."""


def structure(data: ReportData, book: FigureBook) -> PageSection | None:
    """Return the section on the structure of the production runs; None without production."""
    if not data.md:
        return None
    section = PageSection("structure", "Structure and density")
    groups = usable_runs(data)
    if not groups:
        section.absent = "no production run reached its end"
        return section
    systems = list(dict.fromkeys(system for system, _ in groups))
    mobile = mobile_elements(data)
    known = {system: next(iter(measured_of(data, system).cells), None) for system in systems}
    cells = [one for runs in groups.values() if (one := cell_at(runs, known[runs[0].info.system])) is not None]
    found: list[StructureAt] = []
    pictures: list[PageFigure | None] = []
    rdfs: list[PageFigure | None] = []
    for system in systems:
        own = {T: runs for (name, T), runs in groups.items() if name == system}
        elements = roles(next(iter(own.values()))[0].info.composition, mobile or ["Li"])
        pictures.append(_picture(book, system, own, elements))
        at = [g for runs in own.values() if (g := structure_at(data, runs, elements.pairs)) is not None]
        rdfs += [plot_rdf(book, pair, at, len(systems) > 1) for pair in elements.pairs]
        found += at
    section.figures(pictures)
    section.table(
        (
            "system", "T (K)", "runs", "density (g/cm³)", "a, b, c (Å)", "measured density", "measured a, b, c",
            "at T (K)", "ΔV",
        ),
        [_cell_row(one) for one in cells],
        _cell_caption(data, cells, known.values()),
        "system",
        "a, b, c (Å)|measured density|measured a, b, c|at T (K)|ΔV",
    )
    section.figures(rdfs, most=4)
    if not found:
        section.text("The trajectories of these runs are not in their folders: no radial distribution functions.")
    _shells(section, found)
    return section


def _picture(
    book: FigureBook, system: str, runs: dict[float, list[ProductionRun]], elements: Roles
) -> PageFigure | None:
    """Draw the first frame of the coldest run that has one."""
    for temperature in sorted(runs):
        for run in runs[temperature]:
            frame = first_frame(run)
            if frame is not None:
                caption = (
                    f"{plural(run.info.n_atoms, 'atom')}, first frame of the production run at {kelvin(temperature)} "
                    "K, so with the thermal motion of that temperature. Grey: edges of the cell."
                )
                name = f"structure_{system}"
                return plot_structure(book, name, f"Simulated cell of {clip(system, 40)}", frame, elements, caption)
    return None


def _lattice(lengths: Sequence[float]) -> str:
    """Return lattice constants, equal ones once."""
    texts = [f"{length:.3f}" for length in lengths]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def _cell_row(one: CellAt) -> list[str | Cell]:
    density = f"{one.density_g_cm3:.3f}" + (f" ± {one.spread:.3f}" if one.spread is not None else "")
    excess: str | Cell = ABSENT
    if one.excess is not None:
        excess = Cell(f"{round(100 * one.excess, 1) + 0.0:+.1f} %", "good" if abs(one.excess) <= MAX_EXCESS else "warn")
    known = one.measured
    return [
        one.system, kelvin(one.temperature_K), str(one.runs), density,
        _lattice(one.lattice_A) if one.lattice_A else ABSENT,
        show(one.measured_density_g_cm3, 4), _lattice(known.parameters[:3]) if known else ABSENT,
        (kelvin(known.temperature_K) if known.temperature_K else "not stated") if known else ABSENT,
        excess,
    ]


def _cell_caption(data: ReportData, cells: Sequence[CellAt], known: Iterable[MeasuredCell | None]) -> str:
    text = f"Mean volume of the production runs ({label_source(data)}), "
    text += "± half the range over replicas" if any(one.spread is not None for one in cells) else "one run each"
    text += "; the barostat is isotropic, so the shape of the cell is that of the start."
    references = dict.fromkeys(f"{one.entry}: {one.reference}" for one in known if one is not None)
    if references:
        text += " ΔV: volume relative to the measured one; crystals expand on heating, so compare the temperatures. "
        text += f"More than {100 * MAX_EXCESS:.0f} % is marked. Measured: {'; '.join(references)}."
    else:
        text += " The library has no measured cell of this composition."
    return text


def _shells(section: PageSection, found: Sequence[StructureAt]) -> None:
    """Append the table of first maxima and coordination numbers."""
    rows: list[list[str | Cell]] = []
    several = len({one.system for one in found}) > 1
    pairs: list[Pair] = list(dict.fromkeys(pair for one in found for pair in one.pairs))
    for pair in pairs:
        for one in found:
            if pair not in one.pairs:
                continue
            shell = one.pairs[pair].first_shell
            numbers = [ABSENT] * 3 if shell is None else [f"{shell[0]:.2f}", f"{shell[1]:.2f}", f"{shell[2]:.2f}"]
            rows.append([one.system if several else "", f"{pair[0]}–{pair[1]}", kelvin(one.temperature_K), *numbers])
    if rows:
        columns = ("system", "pair", "T (K)", "first maximum (Å)", "end of the shell (Å)", "neighbours")
        kept = columns if several else columns[1:]
        table = TableBlock(
            kept, [row if several else row[1:] for row in rows],
            "Neighbours of the first element up to the first minimum of g(r); a dash where it has no minimum within "
            "half the cell.", words=("system", "pair"),
        )
        section.blocks.append(DetailsBlock("First shells and coordination numbers", blocks=[table]))
