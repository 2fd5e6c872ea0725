"""Ordered cells from partly occupied or shared sites: all of them if there are few, else a seeded search.

Arrangements are ranked by their Ewald energy with formal charges, the usual guide to the orderings that DFT would
prefer; two partly occupied sites closer than 2 A are never occupied together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.disorder import OXIDATION_STATES, DisorderedCell, oxidation_states
from dpa_sse.ops.structures.neighbour_list import neighbour_pairs
from dpa_sse.ops.structures.sqs import pair_statistics, quasi_random
from dpa_sse.ops.structures.symmetry import canonical, site_permutations

if TYPE_CHECKING:
    from ase import Atoms

Mode = Literal["lowest", "random", "sqs"]

ENUMERATE_UP_TO = 3000
CLOSE_A = 2.0
CLOSE_EV = 50.0
MOBILE = "Li"
DRAWS, DRAWS_ANNEALED = 50, 8  # at most, for each arrangement wanted
FULL = 0.999
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
    target: Mapping[str, float] | None = None,
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

    Returns
    -------
    list of Atoms
        Lowest Ewald energy first. ``info``: structure (parent), ewald_eV (relative to the best),
        composition_target, composition_error (largest difference in atoms per cell between requested and
        actual), configurations (``all``, ``search``, ``random`` or ``sqs``).

    Raises
    ------
    InputError
        No charge-neutral composition fits, or atoms overlap in all arrangements.
    """
    sites = len(parent.orbit) * round(abs(np.linalg.det(matrix)))
    if sites > MOST_SITES:
        raise InputError(f"{parent.name}: {sites} sites are too many to order by energy (at most {MOST_SITES})")
    large = parent.repeat(np.asarray(matrix))
    problem = _problem(pool_lithium(large))
    arrangements = math.prod(
        _arrangements([*counts.values(), _vacancies(problem, k)]) for k, counts in enumerate(problem.counts)
    )
    _check_reachable(large, problem)
    kind = mode if mode != "lowest" else "all" if arrangements <= ENUMERATE_UP_TO else "search"
    rng = np.random.default_rng(seed)
    states = _enumerate(problem) if kind == "all" else _search(problem, count, rng, mode, large)
    permutations = site_permutations(parent, large, np.asarray(matrix))
    distinct: dict[bytes, tuple[float, np.ndarray]] = {}
    for number, state in enumerate(states):
        if mode != "lowest" and number >= 2 * count and len(distinct) >= count:
            break  # the better half of twice as many draws; more draws only if many are equivalent
        if mode == "lowest" or not _has_contact(problem, state):
            distinct.setdefault(canonical(state, permutations), (problem.energy(state), state))
    apart = [(energy, label, state) for label, (energy, state) in distinct.items() if not _has_contact(problem, state)]
    if not apart:
        raise InputError(
            f"{parent.name}: every arrangement occupies sites closer than {CLOSE_A:g} Angstrom: too much lithium for "
            "its sites"
        )
    lot = {label: rng.random() for _, label, _ in sorted(apart, key=lambda item: item[1])}
    ranked = sorted(apart, key=lambda item: (round(item[0], 6), lot[item[1]]))[:count]
    wanted = _wanted(large, target)
    return [_atoms(large, problem, state, energy - ranked[0][0], kind, wanted) for energy, _, state in ranked]


def pool_lithium(cell: DisorderedCell) -> DisorderedCell:
    """Return the cell with all partly occupied lithium sites in one orbit.

    Refined occupancies are averages: in Li10GeP2S12 they would put 11 atoms on 8 pairs of sites 1.7 A apart. The search
    therefore decides how many lithium atoms are on which kind of site; their total is kept.
    """
    mobile = [k for k, one in enumerate(cell.occupancy) if set(one) == {MOBILE} and one[MOBILE] < FULL]
    return cell.join(mobile)


def integer_counts(cell: DisorderedCell) -> tuple[dict[str, int], ...]:
    """Return the number of atoms of each element on each orbit, charge-neutral.

    Occupancies times sites are rounded by largest remainders, up or down to match the composition best; the remaining
    charge is compensated by adding or removing lithium on partly occupied lithium sites.

    Raises
    ------
    InputError
        An element has no known oxidation state, or the charge cannot be compensated.
    """
    states = oxidation_states(cell.amounts(), cell.name)
    counts: list[dict[str, int]] = []
    for k, shares in enumerate(cell.occupancy):
        sites = int((cell.orbit == k).sum())
        wanted = {**shares, "": max(0.0, 1.0 - sum(shares.values()))}
        floor = {element: math.floor(share * sites + 1e-6) for element, share in wanted.items()}
        left = sorted(wanted, key=lambda element: (floor[element] - wanted[element] * sites, element))
        for element in left[: sites - sum(floor.values())]:
            floor[element] += 1
        counts.append(floor)
    _balance(cell, counts)
    counts = [{element: number for element, number in one.items() if element} for one in counts]
    charge = sum(states[element] * number for one in counts for element, number in one.items())
    return _compensate(cell, counts, charge)


