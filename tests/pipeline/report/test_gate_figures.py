"""The page of a verdict at the tier standard: figures of barriers, phonons, decomposition, forgetting; the value."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from dpa_sse.ops.validation.gates.base import GateSettings, Reference
from dpa_sse.ops.validation.gates.run import Candidate, run_gates
from dpa_sse.pipeline.report.build import build_gates_page
from tests.ops.validation.gates.analytic import THRESHOLDS, Pairs
from tests.ops.validation.gates.test_forgetting import base
from tests.ops.validation.gates.test_material_gates import fcc

FIGURES = ("G10", "G12", "G14", "G15")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verdict")
    salt = fcc()
    salt.set_chemical_symbols(["Li", "Cl", "Li", "Cl"])
    salt.info["system"] = "salt"
    chlorine = fcc()
    chlorine.set_chemical_symbols(["Cl"] * 4)
    chlorine.info["system"] = "chlorine"
    given = replace(base(3, 3), name="pairs", potential=Pairs(), phases=[chlorine, salt])
    thresholds = replace(THRESHOLDS, gates={key: THRESHOLDS.gates[key] for key in (*FIGURES, "G17")})
    settings = GateSettings(tier="standard")
    found = run_gates(Candidate(Pairs(), Reference(**vars(given)), [fcc()], settings), thresholds, folder)
    assert [gate.key for gate in found.gates] == [*FIGURES, "G17"]
    assert not [gate.reason for gate in found.gates if gate.verdict == "NOT_RUN"]
    build_gates_page(folder)
    return folder


def test_each_has_a_figure_with_its_numbers(out: Path) -> None:
    page = (out / "gates.html").read_text(encoding="utf-8")
    for key in FIGURES:
        assert (out / "figures" / f"gate_{key}.svg").is_file()
        with (out / "figures" / f"gate_{key}.csv").open() as stream, (out / "tables" / f"{key}.csv").open() as table:
            assert len(list(csv.reader(stream))) == len(list(csv.reader(table))) > 1
        assert f"{key} " in page
    assert "energy above the start (eV)" in page or "barrier of a hop" in page
    for text in ("frequency mae", "decomposition mae", "barrier error", "force ratio", "speedup"):
        assert text in page
