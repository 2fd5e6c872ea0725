"""The report as a reader and a program see it."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import report_inputs as made

from dpa_sse.ops.core.files import write_json
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.ops.results.summary import IterationSummary, MdSummary, StageSummary, Summary
from dpa_sse.pipeline.report.build import ReportInputs, build_report
from dpa_sse.pipeline.report.inputs import QUANTITIES

HOSTILE = '<script>alert("x")</script>$\\frac{$ & -- \x07'


class Page(HTMLParser):
    """Collects tags, ids, attributes and the visible text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in {"meta", "br", "link", "path", "use", "image"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)


def replace_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary, Page]:
    root = tmp_path_factory.mktemp("full")
    summary = build_report(made.everything(root / "in"), root / "out")
    return root / "out", summary, Page(root / "out" / "report.html")


def test_page_is_self_contained_and_well_formed(full: tuple[Path, Summary, Page]) -> None:
    _, _, page = full
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    assert not {"script", "iframe", "link", "object"} & set(page.tags)
    for name, value in page.attributes:
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith(("#", "data:image/png", "figures/")), value
    references = set(re.findall(r'(?:xlink:href="|href="|url\()#([^")]+)', page.source))
    assert references <= set(page.ids)
    assert len(page.source) < 2_000_000


def test_every_section_is_there(full: tuple[Path, Summary, Page]) -> None:
    _, _, page = full
    for words in (
        "Conductivity determined at 2 of 3 temperatures",
        "What can be trusted",
        "Ionic conductivity",
        "Molecular dynamics",
        "Accuracy on held-out trajectories",
        "Distillation",
        "96 of 99 frames of the teacher's MD were kept; 3 had a force above 10.0 eV/Å",
        "From the last start to the end of the last stage: 13 min 20 s (28 tasks had finished in an earlier start)",
        "LiCl: exploded, step 40: too hot",
        "88 labelled frames of Li2S and Li6PS5Cl",
        "2 iterations of concurrent learning, 7 frames selected and labelled",
        "base systems: Li6PS5Cl, Li2S · downstream system: Li6PS5Br · production: 0 GPa, NVT, 52 atoms · "
            "CHGNet (0.4.2) labels · status: done · seed: 20240618",
            "Self-check of the production runs",
            "Labels that failed (1)",
        "Training",
        "Concurrent learning",
        "What was run",
        "Failures",
        "How to reproduce",
        "dpa-sse run config.resolved.yaml",
        "20240618",
        "No task failed",
        "packages.deepmd-kit",
        version("deepmd-kit"),
    ):
        assert words in page.text, words
    assert "Not part of this run" not in page.text