def _balance(cell: DisorderedCell, counts: list[dict[str, int]]) -> None:
    """Round other elements up as long as that improves the composition (vacancies are '')."""
    wanted = cell.amounts()
    excess = {element: sum(one.get(element, 0) for one in counts) - amount for element, amount in wanted.items()}
    excess[""] = 0.0
    improved = True
    while improved:
        improved = False
        for k, one in enumerate(counts):
            sites = int((cell.orbit == k).sum())
            ideal = {element: cell.occupancy[k].get(element, 0.0) * sites for element in one}
            ideal[""] = sites - sum(amount for element, amount in ideal.items() if element)
            for less, more in itertools.permutations(sorted(one), 2):
                within = one[less] - ideal[less] > 1e-6 and ideal[more] - one[more] > 1e-6
                gain = sum(abs(excess[e]) - abs(excess[e] + d) for e, d in ((less, -1), (more, 1)) if e)
                if within and gain > 1e-6:
                    one[less] -= 1
                    one[more] += 1
                    excess[less] -= 1
                    excess[more] += 1
                    improved = True


def _compensate(cell: DisorderedCell, counts: list[dict[str, int]], charge: int) -> tuple[dict[str, int], ...]:
    """Change the number of lithium atoms until the cell is neutral, on the orbit with the most room."""
    while charge:
        step = -1 if charge > 0 else 1
        room = []
        for k, one in enumerate(counts):
            empty = int((cell.orbit == k).sum()) - sum(one.values())
            if MOBILE in one and (one[MOBILE] if step < 0 else empty) > 0 and sum(cell.occupancy[k].values()) < FULL:
                room.append((-(one[MOBILE] if step < 0 else empty), k))
        if not room:
            raise InputError(
                f"{cell.name}: the rounded composition has charge {charge:+d} and no partly occupied lithium site to "
                "compensate it; use a larger supercell or another fraction"
            )
        counts[min(room)[1]][MOBILE] += step
        charge += step
    return tuple(counts)


def _problem(cell: DisorderedCell) -> OrderingProblem:
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Species, Structure

    states = oxidation_states(cell.amounts(), cell.name)
    species = ("", *sorted(states))
    unit = Structure(Lattice(cell.cell), [Species("H", 1)] * len(cell.orbit), cell.positions, coords_are_cartesian=True)
    ewald = np.array(EwaldSummation(unit).total_energy_matrix)
    return OrderingProblem(
        species=species, charge=np.array([0.0, *(states[element] for element in species[1:])]), orbit=cell.orbit,
        counts=integer_counts(cell), ewald=(ewald + ewald.T) / 2, close=_close_sites(cell),
    )


def _close_sites(cell: DisorderedCell) -> np.ndarray:
    from ase import Atoms

    matrix = np.zeros((len(cell.orbit), len(cell.orbit)))
    partial = np.array([sum(shares.values()) < FULL for shares in cell.occupancy])[cell.orbit]
    carrier = Atoms(np.ones(len(cell.orbit), int), positions=cell.positions, cell=cell.cell, pbc=True)
    i, j, _, _ = neighbour_pairs(carrier, CLOSE_A)
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
    problem: OrderingProblem, count: int, rng: np.random.Generator, mode: Mode, cell: DisorderedCell
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
    draws = max(4, min(20, count)) if mode == "lowest" else count * (DRAWS if not free else DRAWS_ANNEALED)
    for _ in range(draws):
        state = np.zeros(len(problem.orbit), int)
        for k in range(len(problem.counts)):
            state[problem.orbit == k] = rng.permutation(_content(problem, k))
        if mode == "sqs" and mixed:
            statistics = statistics or pair_statistics(cell.positions, cell.cell, problem.orbit, mixed, state)
            if statistics is not None:
                state = quasi_random(statistics, problem.orbit, mixed, state, rng)
        passed = list(_anneal(problem, state, free, rng))
        yield from passed if mode == "lowest" else passed[-1:]


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
    return atoms


def _rank(element: str) -> tuple[int, str]:
    """Return the rank of an element: lithium first, then cations, then anions."""
    return (0 if element == MOBILE else 1 if OXIDATION_STATES.get(element, 0) > 0 else 2), element
