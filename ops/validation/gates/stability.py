"""G5: does the MD survive heating, holding and overheating, with the framework as intact as the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.md.monitor import CLOSEST, Geometry
from dpa_sse.ops.structures.host_lattice import covalent_sums, find_framework, judge_motion
from dpa_sse.ops.structures.neighbour_list import near_pairs
from dpa_sse.ops.validation.gates.base import Array, GateSettings, Measurement, Potential, Reference, Value
from dpa_sse.ops.validation.gates.dynamics import Trajectory
from dpa_sse.ops.validation.gates.shared import heated
from dpa_sse.ops.validation.gates.statistics import mean_value

if TYPE_CHECKING:
    from ase import Atoms

PLACE_FS = 400.0
"""Positions are averaged over this time before a displacement of the framework is judged."""
QUANTILE = 0.001
FRAMES = 30
"""Frames of a copy whose contacts and polyhedra are counted."""


@dataclass
class State:
    """What a run did to its framework.

    Attributes
    ----------
    kept : ndarray, shape (copies,) or None
        Share of the polyhedra with the coordination of the start, mean over the run; None without network formers.
    melted : list of str
        One sentence for each copy whose framework diffuses.
    judged : int
        Copies that are long enough to tell.
    contacts : dict
        By pair of elements, the closest distances of all frames, A.
    """

    kept: Array | None
    melted: list[str]
    judged: int
    contacts: dict[tuple[str, str], Array]


@dataclass
class Found:
    """What was found in all runs so far, at the highest temperature and above it.

    Attributes
    ----------
    exploded, melted : list of str
        One sentence for each run.
    runs, judged : int
        Runs, and those that are long enough to tell whether the framework stays.
    kept : dict
        Shares of polyhedra that model and reference keep, by the temperature of the runs.
    ratios : list
        Closest distances over those of the reference, and of which pair and where.
    """

    exploded: list[str] = field(default_factory=list)
    melted: list[str] = field(default_factory=list)
    runs: int = 0
    judged: int = 0
    kept: dict[str, list[tuple[Array, Array]]] = field(default_factory=dict)
    ratios: list[tuple[float, str]] = field(default_factory=list)


def measure(
    model: Potential, reference: Reference, structures: Sequence[Atoms], settings: GateSettings
) -> Measurement:
    """Judge the runs of the model on each structure, against those of the reference where it can run."""
    measurement, found = Measurement(), Found()
    temperatures = []
    for atoms in structures:
        own = heated(model, atoms, settings)
        found.runs += len(own.ended)
        temperatures.append(own.hold)
        other = heated(reference.potential, atoms, settings) if reference.potential is not None else None
        broken = sum(map(bool, other.ended)) if other is not None else 0
        if other is not None and broken >= max(1, len(other.ended) // 2) and not all(map(bool, other.hold.ended)):
            measurement.notes.append(f"{_name(atoms)}: the reference explodes, too: {next(filter(None, other.ended))}")
            found.exploded += [f"{_name(atoms)}: {why}" for why in own.hold.ended if why]
        else:
            found.exploded += [f"{_name(atoms)}: {why}" for why in own.ended if why]
        for part, factor in (("hold", 1.0), ("hot", settings.md["hot_factor"])):
            place = f"{settings.temperature_K * factor:g} K"
            theirs = getattr(other, part) if other is not None else None
            measurement.notes += _compare(getattr(own, part), theirs, atoms, settings, place, found)
    where = found.exploded[0] if found.exploded else ""
    measurement.values["exploded_runs"] = Value(float(len(found.exploded)), None, found.runs, where=where)
    if found.judged:
        where = found.melted[0] if found.melted else ""
        measurement.values["melted_runs"] = Value(float(len(found.melted)), None, found.judged, where=where)
    else:
        measurement.missing["melted_runs"] = (
            f"{settings.md['hold_ps']:g} ps are too short for it: {2 * PLACE_FS / 1000:g} ps at least"
        )
    _temperature(temperatures, settings, measurement)
    if found.kept:
        lost = [replace(_difference(runs), where=place) for place, runs in found.kept.items()]
        measurement.values["polyhedra_lost"] = max(lost, key=lambda one: one.value)
    else:
        measurement.missing["polyhedra_lost"] = "the structures have no polyhedra of network formers"
    if found.ratios:
        value, where = min(found.ratios)
        measurement.values["closest_contact"] = Value(value, None, len(found.ratios), where=where)
    else:
        measurement.missing["closest_contact"] = "no reference whose contacts could be compared"
    md = settings.md
    measurement.notes.append(
        f"{found.runs} runs: heated in {2 * md['ramp_ps']:g} ps, {md['hold_ps']:g} ps at {settings.temperature_K:g} K, "
        f"{md['hot_ps']:g} ps at {settings.temperature_K * md['hot_factor']:g} K"
    )
    return measurement


def _compare(
    run: Trajectory, theirs: Trajectory | None, atoms: Atoms, settings: GateSettings, place: str, found: Found
) -> list[str]:
    """Add what runs at one temperature did to their framework, against those of the reference; return notes."""
    state = _state(run, atoms, settings)
    found.exploded += [f"{why} at {place}" for why in _fused(state, atoms)]
    found.judged += state.judged
    other = _state(theirs, atoms, settings) if theirs is not None else None
    melted = [f"{_name(atoms)} at {place}: {why}" for why in state.melted]
    notes = []
    if other is None or len(other.melted) < max(1, len(run.ended) // 2):  # the reference stays solid
        found.melted += melted
    elif melted:
        notes.append(f"{_name(atoms)} at {place}: the framework of the reference moves, too")
    if state.kept is not None:
        base = np.array([1.0]) if other is None or other.kept is None else other.kept
        if np.isfinite(base).any():
            found.kept.setdefault(place, []).append((state.kept, base))
        else:
            notes.append(f"{_name(atoms)} at {place}: no run of the reference whose polyhedra could be compared")
    if other is not None:
        found.ratios += [(ratio, f"{pair} at {place}") for ratio, pair in _contact_ratios(state, other)]
    return notes


def _name(atoms: Atoms) -> str:
    return str(atoms.info.get("system") or atoms.get_chemical_formula())


def _fused(state: State, atoms: Atoms) -> list[str]:
    found = []
    for (one, other), distances in state.contacts.items():
        limit = CLOSEST * covalent_sums([one, other])[0, 1]
        if len(distances) and distances.min() < limit:
            found.append(f"{_name(atoms)}: {one} and {other} came to {distances.min():.2f} A")
    return found


def _state(trajectory: Trajectory, atoms: Atoms, settings: GateSettings) -> State:
    symbols = atoms.get_chemical_symbols()
    geometry = Geometry(symbols)
    _, start = geometry.measure(atoms.cell.array, atoms.positions)
    count = len(trajectory.positions)
    chosen = np.unique(np.linspace(0, count - 1, min(FRAMES, count)).astype(int))
    kept = np.full(len(trajectory.ended), np.nan)
    contacts: dict[tuple[str, str], list[float]] = {}
    melted, judged = [], 0
    for copy in range(len(trajectory.ended)):
        good = [k for k in chosen if np.isfinite(trajectory.energy[k, copy])]
        shares = []
        for k in good:
            positions = trajectory.positions[k, copy]
            if len(start):
                _, now = geometry.measure(trajectory.cell, positions)
                shares.append(float(np.mean(now == start)))
            _closest(symbols, trajectory.cell, positions, contacts)
        if shares:
            kept[copy] = np.mean(shares)
        why = _moved(trajectory, copy, atoms, settings)
        judged += why is not None
        if why:
            melted.append(why)
    return State(
        kept if len(start) else None, melted, judged, {pair: np.array(values) for pair, values in contacts.items()}
    )


def _closest(
    symbols: Sequence[str], cell: Array, positions: Array, contacts: dict[tuple[str, str], list[float]]
) -> None:
    """Add the distances of bonded and touching pairs of a frame, by pair of elements."""
    i, j, d = near_pairs(cell, positions, 3.2)
    for a, b, distance in zip(i.tolist(), j.tolist(), d.tolist(), strict=True):
        if a < b:
            one, other = sorted((symbols[a], symbols[b]))
            contacts.setdefault((one, other), []).append(distance)


def _moved(trajectory: Trajectory, copy: int, atoms: Atoms, settings: GateSettings) -> str | None:
    """Return a sentence if the time-averaged framework left its places; empty if not, None if the run is too short."""
    positions = trajectory.positions[:, copy]
    positions = positions[np.isfinite(positions).all(axis=(1, 2))]
    window = max(2, round(PLACE_FS / trajectory.dt_fs))
    if len(positions) < 2 * window:
        return None
    framework = find_framework(atoms.get_chemical_symbols(), atoms.cell.array, atoms.positions, settings.mobile)
    if framework.spacing_A is None:
        return ""
    shift = positions[-window:].mean(axis=0) - positions[:window].mean(axis=0)
    return "; ".join(judge_motion(framework, shift[framework.sites]).melted)


def _contact_ratios(own: State, other: State) -> list[tuple[float, str]]:
    """Return the closest distance of each pair over the reference's 0.1 % quantile."""
    found = []
    for pair, distances in own.contacts.items():
        theirs = other.contacts.get(pair)
        if theirs is not None and len(theirs) >= 50:
            found.append((float(distances.min() / np.quantile(theirs, QUANTILE)), "-".join(pair)))
    return found