def test_every_figure_has_svg_png_csv_and_is_on_the_page(full: tuple[Path, Summary, Page]) -> None:
    out, _, page = full
    stems = {path.stem for path in (out / "figures").glob("*.svg")}
    assert stems == {
        "arrhenius",
        "finetune_curve",
        "finetune_rounds",
        "structure_Li6PS5Br",
        *(f"rdf_Li6PS5Br_{pair}" for pair in ("Li-S", "Li-Br", "P-S", "P-Br", "Li-Li")),
        "stage_times",
        "concurrent_learning",
        "msd_overview",
        *(f"msd_{T}-K" for T in (800, 1000, 1200)),
        *(f"md_Li6PS5Br_{T}K" for T in (800, 1000, 1200)),
        *(f"training_{group}" for group in ("ensemble", "pretrain", "finetune", "student")),
        *(f"parity_{group}_{q}" for group in ("pretrain", "downstream", "student") for q in QUANTITIES),
        "errors_energy_mae_meV_atom",
        "errors_force_mae_meV_A",
        "self_check", "simplify",
        *(f"gate_{key}" for key in ("G1", "G2", "G4", "G6", "G7", "G8", "G11")),
    }
    for stem in stems:
        assert (out / "figures" / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        rows = list(csv.reader((out / "figures" / f"{stem}.csv").open(encoding="utf-8")))
        assert len(rows) > 1
        assert ("href", f"figures/{stem}.csv") in page.attributes
    assert page.tags.count("figure") == len(stems)


def test_refused_temperature_has_no_value_anywhere(full: tuple[Path, Summary, Page]) -> None:
    out, summary, page = full
    cold, *others = summary.conductivity
    assert cold.temperature_K == 800
    assert cold.sigma_mS_cm is None
    assert cold.sigma_ci95_mS_cm is None
    assert len(others) == 2
    assert all(entry.sigma_mS_cm > 0 for entry in others)
    assert cold.verdict.startswith("too short (")
    place = "800 K, 0 GPa, NVT, 52 atoms, 10.2 Å wide, CHGNet (0.4.2) labels"
    assert f"{place}: inconclusive, {cold.verdict}" in page.text
    with (out / "figures" / "arrhenius.csv").open(encoding="utf-8") as stream:
        arrhenius = {row["temperature_K"]: row for row in csv.DictReader(stream) if row["source"] == "this work"}
    for column in ("D_cm2_s", "sigma_mS_cm", "log10_sigma_T_S_K_cm"):
        assert arrhenius["800.0"][column] == ""
        assert arrhenius["1000.0"][column] != ""
    for column in ("D_upper95_cm2_s", "sigma_upper95_mS_cm"):
        assert float(arrhenius["800.0"][column]) > 0
        assert arrhenius["1000.0"][column] == ""


def test_summary_follows_its_schema(full: tuple[Path, Summary, Page]) -> None:
    out, summary, _ = full
    assert Summary.read(out) == summary
    assert "NaN" not in (out / "summary.json").read_text(encoding="utf-8")
    assert (summary.name, summary.status) == ("quickstart", "done")
    assert summary.stages == tuple(
        StageSummary(name=name, status="ok", seconds=seconds, tasks=tasks, tasks_failed=0)
        for name, _, seconds, tasks in made.STAGES
    )
    assert list(summary.errors) == [
        "pretrain", "zero_shot", "zero_shot_bias", "fine_tuned", "from_scratch", "student", "student_vs_teacher",
    ]
    errors = Evaluation.read(out.parent / "in" / "evaluations" / "student")
    assert summary.errors["student"].model_dump() == {"labels": "CHGNet (0.4.2)"} | {
        key: getattr(errors, key)
        for key in (
            "split", "energy_mae_meV_atom", "energy_mae_ci95_meV_atom", "force_mae_meV_A", "force_mae_ci95_meV_A",
            "virial_mae_meV_atom", "virial_mae_ci95_meV_atom", "n_frames",
        )
    }
    assert {(entry.system, entry.labels, entry.trust) for entry in summary.conductivity} == {
        ("Li6PS5Br", "CHGNet (0.4.2)", "trusted")
    }
    states = {entry.state.text for entry in summary.conductivity if entry.state}
    assert states == {"0 GPa, NVT, 52 atoms, 10.2 Å wide"}
    assert [line.system for line in summary.arrhenius] == ["Li6PS5Br"]
    assert (summary.self_check[0].verdict, summary.self_check_rounds) == ("trusted", 1)
    assert summary.errors["student_vs_teacher"].virial_mae_meV_atom is None
    assert summary.concurrent_learning == (
        IterationSummary(iteration=0, accurate=6, candidate=6, failed=1, labelled=3),
        IterationSummary(iteration=1, accurate=8, candidate=5, failed=0, labelled=4),
    )
    assert summary.md[0] == MdSummary(
        name="800 K, replica 0", system="Li6PS5Br", temperature_K=800.0, status="ok", steps_per_s=37.5
    )
    assert [(entry.temperature_K, entry.replicas) for entry in summary.conductivity] == [(800, 1), (1000, 1), (1200, 1)]


def test_two_builds_are_equal_byte_for_byte(tmp_path: Path) -> None:
    for copy in ("a", "b"):
        inputs = made.everything(tmp_path / copy / "in", {800.0: "caged", 1200.0: "diffusive"})
        inputs = replace(
            inputs,
            models={"student": inputs.models["student"]},
            evaluations={name: inputs.evaluations[name] for name in ("zero_shot", "fine_tuned")},
            md=inputs.md[:1],
            gates=None,  # they were run twice, and hold their times
        )
        build_report(inputs, tmp_path / copy / "out")
    files = [
        {str(p.relative_to(tmp_path / c)): p.read_bytes() for p in (tmp_path / c / "out").rglob("*.*")} for c in "ab"
    ]
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []


def test_nothing_at_all(tmp_path: Path) -> None:
    summary = build_report(ReportInputs(), tmp_path)
    page = Page(tmp_path / "report.html")
    assert summary.status is None
    assert summary.conductivity == ()
    assert "No conductivity was computed in this run." in page.text
    assert "Not part of this run" in page.text
    assert not page.open


def test_only_conductivities_none_diffusive(tmp_path: Path) -> None:
    folder = made.conductivity(tmp_path / "in", {700.0: "too short", 800.0: "caged"})
    summary = build_report(ReportInputs(conductivity=folder), tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert "Inconclusive: no temperature gave a conductivity." in page.text
    assert "Nothing is extrapolated" in page.text
    assert "mS/cm (95 %" not in page.text
    assert [entry.sigma_mS_cm for entry in summary.conductivity] == [None, None]
    assert [entry.verdict.split(" (")[0] for entry in summary.conductivity] == ["too short", "not diffusive"]
    assert (tmp_path / "out" / "figures" / "arrhenius.svg").exists()


def test_failed_md_and_failed_stage(tmp_path: Path) -> None:
    root = tmp_path / "in"
    failures = {"07-md": [FailedTask(task="md-0002", reason="lost atoms at step 1512")]}
    runs = [made.md_run(root, 1000.0), made.md_run(root, 1200.0, "exploded", reason="hotter than 3600 K")]
    summary = build_report(ReportInputs(stages=made.stages(failures), md=runs), tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert summary.status == "done"
    assert [stage.status for stage in summary.stages if stage.name == "07-md"] == ["partial"]
    assert [run.status for run in summary.md] == ["ok", "exploded"]
    for words in (
        "1 task failed",
        "lost atoms at step 1512",
        "1 MD run exploded",
        "hotter than 3600 K",
        "1 of 2 MD runs",
    ):
        assert words in page.text, words
    stages = [replace(stage, status="failed") if stage.name == "04-pretrain" else stage for stage in made.stages()]
    summary = build_report(ReportInputs(stages=stages), tmp_path / "out2")
    assert summary.status == "failed"
    assert "The run failed in: Pre-training." in Page(tmp_path / "out2" / "report.html").text


def test_hostile_and_long_names_are_only_text(tmp_path: Path) -> None:
    root, rng = tmp_path / "in", np.random.default_rng(4)
    name = HOSTILE + "Li10GeP2S12" * 20
    data, evaluation = made.dataset(root), made.evaluation(root, "e", rng, 5, 90)
    replace_text(data / "dataset.json", '"Li2S"', json.dumps(name))
    replace_text(evaluation / "parity_energy.csv", "Li6PS5Br", name.replace('"', "'"))
    write_json(root / "p.json", {name: name, "command": name})
    write_json(root / "model" / "model.json", {"type_map": made.TYPE_MAP, "preset": name})
    kinds = {800.0: "diffusive", 900.0: "exploded"}
    inputs = ReportInputs(
        title=HOSTILE[:-1],
        config=made.config(root),
        provenance=root / "p.json",
        stages=made.stages({"07-md": [FailedTask(task=name, reason=name)]}),
        seed_data=data,
        learning_state=made.learning_state(root),
        models={name: root / "model", "pretrain": made.model(root, "m", rng)},
        evaluations={name: evaluation},
        md=[
            made.md_run(root / "more", 800.0, "exploded", system=name, reason=name),
            made.md_run(root / "good", 900.0, system=name),
        ],
        conductivity=made.conductivity(root, kinds, HOSTILE[:-1] + "Li10GeP2S12" * 6, name),
    )
    build_report(inputs, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert "script" not in page.tags
    assert "<script" not in page.source
    assert '<script>alert("x")</script>' in page.text
    assert not page.open
    for path in [*(tmp_path / "out" / "figures").iterdir(), *(tmp_path / "out" / "si").iterdir()]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name), path.name
        if path.suffix == ".svg":
            assert "<script" not in path.read_text(encoding="utf-8")


def test_a_dark_screen_changes_the_colours_of_the_figures(full: tuple[Path, Summary, Page]) -> None:
    """Each colour that a figure takes from the page has a value for dark screens; the files keep their own colours."""
    out, _, page = full
    used = set(re.findall(r"var\(--(fig-[a-z]+), #[0-9a-f]{6}\)", page.source))
    assert {"fig-paper", "fig-ink", "fig-grid", "fig-blue"} <= used
    dark = page.source.split("@media screen and (prefers-color-scheme: dark) {")[1].split("@media")[0]
    assert used <= set(re.findall(r"--(fig-[a-z]+):", dark))
    inline = page.source.split("<main>")[1]
    assert not re.search(r"(fill|stroke): #(ffffff|000000)\b", inline)
    assert "var(" not in (out / "figures" / "arrhenius.svg").read_text(encoding="utf-8")


def test_no_legend_covers_a_curve(full: tuple[Path, Summary, Page], monkeypatch: pytest.MonkeyPatch) -> None:
    """Legends belong to the figures, outside of the axes."""
    from matplotlib.axes import Axes

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a legend inside the axes")

    monkeypatch.setattr(Axes, "legend", refuse)
    root = full[0].parent
    build_report(ReportInputs(models={"student": root / "in" / "models" / "student"},
                              md=sorted((root / "in" / "md").iterdir()), conductivity=root / "in" / "conductivity",
                              self_check=root / "in" / "self-check",
                              evaluations={"student": root / "in" / "evaluations" / "student"}), root / "again")
    assert len(list((root / "again" / "figures").glob("*.svg"))) > 12


def test_damaged_inputs_are_named_not_fatal(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "config.yaml").write_text("a: [1", encoding="utf-8")
    (root / "provenance.json").write_text("[1, NaN]", encoding="utf-8")
    good = made.evaluation(root, "good", np.random.default_rng(3), 5, 90, virial=True)
    replace_text(good / "parity_force.csv", "label_eV_A", "reference")
    (good / "parity_virial.csv").write_text("system,formula,label_eV_atom,model_eV_atom\nx,y,much,1\n")
    bad = made.evaluation(root, "bad", np.random.default_rng(4), 5, 90)
    replace_text(bad / "evaluation.json", '"n_frames": 22', '"n_frames": "many"')
    older = made.learning_state(root)
    replace_text(older / "state.json", '"format_version": 1', '"format_version": 0')
    (root / "student").mkdir()
    (root / "student" / "model.json").write_text("{broken", encoding="utf-8")
    summary = build_report(
        ReportInputs(
            config=root / "config.yaml",
            provenance=root / "provenance.json",
            learning_state=older,
            evaluations={"pretrain": good, "student": bad},
            models={"student": root / "student", "pretrain": root / "none"},
            md=[root / "gone"],
            conductivity=root / "nothing",
        ),
        tmp_path / "out",
    )
    page = Page(tmp_path / "out" / "report.html")
    for words in (
        "config.yaml: not valid YAML",
        "provenance.json: not a JSON object",
        "learning/state.json: damaged, or of another version (format version 0",
        "bad/evaluation.json: damaged, or of another version (n_frames: Input should be a valid integer",
        "good/parity_force.csv: damaged (columns system, element, label_eV_A, model_eV_A expected)",
        "good/parity_virial.csv: damaged",
        "student/model.json: damaged, or of another version (not a JSON file",
        "none/model.json: missing",
        "gone/run.json: missing",
        "nothing/conductivity.json: missing",
        "10 results could not be read; see Failures.",
    ):
        assert words in page.text, words
    assert list(summary.errors) == ["pretrain"]
    assert {path.stem for path in (tmp_path / "out" / "figures").glob("*.svg")} == {"parity_pretrain_energy"}
    assert str(tmp_path) not in page.source
    assert "NaN" not in (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
