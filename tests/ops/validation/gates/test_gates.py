"""Each gate made to pass, to fail, and to find nothing, with potentials whose faults are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.data.frames import SystemData
from dpa_sse.ops.validation.gates import structure
from dpa_sse.ops.validation.gates.base import Labels, Potential, Reference
from dpa_sse.ops.validation.gates.potentials import Holed, Relabelled, Scaled
from dpa_sse.ops.validation.gates.structure import compare, difference, share_of_ideal
from dpa_sse.ops.validation.gates.wall import gives_way
from tests.ops.validation.gates.analytic import SIGMA, Changed, Pairs, Ripple, Wells, crystal, measured, verdict

SHORT = {"hold_ps": 0.2, "ramp_ps": 0.1, "hot_ps": 0.1}
ALL = list(SIGMA)


def noisy(force_eV_A: float, energy_eV: float = 0.0, seed: int = 0) -> Changed:
    """Return pairs with normal errors that depend on the positions, as those of a fit do."""
    def change(labels: Labels, positions: np.ndarray, _: np.ndarray) -> Labels:
        found = [np.random.default_rng([seed, abs(int(one.sum() * 1e6))]) for one in positions]
        force = np.array([rng.normal(0, force_eV_A, positions.shape[1:]) for rng in found])
        energy = np.array([rng.normal(0, energy_eV) for rng in found])
        return Labels(labels.energy + energy, labels.force + force, labels.virial)
    return Changed(Pairs(), change, "noisy")


def data(
    trajectories: int = 5, frames: int = 8, hard: float = 1.0, seed: int = 1, rattle_A: float = 0.1
) -> Reference:
    """Return labelled frames of several trajectories; the last one is displaced ``hard`` times as much."""
    rng, made, pairs = np.random.default_rng(seed), [], Pairs()
    for number in range(trajectories):
        for _ in range(frames):
            atoms = crystal()
            atoms.positions += rng.normal(0, rattle_A * (hard if number == trajectories - 1 else 1), (32, 3))
            labels = pairs.of_atoms([atoms])
            atoms.info.update(system="crystal", trajectory=f"t{number}")
            made.append(with_results(
                atoms, float(labels.energy[0]), labels.force[0], -labels.virial[0] / atoms.get_volume()
            ))
    blocks: Sequence[SystemData] = frames_to_blocks(made, ALL, "test")
    return Reference("data", None, blocks, ALL)


class TestAccuracy:
    @pytest.mark.parametrize(("force", "energy", "expected"), [
        (0.0, 0.0, "PASS"), (0.05, 0.03, "PASS"), (0.1, 0.03, "WARN"), (0.2, 0.03, "FAIL"), (0.01, 0.4, "FAIL"),
    ])
    def test_known_errors(self, force: float, energy: float, expected: str) -> None:
        found = measured("G1", noisy(force, energy), data())
        assert verdict("G1", found).verdict == expected
        expected_mae = force * np.sqrt(2 / np.pi) * 1000
        assert found.values["force_mae"].value == pytest.approx(expected_mae, rel=0.05, abs=0.1)
        assert found.values["energy_mae"].value == pytest.approx(
            energy / 32 * np.sqrt(2 / np.pi) * 1000, rel=0.3, abs=0.01)

    def test_a_constant_shift_of_the_energy_does_not_count(self) -> None:
        shifted = Changed(Pairs(), lambda found, *_: Labels(found.energy + 5.0, found.force, found.virial))
        assert verdict("G1", measured("G1", shifted, data())).verdict == "PASS"

    @pytest.mark.parametrize("trajectories", [1, 2])
    def test_one_or_two_trajectories_never_pass(self, trajectories: int) -> None:
        for force, expected in ((0.0, "INCONCLUSIVE"), (0.03, "INCONCLUSIVE"), (0.4, "FAIL")):
            result = verdict("G1", measured("G1", noisy(force, 0.01), data(trajectories=trajectories)))
            assert result.verdict == expected, result.reason
            if expected == "INCONCLUSIVE":
                assert "label frames of more trajectories (3 of similar length at least)" in result.reason
                assert result.reason.count("no interval from") <= 2
            assert next(one for one in result.metrics if one.name == "force_mae").ci95 is None

    def test_a_reference_that_labels_adds_frames_where_the_data_are_of_too_few_trajectories(self) -> None:
        potential = Pairs()
        potential.role = "reference"
        for trajectories, added in ((2, True), (3, False)):
            both = Reference("pairs", potential, data(trajectories=trajectories).data, ALL)
            found = measured("G1", noisy(0.03, 0.01), both, md=SHORT)
            assert any("the reference's own MD are added" in note for note in found.notes) == added
            assert found.values["force_mae"].ci95 is not None
            assert found.values["force_mae"].value == pytest.approx(30 * np.sqrt(2 / np.pi), rel=0.05)
            assert verdict("G1", found).verdict == "PASS"

    def test_the_reference_labels_frames_of_its_own_md(self) -> None:
        assert verdict("G1", measured("G1", noisy(0.03), Pairs(), md=SHORT)).verdict == "PASS"

    def test_trajectories_that_differ_leave_it_open(self) -> None:
        """Four easy trajectories and a hard one: the mean is within the limit, its interval is not."""
        def change(labels: Labels, positions: np.ndarray, _: np.ndarray) -> Labels:
            size = 0.03 + 2.2 * np.abs(positions - crystal().positions).mean(axis=(1, 2))[:, None, None] ** 2 * 10
            return Labels(labels.energy, labels.force + size * np.sign(labels.force), labels.virial)
        found = measured("G1", Changed(Pairs(), change), data(trajectories=3, hard=1.9))
        result = verdict("G1", found)
        assert result.verdict == "INCONCLUSIVE" and "more trajectories" in result.reason

    def test_an_error_in_one_sublattice(self) -> None:
        def change(labels: Labels, positions: np.ndarray, _: np.ndarray) -> Labels:
            force = labels.force.copy()
            force[:, ::2] += np.random.default_rng(1).normal(0, 0.08, force[:, ::2].shape)  # Li
            return Labels(labels.energy, force, labels.virial)
        found = measured("G1", Changed(Pairs(), change), data())
        assert found.values["force_imbalance"].value == pytest.approx(2.0, rel=0.02)
        assert found.values["force_imbalance"].where == "the mobile ions"
        assert verdict("G1", found).verdict == "FAIL"

    def test_without_a_reference(self) -> None:
        result = verdict("G1", measured("G1", Pairs(), None))
        assert result.verdict == "NOT_RUN" and "--reference" in result.reason


class TestOnPolicy:
    def test_the_same_model_passes(self) -> None:
        assert verdict("G2", measured("G2", noisy(0.03), Pairs(), md=SHORT)).verdict == "PASS"

    def test_a_model_that_is_worse_where_it_goes(self) -> None:
        """Right near the lattice, where the held-out data are, and wrong beyond."""
        start = crystal().positions

        def change(labels: Labels, positions: np.ndarray, _: np.ndarray) -> Labels:
            far = np.abs(positions - start).mean(axis=(1, 2)) > 0.045
            rng = np.random.default_rng(1)
            return Labels(
                labels.energy, labels.force + np.where(far, 0.3, 0.02)[:, None, None] * rng.choice(
                    [-1, 1], labels.force.shape), labels.virial)
        reference = Reference("pairs", Pairs(), data(rattle_A=0.04).data, ALL)
        reference.potential.role = "reference"
        found = measured("G2", Changed(Pairs(), change), reference, md=SHORT, temperature_K=600.0)
        assert found.values["force_ratio"].value > 5
        result = verdict("G2", found)
        assert result.verdict == "FAIL" and "Label frames of this MD" in result.mend

    def test_pressure_and_energy_off(self) -> None:
        pressure = Changed(Pairs(), lambda found, _, cells: Labels(
            found.energy, found.force, found.virial + np.eye(3) * 1.0 / 160.2 * 571.8))
        found = measured("G2", pressure, Pairs(), md=SHORT)
        assert found.values["pressure_bias"].value == pytest.approx(1.0, rel=0.01)
        assert verdict("G2", found).verdict == "FAIL"

    def test_frames_that_the_reference_refuses(self) -> None:
        class Refusing(Pairs):
            def evaluate(self, symbols, positions, cells):
                labels = super().evaluate(symbols, positions, cells)
                labels.energy[:] = np.nan
                return labels
        reference = Reference("refusing", Refusing(), data().data, ALL)
        result = verdict("G2", measured("G2", Pairs(), reference, md=SHORT))
        assert result.verdict == "FAIL" and "refused frames" in result.reason

    def test_data_cannot_label(self) -> None:
        assert verdict("G2", measured("G2", Pairs(), data(), md=SHORT)).verdict == "NOT_RUN"


class TestParity:
    def test_a_sound_potential_without_files(self) -> None:
        result = verdict("G3", measured("G3", Pairs(), Pairs()))
        assert result.verdict == "PASS"
        assert {one.name: one.verdict for one in result.metrics}["lammps_force"] == "NOT_RUN"

    def test_ten_wrong_type_maps_are_caught_and_named(self) -> None:
        rng, elements, caught = np.random.default_rng(1), list(SIGMA), 0
        structure = crystal(elements=elements)
        for _ in range(10):
            order = rng.permutation(4)
            while (order == np.arange(4)).all():
                order = rng.permutation(4)
            wrong = Relabelled(Pairs(), {elements[k]: elements[order[k]] for k in range(4)})
            result = verdict("G3", measured("G3", wrong, Pairs(), [structure]))
            caught += result.verdict == "FAIL" and "type map" in result.reason
            back = {elements[order[k]]: elements[k] for k in range(4)}
            words = ", ".join(f"{one} as {back[one]}" for one in sorted(elements) if back[one] != one)
            assert words in result.reason
        assert caught == 10

    def test_the_right_type_map_passes_in_spite_of_errors(self) -> None:
        structure = crystal(elements=list(SIGMA))
        found = measured("G3", noisy(0.05), Pairs(), [structure])
        assert found.values["type_map"].value < 0.95

    def test_broken_symmetry(self) -> None:
        field = Changed(Pairs(), lambda found, *_: Labels(found.energy, found.force + np.eye(3)[0] * 0.1, found.virial))
        result = verdict("G3", measured("G3", field, Pairs()))
        assert result.verdict == "FAIL" and "rotation" in result.reason
        origin = Changed(Pairs(), lambda found, places, _: Labels(
            found.energy, found.force + 0.1 * np.sin(places), found.virial))
        assert verdict("G3", measured("G3", origin, Pairs())).verdict == "FAIL"

    def test_an_energy_that_is_not_extensive(self) -> None:
        more = Changed(Pairs(), lambda found, places, _: Labels(
            found.energy + 1e-4 * places.shape[1] ** 2, found.force, found.virial))
        result = verdict("G3", measured("G3", more, Pairs()))
        assert result.verdict == "FAIL" and "extensivity energy" in result.reason


class TestEnergyConservation:
    def test_a_smooth_surface_conserves(self) -> None:
        found = measured("G4", Pairs(), None, md=SHORT)
        assert verdict("G4", found).verdict == "PASS"
        assert found.values["order"].value == pytest.approx(2, abs=0.25)

    def test_forces_that_are_not_those_of_the_energy(self) -> None:
        """Forces scaled by 0.9, energies not: energy is exchanged with nothing."""
        scaled = Changed(Pairs(), lambda found, *_: Labels(found.energy, 0.9 * found.force, found.virial))
        result = verdict("G4", measured("G4", scaled, None, md=SHORT))
        assert result.verdict == "FAIL" and "order" in result.reason

    def test_a_surface_that_heats(self) -> None:
        """A force along the velocity's history: a rotation of each force by a few degrees has a curl."""
        turn = np.array([[1, 0.05, 0], [-0.05, 1, 0], [0, 0, 1]])
        curl = Changed(Pairs(), lambda found, *_: Labels(found.energy, found.force @ turn, found.virial))
        assert verdict("G4", measured("G4", curl, None, md=SHORT)).verdict == "FAIL"

    def test_steps_in_the_energy(self) -> None:
        steps = Changed(Pairs(), lambda found, *_: Labels(np.round(found.energy, 1), found.force, found.virial))
        result = verdict("G4", measured("G4", steps, None, md=SHORT))
        assert result.verdict == "FAIL" and "order" in result.reason

    def test_a_run_too_short_says_how_many_picoseconds_are_missing(self) -> None:
        from dpa_sse.ops.validation.gates.judge import judge
        from tests.ops.validation.gates.analytic import THRESHOLDS

        found = measured("G4", Pairs(), None, md=SHORT, protocol={"nve_ps": 0.1, "resolve_meV_atom_ps": 0.05},
                         timestep_fs=4.0)
        result = judge("G4", found, THRESHOLDS.gates["G4"], "standard")
        drift = next(one for one in result.metrics if one.name == "drift")
        assert drift.verdict == "INCONCLUSIVE" and "ps more of NVE" in drift.reason

    def test_an_explosion(self) -> None:
        away = Changed(Pairs(), lambda found, places, _: Labels(found.energy, 40.0 * (places - 4.0), found.virial))
        result = verdict("G4", measured("G4", away, None, md=SHORT))
        assert result.verdict == "FAIL" and "broken runs" in result.reason


