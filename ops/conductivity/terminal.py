"""The result in a few plain lines for a terminal."""

from __future__ import annotations

from itertools import pairwise

from dpa_sse.ops.conductivity.arrhenius import ASSUMPTION
from dpa_sse.ops.conductivity.digits import with_interval
from dpa_sse.ops.conductivity.estimate import TOO_FAST
from dpa_sse.ops.results.conductivity import ArrheniusResult, ConductivityResult, PooledTransport, explained


def result_lines(result: ConductivityResult) -> list[str]:
    """Return one line per temperature, then the Arrhenius line of each system with its remarks."""
    lines = [_temperature_line(entry) for entry in result.temperatures]
    lines += [line for system, found in result.arrhenius_by_system.items() for line in _line_lines(system, found)]
    return [*lines, *_ranking_lines(result)]


def _ranking_lines(result: ConductivityResult) -> list[str]:
    """Return the order of the systems: each with its rank, and how probable it is that it beats the next one."""
    found = result.ranking
    if not found:
        return []
    parts = [f"{one.rank_text} {one.system}" for one in found]
    sure = [
        f"P({one.system} > {after.system}) = {one.better_than[after.system]:.2f}"
        for one, after in pairwise(found)
    ]
    return [f"Rank at {found[0].temperature_K:g} K (95 %): {', '.join(parts)}; {', '.join(sure)}"]


def _temperature_line(entry: PooledTransport) -> str:
    text = entry.verdict
    if entry.D_cm2_s:
        text += f", D = {entry.D_cm2_s:.2e} cm2/s"
        if entry.D_ci95_cm2_s:
            text += " (95 %: {:.2e} to {:.2e})".format(*entry.D_ci95_cm2_s)
        if entry.sigma_NE_mS_cm is not None:
            text += f", sigma(NE) = {with_interval(entry.sigma_NE_mS_cm, entry.sigma_NE_ci95_mS_cm, 'mS/cm')}"
    elif entry.D_upper95_cm2_s:
        text += f", D < {entry.D_upper95_cm2_s:.1e} cm2/s"
    if not entry.D_cm2_s:
        text += explained(entry.verdict, entry.reasons).removeprefix(entry.verdict)
    text += "".join(f"; {one}" for one in entry.reasons if one.endswith("left out") and one not in text)
    text += "".join(f"; {one}" for one in entry.reasons if one.startswith(TOO_FAST))
    return f"{entry.system} {entry.temperature_K:g} K: {text}"


def _line_lines(system: str, line: ArrheniusResult) -> list[str]:
    if line.Ea_eV is None or line.Ea_ci95_eV is None:
        return [f"{system}: no Arrhenius line ({line.notes[0]})"]
    low, high = line.Ea_ci95_eV
    lines = [f"{system}: Ea = {line.Ea_eV:.3f} eV (95 %: {low:.3f} to {high:.3f})"]
    lines += [
        f"{system}: sigma({point.temperature_K:g} K) = "
        f"{with_interval(point.sigma_mS_cm, point.sigma_ci95_mS_cm, 'mS/cm')}, extrapolated"
        for point in line.extrapolated if point.sigma_mS_cm is not None
    ]
    return lines + [f"{system}: {note}" for note in line.notes if note != ASSUMPTION]
