from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.npy import read_system, split_systems
from dpa_sse.ops.results.model import CutoffNeighbours, NeighbourCounts
from dpa_sse.ops.training.deepmd_input import DeepmdInput
from dpa_sse.ops.training.neighbours import cutoffs_of, fit_neighbour_lists, neighbour_counts
from dpa_sse.ops.training.presets import resolve, training_input
from dpa_sse.ops.training.settings import TrainSettings


def rock_salt(folder: Path) -> Path:
    """Write one perfect rock salt cell, a = 5 A."""
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    (folder / "set.000").mkdir(parents=True)
    coords = np.concatenate([basis, basis + np.array([0.5, 0, 0])]) * 5.0 + 7.3  # outside the cell: must be wrapped
    np.save(folder / "set.000" / "coord.npy", coords.reshape(1, -1))
    np.save(folder / "set.000" / "box.npy", (np.eye(3) * 5.0).reshape(1, -1))
    np.save(folder / "set.000" / "energy.npy", np.zeros(1))
    np.save(folder / "set.000" / "force.npy", np.zeros((1, 24)))
    (folder / "type.raw").write_text("0\n" * 4 + "1\n" * 4)
    (folder / "type_map.raw").write_text("Li\nS\n")
    return folder


def test_counts_of_rock_salt(tmp_path: Path) -> None:
    # shells around any ion: 6 unlike at a/2, 12 like at a/sqrt(2), 8 unlike at a*sqrt(3)/2, 6 like at a
    counts = neighbour_counts([rock_salt(tmp_path / "NaCl")], [2.6, 3.6, 4.4, 5.1], ["S", "Li", "Br"])
    assert counts.minimum_distance_A == pytest.approx(2.5)
    assert [counts.within(radius).total for radius in (2.6, 3.6, 4.4, 5.1)] == [6, 18, 26, 32]
    assert counts.within(2.6).per_type == (6, 6, 0)  # in the order of the project's type map
    assert counts.within(4.4).per_type == (14, 14, 0)


def test_counts_agree_with_ase(dataset: Path) -> None:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    counts = neighbour_counts(dataset, [3.0, 6.0], ["Li", "S", "Br"])
    largest = {3.0: 0, 6.0: 0}
    nearest = np.inf
    for system in split_systems(dataset):
        (block,) = read_system(system, ["Li", "S", "Br"])
        for coords, cell in zip(block.coord, block.box, strict=True):
            atoms = Atoms("H8", positions=coords, cell=cell, pbc=True)
            for radius, known in largest.items():
                i, distances = neighbor_list("id", atoms, radius)
                largest[radius] = max(known, np.bincount(i).max())
                nearest = min(nearest, distances.min())
    assert {radius: counts.within(radius).total for radius in largest} == largest
    assert counts.minimum_distance_A == pytest.approx(nearest)


def test_isolated_atoms_are_refused(tmp_path: Path) -> None:
    folder = rock_salt(tmp_path / "far")
    with pytest.raises(InputError, match="no frame with neighbours"):
        neighbour_counts([folder], [2.0], ["Li", "S"])


def paper_like(nsel: int | str) -> DeepmdInput:
    settings = TrainSettings(preset="dpa2-paper", overrides={"model.descriptor.repinit.nsel": nsel})
    return training_input(resolve(settings), ["Li", "S"], ["a"], [], 1)


def counted(**cutoffs: tuple[int, list[int]]) -> NeighbourCounts:
    """Return counts from the total and the numbers per element for each cutoff (``r9=...`` is that of 9 A)."""
    found = {key[1:]: CutoffNeighbours(total=total, per_type=per_type) for key, (total, per_type) in cutoffs.items()}
    return NeighbourCounts(type_map=("Li", "S"), minimum_distance_A=2.0, cutoffs=found)


def test_short_lists_are_widened_or_refused() -> None:
    counts = counted(r9=(190, [126, 64]), r4=(18, [12, 6]))
    fitted, messages = fit_neighbour_lists(paper_like(120), counts, widen=True)
    assert fitted.section("model")["descriptor"]["repinit"]["nsel"] == 212  # 190 + 10 %, next multiple of 4
    assert fitted.section("model")["descriptor"]["repformer"]["nsel"] == 40
    assert len(messages) == 1
    assert "120" in messages[0] and "190" in messages[0] and "9 A" in messages[0]
    with pytest.raises(InputError, match="would drop neighbours"):
        fit_neighbour_lists(paper_like(120), counts, widen=False)
    assert fit_neighbour_lists(paper_like(190), counts, widen=False)[1] == []


def test_first_list_of_dpa2_stays_the_longer_one() -> None:
    counts = counted(r9=(60, [60, 0]), r4=(60, [60, 0]))
    descriptor = fit_neighbour_lists(paper_like("auto"), counts, widen=True)[0].section("model")["descriptor"]
    assert descriptor["repformer"]["nsel"] == 68
    assert descriptor["repinit"]["nsel"] == 72


def test_auto_becomes_numbers_and_no_element_disappears() -> None:
    data = training_input(resolve(TrainSettings(preset="se_e2_a-tiny")), ["Li", "S", "Br"], ["a"], [], 1)
    counts = counted(r6=(60, [40, 20, 0]))
    fitted, messages = fit_neighbour_lists(data, counts, widen=False)
    sel = fitted.section("model")["descriptor"]["sel"]
    assert messages == []
    assert sel[0] >= 44 and sel[1] >= 22 and sel[2] == 4
    assert data.section("model")["descriptor"]["sel"] != sel  # the input is not changed


def test_cutoffs_are_those_of_all_lists() -> None:
    assert cutoffs_of(paper_like(120).section("model")) == [4.0, 9.0]
    hybrid = {"descriptor": {"type": "hybrid", "list": [
        {"type": "se_e2_a", "rcut": 4.0}, {"type": "se_atten", "rcut": 6.0}]}}
    assert cutoffs_of(hybrid) == [4.0, 6.0]