def _temperature(runs: Sequence[Trajectory], settings: GateSettings, found: Measurement) -> None:
    """Compare the mean temperature of the holds with that of the thermostat."""
    values, blocks = [], []
    for number, run in enumerate(runs):
        for copy in run.whole:
            parts = np.array_split(run.temperature[:, copy] / settings.temperature_K - 1, 4)
            values += [float(part.mean()) for part in parts]
            blocks += [f"{number} {copy}"] * len(parts)
    if values:
        more = f"{3 * settings.md['hold_ps']:g} ps more at this temperature"
        found.values["temperature_error"] = mean_value(np.array(values), blocks, more=more)
    else:
        found.missing["temperature_error"] = "no run reached its end"


def _difference(kept: Sequence[tuple[Array, Array]]) -> Value:
    """Return by how much fewer polyhedra are kept than in the reference, percent; over all runs."""
    own = np.concatenate([mine[np.isfinite(mine)] for mine, _ in kept])
    other = np.concatenate([theirs[np.isfinite(theirs)] for _, theirs in kept])
    if not len(own):
        return Value(100.0, None, 0)
    lost = 100 * float(other.mean() - own.mean())
    if len(own) < 2 or len(other) < 2:
        return Value(lost, None, len(own))
    from scipy.stats import t

    error = np.sqrt(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other))
    half = 100 * float(t.ppf(0.975, len(own) + len(other) - 2) * error)
    return Value(lost, (lost - half, lost + half), len(own), more="longer runs, or more of them")