class TestWall:
    def test_a_wall(self) -> None:
        result = verdict("G6", measured("G6", Pairs(), None))
        assert result.verdict == "PASS", result.reason

    @pytest.mark.parametrize(("depth", "share"), [(100.0, 1.1), (300.0, 1.1), (1000.0, 1.05)])
    def test_a_hole(self, depth: float, share: float) -> None:
        result = verdict("G6", measured("G6", Holed(Pairs(), depth, share), None))
        assert result.verdict == "FAIL" and "ZBL" in result.mend

    def test_a_cell_that_gains_energy_when_compressed(self) -> None:
        soft = Changed(Pairs(), lambda found, _, cells: Labels(
            found.energy + 0.6 * np.abs(np.linalg.det(cells)), found.force, found.virial))
        result = verdict("G6", measured("G6", soft, Pairs()))
        assert result.verdict == "FAIL" and "compression" in result.reason

    @pytest.mark.parametrize(("larger", "falls"), [(1.0, False), (1.12, False), (1.2, False), (1.45, True)])
    def test_a_cell_that_is_too_large_is_not_a_hole(self, larger: float, falls: bool) -> None:
        """The energy is lowest at the volume of the crystal; 45 % more are no longer taken for a cell."""
        atoms = crystal(4.15 * larger ** (1 / 3))
        for reference in (None, Pairs()):
            found = measured("G6", Pairs(), reference, [atoms])
            assert (found.values["compression_falls"].value > 0) == falls
        assert any("larger than that of the lowest energy" in one for one in found.notes) == (1 < larger < 1.4)

    def test_a_bottomless_hole_is_not_a_cell_that_is_too_large(self) -> None:
        """The energy falls by hundreds of eV at 0.8 of the volume, without a reference that could tell."""
        def fall(found: Labels, _: object, cells: np.ndarray) -> Labels:
            share = np.abs(np.linalg.det(cells)) / 4.15**3 / 8
            return Labels(found.energy - 400 * np.exp(-(((share - 0.8) / 0.1) ** 2)), found.force, found.virial)

        found = measured("G6", Changed(Pairs(), fall), None)
        assert found.values["compression_falls"].value > 0
        assert verdict("G6", found).verdict == "FAIL"

    @pytest.mark.parametrize(("odd", "caught"), [(range(5), True), (range(3), True), (range(2), False), ((4,), False)])
    def test_the_median_of_the_approaches_counts(self, odd: Sequence[int], caught: bool) -> None:
        """A hole that most of five approaches find is one; an odd path is noted."""
        class Falls(Pairs):
            calls = 0

            def evaluate(self, symbols, positions, cells):
                labels = super().evaluate(symbols, positions, cells)
                if len(positions) > 20 and len(symbols) == 32:  # a path; pairs come one after the other
                    if Falls.calls % 5 in odd:
                        labels.energy[4:] = labels.energy[0] - 30
                    Falls.calls += 1
                return labels

        found = measured("G6", Falls(), None)
        assert (verdict("G6", found).verdict == "FAIL") == caught
        assert (found.values["hole_height"].value < 2.5) == caught
        assert any(f"gives way in {len(odd)} of 5 approaches" in note for note in found.notes)

    @pytest.mark.parametrize(("path", "expected"), [
        ([0, 0, 1, 3, 9], None), ([0, -0.3, -0.2, 2, 9], None), ([3, 2, 1, 2, 6], None), ([0, 1, 2, 1, -5], 2.0),
        ([0, -0.3, 0.5, -4, -9], 0.5), ([0, -3, -8, -9, -9], 0.0), ([0, 1, 4, np.nan, np.nan], 4.0),
        ([np.nan, 1, 2], 0.0), ([2, 1, 3, 2, 1], 3.0), ([0, 1, 0.95, 2, 3], None),
    ])
    def test_paths(self, path: list[float], expected: float | None) -> None:
        assert gives_way(np.array(path, float)) == expected


