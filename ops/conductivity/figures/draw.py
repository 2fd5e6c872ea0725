"""All figures of one analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.conductivity.figures.run import health_figure, motion_figure, msd_figure
from dpa_sse.ops.conductivity.figures.style import styled
from dpa_sse.ops.conductivity.figures.summary import (
    activation_figure,
    arrhenius_figure,
    measured_pairs,
    parity_figure,
    replica_figure,
    series_figure,
)
from dpa_sse.ops.conductivity.run import Run
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.tables import write_comparison, write_drift, write_motion


def write_figures(
    runs: Sequence[Run], result: dict[str, Any], settings: ConductivitySettings, folder: Path,
    measured: Sequence[dict[str, Any]] = (),
) -> list[Path]:
    """Write every figure for which there are data; return the SVG files (a PNG lies beside each).

    Parameters
    ----------
    runs : sequence of Run
    result : dict
        Content of ``conductivity.json``.
    settings : ConductivitySettings
    folder : Path
    measured : sequence of dict
        Experiments, see ``points_table.read_measured``.
    """
    written: list[Path | None] = []
    with styled():
        for run in runs:
            if run.parts:
                written.append(msd_figure(run, settings, folder / f"msd_{run.source}.svg"))
                written.append(motion_figure(run, settings, folder / f"motion_{run.source}.svg"))
                write_motion(run, folder)
            if run.folder is not None:
                health = health_figure(run, folder / f"health_{run.source}.svg", settings.reference)
                if health is not None:
                    write_drift(run, folder)
                written.append(health)
        written.append(arrhenius_figure(result, folder / "arrhenius.svg", measured))
        written.append(replica_figure(result, folder / "replicas.svg"))
        written.append(series_figure(result, folder / "series.svg", measured))
        written.append(activation_figure(result, folder / "activation.svg", measured))
        written.append(parity_figure(result, folder / "parity.svg", measured))
    pairs = measured_pairs(result, measured)
    if pairs:
        write_comparison(pairs, folder / "parity.csv")
    return [path for path in written if path is not None]
