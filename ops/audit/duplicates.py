"""Repeated frames, within a split or across splits, and structures with two different labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpa_sse.ops.audit.frames import Table
from dpa_sse.ops.audit.near_copies import near_copies
from dpa_sse.ops.data.frames import INPUTS, OTHER_ENERGY_EV, OTHER_FORCE_EV_A, equal_rows
from dpa_sse.ops.data.near import NEAR_A
from dpa_sse.ops.results.audit import LISTED, DuplicateNumbers, Finding

SAME_A = 1e-5  # sets in single precision are equal to this
SAME_FORCE_EV_A = 1e-4


def find_duplicates(table: Table) -> tuple[DuplicateNumbers, list[Finding]]:
    """Find copies of frames.

    Two frames are copies if atoms and cell (and spins or other inputs) are the same within 1e-5 A, up to lattice
    vectors; or, for the same
    composition, if energy, volume and sorted forces are the same: a frame stored in another orientation, order or
    origin.

    Returns
    -------
    DuplicateNumbers
    list of Finding
        Leaks between splits and contradicting labels make the data unusable; copies within a split are a warning.
    """
    first = np.full(len(table), -1)
    near = []
    for rows in _groups(np.array([_order_key(table, k) for k in range(len(table.blocks))], object)[table.block]):
        near += near_copies(table, rows)
        first[rows] = _first_copies(_embedding(table, rows), rows, 4e-6)  # 2 pi 1e-5 A over a cell of some 10 A
    stored_again = first >= 0
    for rows in _groups(np.array([row.tobytes() for row in table.counts], object)):
        single = np.array([row for row in rows[~stored_again[rows]] if not _has_inputs(table, row)], int)
        first[single] = _same_labels(table, single)
    copies = np.flatnonzero(first >= 0)
    conflicting = [k for k in copies.tolist() if stored_again[k] and _differs(table, k, int(first[k]))]
    split = table.split
    leaks = np.array([k for k in copies if split[k] != split[first[k]]], int)
    leaks = np.array([k for k in leaks if "train" in (split[k], split[first[k]])], int)
    within = len(copies) - len(leaks)
    near = [pair for pair in near if first[pair[0]] < 0 and pair[0] not in first]
    findings = []
    if len(leaks):
        findings.append(table.finding(
            "unusable", "duplicates", f"{len(leaks)} frames are both in the training set and in the validation or test "
            f"set, e.g. {table.name(int(leaks[0]))} = {table.name(int(first[leaks[0]]))}", leaks,
        ))
    if near:
        row, other, size = min(near, key=lambda pair: pair[2])
        findings.append(table.finding(
            "unusable", "duplicates", f"{len(near)} frames of the validation or test set are nearer than {NEAR_A:g} A "
            f"to a training frame: they test nothing; e.g. {table.name(row)} and {table.name(other)}, {size:.3f} A",
            [pair[0] for pair in near],
        ))
    if within:
        shown = next(k for k in copies if k not in set(leaks.tolist()))
        findings.append(table.finding(
            "warning", "duplicates", f"{within} frames are duplicates within a split, e.g. {table.name(int(shown))} = "
            f"{table.name(int(first[shown]))}; `dpa-sse data split` drops them", np.setdiff1d(copies, leaks),
        ))
    if conflicting:
        findings.append(table.finding(
            "unusable", "duplicates", f"{len(conflicting)} structures have two different labels, e.g. "
            f"{_conflict(table, conflicting[0], int(first[conflicting[0]]))}: two settings in one data set",
            conflicting,
        ))
    numbers = DuplicateNumbers(
        copies=len(copies), across_splits=len(leaks), reoriented=int((~stored_again[copies]).sum()),
        conflicting=len(conflicting), near_across_splits=len(near),
    )
    return numbers, findings + _shared_trajectories(table)


def _shared_trajectories(table: Table) -> list[Finding]:
    where: dict[tuple[str, str], set[str]] = {}
    for system, trajectory, split in zip(table.system, table.trajectory, table.split, strict=True):
        where.setdefault((system, trajectory), set()).add(split)
    shared = [name for (_, name), splits in where.items() if "train" in splits and len(splits) > 1]
    if not shared:
        return []
    return [Finding(
        level="warning", check="split", message=f"{len(shared)} trajectories are split between training and test, e.g. "
        f"{shared[0]}: frames of one trajectory are correlated; `dpa-sse data split` splits by trajectory",
        frames=tuple(shared[:LISTED]),
    )]


def _groups(keys: np.ndarray) -> list[np.ndarray]:
    """Return the row numbers that share a key."""
    found: dict[Any, list[int]] = {}
    for row, key in enumerate(keys.tolist()):
        found.setdefault(key, []).append(row)
    return [np.array(rows) for rows in found.values()]


def _order_key(table: Table, block: int) -> bytes:
    one = table.blocks[block]
    inputs = [f"{name}{one.extra[name].shape[1:]}" for name in INPUTS if name in one.extra]
    return one.types.astype(np.int32).tobytes() + "".join(inputs).encode()


def _has_inputs(table: Table, row: int) -> bool:
    """Return whether a frame has spins or other inputs: equal labels are then no sign of a copy."""
    return any(name in table.blocks[table.block[row]].extra for name in INPUTS)


def _embedding(table: Table, rows: np.ndarray) -> np.ndarray:
    """Return coordinates in which atoms that differ by lattice vectors are equal, and the cell in units of 10 A."""
    points = []
    for row in rows:
        block, k = table.blocks[table.block[row]], table.index[row]
        angle = 2 * np.pi * (block.coord[k] @ np.linalg.inv(block.box[k]))
        inputs = [block.extra[name][k].ravel() for name in INPUTS if name in block.extra]
        periodic = [np.cos(angle).ravel(), np.sin(angle).ravel()]
        points.append(np.concatenate([*periodic, block.box[k].ravel() / 10, *inputs]))
    return np.array(points)


def _first_copies(points: np.ndarray, rows: np.ndarray, tolerance: float) -> np.ndarray:
    """Return for each row the table row that it copies, -1 for none."""
    first = np.arange(len(rows))
    for row, other in equal_rows(points, tolerance):
        first[row] = first[other] = min(first[row], first[other])
    return np.where(first < np.arange(len(rows)), rows[first], -1)


def _same_labels(table: Table, rows: np.ndarray) -> np.ndarray:
    """Return for each row the earlier row with the same energy, volume and sorted forces, -1 for none."""
    result = np.full(len(rows), -1)
    order = np.argsort(table.energy[rows], kind="stable")
    reach = 1e-6 + 1e-7 * float(np.abs(table.energy[rows]).max()) if len(rows) else 0.0
    for rank, one in enumerate(order):
        for other in order[rank + 1:]:
            if table.energy[rows[other]] - table.energy[rows[one]] > reach:
                break
            early, late = sorted((int(one), int(other)))
            if result[late] < 0 and _same_forces(table, int(rows[early]), int(rows[late])):
                result[late] = rows[early]
    return result


def _same_forces(table: Table, one: int, other: int) -> bool:
    if abs(table.volume[one] / table.volume[other] - 1) > 1e-6:
        return False
    first, second = (np.sort(np.linalg.norm(_forces(table, k), axis=1)) for k in (one, other))
    return bool(np.abs(first - second).max() < SAME_FORCE_EV_A)


def _forces(table: Table, frame: int) -> np.ndarray:
    return np.asarray(table.blocks[table.block[frame]].force[table.index[frame]])


def _differs(table: Table, one: int, other: int) -> bool:
    energy = abs(table.energy[one] - table.energy[other]) / table.n_atoms[one]
    force = np.abs(_forces(table, one) - _forces(table, other)).max()
    return bool(energy > OTHER_ENERGY_EV or force > OTHER_FORCE_EV_A)


def _conflict(table: Table, one: int, other: int) -> str:
    energy = abs(table.energy[one] - table.energy[other]) / table.n_atoms[one]
    force = np.abs(_forces(table, one) - _forces(table, other)).max()
    return (
        f"{table.name(one)} and {table.name(other)} differ by {1000 * energy:.1f} meV/atom and {force:.3f} eV/A"
    )
