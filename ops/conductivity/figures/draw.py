"""All figures of one analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.conductivity.analyse import Analysis
from dpa_sse.ops.conductivity.comparison import compare
from dpa_sse.ops.conductivity.figures.run import health_figure, motion_figure, msd_figure
from dpa_sse.ops.conductivity.figures.style import styled
from dpa_sse.ops.conductivity.figures.summary import (
    activation_figure,
    arrhenius_figure,
    parity_figure,
    replica_figure,
    series_figure,
)
from dpa_sse.ops.conductivity.readers.points_table import MeasuredValue
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.tables import write_comparison, write_drift, write_motion


def write_figures(
    analysis: Analysis, settings: ConductivitySettings, folder: Path, measured: Sequence[MeasuredValue] = ()
) -> list[Path]:
    """Write every figure for which there are data; return the SVG files (each has a PNG next to it).

    Parameters
    ----------
    analysis : Analysis
    settings : ConductivitySettings
    folder : Path
    measured : sequence of MeasuredValue
        Experiments.
    """
    result = analysis.result
    written: list[Path | None] = []
    with styled():
        for run in analysis.runs:
            name = run.source.label
            if run.data is not None:
                written.append(msd_figure(run, settings, folder / f"msd_{name}.svg"))
                written.append(motion_figure(run, settings, folder / f"motion_{name}.svg"))
                write_motion(run, folder)
            health = health_figure(run, folder / f"health_{name}.svg", settings.reference)
            if health is not None and run.data is not None and run.data.figures is not None:
                write_drift(run.data.figures, folder / f"health_{name}_drift.csv")
            written.append(health)
        written.append(arrhenius_figure(result, folder / "arrhenius.svg", measured))
        written.append(replica_figure(result, folder / "replicas.svg"))
        written.append(series_figure(result, folder / "series.svg", measured))
        written.append(activation_figure(result, folder / "activation.svg", measured))
        written.append(parity_figure(result, folder / "parity.svg", measured))
    pairs = compare(result, measured)
    if pairs:
        write_comparison(pairs, folder / "parity.csv")
    return [path for path in written if path is not None]
