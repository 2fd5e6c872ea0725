"""Measured values of the library beside the calculated ones."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
import report_inputs as made
from ase.data import atomic_masses, atomic_numbers

from dpa_sse.ops.results.conductivity import ArrheniusResult
from dpa_sse.ops.structures.library import load_entry, names
from dpa_sse.ops.structures.solution import parse_formula
from dpa_sse.pipeline.report import transport
from dpa_sse.pipeline.report.assessment import measured_differences
from dpa_sse.pipeline.report.build import ReportInputs, build_report
from dpa_sse.pipeline.report.inputs import ReportData, load_data
from dpa_sse.pipeline.report.measured import measured_values, same_composition
from dpa_sse.pipeline.report.page import as_published

ARGYRODITE = {"Li": 24, "P": 4, "S": 20, "Cl": 4}


def test_values_are_found_by_composition_not_by_name() -> None:
    for structure in ("Li6PS5Cl", "Li6PS5Cl_disordered", "cell.cif", ""):
        found = measured_values(ARGYRODITE, structure)
        assert {one.low for one in found.conductivities} == {2.5, 1.33, 3.15}
        assert [(one.low, one.remark) for one in found.diffusion] == [(3.85e-8, "PFG NMR")]
        assert [cell.parameters[0] for cell in found.cells] == [9.859]
    chlorine_rich = measured_values({"Li": 22, "P": 4, "S": 18, "Cl": 6}, "Li5.5PS4.5Cl1.5")
    assert {(one.low, one.remark) for one in chlorine_rich.conductivities} == {(9.4, ""), (12.0, "sintered")}
    assert not chlorine_rich.cells  # the cell of another composition
    assert measured_values({"Na": 3, "P": 1, "S": 4}) == measured_values({})


def test_another_phase_of_the_composition_is_not_compared() -> None:
    cell = {"Li": 24, "P": 8, "S": 32}
    for structure in ("Li3PS4", "Li3PS4_beta_b", "Li3PS4_beta_c"):
        assert {one.entry for one in measured_values(cell, structure).conductivities} == {"Li3PS4_beta_b"}
        assert {one.temperature_K for one in measured_values(cell, structure).cells} == {637.0}
    assert {one.low for one in measured_values(cell, "Li3PS4_gamma").conductivities} == {3e-4}
    unknown = measured_values(cell, "mine.cif")
    assert {one.entry for one in unknown.conductivities} == {"Li3PS4_beta_b", "Li3PS4_gamma"}  # each says its entry


def test_compositions() -> None:
    assert same_composition({"Li": 3, "P": 1, "S": 4}, {"Li": 12, "P": 4, "S": 16})
    assert not same_composition({"Li": 10.35, "Ge": 1.35, "P": 1.65, "S": 12}, {"Li": 20, "Ge": 2, "P": 4, "S": 24})
    assert not same_composition({"Li": 6, "P": 1, "S": 5, "Cl": 1}, {"Li": 6, "P": 1, "S": 5, "Br": 1})
    assert not same_composition({}, {"Li": 1})


def test_every_value_of_the_library_is_readable_and_has_a_source() -> None:
    seen = 0
    for name in names():
        entry = load_entry(name)
        for section in ("conductivity", "diffusion"):
            for one in entry.data.get(section) or ():
                composition = {
                    element: round(10_000 * amount)
                    for element, amount in parse_formula(str(one.get("composition", entry.formula))).items()
                }
                values = measured_values(composition, name)
                found = values.conductivities if section == "conductivity" else values.diffusion
                assert any(value.reference == one["reference"] and value.reference for value in found), (name, one)
                seen += 1
    assert seen >= 25


@pytest.mark.parametrize("name", ["Li6PS5Br", "Li10GeP2S12", "Li3PS4_gamma"])
def test_the_density_of_a_measured_cell(name: str) -> None:
    entry = load_entry(name)
    per_unit = parse_formula(entry.formula)
    mass = entry.data["formula_units"] * sum(
        n * atomic_masses[atomic_numbers[element]] for element, n in per_unit.items()
    )
    composition = {element: round(n * entry.data["formula_units"]) for element, n in per_unit.items()}
    cell = measured_values(composition, name).cells[0]
    density = 1.66053907 * mass / (cell.volume_A3_atom * entry.data["atoms_in_cell"])
    # the checked density is that of the calculated lattice, unless this is the measured one
    scale = entry.data["verification"]["volume"] / (cell.volume_A3_atom * entry.data["atoms_in_cell"])
    assert density == pytest.approx(entry.data["verification"]["density_g_cm3"] * scale, rel=2e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7, "0.7"), (12.0, "12"), (1.33, "1.33"), (3.85e-8, "3.85×10⁻⁸"), (2.0e-5, "2×10⁻⁵"), (100.0, "100"),
        (0.04, "0.04"),
    ],
)
def test_a_published_number_keeps_its_digits(value: float, text: str) -> None:
    assert as_published(value) == text


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ReportData]:
    """A report of four diffusive temperatures of Li6PS5Br, whose library entry has measured values."""
    root = tmp_path_factory.mktemp("compared")
    runs = [made.md_run(root / "in", T) for T in (800.0, 900.0, 1000.0, 1200.0)]
    inputs = ReportInputs(config=made.config(root), md=runs, conductivity=made.analyse(root / "in", runs))
    build_report(inputs, root / "out")
    return root / "out", load_data(inputs)


def test_the_arrhenius_figure_holds_both(compared: tuple[Path, ReportData]) -> None:
    out, data = compared
    assert data.conductivity is not None
    rows = list(csv.DictReader((out / "figures" / "arrhenius.csv").open(encoding="utf-8")))
    ours = [row for row in rows if row["source"] == "this work"]
    assert [float(row["temperature_K"]) for row in ours] == [800, 900, 1000, 1200]
    for row, entry in zip(ours, data.conductivity.temperatures, strict=True):
        assert entry.sigma_NE_mS_cm is not None
        wanted = math.log10(entry.sigma_NE_mS_cm / 1000 * entry.temperature_K)
        assert float(row["log10_sigma_T_S_K_cm"]) == pytest.approx(wanted)
        assert float(row["inverse_1000K"]) == pytest.approx(1000 / entry.temperature_K)
        assert float(row["log10_low"]) < wanted < float(row["log10_high"])
    [measured] = [row for row in rows if row["source"].startswith("measured: Kraft et al.")]
    assert [float(measured[key]) for key in ("temperature_K", "log10_low", "log10_high")] == pytest.approx(
        [298, math.log10(0.7e-3 * 298), math.log10(2.6e-3 * 298)]
    )
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Kraft et al., JACS 139, 10909 (2017)" in page
    assert "0.7 to 2.6" in page
    assert "(Li6PS5Br, 0 GPa, NVT, 52 atoms; labels of unknown level; self-check: not checked)" in page


def test_the_line_of_the_figure_ends_at_the_extrapolated_conductivity(compared: tuple[Path, ReportData]) -> None:
    out, data = compared
    assert data.conductivity is not None
    room = data.conductivity.arrhenius.at(300.0)
    assert room is not None and room.sigma_mS_cm and room.sigma_ci95_mS_cm
    rows = list(csv.DictReader((out / "figures" / "arrhenius.csv").open(encoding="utf-8")))
    line = [row for row in rows if row["source"].startswith("fit")]
    [end] = [row for row in line if float(row["temperature_K"]) == pytest.approx(300)]
    assert end["source"] == "fit, extrapolated"
    low, high = room.sigma_ci95_mS_cm
    wanted = [math.log10(0.3 * value) for value in (low, room.sigma_mS_cm, high)]
    found = [float(end[key]) for key in ("log10_low", "log10_sigma_T_S_K_cm", "log10_high")]
    assert found == pytest.approx(wanted, abs=1e-3)
    for row in line:  # nothing is called a fit below the coldest fitted temperature
        assert (row["source"] == "fit") == (float(row["temperature_K"]) >= 800 - 1e-6)


def test_no_line_where_the_energy_is_not_determined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [made.md_run(tmp_path / "in", T) for T in (800.0, 1000.0)]
    inputs = ReportInputs(config=made.config(tmp_path), md=runs, conductivity=made.analyse(tmp_path / "in", runs))
    monkeypatch.setattr(ArrheniusResult, "determined", False)
    build_report(inputs, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "figures" / "arrhenius.csv").open(encoding="utf-8")))
    assert not [row for row in rows if row["source"].startswith("fit")]
    assert "No line: the activation energy is not determined" in (tmp_path / "out" / "report.html").read_text()


def test_a_value_beyond_all_measured_ones_is_said(compared: tuple[Path, ReportData]) -> None:
    _, data = compared
    assert data.conductivity is not None
    line = data.conductivity.arrhenius
    [room] = line.extrapolated

    def said(low: float, middle: float, high: float, T: float = 300.0) -> list[str]:
        one = room.model_copy(
            update={"sigma_mS_cm": middle, "sigma_ci95_mS_cm": (low, high), "temperature_K": T}
        )
        changed = line.model_copy(update={"extrapolated": (one,)})
        parts = {"arrhenius": changed, "arrhenius_by_system": {"Li6PS5Br": changed}}
        other = replace(data, conductivity=data.conductivity.model_copy(update=parts))
        return measured_differences(other, transport.transport_points(other))

    [above] = said(20.0, 30.0, 40.0)
    assert "is above all measured values of the library (0.7 to 2.6 mS/cm)" in above
    [below] = said(0.1, 0.2, 0.3)
    assert "is below all measured values" in below
    assert not said(1.0, 30.0, 400.0)  # the interval reaches the measured values
    assert not said(20.0, 30.0, 40.0, T=400.0)  # nothing was measured there
