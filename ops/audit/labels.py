"""Checks of single labels: forces, net forces, virials, energies, distances."""

from __future__ import annotations

import numpy as np

from dpa_sse.ops.audit.frames import Table
from dpa_sse.ops.results.audit import (
    LISTED,
    DistanceNumbers,
    EnergyNumbers,
    Finding,
    ForceNumbers,
    Severity,
    VirialNumbers,
)
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs

SEVERITIES_OF_SIZE: tuple[Severity, Severity] = ("warning", "unusable")
"""Of values above the lower limit, and above the upper one."""

LARGE_FORCE_EV_A, ABSURD_FORCE_EV_A = 10.0, 100.0
NET_FORCE_EV_A, ABSURD_NET_FORCE_EV_A = 1e-3, 0.1  # per atom
LARGE_PRESSURE_GPA, ABSURD_PRESSURE_GPA = 50.0, 500.0
ASYMMETRY_EV = 1e-3  # per atom
OUTLIER_SIGMA, OUTLIER_EV = 8.0, 0.05  # both, per atom
OFFSET_EV = 0.5  # per atom: the difference between levels of theory, not between structures
ON_TOP_A, BOND_FRACTION = 0.5, 0.6


def check_forces(table: Table) -> tuple[ForceNumbers, list[Finding]]:
    """Check the largest force and the sum of the forces of each frame."""
    absurd, large = _above(table.max_force, LARGE_FORCE_EV_A, ABSURD_FORCE_EV_A)
    findings = []
    if len(absurd):
        findings.append(table.finding(
            "unusable", "forces", f"{len(absurd)} frames have forces above {ABSURD_FORCE_EV_A:g} eV/A (largest "
            f"{table.max_force.max():.3g}): unphysical, or in another unit", absurd,
        ))
    if len(large):
        findings.append(table.finding(
            "warning", "forces", f"{len(large)} frames have forces above {LARGE_FORCE_EV_A:g} eV/A (largest of them "
            f"{table.max_force[large].max():.1f}); such frames are often left out", large,
        ))
    zero = np.flatnonzero((table.max_force == 0) & (table.n_atoms > 1))
    if len(zero):
        findings.append(table.finding(
            "unusable" if len(zero) == len(table) else "warning", "forces", f"{len(zero)} frames have no force on any "
            "atom: perfect crystals, or forces that were not computed", zero,
        ))
    per_atom = table.net_force / table.n_atoms
    absurd, large = _above(per_atom, NET_FORCE_EV_A, ABSURD_NET_FORCE_EV_A)
    for severity, bad in zip(SEVERITIES_OF_SIZE, (large, absurd), strict=True):
        if len(bad):
            findings.append(table.finding(
                severity, "force sum", f"the forces of {len(bad)} frames do not add up to zero: up to "
                f"{per_atom[bad].max():.3g} eV/A per atom ({table.name(int(bad[per_atom[bad].argmax()]))})", bad,
            ))
    numbers = ForceNumbers(
        largest_eV_A=float(table.max_force.max()), median_largest_eV_A=float(np.median(table.max_force)),
        largest_net_force_per_atom_eV_A=float(per_atom.max()), above_10_eV_A=int((table.max_force > 10).sum()),
    )
    return numbers, findings


def check_virials(table: Table) -> tuple[VirialNumbers, list[Finding]]:
    """Check the presence, the size and the symmetry of the virials."""
    findings = []
    has = np.isfinite(table.pressure_GPa)
    missing = np.flatnonzero(~has)
    if len(missing):
        what = "no frame has a virial" if not has.any() else f"{len(missing)} of {len(table)} frames have no virial"
        findings.append(table.finding("warning", "virials", f"{what}: NPT runs of a model need them", missing))
    zero = np.flatnonzero(np.concatenate([
        np.zeros(len(b), bool) if b.virial is None else (b.virial == 0).all(axis=(1, 2)) for b in table.blocks
    ]))
    if len(zero):
        findings.append(table.finding(
            "unusable" if len(zero) == has.sum() else "warning", "virials", f"the virial of {len(zero)} frames is zero "
            "in every component: it was not computed", zero,
        ))
    pressure = np.abs(np.nan_to_num(table.pressure_GPa))
    absurd, large = _above(pressure, LARGE_PRESSURE_GPA, ABSURD_PRESSURE_GPA)
    limits = (LARGE_PRESSURE_GPA, ABSURD_PRESSURE_GPA)
    for severity, bad, limit in zip(SEVERITIES_OF_SIZE, (large, absurd), limits, strict=True):
        if len(bad):
            findings.append(table.finding(
                severity, "virials", f"{len(bad)} frames are under more than {limit:g} GPa (largest "
                f"{pressure[bad].max():.4g}); is the virial in eV?", bad,
            ))
    asymmetry = np.concatenate([
        np.zeros(len(b)) if b.virial is None else
        np.abs(b.virial - b.virial.transpose(0, 2, 1)).max(axis=(1, 2)) / len(b.types) for b in table.blocks
    ])
    skew = np.flatnonzero(asymmetry > ASYMMETRY_EV)
    if len(skew):
        findings.append(table.finding(
            "warning", "virials", f"the virial of {len(skew)} frames is not symmetric (by up to "
            f"{1000 * asymmetry.max():.3g} meV/atom)", skew,
        ))
    span = (float(np.nanmin(table.pressure_GPa)), float(np.nanmax(table.pressure_GPa))) if has.any() else None
    return VirialNumbers(frames_with_virial=int(has.sum()), pressure_GPa=span), findings


