"""Stored outputs: numbers, signs and units, convergence, reasons."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dpa_sse.ops.labelers.cp2k.output import NOT_CONVERGED, OutputError, has_ended, read_evaluations, why_it_stopped
from tests.ops.labelers.cp2k.conftest import DATA
from tests.ops.labelers.cp2k.new_format import aborted, as_new

HARTREE_EV, BOHR_A, GPA_EV_A3 = 27.211386, 0.52917721, 1 / 160.21766


def text_of(name: str) -> str:
    return (DATA / f"{name}.out").read_text()


def test_numbers_of_a_single_point() -> None:
    text = text_of("xtb_LiCl")
    (made,) = read_evaluations(text)
    assert made.converged and has_ended(text)
    energy = float(re.search(r"Total FORCE_EVAL .*: +(\S+)", text)[1])
    assert made.energy == pytest.approx(energy * HARTREE_EV, rel=1e-7)
    row = re.search(r"Element +X +Y +Z\n +1 +1 +Li +(\S+) +(\S+) +(\S+)", text)
    assert made.forces[0] == pytest.approx(np.array(row.groups(), float) * HARTREE_EV / BOHR_A, rel=1e-6)
    row = re.search(r"STRESS\| +x +(\S+E\S+) +(\S+) +(\S+)", text)
    assert made.stress[0] == pytest.approx(-np.array(row.groups(), float) * GPA_EV_A3, rel=1e-6)
    assert np.abs(made.forces.sum(axis=0)).max() < 1e-6
    assert np.allclose(made.stress, made.stress.T, atol=1e-9)


def test_sign_of_the_stress_is_the_one_of_ase() -> None:
    """The primitive cell of Li2S at Gamma only is under pressure: it wants to expand."""
    (made,) = read_evaluations(text_of("dft_Li2S"))
    assert -np.trace(made.stress) / 3 / GPA_EV_A3 == pytest.approx(30.2755, abs=1e-3)


def test_outer_loop_counts() -> None:
    text = text_of("dft_Li2S")
    assert "Leaving inner SCF loop" in text  # the first inner loop did not converge, the outer one did
    assert read_evaluations(text)[0].converged
    failed = text.replace("outer SCF loop converged", "outer SCF loop FAILED to converge")
    assert not read_evaluations(failed)[0].converged


def test_unconverged() -> None:
    text = text_of("xtb_unconverged")
    assert not read_evaluations(text)[0].converged
    assert why_it_stopped(text) == NOT_CONVERGED


@pytest.mark.parametrize(("name", "reason"), [
    ("xtb_charges", "GFN1-xTB: atomic charges are outside the chemical range; the method is not suitable for this "
                    "system"),
    ("dft_no_basis", "CP2K: The requested basis set <FOO> for element <S> was not found in the basis set files "
                     "<BASIS_MOLOPT>"),
    ("xtb_LiCl", ""),
])
def test_reasons(name: str, reason: str) -> None:
    assert why_it_stopped(text_of(name)) == reason


@pytest.mark.parametrize(("pattern", "message"), [
    (r"^ STRESS\|.*\n", "no stress in the output"),
    (r"^ ENERGY\|.*\n", "no energy in the output"),
    (r"^ ATOMIC FORCES.*\n", "no forces in the output"),
])
def test_missing_blocks(pattern: str, message: str) -> None:
    text = re.sub(pattern, "", text_of("xtb_LiCl"), flags=re.M)
    with pytest.raises(OutputError, match=message):
        read_evaluations(text)


def test_incomplete_output() -> None:
    whole = text_of("part.000/run")
    cut = whole[: whole.rindex("STRESS| Analytical")]
    assert not has_ended(cut)
    with pytest.raises(OutputError, match="the output is incomplete: 5 x energy, 5 x forces, 4 x stress"):
        read_evaluations(cut)
    assert len(read_evaluations(cut, partial=True)) == 4
    assert read_evaluations("", partial=True) == []


@pytest.mark.parametrize("name", ["xtb_LiCl", "dft_Li2S", "part.000/run"])
def test_new_versions_print_the_same_numbers(name: str) -> None:
    """The last digits of forces and stress depend on the unit in which they are printed."""
    old, new = read_evaluations(text_of(name)), read_evaluations(as_new(text_of(name)))
    assert len(old) == len(new) > 0
    for before, after in zip(old, new, strict=True):
        assert after.energy == before.energy
        np.testing.assert_allclose(after.forces, before.forces, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(after.stress, before.stress, rtol=1e-9)
        assert after.converged == before.converged


def test_new_versions_abort_without_convergence() -> None:
    text = aborted(as_new(text_of("xtb_unconverged")))
    assert why_it_stopped(text) == NOT_CONVERGED
    assert not has_ended(text)
    with pytest.raises(OutputError, match="no energy in the output"):
        read_evaluations(text)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_table_of_forces_that_was_cut_off_costs_one_evaluation(rows: int) -> None:
    """A run that was killed while it wrote the forces must be readable, or it could never resume."""
    whole = text_of("part.000/run")
    place = whole.rindex("ATOMIC FORCES in")
    cut = whole[:place] + "".join(whole[place:].splitlines(keepends=True)[: 3 + rows])
    made = read_evaluations(cut, partial=True)
    assert [one.energy for one in made] == [one.energy for one in read_evaluations(whole)][:4]
    assert all(one.forces.shape == (2, 3) for one in made)
