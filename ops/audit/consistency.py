"""Signs and units of forces and virials, from the energies of neighbouring frames.

Between two frames that are close, with fractional coordinates s and cells h (rows are lattice vectors), the energy
changes by the work of the forces and of the virial,

    E2 - E1 = -1/2 sum_k [ F_k . (ds h_k) + W_k : (h_k^-1 dh) ]  +  third order,

the trapezoidal rule with W = -dE/d(strain), which is what deepmd calls the virial. A fit of the two parts to the
energy differences gives slopes of one when signs and units are right; no calculator is needed. The error of a pair is
taken as a tenth of the difference between the estimates from its two ends: frames that are far apart weigh little.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.audit.frames import Table
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.results.audit import BulkModulus, Finding, Severity, SignNumbers, Slope, StrainNumbers

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

FARTHEST_A, LARGEST_STRAIN = 0.8, 0.08
FEWEST_PAIRS, MOST_FIRSTS = 5, 30
PAIR_ERROR, PAIR_NOISE_EV = 0.1, 1e-3
EXPLAINED = 0.7  # share of the weighted variance of the energy differences, for a verdict
# Wrong units are off by more than this, distant frames by less. The latter pull the slope below one, since the work in
# the fit has the error of the trapezoidal rule and forces stiffen away from the minimum. Measured with the mock labeler
# on atoms displaced by 0.03, 0.06, 0.10, 0.14 A (standard deviation) from their sites: 0.99, 0.98, 0.97, 0.94.
SLOPE = {"forces": (0.5, 2.0), "virials": (0.3, 3.0)}
SURE = 0.15  # standard error of a slope, for a verdict
# A factor like 2 can be told from distant frames if nearly all is explained and the slope is sharp. Measured on valid
# data of dynamics (300 to 1200 K, 3 to 30 steps apart): 0.95 to 1.01 for forces where 97 % are explained; for
# virials up to 1.73 +- 0.10, with few strained pairs.
SHARP_EXPLAINED, SHARP_SLOPE, SHARP_ERRORS = 0.97, 0.25, 10.0
BOHR_PER_A, BOHR_SLOPE = 1.8897261, 0.05  # forces and energies in atomic units have this slope, within this share
CALCULATOR_SLOPE, SHARP_CORRELATION = (0.6, 1.7), 0.95  # potentials are too soft by up to 30 %
VOLUME_SPREAD, SURE_T = 0.01, 5.0
BULK_MODULUS_GPA = (0.3, 1500.0)


def check_consistency(table: Table) -> tuple[SignNumbers, list[Finding]]:
    """Fit energy differences to the work of forces and virials.

    Returns
    -------
    SignNumbers
        The slopes, where the frames determine them.
    list of Finding
        A negative slope, or one far from 1, makes the data unusable.
    """
    change, work, press, scale = (np.concatenate(parts) if parts else np.zeros(0) for parts in _pairs(table))
    pairs = len(change)
    if pairs < FEWEST_PAIRS:
        return SignNumbers(pairs=pairs), [_finding(
            "note", "signs and units not checked: too few consecutive frames that are close to each other"
        )]
    columns = [work] if not np.any(press) else [work, press]
    slopes, errors, explained = _fit(np.stack(columns, axis=1) / scale[:, None], change / scale)
    known: dict[str, Slope] = {}
    for name, column, slope, error in zip(SLOPE, columns, slopes.tolist(), errors.tolist(), strict=False):
        # in a wrong unit the work itself is small, or slope times work is
        telling = int((np.abs(column) * max(1.0, abs(slope)) > PAIR_NOISE_EV).sum())
        if error <= SURE * max(1.0, abs(slope)) and telling >= FEWEST_PAIRS:
            known[name] = Slope(slope=slope, error=error)
    numbers = SignNumbers(pairs=pairs, explained=explained, forces=known.get("forces"), virials=known.get("virials"))
    if explained < EXPLAINED:
        return numbers, [_finding(
            "note", f"signs and units not checked: the frames are too far apart (forces and virials explain "
            f"{100 * max(explained, 0):.0f} % of the energy differences)",
        )]
    return numbers, [
        finding for name, one in known.items() if (finding := _judge_slope(name, one, pairs, explained)) is not None
    ]


def _judge_slope(name: str, found: Slope, pairs: int, explained: float) -> Finding | None:
    """Return what is wrong with a slope; None if it is accepted."""
    measured = (
        f"energy differences follow them with a slope of {found.slope:.3g} +- {found.error:.1g} instead of 1 "
        f"({pairs} pairs of frames)"
    )
    if SLOPE[name][0] <= found.slope <= SLOPE[name][1]:
        if explained > SHARP_EXPLAINED and abs(found.slope - 1) > SHARP_SLOPE + SHARP_ERRORS * found.error:
            if name == "forces" and abs(found.slope / BOHR_PER_A - 1) < BOHR_SLOPE:
                return _finding(
                    "unusable", "energies and forces seem to be in atomic units (hartree or rydberg, per bohr) with "
                    f"positions in Angstrom: {measured}, which is the number of bohr in an Angstrom"
                )
            return _finding(
                "warning", f"the {name} seem to be {1 / found.slope:.2f} times what the energies imply: {measured}"
            )
        return None
    if found.slope < 0:
        return _finding("unusable", f"the {name} have the wrong sign: {measured}")
    return _finding(
        "unusable", f"the {name} are not in the unit of the energies, or not their derivative: {measured}"
    )


def _finding(level: Severity, message: str) -> Finding:
    return Finding(level=level, check="signs", message=message)


def check_bulk_modulus(table: Table, *, sign_known: bool) -> tuple[tuple[BulkModulus, ...], list[Finding]]:
    """Check the pressure of the frames of one composition against their volume: it falls in any stable solid.

    Parameters
    ----------
    table : Table
        The frames.
    sign_known : bool
        The sign of the virials was checked otherwise; a growing pressure then means cells that are stretched beyond
        their stability.
    """
    rows, findings = [], []
    for name in dict.fromkeys(table.system.tolist()):
        chosen = (table.system == name) & np.isfinite(table.pressure_GPa)
        for composition in np.unique(table.counts[chosen], axis=0):
            own = np.flatnonzero(chosen & (table.counts == composition).all(axis=1))
            x, y = np.log(table.volume[own]), table.pressure_GPa[own]
            if len(own) < FEWEST_PAIRS or np.ptp(x) < VOLUME_SPREAD:
                continue
            centred = x - x.mean()
            slope = float(centred @ y / (centred @ centred))
            rest = y - y.mean() - slope * centred
            error = float(np.sqrt(rest @ rest / (len(own) - 2) / (centred @ centred)))
            rows.append(BulkModulus(system=name, frames=len(own), bulk_modulus_GPa=-slope, error_GPa=error))
            if slope > SURE_T * error and not sign_known:
                findings.append(table.finding(
                    "warning", "signs", f"{name}: the pressure grows with the volume ({slope:.0f} +- {error:.0f} GPa "
                    "per unit of ln V): the virial has the wrong sign, or the cells are stretched beyond their "
                    "stability; `--calculator chgnet` decides", own,
                ))
            elif -slope > SURE_T * error and not BULK_MODULUS_GPA[0] < -slope < BULK_MODULUS_GPA[1]:
                findings.append(table.finding(
                    "unusable", "signs", f"{name}: the virials imply a bulk modulus of {-slope:.3g} GPa: are they in "
                    "eV?", own,
                ))
    return tuple(rows), findings


def check_strain(
    table: Table, calculator: Calculator, frames: int, seed: int = 1, step: float = 5e-3
) -> tuple[StrainNumbers, list[Finding]]:
    """Compare virials with the finite strain derivative of the energy of a calculator.

    Parameters
    ----------
    table : Table
        The frames.
    calculator : ase.calculators.calculator.Calculator
        Of any level of theory: only sign and size are compared.
    frames : int
        Number of frames, spread over the systems.
    seed : int
        Chooses the frames.
    step : float
        Strain to both sides.

    Returns
    -------
    StrainNumbers
        Slope and correlation of the virials of the data against -dE/d(strain).
    list of Finding
    """
    from ase import Atoms

    chosen = _spread(table, frames, seed)
    if not len(chosen):
        return StrainNumbers(frames=0), []
    ours, theirs = [], []
    for frame in chosen:
        block, k = table.blocks[table.block[frame]], table.index[frame]
        symbols = [table.type_map[t] for t in block.types]
        atoms = Atoms(symbols, positions=block.coord[k], cell=block.box[k], pbc=True)
        assert block.virial is not None  # noqa: S101 - chosen so
        ours.append((block.virial[k] + block.virial[k].T)[np.triu_indices(3)] / 2 / len(block.types))
        theirs.append(_strain_virial(atoms, calculator, step)[np.triu_indices(3)] / len(block.types))
    x, y = np.concatenate(theirs), np.concatenate(ours)
    slope = float(x @ y / max(x @ x, 1e-30))
    correlation = float(x @ y / max(np.sqrt((x @ x) * (y @ y)), 1e-30))
    numbers = StrainNumbers(
        frames=len(chosen), slope=slope, correlation=correlation,
        largest_difference_eV_atom=float(np.abs(x - y).max()),
    )
    judged = _judge_strain(slope, correlation, len(chosen))
    return numbers, [] if judged is None else [table.finding(judged[0], "strain", judged[1], chosen)]


def _judge_strain(slope: float, correlation: float, frames: int) -> tuple[Severity, str] | None:
    """Return severity and message if the virials do not fit the finite strain; None if they do."""
    reference = "the finite strain of the calculator"
    if correlation < -0.5:
        return "unusable", (
            f"the virials have the wrong sign: slope {slope:.2f} against {reference} ({frames} frames)"
        )
    if correlation > 0.5 and not 0.3 < slope < 3:
        return "unusable", f"the virials are {slope:.3g} times {reference}: are they in eV?"
    if correlation > SHARP_CORRELATION and not CALCULATOR_SLOPE[0] < slope < CALCULATOR_SLOPE[1]:
        return "warning", (
            f"the virials are {slope:.2f} times {reference} and follow it closely (correlation {correlation:.2f}): a "
            "factor of two?"
        )
    if correlation <= 0.5:
        return "warning", f"the virials do not follow {reference} (correlation {correlation:.2f})"
    return None


def _pairs(table: Table) -> tuple[list[np.ndarray], ...]:
    parts: tuple[list[np.ndarray], ...] = ([], [], [], [])
    for block in table.blocks:
        firsts = [k for k, name in enumerate(block.trajectories) if k == 0 or name != block.trajectories[k - 1]]
        pairs = {(k, k + 1) for k in range(len(block) - 1) if block.trajectories[k] == block.trajectories[k + 1]}
        pairs |= set(combinations(firsts[:MOST_FIRSTS], 2))  # frames from one cell by different strains
        if pairs:
            left, right = np.array(sorted(pairs)).T
            for total, part in zip(parts, _differences(block, left, right), strict=True):
                total.append(part)
    return parts


def _differences(block: SystemData, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return energy differences, the two parts of the work and the error of both, eV, for the pairs that are close."""
    inverse = np.linalg.inv(block.box)
    fractional = np.einsum("nai,nij->naj", block.coord, inverse)
    ds = fractional[right] - fractional[left]
    ds -= np.round(ds)
    dh = block.box[right] - block.box[left]
    work, press = np.zeros((2, len(left))), np.zeros((2, len(left)))
    for end, side in enumerate((left, right)):
        dx = np.einsum("nai,nij->naj", ds, block.box[side])
        strain = np.einsum("nij,njk->nik", inverse[side], dh)
        work[end] = -np.einsum("nai,nai->n", block.force[side], dx)
        if block.virial is not None:
            virial = (block.virial[side] + block.virial[side].transpose(0, 2, 1)) / 2
            press[end] = -np.einsum("nij,nij->n", virial, strain)
    farthest, largest = np.linalg.norm(dx, axis=2).max(axis=1), np.abs(strain).max(axis=(1, 2))
    close = (farthest < FARTHEST_A) & (largest < (LARGEST_STRAIN if block.virial is not None else 1e-6))
    total = work + press
    error = PAIR_NOISE_EV + PAIR_ERROR * np.abs(total[0] - total[1])
    change = block.energy[right] - block.energy[left]
    return change[close], work.mean(axis=0)[close], press.mean(axis=0)[close], error[close]


