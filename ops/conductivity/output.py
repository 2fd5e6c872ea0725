"""Files of the analysis: ``conductivity.json``, CSV tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.conductivity.analyse import Analysis
from dpa_sse.ops.conductivity.readers.points_table import MeasuredValue
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.tables import write_tables
from dpa_sse.ops.results.status import TaskStatus

WRITTEN = ".analysis.json"
"""List of the files that the last analysis has written into its folder."""
FILES = ("*", "figures/*")
"""Where an analysis writes."""


def write_analysis(
    analysis: Analysis, settings: ConductivitySettings, out: Path, measured: Sequence[MeasuredValue] = ()
) -> None:
    """Write an analysis into a folder.

    Parameters
    ----------
    analysis : Analysis
    settings : ConductivitySettings
    out : Path
        Receives ``conductivity.json``, ``conductivity.csv``, ``arrhenius.csv``, ``activation.csv``, ``msd_<run>.csv``,
        ``figures/`` and ``status.json``.
    measured : sequence of MeasuredValue
        Experiments to draw next to the results.
    """
    out.mkdir(parents=True, exist_ok=True)
    analysis.result.write(out)
    write_tables(analysis, out)
    if settings.figures:
        from dpa_sse.ops.conductivity.figures.draw import write_figures

        write_figures(analysis, settings, out / "figures", measured)
    TaskStatus(status="ok" if analysis.runs else "empty").write(out)