class TestSoftening:
    @pytest.mark.parametrize(("factor", "expected"), [
        (1.0, "PASS"), (0.98, "PASS"), (0.95, "WARN"), (1.05, "WARN"), (0.9, "FAIL"), (1.1, "FAIL"),
    ])
    def test_scaled_surfaces(self, factor: float, expected: str) -> None:
        found = measured("G7", Scaled(Pairs(), factor), Pairs(), md=SHORT)
        assert found.values["force_slope"].value == pytest.approx(factor, abs=1e-6)
        assert found.values["curvature"].value == pytest.approx(factor, abs=1e-6)
        assert verdict("G7", found).verdict == expected

    def test_soft_mobile_ions_beside_a_stiff_framework(self) -> None:
        """Ions in separate wells: those of Cl are ten times as stiff, those of Li a fifth too soft."""
        found = measured("G7", Wells({"Li": 0.4, "Cl": 5.0}), Wells({"Li": 0.5, "Cl": 5.0}), md=SHORT)
        assert found.values["mobile_slope"].value == pytest.approx(0.8, abs=1e-3)
        assert found.values["force_slope"].value == pytest.approx(1, abs=0.03)
        metrics = {one.name: one.verdict for one in verdict("G7", found).metrics}
        assert (metrics["mobile_slope"], metrics["force_slope"]) == ("FAIL", "PASS")
        assert verdict("G7", found).verdict == "FAIL"
        same = measured("G7", Wells({"Li": 0.5, "Cl": 5.0}), Wells({"Li": 0.5, "Cl": 5.0}), md=SHORT)
        assert verdict("G7", same).verdict == "PASS"

    def test_without_mobile_ions_the_slope_of_all_decides(self) -> None:
        found = measured("G7", Pairs(), Pairs(), md=SHORT, mobile=("Na",))
        assert found.missing["mobile_slope"] == "the structures have no Na"
        assert verdict("G7", found).verdict == "PASS"

    def test_noise_leaves_it_open(self) -> None:
        result = verdict("G7", measured("G7", noisy(2.5), Pairs(), md=SHORT))
        assert result.verdict in ("INCONCLUSIVE", "FAIL") and "95 %" in result.reason

    def test_errors_of_the_abscissa_do_not_bias_it(self) -> None:
        """A smooth model of a reference with short ripples: their forces do not depend on those of the model."""
        q, size = 2 * np.pi / 0.12, 0.8

        def ripple(labels: Labels, positions: np.ndarray, _: np.ndarray) -> Labels:
            return Labels(labels.energy, labels.force + size * np.sin(q * positions), labels.virial)
        found = measured("G7", Pairs(), Changed(Pairs(), ripple, "rippled"), md=SHORT, temperature_K=600.0)
        slope = found.values["force_slope"]
        assert slope.ci95 is not None and slope.ci95[0] < 1 < slope.ci95[1]
        assert slope.value == pytest.approx(1, abs=0.02)
        own, other = (np.array([row[key] for row in found.table]) for key in ("model_eV_A", "reference_eV_A"))
        least = float((own * other).sum() / (other**2).sum())
        expected = 1 / (1 + size**2 / 2 / float((own**2).mean()))
        assert least == pytest.approx(expected, abs=0.03) and least < 0.95
        assert {one.name: one.verdict for one in verdict("G7", found).metrics}["force_slope"] == "PASS"

    def test_data_only(self) -> None:
        found = measured("G7", Scaled(Pairs(), 0.9), data())
        assert found.values["force_slope"].value == pytest.approx(0.9, abs=1e-6)
        assert verdict("G7", found).verdict == "FAIL"
        assert verdict("G7", measured("G7", Pairs(), data())).verdict == "PASS"


