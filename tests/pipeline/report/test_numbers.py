"""Numbers, wording and the parts behind the page."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import report_inputs as made

from dpa_sse.ops.conductivity.arrhenius import ArrheniusPoint, analyse_arrhenius
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.results.conductivity import ArrheniusResult, ConductivityResult, RunTransport
from dpa_sse.pipeline.report import page, transport
from dpa_sse.pipeline.report.assessment import assess, key_figures
from dpa_sse.pipeline.report.build import ReportInputs, build_report
from dpa_sse.pipeline.report.figures import copy_report, plain, replace_listed, slug
from dpa_sse.pipeline.report.gather import FinishedSteps, report_inputs
from dpa_sse.pipeline.report.inputs import ReportData, load_data, read_table
from dpa_sse.pipeline.report.plots.models import smoothed
from dpa_sse.pipeline.report.records import StageRecord, StageState
from dpa_sse.pipeline.report.sections.conductivity import conductivity_checks
from dpa_sse.pipeline.report.summary import run_word
from tests.md_folders import write_run


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0"),
        (1234.5, 3, "1234"),
        (0.0123, 2, "0.012"),
        (6.84e-5, 3, "6.84×10⁻⁵"),
        (-2.5e7, 2, "-2.5×10⁷"),
        (None, 3, page.ABSENT),
        (math.nan, 3, page.ABSENT),
        ("12", 3, page.ABSENT),
        (True, 3, page.ABSENT),
    ],
)
def test_show(value: object, digits: int, text: str) -> None:
    assert page.show(value, digits) == text


def test_wording() -> None:
    assert [page.duration(s) for s in (4.21, 192, 7500, None)] == ["4.2 s", "3 min 12 s", "2 h 05 min", page.ABSENT]
    assert page.interval([1.0, 2.0]) == "1.00 to 2.00"
    assert page.interval([1.0, None]) == page.ABSENT
    assert (page.kelvin(800.0), page.kelvin(1073.15)) == ("800", "1073.15")
    assert page.listed(["a", "b", "c"]) == "a, b and c"
    assert page.clip("x" * 100, 10) == "x" * 9 + "…"


def test_names_are_harmless() -> None:
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("$<>") == "figure"
    assert len(slug("a" * 500)) == 60
    assert plain("a$b\x00") == r"a\$b "


@pytest.mark.parametrize(
    ("stages", "status"),
    [
        ([], None),
        (["ok", "skipped"], "interrupted"),
        (["ok"], "done"),
        (["ok", "partial"], "done"),  # what was lost is in the stages
        (["ok", "unfinished"], "interrupted"),
        (["partial", "failed"], "failed"),
    ],
)
def test_the_word_for_a_run(stages: list[StageState], status: str | None) -> None:
    records = [StageRecord("x", "X", state, 1.0, 1.0, tasks=2) for state in stages]
    assert run_word(ReportData("x", stages=records)) == status


def test_the_state_of_the_run_comes_before_its_stages() -> None:
    records = [StageRecord("x", "X", "ok", 1.0, 1.0, tasks=2)]
    for state in ("running", "failed", "interrupted"):
        assert run_word(ReportData("x", state=state, stages=records)) == state


def test_table_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x\n,y\n3\n", encoding="utf-8")
    table = read_table(tmp_path / "t.csv")
    assert table["a"][0] == 1.0
    assert math.isnan(table["a"][1])
    assert table["b"] == ["x", "y"]


def test_arrhenius_band_is_that_of_the_analysis(tmp_path: Path) -> None:
    verdicts = dict.fromkeys((700.0, 800.0, 900.0, 1000.0, 1200.0), "diffusive")
    data = load_data(ReportInputs(conductivity=made.conductivity(tmp_path, verdicts)))
    points = transport.transport_points(data)
    [(system, found, own)] = transport.arrhenius_parts(data, points)
    line = transport.arrhenius_line(found, own)
    assert line is not None
    assert system == "Li6PS5Br"
    at_300 = int(np.argmax(line.inverse_1000K))
    assert 1000 / line.inverse_1000K[at_300] == pytest.approx(300)
    assert line.D[at_300] == pytest.approx(found.at(300.0).D_cm2_s, rel=1e-3)
    assert [line.low[at_300], line.high[at_300]] == pytest.approx(found.at(300.0).D_ci95_cm2_s, rel=2e-3)


def test_figures_of_an_earlier_report_go(tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    figures.mkdir(parents=True)
    for name in ("md_X_400K.svg", "mine.svg", "measured.csv"):
        (figures / name).write_text("old")
    replace_listed(figures, {"md_X_400K.svg"})  # as the earlier report has left it
    folder = made.conductivity(tmp_path, {800.0: "diffusive"})
    build_report(ReportInputs(conductivity=folder), tmp_path)
    names = {path.name for path in figures.iterdir()}
    assert {"arrhenius.svg", "mine.svg", "measured.csv"} <= names
    assert "md_X_400K.svg" not in names


def test_a_linked_folder_of_figures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "photo.png").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "elsewhere")
    folder = made.conductivity(tmp_path, {800.0: "diffusive"})
    with pytest.raises(InputError, match="is a link"):
        build_report(ReportInputs(conductivity=folder), tmp_path / "out")
    with pytest.raises(InputError, match="is a link"):
        copy_report(tmp_path / "report", tmp_path / "out")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["photo.png"]


def test_a_copied_report_is_complete_and_replaces_the_one_before(tmp_path: Path) -> None:
    both = [
        made.conductivity(tmp_path / name, {800.0: "diffusive", T: "diffusive"})
        for name, T in (("a", 900.0), ("b", 1000.0))
    ]
    (tmp_path / "run" / "si").mkdir(parents=True)
    (tmp_path / "run" / "si" / "mine.tex").write_text("mine")
    for folder in both:
        build_report(ReportInputs(conductivity=folder), folder / "out")
        copy_report(folder / "out", tmp_path / "run")
    copied = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    made_now = {str(path.relative_to(both[1] / "out")) for path in (both[1] / "out").rglob("*") if path.is_file()}
    assert {"si/methods.txt", "si/table_conductivity.csv", "figures/msd_1000-K.svg"} <= made_now
    assert copied == made_now | {"si/mine.tex"}


def test_no_line_when_the_points_do_not_give_its_energy(tmp_path: Path) -> None:
    folder = made.conductivity(tmp_path, {800.0: "diffusive", 1000.0: "diffusive"})
    data = load_data(ReportInputs(conductivity=folder))
    points = transport.transport_points(data)
    assert transport.arrhenius_line(data.conductivity.arrhenius.model_copy(update={"Ea_eV": 0.9}), points) is None


def test_training_curves_are_running_root_mean_squares() -> None:
    assert smoothed(np.full(100, 3.0)) == pytest.approx(3.0)
    noisy = np.where(np.arange(96) % 2, 2.0, 4.0)  # a window of nine: four or five of each
    middle = smoothed(noisy)[10:-10]
    expected = {math.sqrt((4 * 4 + 5 * 16) / 9), math.sqrt((5 * 4 + 4 * 16) / 9)}
    assert {round(value, 9) for value in middle.tolist()} == {round(value, 9) for value in expected}
    gaps = np.array([1.0, math.nan, 1.0, 5.0])
    assert smoothed(gaps) == pytest.approx([1.0, 1.0, math.sqrt(13), 5.0])
    assert np.isnan(smoothed(np.full(3, math.nan))).all()


def one_run(entry: RunTransport) -> ReportData:
    """The report's data of an analysis with one run and nothing pooled."""
    line = ArrheniusResult(exponent_m=-1.0)
    found = ConductivityResult(runs=(entry,), temperatures=(), arrhenius=line, arrhenius_by_system={})
    return ReportData("t", conductivity=found)


