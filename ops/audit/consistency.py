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
from typing import Any

import numpy as np

from dpa_sse.ops.audit.frames import Finding, Table
from dpa_sse.ops.data.dataset import SystemData

FARTHEST_A, LARGEST_STRAIN = 0.8, 0.08
FEWEST_PAIRS, MOST_FIRSTS = 5, 30
PAIR_ERROR, PAIR_NOISE_EV = 0.1, 1e-3
EXPLAINED = 0.7  # share of the weighted variance of the energy differences, for a verdict
# Wrong units are wrong by more than this, distant frames by less. These pull the slope below one, as the work in the
# fit has the error of the trapezoidal rule and forces stiffen away from the minimum. Measured with the mock
# labeler on atoms displaced by 0.03, 0.06, 0.10, 0.14 A (standard deviation) from their sites: 0.99, 0.98, 0.97, 0.94.
SLOPE = {"forces": (0.5, 2.0), "virials": (0.3, 3.0)}
SURE = 0.15  # standard error of a slope, for a verdict
# A factor like 2 is told apart from distant frames when nearly all is explained and the slope is sharp. Measured on
# sound data of dynamics (300 to 1200 K, 3 to 30 steps apart): 0.95 to 1.01 for forces where 97 % are explained; for
# virials up to 1.73 +- 0.10, with few strained pairs.
SHARP_EXPLAINED, SHARP_SLOPE, SHARP_ERRORS = 0.97, 0.25, 10.0
CALCULATOR_SLOPE, SHARP_CORRELATION = (0.6, 1.7), 0.95  # potentials are too soft by up to 30 %
VOLUME_SPREAD, SURE_T = 0.01, 5.0
BULK_MODULUS_GPA = (0.3, 1500.0)


def check_consistency(table: Table) -> tuple[dict[str, Any], list[Finding]]:
    """Fit energy differences to the work of forces and virials.

    Returns
    -------
    dict
        pairs, explained (share of variance), and slope with its standard error for forces and virials (None: not
        determined by these frames).
    list of Finding
        A negative slope or one far from 1 makes the data unusable.
    """
    change, work, press, scale = (np.concatenate(parts) if parts else np.zeros(0) for parts in _pairs(table))
    result: dict[str, Any] = {"pairs": len(change), "explained": None, "forces": None, "virials": None}
    if len(change) < FEWEST_PAIRS:
        return result, [Finding(
            "note", "signs", "no verdict on signs and units: too few neighbouring frames that are close to each other"
        )]
    columns = [work] if not np.any(press) else [work, press]
    slope, error, explained = _fit(np.stack(columns, axis=1) / scale[:, None], change / scale)
    result["explained"] = explained
    findings = []
    for k, name in enumerate(("forces", "virials")[: len(columns)]):
        telling = int((np.abs(columns[k]) > PAIR_NOISE_EV).sum())
        if error[k] > SURE * max(1.0, abs(slope[k])) or telling < FEWEST_PAIRS:
            continue
        result[name] = {"slope": float(slope[k]), "error": float(error[k])}
        if explained < EXPLAINED:
            continue
        if SLOPE[name][0] <= slope[k] <= SLOPE[name][1]:
            if explained > SHARP_EXPLAINED and abs(slope[k] - 1) > SHARP_SLOPE + SHARP_ERRORS * error[k]:
                findings.append(Finding(
                    "warning", "signs", f"the {name} seem to be {1 / slope[k]:.2f} times what the energies ask for: "
                    f"energy differences follow them with a slope of {slope[k]:.3g} +- {error[k]:.1g} instead of 1 "
                    f"({len(change)} pairs of frames)",
                ))
            continue
        if slope[k] < 0:
            what = f"the {name} have the wrong sign"
        else:
            what = f"the {name} are not in the unit of the energies, or not its derivative"
        findings.append(Finding(
            "unusable", "signs", f"{what}: energy differences follow them with a slope of {slope[k]:.3g} +- "
            f"{error[k]:.1g} instead of 1 ({len(change)} pairs of frames)",
        ))
    if explained < EXPLAINED:
        findings.append(Finding(
            "note", "signs", f"no verdict on signs and units: the frames are too far apart (forces and virials explain "
            f"{100 * max(explained, 0):.0f} % of the energy differences)",
        ))
    return result, findings


def check_bulk_modulus(table: Table, *, sign_known: bool) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Look at the pressure of the frames of one composition against their volume: it falls, in any stable solid.

    ``sign_known`` says that the sign of the virials has been judged otherwise: then a growing pressure means cells that
    are stretched beyond their stability.
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
            rows.append({"system": name, "frames": len(own), "bulk_modulus_GPa": -slope, "error_GPa": error})
            if slope > SURE_T * error and not sign_known:
                findings.append(Finding(
                    "warning", "signs", f"{name}: the pressure grows with the volume ({slope:.0f} +- {error:.0f} GPa "
                    "per unit of ln V): the virial has the wrong sign, or the cells are stretched beyond their "
                    "stability; `--calculator chgnet` decides", table.names(own),
                ))
            elif -slope > SURE_T * error and not BULK_MODULUS_GPA[0] < -slope < BULK_MODULUS_GPA[1]:
                findings.append(Finding(
                    "unusable", "signs", f"{name}: a bulk modulus of {-slope:.3g} GPa follows from the virials: are "
                    "they in eV?", table.names(own),
                ))
    return rows, findings


def check_strain(
    table: Table, calculator: Any, frames: int, seed: int = 1, step: float = 5e-3
) -> tuple[dict[str, Any], list[Finding]]:
    """Compare virials with the finite strain derivative of the energy of a calculator.

    Parameters
    ----------
    table : Table
        The frames.
    calculator : ase Calculator
        Any, of whatever level of theory: only sign and size are judged.
    frames : int
        How many frames, spread over the systems.
    seed : int
        Chooses the frames.
    step : float
        Strain to both sides.

    Returns
    -------
    dict
        frames, slope and correlation of the data's virials against -dE/d(strain), largest difference (eV/atom).
    list of Finding
    """
    from ase import Atoms

    chosen = _spread(table, frames, seed)
    if not len(chosen):
        return {"frames": 0}, []
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
    result = {
        "frames": len(chosen), "slope": slope, "correlation": correlation,
        "largest_difference_eV_atom": float(np.abs(x - y).max()),
    }
    if correlation < -0.5:
        return result, [Finding(
            "unusable", "strain", f"the virials have the wrong sign: slope {slope:.2f} against the finite strain of "
            f"the calculator ({len(chosen)} frames)", table.names(chosen),
        )]
    if correlation > 0.5 and not 0.3 < slope < 3:
        return result, [Finding(
            "unusable", "strain", f"the virials are {slope:.3g} times the finite strain of the calculator: are they "
            "in eV?", table.names(chosen),
        )]
    if correlation > SHARP_CORRELATION and not CALCULATOR_SLOPE[0] < slope < CALCULATOR_SLOPE[1]:
        return result, [Finding(
            "warning", "strain", f"the virials are {slope:.2f} times the finite strain of the calculator and follow it "
            f"closely (correlation {correlation:.2f}): a factor of two?", table.names(chosen),
        )]
    if correlation <= 0.5:
        return result, [Finding(
            "warning", "strain", f"the virials do not follow the finite strain of the calculator (correlation "
            f"{correlation:.2f})", table.names(chosen),
        )]
    return result, []


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


def _strain_virial(atoms: Any, calculator: Any, step: float) -> np.ndarray:
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