class TestStructure:
    def test_no_false_alarm_in_twenty_trials(self) -> None:
        """A potential against itself with other velocities."""
        found = [
            verdict("G8", measured("G8", Pairs(), Pairs(), md=SHORT, temperature_K=600.0, seed=seed)).verdict
            for seed in range(20)
        ]
        assert "FAIL" not in found and found.count("WARN") <= 1

    def test_another_structure(self) -> None:
        other = Pairs({"Li": 2.6, "Cl": 2.6})
        result = verdict("G8", measured("G8", other, Pairs(), md={**SHORT, "hold_ps": 1.0}))
        assert result.verdict == "FAIL"

    def test_the_loss_is_that_of_the_means_beyond_the_noise(self) -> None:
        rng = np.random.default_rng(1)
        base = 1 + np.sin(np.linspace(0, 12, 60)) ** 2
        noise = 0.08
        same = [compare(*([base + rng.normal(0, noise, 60) for _ in range(4)] for _ in range(2))) for _ in range(200)]
        assert np.mean([one.loss for one in same]) == pytest.approx(0, abs=0.003)
        moved = base * (1 + 0.3 * np.sign(np.cos(np.linspace(0, 40, 60))))
        apart = [compare([moved + rng.normal(0, noise, 60) for _ in range(4)],
                         [base + rng.normal(0, noise, 60) for _ in range(4)]) for _ in range(50)]
        exact = difference(moved, base)
        assert np.mean([one.loss for one in apart]) == pytest.approx(exact, abs=0.25 * exact)
        covered = [abs(one.loss) < one.half95 for one in same]
        assert np.mean(covered) > 0.9

    def test_a_pair_that_came_near_once_is_not_compared(self) -> None:
        """One pair of Cl in one frame of one run, at the end of the range, does not tell a structure."""
        cell = crystal(a=4.15, elements=["Li"])
        symbols = ["Li"] * 32
        for k in (0, 7, 21, 30):
            symbols[k] = "Cl"
        cell.set_chemical_symbols(symbols)
        far = share_of_ideal(np.eye(60)[59] * 0.1)
        assert far == pytest.approx(0.1 * 59.5**2 / ((np.arange(60) + 0.5) ** 2).sum()) and far < 0.02
        assert share_of_ideal(np.ones(60)) == pytest.approx(1)
        original = structure._distribution

        def rare(run: object, copy: int, pairs: Sequence[tuple[str, str]], cutoff: float) -> dict:
            found = original(run, copy, pairs, cutoff)  # type: ignore[arg-type]
            found["Cl", "Cl"] = np.zeros_like(found["Cl", "Cl"])
            found["Cl", "Cl"][-1] = 0.1 * (copy == 0 and calls.append(copy) is None and len(calls) == 1)
            return found

        calls: list[int] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(structure, "_distribution", rare)
            result = verdict("G8", found := measured("G8", Pairs(), Pairs(), [cell], md=SHORT))
        assert result.verdict == "PASS" and found.values["g_of_r_loss"].where != "Cl-Cl", result.reason
        assert any("hardly any pairs" in note and "Cl-Cl" in note for note in found.notes)

    def test_runs_that_ended_early(self) -> None:
        away = Changed(Pairs(), lambda found, places, _: Labels(found.energy, 40.0 * (places - 4.0), found.virial))
        result = verdict("G8", measured("G8", away, Pairs(), md=SHORT))
        assert result.verdict == "INCONCLUSIVE" and "did not reach its end" in result.reason

    def test_without_md(self) -> None:
        assert verdict("G8", measured("G8", Pairs(), data())).verdict == "NOT_RUN"


