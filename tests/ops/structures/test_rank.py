"""Ranking of arrangements by Ewald energy and by a labeler."""

from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.ranking import rank_by_labeler
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import MockSettings
from dpa_sse.ops.structures.build import build_ensemble
from dpa_sse.ops.structures.rank import ewald_energy, rank_by_ewald
from dpa_sse.ops.structures.settings import SystemSettings


@pytest.fixture(scope="module")
def cells():
    system = SystemSettings(name="a", structure="LiCl0.5Br0.5", supercell=(2, 1, 1))
    return build_ensemble(system, Path(), 1, 4)


def test_ewald_energy_of_rock_salt():
    (salt,) = build_ensemble(SystemSettings(name="a", structure="LiCl"), Path(), 1, 1)
    distance = salt.cell.lengths()[0] / 2
    assert ewald_energy(salt) == pytest.approx(-4 * 1.747565 * 14.39964 / distance, rel=1e-5)  # Madelung


def test_labeler_ranks_and_keeps_all(cells):
    labeler = make_labeler(MockSettings())
    ranked = rank_by_labeler(cells, labeler)
    energies = [result.atoms.get_potential_energy() for result in labeler.label(ranked)]
    assert energies == sorted(energies)
    assert energies[-1] - energies[0] > 1e-3
    assert [cell.info["labeler_eV"] for cell in ranked] == pytest.approx([e - energies[0] for e in energies], abs=1e-6)
    assert {id(cell) for cell in ranked} == {id(cell) for cell in cells}


def test_ranking_needs_one_composition_and_energies(cells):
    (salt,) = build_ensemble(SystemSettings(name="a", structure="LiCl"), Path(), 1, 1)
    with pytest.raises(InputError, match="one composition"):
        rank_by_labeler([salt, *cells], make_labeler(MockSettings()))
    with pytest.raises(InputError, match="no energy to rank it by"):
        rank_by_labeler(cells, make_labeler(MockSettings(fail_every=1)))
    assert rank_by_ewald([salt]) == [salt]