def test_a_value_beside_a_refusal_is_not_shown() -> None:
    entry = RunTransport(
        source="r", system="s", temperature_K=800.0, verdict="melted", sigma_NE_mS_cm=12.0, D_cm2_s=1e-5,
        D_upper95_cm2_s=3e-5,
    )
    [point] = transport.transport_points(one_run(entry))
    assert point.sigma_mS_cm is None
    assert point.D_cm2_s is None
    assert point.D_upper95_cm2_s is None


@pytest.mark.parametrize(("force", "better"), [(142.0, True), (180.0, False)])
def test_assessment_of_fine_tuning(force: float, better: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    evaluations = {
        "zero_shot": made.evaluation(tmp_path, "zero_shot", rng, 12, 160, shift=0.115),
        "fine_tuned": made.evaluation(tmp_path, "fine_tuned", rng, 8, force),
    }
    found = assess(load_data(ReportInputs(evaluations=evaluations)))
    assert any("is better than the pre-trained model" in text for text in found.good) is better
    assert any("is not shown to be better in both" in text for text in found.unsure) is not better


def test_assessment_warns_of_a_poor_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    poor = {"student": made.evaluation(tmp_path, "student", rng, 3, 180)}
    good = {"student": made.evaluation(tmp_path, "good", rng, 2, 50)}
    [warning] = assess(load_data(ReportInputs(evaluations=poor))).unsure
    assert "not necessarily of the material" in warning
    assert not assess(load_data(ReportInputs(evaluations=good))).unsure


@pytest.mark.parametrize(
    ("value", "ci95", "text"),
    [
        (4420.0, (2300.0, 6500.0), "4400"),
        (0.2031, (0.19, 0.22), "0.203"),
        (12.345, (12.3, 12.4), "12.3"),
        (7.77e-6, (2e-6, 1.4e-5), "7.8×10⁻⁶"),
        (5.0, (-20.0, 60.0), "5"),
        (3.14159, None, "3.14"),
        (None, (1.0, 2.0), "–"),
    ],
)
def test_a_measured_number_has_the_digits_that_its_interval_leaves(
    value: float | None, ci95: tuple[float, float] | None, text: str
) -> None:
    assert page.measured(value, ci95) == (page.ABSENT if value is None else text)


def test_ends_of_an_interval_have_no_more_digits_than_they_deserve() -> None:
    assert page.interval([2588.8, 4939.3]) == "2590 to 4940"
    assert page.interval([2588.8, 4939.3], 2) == "2600 to 4900"
    assert page.interval([-0.2904, 0.1304], 2) == "-0.29 to 0.13"


@pytest.mark.parametrize(("ends", "known"), [((0.1, 0.3), True), ((-0.29, 0.13), False), (None, False)])
def test_an_activation_energy_whose_interval_holds_zero_is_not_determined(
    ends: tuple[float, float] | None, known: bool
) -> None:
    assert ArrheniusResult(exponent_m=-1.0, Ea_ci95_eV=ends).determined is known


def test_page_and_line_advise_the_same_number_of_temperatures(tmp_path: Path) -> None:
    temperatures = {float(T): "diffusive" for T in (700, 800, 1000, 1200)}
    data = load_data(ReportInputs(conductivity=made.conductivity(tmp_path, temperatures)))
    points = transport.transport_points(data)
    line = analyse_arrhenius([ArrheniusPoint(T, 2e-4 * math.exp(-2900 / T), 0.05) for T in temperatures], [300.0])
    assert any("5 or more" in note for note in line.notes)
    assert any("based on 4 temperatures (5 or more are recommended)" in text for text in assess(data).unsure)
    checks = {check.name: check for check in conductivity_checks(data, points)}
    found = checks["temperatures on the line"]
    assert (found.advised, found.value, found.ok) == ("5 or more", "4", False)


@pytest.mark.parametrize(("ends", "met"), [((0.14, 3.3), "yes"), ((2.2, 3.3), "no")])
def test_the_haven_ratio_is_plausible_where_its_interval_overlaps(ends: tuple[float, float], met: str) -> None:
    entry = RunTransport(
        source="r", system="s", temperature_K=800.0, verdict="diffusive", sigma_NE_mS_cm=9.0, D_cm2_s=1e-5,
        haven_ci95=ends,
    )
    data = one_run(entry)
    row = conductivity_checks(data, transport.transport_points(data))[-1].row()
    assert row[:2] == ["Haven ratio (95 % interval)", "overlaps 0.1 to 2"]
    assert getattr(row[3], "text", "") == met


def test_inputs_of_finished_steps(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    training_data = made.learning_state(tmp_path / "merge")
    made.dataset(tmp_path / "merge").rename(training_data / "dataset")
    for k in range(2):
        made.model(tmp_path / "trained", f"member-{k}", rng)
    (tmp_path / "trained" / "models").rename(training_data / "models")
    for k in range(2):
        (training_data / "models" / f"member-{k}").rename(training_data / "models" / f"model.{k:03d}")
    for name in ("pretrain", "zero_shot", "fine_tuned"):
        made.evaluation(tmp_path / "evaluate", name, rng, 5, 90)
    student = made.model(tmp_path, "student", rng)
    made.parity(student)
    steps = FinishedSteps(
        training_data=training_data,
        pretrained=made.model(tmp_path, "pretrain", rng),
        errors=tmp_path / "evaluate" / "evaluations",
        teacher_data=made.teacher_filter(tmp_path),
        student=student,
        variants=[made.model(tmp_path, name, rng) for name in ("naive", "from_scratch")],
        trajectories=[made.md_run(tmp_path, 1000.0)],
    )
    data = load_data(report_inputs(steps, made.config(tmp_path), None, tmp_path))
    assert data.notes == []
    assert list(data.models) == ["ensemble-0", "ensemble-1", "pretrain", "finetune", "from_scratch", "student"]
    assert data.ordered_evaluations == ["pretrain", "zero_shot", "fine_tuned"]
    assert len(data.history) == 2
    assert len(data.dataset.systems) == 4
    assert data.teacher_filter is not None
    assert data.parity is not None
    assert [run.name for run in data.md] == ["1000 K, replica 0"]
    assert data.provenance["command"] == "dpa-sse run config.resolved.yaml"


def test_what_a_run_did_not_do_is_no_damage(tmp_path: Path) -> None:
    """Labelled data without a loop leave no state, an adopted model no training curve."""
    adopted = {"type_map": made.TYPE_MAP, "preset": None, "adopted": "m.pt", "steps": None, "seed": None}
    write_json(tmp_path / "model" / "model.json", adopted)
    inputs = ReportInputs(
        learning_state=tmp_path, teacher_filter=tmp_path, models={"pretrain": tmp_path / "model"}
    )
    data = load_data(inputs)
    assert data.notes == []
    assert (list(data.history), data.teacher_filter, list(data.models)) == ([], None, ["pretrain"])


def test_key_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    md = [made.md_run(tmp_path, 1000.0), made.md_run(tmp_path, 1200.0, "melted", reason="P left its site")]
    evaluations = {"fine_tuned": made.evaluation(tmp_path, "fine_tuned", rng, 3, 80)}
    data = load_data(ReportInputs(md=md, evaluations=evaluations, conductivity=made.analyse(tmp_path, md)))
    errors = data.evaluations["fine_tuned"].errors
    sigma, force, stable = key_figures(data)
    assert (sigma.unit, sigma.label) == ("mS/cm", "conductivity at 1000 K")
    assert sigma.note.endswith("; 1000 K, 0 GPa, NVT, 52 atoms, 10.2 Å wide; labels of unknown level; not checked")
    assert (force.value, force.note) == (
        page.show(errors.force_mae_meV_A),
        f"95 %: {page.interval(errors.force_mae_ci95_meV_A, 2)}; held-out frames, CHGNet (0.4.2) labels; energy MAE "
        f"{page.show(errors.energy_mae_meV_atom)} meV/atom (95 %: {page.interval(errors.energy_mae_ci95_meV_atom, 2)})",
    )
    assert (stable.value, stable.note) == ("1 / 2", "0 GPa, NVT, 52 atoms; 37.5 steps/s")
    assert "1 MD run melted and not used: 1200 K, replica 0." in assess(data).bad


def test_runs_are_ordered_by_system_temperature_and_replica(tmp_path: Path) -> None:
    cell = made.Atoms("LiCl", cell=[5.0] * 3, pbc=True)
    points = [("B", 300.0, 0), ("A", 900.0, 1), ("A", 900.0, 0), ("A", 500.0, 0)]
    folders = [
        write_run(tmp_path / str(k), cell, system=system, temperature_K=T, replica=replica)
        for k, (system, T, replica) in enumerate(points)
    ]
    runs = load_data(ReportInputs(md=folders)).md
    assert [(run.info.system, run.name) for run in runs] == [
        ("A", "500 K, replica 0"), ("A", "900 K, replica 0"), ("A", "900 K, replica 1"), ("B", "300 K, replica 0"),
    ]