IONS = Atoms("Li60Cl4", positions=np.zeros((64, 3)), cell=np.eye(3) * 30, pbc=True)


class Ions(Ripple):
    """Mobile Li in a ripple; Cl on springs, so that there is a framework at rest."""

    def evaluate(self, symbols, positions, cells):
        labels = super().evaluate(symbols, positions, cells)
        fixed = np.array([one == "Cl" for one in symbols])
        labels.force[:, fixed] = -5.0 * positions[:, fixed]
        return labels


class TestTransport:
    MD: ClassVar = {"hold_ps": 6.0, "ramp_ps": 0.1, "hot_ps": 0.1, "copies": 4, "friction_ps": 60.0}

    def ratio(self, own: float, other: float, seed: int = 1, **md: float):
        return measured("G9", Ions(own), Ions(other), [IONS], md={**self.MD, **md}, seed=seed,
                        protocol={"hop_A": 1.0, "ln_half_width": 0.3}, temperature_K=900.0)

    def test_equal_diffusion(self) -> None:
        found = self.ratio(0.0, 0.0)
        assert abs(found.values["ln_D_ratio"].value) < 0.2
        assert verdict("G9", found).verdict in ("PASS", "INCONCLUSIVE")

    def test_no_false_alarm_in_twenty_trials(self) -> None:
        found = [verdict("G9", self.ratio(0.0, 0.0, seed=seed)).verdict for seed in range(20)]
        assert "FAIL" not in found and found.count("WARN") <= 1

    def test_a_barrier_of_its_own(self) -> None:
        result = verdict("G9", self.ratio(0.12, 0.0))
        assert result.verdict in ("FAIL", "INCONCLUSIVE") and "ln D" in result.reason

    def test_ions_that_hardly_move_leave_it_open(self) -> None:
        result = verdict("G9", self.ratio(1.0, 1.0, hold_ps=0.8))
        assert result.verdict == "INCONCLUSIVE" and "not measured" in result.reason

    def test_nothing_is_mobile(self) -> None:
        assert verdict("G9", measured("G9", Pairs(), Pairs(), mobile=("Na",), md=SHORT)).verdict == "NOT_RUN"


def test_gates_share_what_they_computed() -> None:
    """The MD of the model is run once for all gates that need it."""
    calls: list[int] = []

    class Counting(Pairs):
        def evaluate(self, symbols, positions, cells):
            calls.append(len(positions))
            return super().evaluate(symbols, positions, cells)

    model, reference = Counting(), Reference("pairs", Pairs())
    reference.potential.role = "reference"
    counts = []
    for key in ("G2", "G5", "G8"):
        before = len(calls)
        measured(key, model, reference, md=SHORT)
        counts.append(len(calls) - before)
    assert counts[0] > 150 and counts[1] < 5 and counts[2] < 5


def test_model_and_reference_have_other_velocities() -> None:
    own: Potential = Pairs()
    other: Potential = Pairs()
    found = measured("G8", own, other, md=SHORT)
    assert found.values["g_of_r_loss"].value != 0
