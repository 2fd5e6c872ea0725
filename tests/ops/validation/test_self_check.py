"""The self-check against models whose errors are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student_t

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.data.dataset import read_dataset, write_dataset
from dpa_sse.ops.results.self_check import SelfCheck
from dpa_sse.ops.validation.verdict import overall_estimate
from tests.ops.validation import known_errors as made

NOISE = {"energy": 6.0, "force": 100.0, "pressure": 0.1}
"""Of the size of the quickstart's held-out errors: 5 meV/atom and 80 meV/A (MAE), 0.1 GPa."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return made.production(tmp_path_factory.mktemp("md"))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [made.data(tmp_path_factory.mktemp("data") / "set", np.random.default_rng(6), **NOISE)]


@pytest.fixture(scope="module")
def frames(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[made.Atoms]:
    return made.chosen(folders, tmp_path_factory.mktemp("tasks"))


def verdicts(found: SelfCheck) -> set[str]:
    return {point.verdict for point in found.points} | {system.verdict for system in found.systems}


def test_a_model_with_the_errors_of_its_test_set_is_trusted(
    folders: list[Path], frames: list[made.Atoms], tmp_path: Path
) -> None:
    trusted = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        own = made.data(tmp_path / str(seed), rng, **NOISE)
        trusted += verdicts(made.check(made.Model(), made.labels(frames, rng, **NOISE), folders, [own])) == {"trusted"}
    assert trusted >= 95


@pytest.mark.parametrize("bias", [{"energy_eV_atom": 0.015}, {"energy_eV_atom": -0.015}, {"pressure_GPa": 1.0}])
def test_a_biased_model_is_never_trusted(
    bias: dict[str, float], folders: list[Path], datasets: list[Path], frames: list[made.Atoms]
) -> None:
    """The bias is absent from the training frames, as in a model that is wrong where it is used only."""
    certain = 0
    for seed in range(100):
        labelled = made.labels(frames, np.random.default_rng(seed), **NOISE)
        honest = made.check(made.Model(), labelled, folders, datasets)
        biased = [atoms.copy() for atoms in labelled]
        for atoms, one in zip(biased, labelled, strict=True):
            atoms.calc = one.calc
            atoms.calc.results["energy"] -= bias.get("energy_eV_atom", 0.0) * len(atoms)
            atoms.calc.results["stress"] = atoms.calc.results["stress"] + np.array(
                [1, 1, 1, 0, 0, 0]
            ) * bias.get("pressure_GPa", 0.0) / made.EV_A3_IN_GPA
        found = made.check(made.Model(), biased, folders, datasets)
        assert "trusted" not in verdicts(found), seed
        assert honest.shifts == found.shifts
        certain += verdicts(found) == {"not trusted"}
    assert certain >= 90  # to be taken with care in the others


def half_width(values: list[float]) -> float:
    """Student's t with 11 degrees of freedom for twelve frames, with 3 for the means of four runs: the wider one."""
    means = np.reshape(values, (4, 3)).mean(axis=1)
    return max(2.200985 * np.std(values, ddof=1) / np.sqrt(12), 3.182446 * np.std(means, ddof=1) / np.sqrt(4))


def test_numbers_are_those_of_the_frames(folders: list[Path], datasets: list[Path], frames: list[made.Atoms]) -> None:
    """Recomputed from positions, labels and cells with a few lines of numpy."""
    labelled = made.labels(frames, np.random.default_rng(3), **NOISE)
    model = made.Model(0.02, 0.5)
    found = made.check(model, labelled, folders, datasets)
    energies, forces, pressures = [], [], []
    for atoms in labelled:
        e, f, v = model.eval(atoms.positions, atoms.cell.array, atoms.numbers)
        energies.append(1000 * (e[0] - atoms.get_potential_energy()) / len(atoms))
        forces.append(1000 * np.abs(f[0] - atoms.get_forces()).mean())
        label = -atoms.get_stress(voigt=False).trace() / 3
        pressures.append((np.trace(v[0]) / 3 / atoms.get_volume() - label) * made.EV_A3_IN_GPA)
    shift = found.shifts[0].model_meV_atom
    assert shift == pytest.approx(20, abs=4)  # the constant that all energies of the model are off by
    system = found.systems[0]
    assert system.errors is not None and system.errors.energy_bias_meV_atom is not None
    assert system.errors.energy_bias_meV_atom.mean == pytest.approx(np.mean(energies) - shift, abs=1e-6)
    assert system.errors.force_mae_meV_A.mean == pytest.approx(np.mean(forces), rel=1e-9)
    assert system.errors.pressure_error_GPa is not None
    assert system.errors.pressure_error_GPa.mean == pytest.approx(np.mean(pressures), abs=1e-9)
    assert system.errors.pressure_error_GPa.half_width == pytest.approx(half_width(pressures), rel=1e-5)
    of_shift = found.shifts[0].half95_meV_atom  # of four training trajectories
    assert of_shift is not None
    half = np.hypot(half_width(energies), of_shift)
    assert system.errors.energy_bias_meV_atom.half_width == pytest.approx(half, rel=1e-5)
    assert [point.labels for point in found.points] == [3, 3, 3, 3]


def test_a_constant_of_the_composition_is_no_error(
    folders: list[Path], datasets: list[Path], frames: list[made.Atoms]
) -> None:
    labelled = made.labels(frames, np.random.default_rng(4), energy=1, force=100, pressure=0.1)
    assert verdicts(made.check(made.Model(energy_eV_atom=0.3), labelled, folders, datasets)) == {"trusted"}


def test_correlation_within_runs_widens_the_interval() -> None:
    runs = [k // 3 for k in range(12)]
    alike = np.repeat([1.0, 2.0, 3.0, 4.0], 3)
    independent = np.tile([1.0, 2.0, 3.0], 4)
    for values, own, n in ((alike, alike[::3], 4), (independent, independent, 12)):
        found = overall_estimate(values.tolist(), runs)
        assert found is not None
        assert found.half_width == pytest.approx(student_t.ppf(0.975, n - 1) * own.std(ddof=1) / np.sqrt(n))
    two = overall_estimate([1.0, 2.0, 3.0, 11.0, 12.0, 13.0], [0, 0, 0, 1, 1, 1])
    assert two is not None
    effect = 1 + 2 * (150 - 1) / (150 + 2)  # mean squares 150 between and 1 within
    sd = np.std([1, 2, 3, 11, 12, 13], ddof=1)
    assert two.half_width == pytest.approx(student_t.ppf(0.975, 5) * sd * np.sqrt(effect / 6))


@pytest.mark.parametrize(("runs", "frames"), [(4, 3), (3, 4), (6, 4), (4, 12)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_intervals_of_correlated_frames_hold_the_mean(runs: int, frames: int, share: float) -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(500):
        common = np.repeat(rng.normal(size=runs), frames)
        values = np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=runs * frames)
        found = overall_estimate(values.tolist(), np.repeat(np.arange(runs), frames).tolist())
        assert found is not None
        assert found.ci95 is not None
        inside += found.ci95[0] < 0 < found.ci95[1]
    assert 0.92 <= inside / 500 <= 0.995


def test_without_training_frames_of_the_composition_energies_are_not_judged(
    folders: list[Path], frames: list[made.Atoms]
) -> None:
    labelled = made.labels(frames, np.random.default_rng(4), **NOISE)
    found = made.check(made.Model(energy_eV_atom=0.3), labelled, folders, [])
    assert verdicts(found) == {"to be taken with care"}
    assert all(any("no labelled training frame" in reason for reason in point.reasons) for point in found.points)
    assert all(point.errors and point.errors.energy_bias_meV_atom is None for point in found.points)


def test_without_labels_nothing_is_judged(folders: list[Path], datasets: list[Path]) -> None:
    found = made.check(made.Model(), [], folders, datasets)
    assert verdicts(found) == {"not checked"}
    assert found.finished


def test_rounds_end_when_the_model_is_trusted_or_all_were_made(
    folders: list[Path], datasets: list[Path], frames: list[made.Atoms]
) -> None:
    rng = np.random.default_rng(6)
    good, bad = made.labels(frames, rng, **NOISE), made.labels(frames, rng, **NOISE)
    for atoms in bad:
        atoms.calc.results["energy"] += 0.03 * len(atoms)
    assert made.check(made.Model(), good, folders, datasets, rounds=2).finished
    first = made.check(made.Model(), bad, folders, datasets, rounds=2)
    second = made.check(made.Model(), bad, folders, datasets, rounds=2, iteration=1, earlier=first)
    third = made.check(made.Model(), bad, folders, datasets, rounds=2, iteration=2, earlier=second)
    assert [first.finished, second.finished, third.finished] == [False, False, True]
    assert [one.round for one in third.rounds] == [0, 1, 2]
    assert made.check(made.Model(), bad, folders, datasets, rounds=0).finished


def test_an_error_beyond_its_bar_is_corrected_even_if_it_may_be_chance(
    folders: list[Path], datasets: list[Path], frames: list[made.Atoms]
) -> None:
    labelled = made.labels(frames, np.random.default_rng(6), energy=40, force=100, pressure=0.1)
    for atoms in labelled:
        atoms.calc.results["energy"] -= 0.012 * len(atoms)
    found = made.check(made.Model(), labelled, folders, datasets, rounds=1)
    assert found.systems[0].verdict == "to be taken with care"
    assert not found.finished
    assert not made.check(made.Model(), [], folders, datasets, rounds=1).beyond


def test_a_frame_is_taken_from_every_temperature_and_evenly_in_time(tmp_path: Path) -> None:
    folders = made.production(tmp_path / "md", replicas=2)
    frames = made.chosen(folders, tmp_path / "tasks", 12)
    found = [(atoms.info["temperature_K"], atoms.info["replica"], atoms.info["step"]) for atoms in frames]
    assert len(found) == len(set(found)) == 12
    assert {t: sum(one[0] == t for one in found) for t in made.TEMPERATURES} == dict.fromkeys(made.TEMPERATURES, 3)
    assert [step for t, replica, step in found if (t, replica) == (500, 0)] == [70, 220]  # of 30 frames, every 10 steps
    few = made.chosen(folders, tmp_path / "few", 2)
    assert [atoms.info["temperature_K"] for atoms in few] == [600, 800]
    assert len(made.chosen(folders, tmp_path / "many", 1000)) == 8 * 30


def test_a_temperature_without_labels_is_not_trusted(
    folders: list[Path], datasets: list[Path], frames: list[made.Atoms]
) -> None:
    rng = np.random.default_rng(4)
    rest = [atoms for atoms in made.labels(frames, rng, **NOISE) if atoms.info["temperature_K"] < 800]
    points = made.check(made.Model(), rest, folders, datasets).points
    assert [point.verdict for point in points] == ["trusted"] * 3 + ["to be taken with care"]
    assert points[-1].reasons == ("no labelled frame at this temperature",)


def test_too_few_labels_are_said(folders: list[Path], datasets: list[Path], frames: list[made.Atoms]) -> None:
    """One frame per temperature, far apart from each other: nothing is known about any of them."""
    labelled = made.labels(frames[::3], np.random.default_rng(4), energy=0.1, force=100, pressure=0.01)
    for atoms, error in zip(labelled, (12, -12, 12, -12), strict=True):
        atoms.calc.results["energy"] += error / 1000 * len(atoms)
    assert "trusted" not in verdicts(made.check(made.Model(), labelled, folders, datasets))


def test_polymorphs_have_a_shift_each(
    folders: list[Path], datasets: list[Path], frames: list[made.Atoms], tmp_path: Path
) -> None:
    """Another system of the same composition, labelled at another level of the model, does not count."""
    type_map, blocks = read_dataset(datasets[0])
    other = [replace(block, system="polymorph", energy=block.energy - 0.04 * len(block.types)) for block in blocks]
    write_dataset(tmp_path / "both", type_map, [*blocks, *other])
    labelled = made.labels(frames, np.random.default_rng(4), **NOISE)
    alone = made.check(made.Model(), labelled, folders, datasets)
    assert made.check(made.Model(), labelled, folders, [tmp_path / "both"]).shifts == alone.shifts


def test_a_model_that_predicts_nan_is_an_error(
    folders: list[Path], datasets: list[Path], frames: list[made.Atoms]
) -> None:
    labelled = made.labels(frames, np.random.default_rng(4), **NOISE)
    with pytest.raises(FatalError, match="NaN"):
        made.check(made.Model(pressure_GPa=float("nan")), labelled, folders, datasets)
