"""Ordered cells from partly occupied or shared sites: all of them if there are few, else a seeded search.

Arrangements are ranked by their Ewald energy with formal charges, the usual guide to the orderings that DFT would
prefer; two partly occupied sites closer than the contact distance (2 A) are never occupied together. Large cells start
from lithium sites that are apart, and are annealed by compiled code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.composition import FULL, MOBILE, capacity, integer_counts
from dpa_sse.ops.structures.disorder import OXIDATION_STATES, DisorderedCell, oxidation_states
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.sqs import pair_statistics, quasi_random
from dpa_sse.ops.structures.symmetry import SitePermutations, canonical, site_permutations

if TYPE_CHECKING:
    from ase import Atoms

Mode = Literal["lowest", "random", "sqs"]

ENUMERATE_UP_TO = 3000
CLOSE_A = 2.0
CLOSE_EV = 50.0
FEW_SITES = 500  # more are annealed by compiled code
KEPT = 20  # candidates of one annealing by compiled code, for each arrangement wanted
MOST_CHANGED = 1.5  # atoms by which the composition may differ from the request for want of room
DRAWS, DRAWS_ANNEALED = 50, 8  # at most, for each arrangement wanted
MOST_SITES = 5000  # the matrices of pair energies take 8 bytes for each pair of sites, several times over


@dataclass(frozen=True)
class OrderingProblem:
    """Which species (0 is empty) may sit where, and what an arrangement costs.

    ``charge`` (n_species) in e; ``ewald`` and ``close`` (n_sites, n_sites) in eV: E = q M q + o C o, with o = 1
    on occupied sites.
    """

    species: tuple[str, ...]
    charge: np.ndarray
    orbit: np.ndarray
    counts: tuple[dict[str, int], ...]
    ewald: np.ndarray
    close: np.ndarray

    def energy(self, state: np.ndarray) -> float:
        """Return the energy of an arrangement (species number of every site), eV."""
        q, o = self.charge[state], (state > 0).astype(float)
        return float(q @ self.ewald @ q + o @ self.close @ o)


def order_cells(
    parent: DisorderedCell, matrix: np.ndarray, count: int, seed: int, *, mode: Mode = "lowest",
    target: Mapping[str, float] | None = None, contact_A: float = CLOSE_A,
) -> list[Atoms]:
    """Return up to ``count`` ordered supercells, no two equivalent by symmetry.

    Parameters
    ----------
    parent : DisorderedCell
        The cell with its occupancies.
    matrix : ndarray of int, shape (3, 3)
        Supercell: rows times the lattice vectors.
    count : int
        Number of distinct arrangements wanted; fewer are returned if there are no more, or if the seeded search
        finds no more.
    seed : int
        Seed of the search; also decides between arrangements of equal energy.
    mode : {"lowest", "random", "sqs"}
        ``lowest``: the arrangements of lowest energy. ``random``: all shared sites except those of lithium are drawn at
        random (a quenched solid solution), and the Ewald energy places the lithium only. ``sqs``: as ``random``, with
        each draw turned into a special quasi-random structure before lithium is placed.
    target : mapping, optional
        Requested composition, if the sites of the parent cannot hold exactly that (its amounts by default).
    contact_A : float
        Partly occupied sites closer than this are never occupied together, Angstrom.

    Returns
    -------
    list of Atoms
        Lowest Ewald energy first. ``info``: structure (parent), ewald_eV (relative to the best),
        composition_target, composition_error (largest difference in atoms per cell between requested and
        actual), configurations (``all``, ``search``, ``random`` or ``sqs``), notes of the reader.

    Raises
    ------
    InputError
        No charge-neutral composition fits, or atoms overlap in all arrangements.
    """
    sites = len(parent.orbit) * round(abs(np.linalg.det(matrix)))
    if sites > MOST_SITES:
        raise InputError(f"{parent.name}: {sites} sites are too many to order by energy (at most {MOST_SITES})")
    large = parent.repeat(np.asarray(matrix))
    problem = _problem(pool_lithium(large), contact_A)
    arrangements = math.prod(
        _arrangements([*counts.values(), _vacancies(problem, k)]) for k, counts in enumerate(problem.counts)
    )
    _check_reachable(large, problem)
    kind = mode if mode != "lowest" else "all" if arrangements <= ENUMERATE_UP_TO else "search"
    permutations = site_permutations(parent, large, np.asarray(matrix))
    large_search = kind != "all" and len(problem.orbit) > FEW_SITES
    for compiled in (True,) if large_search else (False,) if kind == "all" else (False, True):
        rng = np.random.default_rng(seed)
        states = _enumerate(problem) if kind == "all" else _search(problem, count, rng, mode, large, compiled)
        apart = _distinct(problem, states, permutations, count, mode)
        if apart:
            break
    else:
        raise InputError(_crowded(parent.name, problem, contact_A))
    lot = {label: rng.random() for _, label, _ in sorted(apart, key=lambda item: item[1])}
    ranked = sorted(apart, key=lambda item: (round(item[0], 6), lot[item[1]]))[:count]
    wanted = _wanted(large, target)
    return [_atoms(large, problem, state, energy - ranked[0][0], kind, wanted) for energy, _, state in ranked]


def _distinct(
    problem: OrderingProblem, states: Iterator[np.ndarray], permutations: SitePermutations, count: int, mode: Mode
) -> list[tuple[float, bytes, np.ndarray]]:
    """Return energy, label and state of the arrangements without contacts that are not equivalent."""
    distinct: dict[bytes, tuple[float, np.ndarray]] = {}
    for number, state in enumerate(states):
        if mode != "lowest" and number >= 2 * count and len(distinct) >= count:
            break  # the better half of twice as many draws; more draws only if many are equivalent
        if not _has_contact(problem, state):
            distinct.setdefault(canonical(state, permutations), (problem.energy(state), state))
    return [(energy, label, state) for label, (energy, state) in distinct.items()]


def _crowded(name: str, problem: OrderingProblem, contact_A: float) -> str:
    """Return why no arrangement without contacts was found, in numbers where it is impossible."""
    for orbit, counts in enumerate(problem.counts):
        sites = np.flatnonzero(problem.orbit == orbit)
        wanted = sum(counts.values())
        most = capacity(problem.close[np.ix_(sites, sites)])
        if wanted > most:
            return (
                f"{name}: {wanted} {', '.join(counts)} on {len(sites)} sites, of which at most {most} are not closer "
                f"than {contact_A:g} Angstrom to each other: change the composition, or allow shorter contacts "
                "(contact_A)"
            )
    return (
        f"{name}: no arrangement was found in which occupied sites are not closer than {contact_A:g} Angstrom, "
        "although there may be one: try another seed or supercell, or allow shorter contacts (contact_A)"
    )


def pool_lithium(cell: DisorderedCell) -> DisorderedCell:
    """Return the cell with all partly occupied lithium sites in one orbit.

    Refined occupancies are averages: in Li10GeP2S12 they would put 11 atoms on 8 pairs of sites 1.7 A apart. The search
    therefore decides how many lithium atoms are on which kind of site; their total is kept.
    """
    mobile = [k for k, one in enumerate(cell.occupancy) if set(one) == {MOBILE} and one[MOBILE] < FULL]
    return cell.join(mobile)


def _counts(cell: DisorderedCell, close: np.ndarray, contact_A: float) -> tuple[dict[str, int], ...]:
    """Return the atoms of each orbit; slightly less lithium where its sites are too close to each other for all."""
    from dpa_sse.ops.structures.placement import apart

    counts = integer_counts(cell)
    most: dict[tuple[int, str], int] = {}
    for k, one in enumerate(counts):
        sites = np.flatnonzero(cell.orbit == k)
        number = one.get(MOBILE, 0)
        if set(one) != {MOBILE} or not number or not close[np.ix_(sites, sites)].any():
            continue
        if len(apart(close, sites, number, np.random.default_rng(0))) < number:
            fit = capacity(close[np.ix_(sites, sites)])
            if fit < number:
                most[k, MOBILE] = fit
    if not most:
        return counts
    fewer = "; ".join(
        f"{counts[k][element]} {element} on {int((cell.orbit == k).sum())} sites, of which at most {fit} are not "
        f"closer than {contact_A:g} Angstrom to each other" for (k, element), fit in most.items()
    )
    refused = InputError(f"{cell.name}: {fewer}: change the composition, or allow shorter contacts (contact_A)")
    try:
        reduced = integer_counts(cell, most)
    except InputError as error:
        raise refused from error
    off = max(
        abs(sum(one.get(element, 0) for one in reduced) - amount) for element, amount in cell.amounts().items()
    )
    if off > MOST_CHANGED:
        raise refused
    return reduced


def _problem(cell: DisorderedCell, contact_A: float) -> OrderingProblem:
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Species, Structure

    states = oxidation_states(cell.amounts(), cell.name)
    species = ("", *sorted(states))
    unit = Structure(Lattice(cell.cell), [Species("H", 1)] * len(cell.orbit), cell.positions, coords_are_cartesian=True)
    ewald = np.array(EwaldSummation(unit).total_energy_matrix)
    close = _close_sites(cell, contact_A)
    return OrderingProblem(
        species=species, charge=np.array([0.0, *(states[element] for element in species[1:])]), orbit=cell.orbit,
        counts=_counts(cell, close, contact_A), ewald=(ewald + ewald.T) / 2, close=close,
    )


def _close_sites(cell: DisorderedCell, contact_A: float) -> np.ndarray:
    from ase import Atoms

    matrix = np.zeros((len(cell.orbit), len(cell.orbit)))
    partial = np.array([sum(shares.values()) < FULL for shares in cell.occupancy])[cell.orbit]
    carrier = Atoms(np.ones(len(cell.orbit), int), positions=cell.positions, cell=cell.cell, pbc=True)
    i, j, _, _ = neighbour_pairs(carrier, contact_A)
    both = partial[i] & partial[j] & (i != j)
    matrix[i[both], j[both]] = matrix[j[both], i[both]] = CLOSE_EV / 2
    return matrix


def _check_reachable(cell: DisorderedCell, problem: OrderingProblem) -> None:
    """Refuse a supercell so small that an element would be lost."""
    made = {element: sum(one.get(element, 0) for one in problem.counts) for element in cell.amounts()}
    lost = [element for element, number in made.items() if number == 0]
    if lost:
        wanted = " ".join(f"{element}{amount:.3g}" for element, amount in cell.amounts().items())
        raise InputError(
            f"{cell.name}: the cell would hold {wanted}, less than half an atom of {', '.join(lost)}: use a larger "
            "supercell"
        )


def _has_contact(problem: OrderingProblem, state: np.ndarray) -> bool:
    occupied = (state > 0).astype(float)
    return bool(occupied @ problem.close @ occupied > 0)


def _vacancies(problem: OrderingProblem, orbit: int) -> int:
    return int((problem.orbit == orbit).sum()) - sum(problem.counts[orbit].values())


def _arrangements(numbers: list[int]) -> int:
    total, result = 0, 1
    for number in numbers:
        total += number
        result *= math.comb(total, number)
    return result


def _content(problem: OrderingProblem, orbit: int) -> list[int]:
    """Return the species numbers on the sites of an orbit, in standard order, vacancies last."""
    content = []
    for element, number in sorted(problem.counts[orbit].items()):
        content += [problem.species.index(element)] * number
    return content + [0] * _vacancies(problem, orbit)


def _enumerate(problem: OrderingProblem) -> Iterator[np.ndarray]:
    """Yield every arrangement."""
    orbits = range(len(problem.counts))
    sites = [np.flatnonzero(problem.orbit == k) for k in orbits]
    for choice in itertools.product(*(list(_distinct_orders(_content(problem, k))) for k in orbits)):
        state = np.zeros(len(problem.orbit), int)
        for where, content in zip(sites, choice, strict=True):
            state[where] = content
        yield state


def _distinct_orders(content: list[int]) -> Iterator[tuple[int, ...]]:
    """Yield the distinct permutations of a list with repeated members."""
    if not content:
        yield ()
        return
    for first in sorted(set(content)):
        rest = content.copy()
        rest.remove(first)
        for order in _distinct_orders(rest):
            yield (first, *order)


def _search(
    problem: OrderingProblem, count: int, rng: np.random.Generator, mode: Mode, cell: DisorderedCell, compiled: bool
) -> Iterator[np.ndarray]:
    """Yield low-energy arrangements: the ends of several annealings, and what they passed at low temperature.

    With ``random`` and ``sqs`` only the ends: one for each draw of the other sites.
    """
    mobile = problem.species.index(MOBILE) if MOBILE in problem.species else -1
    contents = [set(_content(problem, k)) for k in range(len(problem.counts))]
    free = [
        np.flatnonzero(problem.orbit == k) for k, content in enumerate(contents)
        if len(content) > 1 and (mode == "lowest" or mobile in content)
    ]
    mixed = [k for k, content in enumerate(contents) if len(content) > 1 and mobile not in content]
    statistics = None
    fewest = 1 if compiled else 4
    draws = max(fewest, min(20, count)) if mode == "lowest" else count * (DRAWS if not free else DRAWS_ANNEALED)
    for _ in range(draws):
        state = np.zeros(len(problem.orbit), int)
        for k in range(len(problem.counts)):
            state[problem.orbit == k] = rng.permutation(_content(problem, k))
        if mode == "sqs" and mixed:
            statistics = statistics or pair_statistics(cell.positions, cell.cell, problem.orbit, mixed, state)
            if statistics is not None:
                state = quasi_random(statistics, problem.orbit, mixed, state, rng)
        if compiled and free:
            passed = _anneal_compiled(problem, state, free, rng, KEPT * count)
        else:
            passed = list(_anneal(problem, state, free, rng))
        yield from passed if mode == "lowest" else passed[-1:]


def _anneal_compiled(
    problem: OrderingProblem, state: np.ndarray, free: list[np.ndarray], rng: np.random.Generator, keep: int
) -> list[np.ndarray]:
    """Return arrangements of one annealing that starts with the lithium atoms apart."""
    from dpa_sse.ops.structures.placement import anneal, apart

    for sites in free:
        species = set(state[sites].tolist()) - {0}
        if len(species) == 1 and problem.close[np.ix_(sites, sites)].any():
            number = int((state[sites] > 0).sum())
            chosen = apart(problem.close, sites, number, rng)
            if len(chosen) == number:
                state[sites] = 0
                state[chosen] = species.pop()
    return list(anneal(state, problem.charge, problem.ewald, problem.close, free, rng, keep))


def _anneal(
    problem: OrderingProblem, state: np.ndarray, free: list[np.ndarray], rng: np.random.Generator
) -> Iterator[np.ndarray]:
    sites = sum(map(len, free))
    if not sites:
        yield state
        return
    moves = int(np.clip(40 * sites, 400, 20_000))
    weights = np.array([len(group) for group in free]) / sites
    potential = 2 * problem.ewald @ problem.charge[state]
    contact = 2 * problem.close @ (state > 0).astype(float)
    temperatures = [*np.geomspace(3.0, 0.05, moves), *[0.0] * (moves // 4)]
    for step, temperature in enumerate(temperatures):
        group = free[int(rng.choice(len(free), p=weights))]
        a, b = rng.choice(group, 2, replace=False)
        if state[a] == state[b]:
            continue
        dq = problem.charge[state[b]] - problem.charge[state[a]]
        do = float(state[b] > 0) - float(state[a] > 0)
        change = dq * (potential[a] - potential[b]) + do * (contact[a] - contact[b])
        for matrix, d in ((problem.ewald, dq), (problem.close, do)):
            change += d * d * (matrix[a, a] + matrix[b, b] - 2 * matrix[a, b])
        if change < -1e-9 or (temperature > 0 and rng.random() < math.exp(-change / temperature)):
            potential += 2 * dq * (problem.ewald[:, a] - problem.ewald[:, b])
            contact += 2 * do * (problem.close[:, a] - problem.close[:, b])
            state[a], state[b] = state[b], state[a]
            if step > 0.7 * moves:
                yield state.copy()
    yield state.copy()


def _wanted(cell: DisorderedCell, target: Mapping[str, float] | None) -> dict[str, float]:
    """Return the atoms of a composition in the cell: as many anions as the cell has."""
    amounts = cell.amounts()
    if target is None:
        return amounts
    anions = [element for element in amounts if OXIDATION_STATES.get(element, 0) < 0] or list(amounts)
    units = sum(amounts[element] for element in anions) / sum(target[element] for element in anions)
    return {element: units * target[element] for element in amounts}


def _atoms(
    cell: DisorderedCell, problem: OrderingProblem, state: np.ndarray, energy: float, kind: str,
    wanted: dict[str, float],
) -> Atoms:
    from ase import Atoms

    order = [k for element in sorted(problem.species[1:], key=_rank) for k in
             np.flatnonzero(state == problem.species.index(element))]
    atoms = Atoms([problem.species[state[k]] for k in order], positions=cell.positions[order], cell=cell.cell, pbc=True)
    made: dict[str, Any] = {element: int((atoms.symbols == element).sum()) for element in wanted}
    atoms.info.update(
        structure=cell.name, ewald_eV=round(energy, 6), configurations=kind,
        composition_target=" ".join(f"{element}{amount:.4g}" for element, amount in wanted.items()),
        composition_error=round(max(abs(made[element] - amount) for element, amount in wanted.items()), 4),
    )
    if cell.notes:
        atoms.info["notes"] = cell.notes
    return atoms


def _rank(element: str) -> tuple[int, str]:
    """Return the rank of an element: lithium first, then cations, then anions."""
    return (0 if element == MOBILE else 1 if OXIDATION_STATES.get(element, 0) > 0 else 2), element
