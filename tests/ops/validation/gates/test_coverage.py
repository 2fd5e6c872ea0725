"""G16: environments of the MD among those of the training data, outside of them, or without any to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.exploration.covered import Environments, Known
from dpa_sse.ops.validation.gates.base import GateSettings, Labels, Reference
from dpa_sse.ops.validation.gates.coverage import measure
from dpa_sse.ops.validation.gates.judge import judge
from dpa_sse.ops.validation.gates.shared import heated
from tests.ops.validation.gates.analytic import SIGMA, THRESHOLDS, Changed, Pairs, crystal

MD = {**THRESHOLDS.md_at("smoke"), "copies": 3, "hold_ps": 0.4, "ramp_ps": 0.1, "hot_ps": 0.1}
PROTOCOL = {**THRESHOLDS.gates["G16"].protocol_at("standard"), "frames": 18}


class Described(Pairs):
    """Pairs whose descriptors are the sorted distances of the nearest atoms, in a space of more dimensions."""

    def descriptors(self, symbols: Sequence[str], positions: np.ndarray, cells: np.ndarray) -> np.ndarray:
        found = []
        for places, cell in zip(positions, cells, strict=True):
            reduced = (places[None] - places[:, None]) @ np.linalg.inv(cell)
            distance = np.sqrt((((reduced - np.rint(reduced)) @ cell) ** 2).sum(axis=-1))
            near = np.sort(distance, axis=1)[:, 1:13]
            found.append(np.concatenate([near, 0.5 * near, np.zeros((len(near), 3))], axis=1))
        return np.array(found)


def settings(temperature_K: float, **changes: object) -> GateSettings:
    return GateSettings(
        tier="standard", temperature_K=temperature_K, md={**MD, **changes}, protocol=PROTOCOL,  # type: ignore[arg-type]
    )


def training(temperature_K: float, elements: Sequence[str] = ("Li", "Cl"), runs: int = 4) -> Reference:
    """Return frames of MD at a temperature, with other velocities than those of the model under test."""
    potential, made = Pairs(), []
    potential.role = "reference"
    run = heated(potential, crystal(), settings(temperature_K, copies=runs)).hold
    for copy in range(runs):
        for k in range(0, len(run.positions), 2):
            atoms = Atoms(crystal(elements=elements).symbols, run.positions[k, copy], cell=run.cell, pbc=True)
            atoms.info.update(system="crystal", trajectory=f"t{copy}")
            made.append(with_results(atoms, 0.0, np.zeros((32, 3)), np.zeros((3, 3))))
    names = list(SIGMA)
    return Reference(training=frames_to_blocks(made, names, "train"), training_type_map=names)


def verdict(reference: Reference, temperature_K: float = 300.0, **changes: object):
    found = measure(Described(), reference, [crystal()], settings(temperature_K, **changes))
    return judge("G16", found, THRESHOLDS.gates["G16"], "standard"), found


def test_the_same_state_is_covered() -> None:
    result, found = verdict(training(300.0))
    assert result.verdict == "PASS", result.reason
    assert found.values["outside"].value < 1 and found.values["outside"].ci95 is not None


def test_a_hotter_state_is_not() -> None:
    result, found = verdict(training(100.0), temperature_K=900.0)
    assert result.verdict == "FAIL" and found.values["outside"].value > 20
    assert "Label frames of this MD" in result.mend
    assert {row["element"] for row in found.table} == {"Li", "Cl"}


def test_an_element_without_training_frames_is_outside() -> None:
    result, found = verdict(training(300.0, elements=("Li", "Br")))
    assert found.values["outside"].value > 45 and result.verdict == "FAIL"
    assert "no training frame has Cl" in found.notes


def test_one_run_does_not_tell() -> None:
    result, _ = verdict(training(300.0), copies=1)
    assert result.verdict == "INCONCLUSIVE" and "no interval from 1 run" in result.reason


def test_a_single_training_trajectory_is_compared_with_itself() -> None:
    assert verdict(training(300.0, runs=1))[0].verdict in ("PASS", "WARN", "INCONCLUSIVE")


@pytest.mark.parametrize("reference", [Reference(), training(300.0)])
def test_nothing_to_compare(reference: Reference) -> None:
    plain = Changed(Pairs(), lambda found, *_: Labels(*found))
    found = measure(plain, reference, [crystal()], settings(300.0))
    why = "has no descriptor" if reference.training else "--training DATA"
    assert why in found.not_run
    assert judge("G16", found, THRESHOLDS.gates["G16"], "standard").verdict == "NOT_RUN"


def test_unknown_elements_of_the_training_data_are_left_out() -> None:
    given = training(300.0)
    other = replace(given, training_type_map=["Na", "K", "Rb", "Cs"])
    found = measure(Described(), other, [crystal()], settings(300.0))
    assert found.values["outside"].value == 100


@pytest.mark.parametrize("trajectories", [(2, 2), (1, 1), (2, 1)])
def test_a_single_trajectory_of_a_system_is_not_measured_by_other_systems(trajectories: tuple[int, int]) -> None:
    """Two systems far apart: environments that are far from both are outside, however many runs each has."""
    rng = np.random.default_rng(4)
    vectors, runs = [], []
    for number, count in enumerate(trajectories):
        for run in range(count):
            vectors.append(rng.normal(15.0 * number, 1.0, (400, 6)))
            runs += [f"system{number}/run{run}"] * 400
    known = Known(Environments(np.concatenate(vectors), runs), 6, 0.999)
    assert known.outside(rng.normal(-9.0, 1.0, (50, 6))).all()
    assert known.outside(rng.normal(0.0, 1.0, (500, 6))).mean() < 0.02
