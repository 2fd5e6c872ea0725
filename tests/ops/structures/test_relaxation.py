"""Relaxed with CHGNet, every structure of the library stays what it is."""

import numpy as np
import pytest

from dpa_sse.ops.structures.bonds import covalent_pairs
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.library import load_entry, names
from dpa_sse.ops.structures.settings import SystemSettings

FORCE_EV_A = 0.05
STEPS = 150
FRAMEWORK_A = 0.6  # atoms of the framework stay within this of their sites
LITHIUM_A = 1.3  # lithium of averaged structures may go to the other site of its pair (1.7 to 1.9 A away), no further
FAST = ("Li2S", "SnS2", "Li3PS4_gamma")


def relaxed_displacements(name, tmp_path):
    """Relax a cell at its lattice; return displacements (Angstrom, without drift), atoms before and after."""
    from ase.optimize import FIRE

    from dpa_sse.ops.labelers.registry import make_labeler
    from dpa_sse.ops.labelers.settings import AseSettings

    before = build_cell(SystemSettings(name="a", structure=name), tmp_path, 1)
    after = before.copy()
    after.calc = make_labeler(AseSettings()).calculator()
    start = after.get_potential_energy()
    FIRE(after, logfile=None).run(fmax=FORCE_EV_A, steps=STEPS)
    assert after.get_potential_energy() <= start + 1e-6
    moved = after.positions - before.positions
    heavy = ~(before.symbols == "Li")
    moved -= moved[heavy if heavy.any() else slice(None)].mean(axis=0)
    return np.linalg.norm(moved, axis=1), before, after


def check(name, tmp_path):
    pytest.importorskip("chgnet")
    length, before, after = relaxed_displacements(name, tmp_path)
    lithium = before.symbols == "Li"
    assert length[~lithium].max(initial=0.0) < FRAMEWORK_A
    averaged = not load_entry(name).ordered
    assert length[lithium].max(initial=0.0) < (LITHIUM_A if averaged else FRAMEWORK_A)
    centre, anion, _, old = covalent_pairs(before)
    new_centre, new_anion, _, new = covalent_pairs(after)
    assert sorted(zip(centre.tolist(), anion.tolist(), strict=True)) == sorted(
        zip(new_centre.tolist(), new_anion.tolist(), strict=True)
    )
    if len(old):
        assert new.mean() == pytest.approx(old.mean(), rel=0.03)


@pytest.mark.parametrize("name", FAST)
def test_a_few_structures_are_kept(name, tmp_path):
    check(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_structure_is_kept(name, tmp_path):
    check(name, tmp_path)