def _above(values: np.ndarray, large: float, absurd: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames above the upper limit, and those between the two limits."""
    return np.flatnonzero(values > absurd), np.flatnonzero((values > large) & (values <= absurd))


def fit_energies(table: Table) -> tuple[EnergyNumbers, np.ndarray, list[Finding]]:
    """Fit one energy per element and check the residuals.

    The fit minimises the sum of absolute deviations (iteratively reweighted least squares): a few wrong frames, or one
    system of another level of theory, do not distort it. Within a system a frame is an outlier if it is more than 8
    robust standard deviations and more than 50 meV/atom away from the median.

    Returns
    -------
    EnergyNumbers
    ndarray, shape (n,)
        Residual of each frame, eV/atom.
    list of Finding
    """
    used = np.flatnonzero(table.counts.sum(axis=0))
    matrix, target = table.counts[:, used] / table.n_atoms[:, None], table.energy / table.n_atoms
    weight = np.ones(len(table))
    coefficients = np.zeros(len(used))
    for _ in range(30):
        root = np.sqrt(weight)[:, None]
        coefficients = np.linalg.lstsq(matrix * root, target * root[:, 0], rcond=None)[0]
        weight = 1 / np.maximum(np.abs(target - matrix @ coefficients), 1e-3)
    residual = target - matrix @ coefficients
    compositions = np.unique(np.round(matrix, 9), axis=0)
    rank = int(np.linalg.matrix_rank(compositions))
    system = table.system
    offsets, outliers = {}, []
    for name in dict.fromkeys(system.tolist()):
        rows = np.flatnonzero(system == name)
        median = float(np.median(residual[rows]))
        offsets[name] = median
        spread = 1.4826 * float(np.median(np.abs(residual[rows] - median)))
        away = np.abs(residual[rows] - median)
        outliers += rows[(away > OUTLIER_SIGMA * spread) & (away > OUTLIER_EV)].tolist()
    findings = []
    if outliers:
        worst = max(outliers, key=lambda k: abs(residual[k] - offsets[system[k]]))
        findings.append(table.finding(
            "warning", "energies", f"{len(outliers)} frames differ in energy from the others of their system, by up "
            f"to {abs(residual[worst] - offsets[system[worst]]):.2f} eV/atom ({table.name(worst)})", outliers,
        ))
    foreign = [name for name, value in offsets.items() if abs(value) > OFFSET_EV]
    if foreign:
        worst_system = max(foreign, key=lambda name: abs(offsets[name]))
        findings.append(Finding(
            level="warning", check="energies", message=f"after a fit of one energy per element {len(foreign)} systems "
            f"are off by more than {OFFSET_EV:g} eV/atom ({worst_system}: {offsets[worst_system]:+.2f}): another "
            "functional, potential or code?", frames=tuple(foreign[:LISTED]),
        ))
    determined = rank == len(used)
    numbers = EnergyNumbers(
        per_element_eV={table.type_map[k]: float(v) for k, v in zip(used, coefficients, strict=True)}
        if determined else None,
        elements=len(used), rank=rank, compositions=len(compositions), offset_eV_atom=offsets, outliers=len(outliers),
    )
    return numbers, residual, findings


def check_distances(table: Table) -> tuple[DistanceNumbers, np.ndarray, list[Finding]]:
    """Check the distances between atoms.

    Returns
    -------
    DistanceNumbers
    ndarray, shape (n,)
        Of each frame the smallest distance relative to the sum of covalent radii; infinite without neighbours.
    list of Finding
    """
    from ase import Atoms
    from ase.data import atomic_numbers, covalent_radii

    shortest: dict[str, float] = {}
    ratio = np.full(len(table), np.inf)
    on_top: list[int] = []
    for frame in range(len(table)):
        block, k = table.blocks[table.block[frame]], table.index[frame]
        numbers = np.array([atomic_numbers[name] for name in table.type_map])[block.types]
        radii = covalent_radii[numbers]
        atoms = Atoms(numbers, positions=block.coord[k], cell=block.box[k], pbc=True)
        i, j, _, distance = neighbour_pairs(atoms, max(ON_TOP_A, 2.2 * float(radii.max())))
        if not len(distance):
            continue
        ratio[frame] = (distance / (radii[i] + radii[j])).min()
        if distance.min() < ON_TOP_A:
            on_top.append(frame)
        n_types = len(table.type_map)
        code = np.minimum(block.types[i], block.types[j]) * n_types + np.maximum(block.types[i], block.types[j])
        least = np.full(n_types * n_types, np.inf)
        np.minimum.at(least, code, distance)
        for pair in np.flatnonzero(np.isfinite(least)):
            name = f"{table.type_map[pair // n_types]}-{table.type_map[pair % n_types]}"
            shortest[name] = min(shortest.get(name, np.inf), float(least[pair]))
    findings = []
    if on_top:
        findings.append(table.finding(
            "unusable", "distances", f"{len(on_top)} frames have atoms closer than {ON_TOP_A:g} A, e.g. "
            f"{table.name(on_top[0])}", on_top,
        ))
    close = np.flatnonzero((ratio < BOND_FRACTION) & ~np.isin(np.arange(len(table)), on_top))
    if len(close):
        findings.append(table.finding(
            "warning", "distances", f"{len(close)} frames have atoms closer than {BOND_FRACTION:g} of the sum of their "
            f"covalent radii (least {ratio[close].min():.2f}: {table.name(int(close[ratio[close].argmin()]))})", close,
        ))
    return DistanceNumbers(shortest_A=dict(sorted(shortest.items()))), ratio, findings
