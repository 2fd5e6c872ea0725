"""Runs of one system and temperature combined: replicas, and other arrangements of the same atoms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dpa_sse.ops.conductivity.continuation import overlap, same_run
from dpa_sse.ops.conductivity.estimate import estimate_self
from dpa_sse.ops.conductivity.run import AnalysedRun, RunData
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.transport import transport_numbers
from dpa_sse.ops.results.conductivity import PooledTransport


def group_runs(runs: Sequence[AnalysedRun]) -> list[list[AnalysedRun]]:
    """Return runs grouped by system and temperature (equal within 0.5 K), in order."""
    groups: dict[tuple[str, int], list[AnalysedRun]] = {}
    for run in sorted(runs, key=lambda one: (one.source.system, one.source.temperature_K)):
        if run.source.temperature_K > 0:
            groups.setdefault((run.source.system, round(run.source.temperature_K)), []).append(run)
    return list(groups.values())


def pool(group: Sequence[AnalysedRun], settings: ConductivitySettings) -> PooledTransport:
    """Combine the replicas of a group."""
    usable = [(run, run.data) for run in group if run.usable and run.data is not None]
    system, temperature = group[0].source.system, group[0].source.temperature_K
    if not usable:
        verdict = Counter(run.verdict for run in group).most_common(1)[0][0]
        reasons = next(run.reasons for run in group if run.verdict == verdict)
        return PooledTransport(
            system=system, temperature_K=temperature, n_runs=0, n_runs_refused=len(group), length_ps=0.0,
            verdict=verdict, reasons=reasons, **dict(transport_numbers(group, {}, settings)),
        )
    runs, left_out = _comparable(usable)
    estimates = runs[0][0].estimates
    if len(runs) > 1:
        estimates = {
            name: estimate_self(
                [data.replicas[name] for _, data in runs], settings.hop_distance_A, settings.start_ps,
                [run.source.arrangement for run, _ in runs],
            )
            for name in settings.mobile
        }
    main = estimates[settings.mobile[0]]
    return PooledTransport(
        system=system, temperature_K=temperature, n_runs=len(runs), n_runs_refused=len(group) - len(usable),
        n_arrangements=len({run.source.arrangement for run, _ in runs}),
        length_ps=sum(data.length_ps for _, data in runs), sources=tuple(run.source.label for run, _ in runs),
        verdict=main.verdict, reasons=(*left_out, *main.reasons), more_ps_needed=main.more_ps,
        ln_D_sigma=None if main.ln_half95 is None else main.ln_half95 / 1.96,
        **dict(transport_numbers([run for run, _ in runs], estimates, settings)),
    )


_Measured = tuple[AnalysedRun, RunData]


def _comparable(runs: Sequence[_Measured]) -> tuple[list[_Measured], list[str]]:
    """Return the replicas that can be averaged, and why others cannot.

    Replicas need the same frame spacing and composition. Those with the same displacements are copies of one run (a
    file given twice, a seed used twice) and count once: they would narrow the interval without cause.
    """
    spacing = Counter(round(data.dt_ps, 9) for _, data in runs).most_common(1)[0][0]
    even = [(run, data) for run, data in runs if abs(data.dt_ps - spacing) < 1e-8]
    same = [(run, data) for run, data in even if data.counts == even[0][1].counts]
    reasons = []
    if len(same) < len(runs):
        count = len(runs) - len(same)
        reasons.append(f"{count} replica{'s' * (count > 1)} with another frame spacing or composition left out")
    distinct: list[_Measured] = []
    for run, data in sorted(same, key=lambda one: -one[1].n_frames):  # of two that overlap the longer one
        if not any(_copies(data, other) for _, other in distinct):
            distinct.append((run, data))
    if len(distinct) < len(same):
        count = len(same) - len(distinct)
        reasons.append(f"{count} {'copies' if count > 1 else 'copy'} of the same run left out")
    kept = {id(run) for run, _ in distinct}
    return [one for one in same if id(one[0]) in kept], reasons


def _copies(one: RunData, other: RunData) -> bool:
    """Return True if two runs move alike, or one shows a part of the other.

    The collective displacement decides: it is that of a single series, so two runs never agree in it to a per cent at
    all lags unless they are the same, while formats that round positions keep it.
    """
    if one.ends is not None and other.ends is not None:
        if same_run(one.ends, other.ends):
            return True
        if overlap(one.ends, other.ends) is not None or overlap(other.ends, one.ends) is not None:
            return True
    first, second = one.charge_msd["total"], other.charge_msd["total"]
    return len(first) == len(second) and bool(np.allclose(first[1:], second[1:], rtol=0.01))
