"""Files of the analysis: ``conductivity.json``, CSV tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dpa_sse.ops.conductivity.analyse import Analysis
from dpa_sse.ops.conductivity.readers.points_table import MeasuredValue
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.tables import write_tables
from dpa_sse.ops.core.files import read_json, write_json
from dpa_sse.ops.core.removal import remove_listed
from dpa_sse.ops.results.status import TaskStatus

WRITTEN = ".analysis.json"
"""List of the files that the last analysis has written into its folder."""


@contextmanager
def only_new_files(out: Path) -> Iterator[None]:
    """Remove what an earlier analysis has written into a folder, and list what the block writes there.

    Files that no analysis has written stay.
    """
    listed = out / WRITTEN
    earlier: set[str] = set()
    with suppress(FileNotFoundError, ValueError):
        earlier = set(map(str, read_json(listed)))
    for folder in (out, out / "figures"):
        prefix = "figures/" if folder != out else ""
        names = {name.removeprefix(prefix) for name in earlier if name.startswith(prefix)}
        if names:
            remove_listed(folder, names)
    before = _files(out)
    try:
        yield
    finally:
        write_json(listed, sorted(_files(out) - before - {WRITTEN}))


def _files(out: Path) -> set[str]:
    """Return the files of a folder and of its ``figures/``, as relative names."""
    found = [*out.glob("*"), *out.glob("figures/*")]
    return {str(path.relative_to(out)) for path in found if path.is_file()}


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