def _fit(matrix: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return slopes, their standard errors and the explained share of the variance, of a fit without constant."""
    slope = np.linalg.lstsq(matrix, target, rcond=None)[0]
    for _ in range(20):  # a few pairs with a jump between them must not decide
        rest = np.abs(target - matrix @ slope)
        weight = 1 / np.maximum(rest, max(1e-6, float(np.median(rest))))
        slope = np.linalg.lstsq(matrix * np.sqrt(weight)[:, None], target * np.sqrt(weight), rcond=None)[0]
    rest = target - matrix @ slope
    freedom = max(len(target) - matrix.shape[1], 1)
    covariance = np.linalg.pinv(matrix.T @ matrix) * float(rest @ rest) / freedom
    explained = 1 - float(rest @ rest) / max(float(target @ target), 1e-30)
    return slope, np.sqrt(np.maximum(np.diag(covariance), 0)), explained


def _spread(table: Table, count: int, seed: int) -> np.ndarray:
    """Return frames with a virial, taken in turn from each system."""
    rng = np.random.default_rng(seed)
    queues = [
        rng.permutation(np.flatnonzero((table.system == name) & np.isfinite(table.pressure_GPa)))
        for name in dict.fromkeys(table.system.tolist())
    ]
    longest = max((len(queue) for queue in queues), default=0)
    ordered = [queue[k] for k in range(longest) for queue in queues if k < len(queue)]
    return np.array(sorted(ordered[:count]), int)


def _strain_virial(atoms: Atoms, calculator: Calculator, step: float) -> np.ndarray:
    """Return -dE/d(strain) by central differences, eV, shape (3, 3)."""
    virial = np.zeros((3, 3))
    for i, j in zip(*np.triu_indices(3), strict=True):
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            moved.calc = calculator
            energies.append(moved.get_potential_energy())
        virial[i, j] = virial[j, i] = -(energies[0] - energies[1]) / (2 * step)
    return virial
