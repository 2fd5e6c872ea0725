"""The gates of static energies, volumes and order of arrangements: made to pass, to fail, and to find nothing."""

from __future__ import annotations

import numpy as np
import pytest

from dpa_sse.ops.validation.gates.base import Labels
from dpa_sse.ops.validation.gates.potentials import Scaled
from tests.ops.validation.gates.analytic import SIGMA, Changed, Pairs, crystal, measured, verdict


class TestEquationOfState:
    def test_volume_and_bulk_modulus_are_those_of_ase(self) -> None:
        """A crystal that is 2 % larger in the model; the same crystal for the reference."""
        wider = Pairs({name: 1.02 ** (1 / 3) * sigma for name, sigma in SIGMA.items()})
        found = measured("G11", wider, Pairs())
        assert found.values["volume_error"].value == pytest.approx(2.0, abs=0.6)  # the switch does not scale along
        assert verdict("G11", found).verdict in ("WARN", "FAIL")
        assert verdict("G11", measured("G11", Pairs(), Pairs())).verdict == "PASS"

    def test_a_stiff_model(self) -> None:
        found = measured("G11", Scaled(Pairs(), 1.5), Pairs())
        assert found.values["bulk_modulus_error"].value == pytest.approx(50, abs=0.1)
        assert verdict("G11", found).verdict == "FAIL"

    def test_no_minimum(self) -> None:
        up = Changed(Pairs(), lambda found, _, cells: Labels(
            found.energy + 2.0 * np.abs(np.linalg.det(cells)), found.force, found.virial))
        assert verdict("G11", measured("G11", up, Pairs())).verdict == "FAIL"
        assert verdict("G11", measured("G11", Pairs(), up)).verdict == "INCONCLUSIVE"
        assert verdict("G11", measured("G11", Pairs(), None)).verdict == "NOT_RUN"


class TestArrangements:
    CELL = crystal(elements=["Li", "Cl", "Li", "Br"])

    def test_the_same_order(self) -> None:
        assert verdict("G13", measured("G13", Pairs(), Pairs(), [self.CELL])).verdict == "PASS"

    def test_the_reverse_order(self) -> None:
        found = measured("G13", Scaled(Pairs(), -1.0), Pairs(), [self.CELL])
        assert found.values["rank_correlation"].value == pytest.approx(-1)
        assert verdict("G13", found).verdict == "FAIL"

    def test_a_weak_correlation_leaves_it_open(self) -> None:
        class Blurred(Pairs):
            def evaluate(self, symbols, positions, cells):
                labels = super().evaluate(symbols, positions, cells)
                rng = np.random.default_rng([1, *(ord(one[0]) for one in symbols)])
                return Labels(labels.energy + rng.normal(0, 0.15), labels.force, labels.virial)

        found = measured("G13", Blurred(), Pairs(), [self.CELL])
        rank = verdict("G13", found).metrics[0]
        assert rank.value is not None and rank.value < 0.9 and rank.ci95 is not None and rank.ci95[0] < 0.5
        assert rank.verdict in ("INCONCLUSIVE", "FAIL")

    def test_only_free_anions_exchange(self) -> None:
        from dpa_sse.ops.validation.gates.arrangements import exchanged

        cells = exchanged(self.CELL, 10, ("Li",), np.random.default_rng(1))
        lithium = [k for k, symbol in enumerate(self.CELL.get_chemical_symbols()) if symbol == "Li"]
        assert len(cells) == 10
        for one in cells:
            assert [k for k, symbol in enumerate(one.get_chemical_symbols()) if symbol == "Li"] == lithium
            assert sorted(one.get_chemical_symbols()) == sorted(self.CELL.get_chemical_symbols())

    def test_one_anion_only(self) -> None:
        assert verdict("G13", measured("G13", Pairs(), Pairs())).verdict == "NOT_RUN"
