"""Barriers, phonons, energies of decomposition: against formulas and other programs, and made to pass and to fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from dpa_sse.ops.results.gates import GateResult
from dpa_sse.ops.validation.gates.base import Labels, Measurement, Potential, Reference
from dpa_sse.ops.validation.gates.judge import judge
from dpa_sse.ops.validation.gates.phonons import frequencies
from dpa_sse.ops.validation.gates.potentials import Scaled
from tests.ops.validation.gates.analytic import (
    CUTOFF_A,
    THRESHOLDS,
    Changed,
    Pairs,
    crystal,
    measured,
    settings,
)

FCC_A = 4.15


def standard(
    key: str, model: Potential, reference: Potential | Reference | None, cells: Sequence[Atoms], **protocol: Any
) -> tuple[GateResult, Measurement]:
    """Return the verdict of a gate at the tier standard, and what it measured."""
    entry = THRESHOLDS.gates[key]
    found = measured(
        key, model, reference, cells, tier="standard", protocol={**entry.protocol_at("standard"), **protocol}
    )
    return judge(key, found, entry, "standard"), found


def fcc() -> Atoms:
    atoms = bulk("Li", "fcc", a=FCC_A, cubic=True)
    atoms.info["system"] = "fcc"
    return atoms


def bad(whose: str) -> Changed:
    return Changed(
        Pairs(), lambda found, *_: Labels(found.energy, np.full_like(found.force, np.nan), found.virial), whose
    )


class TestPhonons:
    def test_frequencies_are_those_of_the_dynamical_matrix(self) -> None:
        """Nearest neighbours only: D(q) = sum over neighbours of (1 - cos q R) (phi'' nn + phi'/r (1 - nn)) / m."""
        assert FCC_A / np.sqrt(2) < CUTOFF_A < FCC_A
        r = FCC_A / np.sqrt(2)
        step = 1e-4

        def energy(distance: float) -> float:
            cell = Atoms("Li2", [[0, 0, 0], [distance, 0, 0]], cell=[20] * 3, pbc=True)
            return float(Pairs().of_atoms([cell]).energy[0])

        below, at, above = (energy(r + shift) for shift in (-step, 0, step))
        first, second = (above - below) / (2 * step), (above - 2 * at + below) / step**2
        mesh = 3
        reciprocal = 2 * np.pi / FCC_A * np.eye(3)
        mass = bulk("Li").get_masses()[0]
        units = [np.array(one) / np.sqrt(2) for one in
                 [(a, b, 0) for a in (1, -1) for b in (1, -1)] + [(a, 0, b) for a in (1, -1) for b in (1, -1)]
                 + [(0, a, b) for a in (1, -1) for b in (1, -1)]]
        expected = []
        for point in np.ndindex(mesh, mesh, mesh):
            own = []
            # the four q-points of the primitive cell that fold onto one of the cubic cell
            for fold in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
                q = (np.array(point) / mesh + np.array(fold)) @ reciprocal
                matrix = sum(
                    (1 - np.cos(r * q @ n)) * (second * np.outer(n, n) + first / r * (np.eye(3) - np.outer(n, n)))
                    for n in units
                ) / mass
                values = np.linalg.eigvalsh(matrix)
                own += (np.sign(values) * np.sqrt(np.abs(values))).tolist()
            expected.append(sorted(own))
        unit_time_s = 10.18050571e-15  # A sqrt(u / eV)
        wanted = np.sort(np.array(expected), axis=1) / (2 * np.pi * unit_time_s) / 1e12
        protocol = {**THRESHOLDS.gates["G12"].protocol_at("standard"), "mesh": mesh}
        found = frequencies(Pairs(), fcc(), settings("G12", "standard", protocol=protocol))
        assert isinstance(found, np.ndarray)
        assert np.sort(found, axis=0) == pytest.approx(np.sort(wanted, axis=0), abs=0.02)
        assert found.max() == pytest.approx(15.05, abs=0.05)

    def test_passes_and_fails(self) -> None:
        result, found = standard("G12", Pairs(), Pairs(), [fcc()])
        assert result.verdict == "PASS" and found.values["frequency_mae"].value == pytest.approx(0, abs=1e-9)
        result, found = standard("G12", Scaled(Pairs(), 1.21), Pairs(), [fcc()])
        mean = np.mean([row["reference_THz"] for row in found.table])
        assert found.values["frequency_mae"].value == pytest.approx(0.1 * mean, rel=1e-3)  # sqrt(1.21) - 1
        assert result.verdict == "FAIL"

    def test_a_new_soft_mode_fails(self) -> None:
        """The mirror image of the surface about the crystal: every mode is imaginary."""
        soft = Scaled(Pairs(), -0.002)
        result, found = standard("G12", soft, Scaled(Pairs(), 0.002), [fcc()])
        assert found.values["new_soft_modes"].value > 0 and result.verdict == "FAIL"
        assert found.values["frequency_mae"].value < 2
        reverse, _ = standard("G12", Scaled(Pairs(), 0.002), soft, [fcc()])
        assert next(one for one in reverse.metrics if one.name == "new_soft_modes").value == 0

    def test_disordered_cells_are_left_out(self) -> None:
        arrangement = fcc()
        arrangement.info["operation"] = "ordering of lowest Ewald energy"
        result, _ = standard("G12", Pairs(), Pairs(), [arrangement])
        assert result.verdict == "NOT_RUN" and "its sites are disordered" in result.reason
        rattled = crystal()
        rattled.rattle(0.05, seed=1)
        result, _ = standard("G12", Pairs(), Pairs(), [rattled])
        assert result.verdict == "NOT_RUN" and "displaced cells" in result.reason
        result, found = standard("G12", Pairs(), Pairs(), [arrangement, fcc()])
        assert result.verdict == "PASS" and any("disordered" in note for note in found.notes)

    def test_what_cannot_be_told(self) -> None:
        moved = fcc()
        moved.positions[0] += [0.05, 0, 0]  # a mirror plane is left
        result, _ = standard("G12", Pairs(), Pairs(), [moved], steps=1)
        assert result.verdict == "INCONCLUSIVE" and "does not relax the ions in 1 steps" in result.reason
        assert standard("G12", Pairs(), bad("reference"), [fcc()])[0].verdict == "INCONCLUSIVE"
        assert standard("G12", bad("model"), Pairs(), [fcc()])[0].verdict == "FAIL"
        assert standard("G12", Pairs(), None, [fcc()])[0].verdict == "NOT_RUN"


class Sites(Potential):
    """Ions in wells along x: V = A/2 (1 - cos(2 pi x / a)) + k/2 (y^2 + z^2); the barrier between sites is A."""

    def __init__(self, barrier_eV: float, period_A: float = 3.0, name: str = "sites") -> None:
        super().__init__(name, ["Li", "S"])
        self.barrier, self.period = barrier_eV, period_A

    def evaluate(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> Labels:
        light = np.array([float(one == "Li") for one in symbols])[None, :]
        x, rest = positions[..., 0], positions[..., 1:]
        phase = 2 * np.pi / self.period
        energy = (light * (self.barrier / 2 * (1 - np.cos(phase * x)) + (rest**2).sum(axis=-1))).sum(axis=1)
        force = np.zeros_like(positions)
        force[..., 0] = -light * self.barrier / 2 * phase * np.sin(phase * x)
        force[..., 1:] = -2 * light[..., None] * rest
        return Labels(energy, force, np.zeros((len(positions), 3, 3)))


def chain(count: int = 4, period_A: float = 3.0) -> Atoms:
    """Return Li ions on a line of sites, and one S that keeps them company."""
    positions = [[k * period_A, 0, 0] for k in range(count)] + [[0, 6, 6]]
    return Atoms(f"Li{count}S", positions, cell=[count * period_A, 12, 12], pbc=True, info={"system": "chain"})


class TestHop:
    def test_the_barrier_is_that_of_the_formula(self) -> None:
        result, found = standard("G10", Sites(0.31), Sites(0.30), [chain()])
        assert found.table[3]["reference_eV"] == pytest.approx(0.30, abs=2e-3)  # the image in the middle climbs
        assert found.values["barrier_error"].value == pytest.approx(10, abs=1.5)
        assert found.values["barrier_error"].where == "chain, Li over 3.00 A" and result.verdict == "PASS"

    @pytest.mark.parametrize(("barrier", "expected"), [(0.27, "WARN"), (0.2, "FAIL"), (0.4, "FAIL")])
    def test_other_barriers(self, barrier: float, expected: str) -> None:
        result, found = standard("G10", Sites(barrier), Sites(0.30), [chain()])
        assert result.verdict == expected
        assert found.values["barrier_error"].value == pytest.approx(1000 * (barrier - 0.30), abs=3)

    def test_a_vacancy_in_a_crystal_of_pairs(self) -> None:
        """Forces and barriers are proportional: the path is the same, and 10 % more of either."""
        lithium = crystal(elements=["Li"])
        result, found = standard("G10", Scaled(Pairs(), 1.1), Pairs(), [lithium], width_A=6, force_eV_A=0.02)
        highest = max(row["reference_eV"] for row in found.table)
        assert found.values["barrier_error"].value == pytest.approx(100 * highest, rel=0.02)
        assert result.verdict == "FAIL" and 0.5 < highest < 2

    def test_the_band_of_ase_by_itself(self) -> None:
        """The same hop with ASE's own calculator of Lennard-Jones ions and another optimiser."""
        from ase.calculators.lj import LennardJones
        from ase.mep import NEB
        from ase.optimize import BFGS

        class FromAse(Potential):
            def evaluate(self, symbols, positions, cells):
                found = []
                for places, cell in zip(positions, cells, strict=True):
                    atoms = Atoms(symbols, places, cell=cell, pbc=True, calculator=LennardJones(**LJ))
                    found.append((atoms.get_potential_energy(), atoms.get_forces()))
                energy, force = (np.array(values) for values in zip(*found, strict=True))
                return Labels(energy, force, np.zeros((len(found), 3, 3)))

        LJ = {"sigma": 2.6, "epsilon": 0.1, "rc": 4.0, "ro": 3.2, "smooth": True}
        atoms = bulk("Li", "fcc", a=4.1, cubic=True).repeat((2, 2, 2))
        atoms.info["system"] = "fcc"
        potential = FromAse("lj", ["Li"])
        _, found = standard("G10", potential, potential, [atoms], width_A=8, force_eV_A=0.01, steps=600)
        own = max(row["reference_eV"] for row in found.table)
        start, end = atoms.copy(), atoms.copy()
        near = int(np.argsort(atoms.get_distances(0, range(len(atoms)), mic=True))[1])
        end.positions[near] += atoms.get_distance(near, 0, mic=True, vector=True)
        images = []
        for one in (start, end):
            del one[0]
            one.calc = LennardJones(**LJ)
            BFGS(one, logfile=None).run(fmax=0.005)
        images = [start, *(start.copy() for _ in range(5)), end]
        for one in images:
            one.calc = LennardJones(**LJ)
        band = NEB(images, climb=True)
        band.interpolate(mic=True)
        BFGS(band, logfile=None).run(fmax=0.01, steps=500)
        energies = [one.get_potential_energy() for one in images]
        assert own == pytest.approx(max(energies) - energies[0], abs=2e-3)

    def test_a_path_that_does_not_converge(self) -> None:
        result, _ = standard("G10", Pairs(), Pairs(), [crystal(elements=["Li"])], width_A=6, steps=1)
        assert result.verdict == "INCONCLUSIVE" and "the reference" in result.reason and "1 steps" in result.reason

    def test_an_end_that_relaxes_into_another_state(self) -> None:
        """Wells half a period away: nothing is stable where the structure has its sites."""
        shifted = Changed(Sites(0.3), lambda found, places, _: Sites(0.3, 3.0).evaluate(
            ["Li", "Li", "Li", "S"], places + np.array([1.3, 0, 0]), np.zeros((len(places), 3, 3))), "shifted")
        result, _ = standard("G10", shifted, Sites(0.3), [chain()])
        assert result.verdict == "FAIL" and "into another state" in result.reason  # the reference has a path there
        result, _ = standard("G10", Sites(0.3), shifted, [chain()])
        assert result.verdict == "INCONCLUSIVE" and "the reference: relaxes" in result.reason

    def test_the_way_back_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A site that is 0.4 eV too deep leaves the barrier into it as it is, but not the one out of it."""
        from dpa_sse.ops.validation.gates import hop

        cells = [chain() for _ in range(3)]
        energies = {"deep": [0.0, 0.3, -0.4], "right": [0.0, 0.3, 0.0]}

        def band(potential: Potential, *_: object) -> hop.Band:
            force = np.zeros((3, len(cells[0]), 3))
            return hop.Band(cells, np.array(energies[potential.name]), force, 0.0)

        monkeypatch.setattr(hop, "_band", band)
        deep, right = (Changed(Sites(0.3), lambda found, *_: found, name) for name in energies)
        result, _ = standard("G10", deep, right, [chain()])
        (error,) = [one for one in result.metrics if one.name == "barrier_error"]
        assert error.verdict == "FAIL" and error.value == pytest.approx(400) and "back" in error.reason

    def test_nothing_to_hop(self) -> None:
        assert "no two neighbouring sites" in standard("G10", Pairs(), Pairs(), [crystal(elements=["Cl"])])[0].reason
        assert standard("G10", Pairs(), None, [crystal()])[0].verdict == "NOT_RUN"
        assert standard("G10", bad("model"), Pairs(), [crystal(elements=["Li"])], width_A=6)[0].verdict == "FAIL"
        assert standard("G10", Pairs(), bad("reference"), [crystal(elements=["Li"])], width_A=6)[0].verdict == (
            "INCONCLUSIVE")

    def test_hops_of_one_kind_are_tried_once(self) -> None:
        from dpa_sse.ops.validation.gates.hop import shortest_hops

        protocol = {**THRESHOLDS.gates["G10"].protocol_at("full"), "width_A": 6}
        lithium = crystal(elements=["Li"])
        hops = shortest_hops(lithium, settings("G10", protocol=protocol))
        assert [round(one.length_A, 2) for one in hops] == [2.93, 4.15]
        for one in hops:
            assert len(one.start) == len(one.end) == 31
            shift = one.end.positions - one.start.positions
            assert np.flatnonzero(np.linalg.norm(shift, axis=1)).tolist() == [one.ion]
            assert np.linalg.norm(shift[one.ion]) == pytest.approx(one.length_A)


class Formation(Potential):
    """Energies per atom by composition."""

    def __init__(self, energies: dict[str, float], name: str = "formation") -> None:
        super().__init__(name, ["Li", "P", "S", "Cl"])
        self.energies = energies

    def evaluate(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> Labels:
        name = Atoms(symbols).get_chemical_formula(empirical=True)
        shift = sum({"Li": -1.9, "P": -5.4, "S": -4.1, "Cl": -1.8}[one] for one in symbols)
        energy = np.full(len(positions), self.energies[name] * len(symbols) + shift)
        return Labels(energy, np.zeros_like(positions), np.zeros((len(positions), 3, 3)))


def phase(formula: str) -> Atoms:
    atoms = Atoms(formula, cell=[8, 8, 8], pbc=True)
    atoms.positions = np.random.default_rng(1).uniform(0, 8, (len(atoms), 3))
    atoms.info["system"] = formula
    return atoms


ENERGIES = {"Li2S": -1.5, "P2S5": -0.6, "ClLi": -2.1, "Li3PS4": -1.12, "ClLi6PS5": -1.31, "Li4P2S7": -0.98}
NAMES = ("Li2S", "P2S5", "LiCl", "Li3PS4", "Li6PS5Cl", "Li4P2S7")


class TestDecomposition:
    def measured(
        self, model: Potential, names: Sequence[str] = NAMES, reference: Potential | None = None
    ) -> tuple[GateResult, Measurement]:
        phases = [phase(one) for one in names]
        compared = Reference("formation", reference or Formation(ENERGIES), phases=phases[1:])
        return standard("G14", model, compared, phases[:1])

    def test_energies_are_those_of_pymatgen(self) -> None:
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
        from pymatgen.core import Composition

        _, found = self.measured(Formation(ENERGIES))
        entries = {}
        for name in NAMES:
            cell = phase(name)
            energy = Formation(ENERGIES).of_atoms([cell]).energy[0]
            entries[name] = PDEntry(Composition(name), float(energy), name=name)
        # elements far above the hull, which pymatgen needs at its corners
        corners = [PDEntry(Composition(one), 0.0) for one in ("Li", "P", "S", "Cl")]
        diagram = PhaseDiagram([*entries.values(), *corners])
        rows = {row["phase"]: row for row in found.table}
        assert set(rows) == {"Li3PS4", "Li6PS5Cl", "Li4P2S7"}  # nothing makes Li2S, P2S5 or LiCl
        for name, row in rows.items():
            expected = 1000 * diagram.get_phase_separation_energy(entries[name], stable_only=False)
            assert row["reference_meV_atom"] == pytest.approx(expected, abs=1e-3), name
        assert "Li2S" in rows["Li6PS5Cl"]["products"] and "LiCl" in rows["Li6PS5Cl"]["products"]

    @pytest.mark.parametrize(("shift", "expected"), [(0.012, "PASS"), (0.03, "WARN"), (0.09, "FAIL")])
    def test_errors(self, shift: float, expected: str) -> None:
        off = Formation({**ENERGIES, "ClLi6PS5": ENERGIES["ClLi6PS5"] + shift})
        result, found = self.measured(off)
        assert found.values["decomposition_mae"].value == pytest.approx(1000 * shift / 3, rel=1e-6)
        assert result.verdict == expected

    def test_shifts_of_the_elements_cancel(self) -> None:
        per_element = {"Li": 0.3, "P": -0.2, "S": 0.1, "Cl": 0.5}

        class Shifted(Formation):
            def evaluate(self, symbols, positions, cells):
                labels = super().evaluate(symbols, positions, cells)
                return Labels(labels.energy + sum(per_element[one] for one in symbols), labels.force, labels.virial)

        result, found = self.measured(Shifted(ENERGIES))
        assert found.values["decomposition_mae"].value == pytest.approx(0, abs=1e-6) and result.verdict == "PASS"

    def test_too_few_phases(self) -> None:
        result, _ = self.measured(Formation(ENERGIES), ("Li6PS5Cl", "Li2S", "LiCl"))
        assert result.verdict == "NOT_RUN" and "name competing phases, --phase" in result.reason
        assert standard("G14", Formation({}), None, [phase("Li2S")])[0].verdict == "NOT_RUN"

    def test_a_phase_without_energy(self) -> None:
        lost = {**ENERGIES, "P2S5": np.nan}
        result, _ = self.measured(Formation(lost))
        assert result.verdict == "FAIL" and "the model has no energy of P2S5" in result.reason
        assert self.measured(Formation(ENERGIES), reference=Formation(lost))[0].verdict == "INCONCLUSIVE"

    def test_unknown_elements_are_left_out(self) -> None:
        cells = [phase("Li2S"), phase("P2S5"), phase("Li3PS4"), phase("NaCl")]
        result, found = standard(
            "G14", Formation(ENERGIES), Reference("f", Formation(ENERGIES), phases=cells[1:]), cells[:1]
        )
        assert result.verdict == "PASS" and any("NaCl" in note for note in found.notes)
