"""G15: errors after fine-tuning over those before, on the systems of the base model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from dpa_sse.ops.data.convert import frames_to_blocks, with_results
from dpa_sse.ops.results.gates import GateResult
from dpa_sse.ops.validation.gates.base import Labels, Measurement, Reference
from dpa_sse.ops.validation.gates.judge import judge
from tests.ops.validation.gates.analytic import SIGMA, THRESHOLDS, Changed, Pairs, crystal, measured

ALL = list(SIGMA)
BEFORE_EV_A = 0.04


def model(sizes: Mapping[str, float], seed: int, energy_eV: float = 0.01) -> Changed:
    """Return pairs with normal errors of the forces, by the element beside lithium."""
    inner = Pairs()

    class Off(Changed):
        def evaluate(self, symbols, positions, cells):
            labels = inner.evaluate(symbols, positions, cells)
            other = next(one for one in symbols if one != "Li")
            found = [np.random.default_rng([seed, abs(int(one.sum() * 1e6))]) for one in positions]
            force = np.array([rng.normal(0, sizes[other], positions.shape[1:]) for rng in found])
            energy = np.array([rng.normal(0, energy_eV) for rng in found])
            return Labels(labels.energy + energy, labels.force + force, labels.virial)

    return Off(inner, lambda found, *_: found, f"model {seed}")


def base(
    trajectories: int = 5, frames: int = 6, split: str = "test", others: tuple[str, ...] = ("Cl", "Br")
) -> Reference:
    rng, made, pairs = np.random.default_rng(2), [], Pairs()
    for other in others:
        for number in range(trajectories):
            for _ in range(frames):
                atoms = crystal(elements=("Li", other))
                atoms.positions += rng.normal(0, 0.1, (32, 3))
                labels = pairs.of_atoms([atoms])
                atoms.info.update(system=f"Li{other}", trajectory=f"t{number}")
                made.append(with_results(
                    atoms, float(labels.energy[0]), labels.force[0], -labels.virial[0] / atoms.get_volume()
                ))
    before = model(dict.fromkeys(others, BEFORE_EV_A), 1)
    return Reference(before=before, base=frames_to_blocks(made, ALL, split), base_type_map=ALL)  # type: ignore[arg-type]


def judged(after: Changed | Pairs, reference: Reference) -> tuple[GateResult, Measurement]:
    entry = THRESHOLDS.gates["G15"]
    found = measured("G15", after, reference, tier="standard", protocol=entry.protocol_at("standard"))
    return judge("G15", found, entry, "standard"), found


def test_ratios_are_those_of_the_errors() -> None:
    result, found = judged(model({"Cl": 0.06, "Br": 0.03}, 2, 0.02), base())
    by_system = {row["system"]: row["ratio"] for row in found.table}
    assert by_system["LiCl"] == pytest.approx(1.5, rel=0.05) and by_system["LiBr"] == pytest.approx(0.75, rel=0.05)
    assert found.values["force_ratio"].value == pytest.approx(1.125, rel=0.05)
    assert found.values["worst_force_ratio"].where == "LiCl"
    assert found.values["energy_ratio"].value == pytest.approx(2.0, rel=0.3)
    assert result.verdict in ("WARN", "FAIL", "INCONCLUSIVE")
    assert "60 held-out frames of 2 systems" in found.notes[0]


def test_one_forgotten_system_behind_a_good_mean() -> None:
    result, found = judged(model({"Cl": 0.02, "Br": 0.14}, 2), base())
    ends = found.values["worst_force_ratio"].ci95
    assert found.values["worst_force_ratio"].value == pytest.approx(3.5, rel=0.02)
    assert ends is not None and 2.5 < ends[0] < 3.5 < ends[1]
    assert result.verdict == "FAIL" and "worst force ratio 3.5" in result.reason and "LiBr" in result.reason
    assert "replay" in result.mend


def test_nothing_forgotten() -> None:
    result, found = judged(model({"Cl": 0.041, "Br": 0.039}, 2), base())
    assert found.values["force_ratio"].ci95 is not None
    assert {one.name: one.verdict for one in result.metrics}["force_ratio"] == "PASS"
    assert result.verdict in ("PASS", "INCONCLUSIVE")  # the energies of 60 frames
    same = base()
    assert same.before is not None
    result, found = judged(same.before, same)  # type: ignore[arg-type]
    assert result.verdict == "PASS" and found.values["force_ratio"].value == pytest.approx(1)


def test_too_few_trajectories_do_not_tell() -> None:
    result, _ = judged(model({"Cl": 0.04, "Br": 0.04}, 2), base(trajectories=2))
    assert result.verdict == "INCONCLUSIVE" and "label frames of more trajectories" in result.reason
    result, _ = judged(model({"Cl": 0.4, "Br": 0.4}, 2), base(trajectories=2))
    assert result.verdict == "FAIL"


def test_the_interval_of_the_worst_holds_for_all_systems() -> None:
    """Twelve equal systems: the largest of their ratios is above 1, the lower end of its interval is not."""
    rng, low, values = np.random.default_rng(1), [], []
    from dpa_sse.ops.validation.gates.forgetting import System, worst_of
    from dpa_sse.ops.validation.gates.statistics import ratio_over_runs

    for _ in range(200):
        systems = []
        for name in range(12):
            runs = [str(k) for k in range(6)]
            own, other = rng.normal(1, 0.1, 6), rng.normal(1, 0.1, 6)
            ratio = ratio_over_runs(own, other, runs, fewest=3, together=12)
            systems.append(System(str(name), ratio, 1.0, 1.0))
        worst = worst_of(systems)
        assert worst.ci95 is not None
        low.append(worst.ci95[0])
        values.append(worst.value)
    assert np.mean(values) > 1.05 and np.mean(np.array(low) > 1) < 0.06


@pytest.mark.parametrize(("change", "message"), [
    ({"before": None}, "--before MODEL"), ({"base": ()}, "--base DATA"), ({"base_type_map": ["Na", "K", "Rb", "Cs"]},
     "no frame of the base systems"),
])
def test_what_it_needs(change: Mapping[str, object], message: str) -> None:
    result, _ = judged(Pairs(), replace(base(2, 2), **change))  # type: ignore[arg-type]
    assert result.verdict == "NOT_RUN" and message in result.reason


def test_frames_that_were_trained_on_are_called_so() -> None:
    _, found = judged(Pairs(), base(3, 2, "train"))
    assert "12 training frames" in found.notes[0]


def test_unknown_elements_are_left_out_and_said() -> None:
    given = base(3, 2)
    short = Pairs({"Li": SIGMA["Li"], "Cl": SIGMA["Cl"]})
    _, found = judged(short, given)
    assert [row["system"] for row in found.table] == ["LiCl"] and "1 sets with elements" in found.notes[0]
