"""The report as a reader and a program see it."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_inputs as made

from dpa_sse.pipeline.report.build import ReportInputs, build_report

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


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Page]:
    root = tmp_path_factory.mktemp("full")
    summary = build_report(made.everything(root / "in"), root / "out")
    return root / "out", summary, Page(root / "out" / "report.html")


def test_page_is_self_contained_and_well_formed(full: tuple[Path, dict[str, Any], Page]) -> None:
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


def test_every_section_is_there(full: tuple[Path, dict[str, Any], Page]) -> None:
    _, _, page = full
    for words in (
        "Conductivity determined at 2 of 3 temperatures",
        "What can be trusted",
        "Ionic conductivity",
        "Molecular dynamics",
        "Accuracy on held-out trajectories",
        "Distillation",
        "96 of 99 frames of the teacher's MD were kept; 3 had a force above 10.0 eV/Å",
        "Training",
        "Concurrent learning",
        "What was run",
        "Failures",
        "How to reproduce",
        "dpa-sse run configs/quickstart.yaml",
        "20240618",
        "No task failed",
        "deepmd-kit",
        "3.2.0",
    ):
        assert words in page.text, words
    assert "Not part of this run" not in page.text


def test_every_figure_has_svg_png_csv_and_is_on_the_page(full: tuple[Path, dict[str, Any], Page]) -> None:
    out, _, page = full
    stems = {path.stem for path in (out / "figures").glob("*.svg")}
    assert {
        "arrhenius",
        "conductivity",
        "stage_times",
        "concurrent_learning",
        "msd_overview",
        "training_pretrain",
        "parity_downstream_force",
        "errors_force_mae_meV_A",
    } <= stems
    for stem in stems:
        assert (out / "figures" / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        rows = list(csv.reader((out / "figures" / f"{stem}.csv").open(encoding="utf-8")))
        assert len(rows) > 1
        assert ("href", f"figures/{stem}.csv") in page.attributes
    assert page.tags.count("figure") == len(stems)


def test_refused_temperature_has_no_value_anywhere(full: tuple[Path, dict[str, Any], Page]) -> None:
    out, summary, page = full
    cold, *others = summary["conductivity"]
    assert cold["temperature_K"] == 800
    assert cold["sigma_mS_cm"] is None
    assert cold["sigma_ci95_mS_cm"] is None
    assert all(entry["sigma_mS_cm"] > 0 for entry in others)
    with (out / "figures" / "conductivity.csv").open(encoding="utf-8") as stream:
        sigma = {row["temperature_K"]: row["sigma_mS_cm"] for row in csv.DictReader(stream)}
    assert sigma["800.0"] == ""
    assert "800 K: inconclusive, too short (35 more ps needed)" in page.text
    with (out / "figures" / "arrhenius.csv").open(encoding="utf-8") as stream:
        arrhenius = {row["temperature_K"]: row for row in csv.DictReader(stream)}
    assert arrhenius["800.0"]["D_cm2_s"] == ""
    assert float(arrhenius["800.0"]["D_upper95_cm2_s"]) > 0


def test_summary_follows_its_schema(full: tuple[Path, dict[str, Any], Page]) -> None:
    out, summary, _ = full
    text = (out / "summary.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(summary))
    assert "NaN" not in text
    assert summary["status"] == "ok"
    assert [stage["name"] for stage in summary["stages"]] == [stage[0] for stage in made.STAGES]
    assert {"name", "status", "seconds", "tasks"} <= summary["stages"][0].keys()
    assert {"pretrain", "zero_shot", "fine_tuned", "from_scratch", "student"} <= summary["errors"].keys()
    assert set(summary["errors"]["student"]) == {
        "energy_mae_meV_atom",
        "force_mae_meV_A",
        "virial_mae_meV_atom",
        "n_frames",
    }
    assert set(summary["concurrent_learning"][0]) == {"iteration", "accurate", "candidate", "failed", "labelled"}
    assert set(summary["conductivity"][0]) == {
        "temperature_K",
        "replicas",
        "verdict",
        "sigma_mS_cm",
        "sigma_ci95_mS_cm",
    }


def test_two_builds_are_equal_byte_for_byte(tmp_path: Path) -> None:
    for copy in ("a", "b"):
        inputs = made.everything(tmp_path / copy / "in", {800.0: "not diffusive (upper limit)", 1200.0: "diffusive"})
        inputs = replace(
            inputs,
            models={"student": inputs.models["student"]},
            evaluations={name: inputs.evaluations[name] for name in ("zero_shot", "fine_tuned")},
            md=inputs.md[:1],
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
    assert summary["status"] is None
    assert summary["conductivity"] == []
    assert "No conductivity was computed in this run." in page.text
    assert "Not part of this run" in page.text
    assert not page.open


def test_only_conductivities_none_diffusive(tmp_path: Path) -> None:
    refused = {600.0: "not diffusive (upper limit)", 700.0: "too short (90 more ps needed)"}
    folder = made.conductivity(tmp_path / "in", np.random.default_rng(2), refused)
    summary = build_report(ReportInputs(conductivity=folder), tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert "Inconclusive: no temperature gave a conductivity." in page.text
    assert "Nothing is extrapolated" in page.text
    assert "mS/cm (95 %" not in page.text
    assert all(entry["sigma_mS_cm"] is None for entry in summary["conductivity"])
    assert not (tmp_path / "out" / "figures" / "conductivity.svg").exists()
    assert (tmp_path / "out" / "figures" / "arrhenius.svg").exists()


def test_failed_md_and_failed_stage(tmp_path: Path) -> None:
    root, rng = tmp_path / "in", np.random.default_rng(3)
    failures = {"md": [{"task": "md-0002", "reason": "lost atoms at step 1512"}]}
    runs = [made.md_run(root, rng, 1000.0), made.md_run(root, rng, 1200.0, "exploded", reason="hotter than 3600 K")]
    summary = build_report(ReportInputs(stages=made.stages(root, failures), md=runs), tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert summary["status"] == "partial"
    assert [run["status"] for run in summary["md"]] == ["ok", "exploded"]
    for words in (
        "1 task failed",
        "lost atoms at step 1512",
        "1 MD run exploded",
        "hotter than 3600 K",
        "1 of 2 MD runs",
    ):
        assert words in page.text, words
    stages = json.loads(made.stages(root).read_text(encoding="utf-8"))
    stages[3]["status"] = "failed"
    made.write_json(root / "stages.json", stages)
    summary = build_report(ReportInputs(stages=root / "stages.json"), tmp_path / "out2")
    assert summary["status"] == "failed"
    assert "The run failed in: Pre-train." in Page(tmp_path / "out2" / "report.html").text


def test_hostile_and_long_names_are_only_text(tmp_path: Path) -> None:
    root, rng = tmp_path / "in", np.random.default_rng(4)
    name = HOSTILE + "Li10GeP2S12" * 20
    failures = {"md": [{"task": name, "reason": name}]}
    inputs = ReportInputs(
        config=made.config(root, HOSTILE[:-1]),
        provenance=made.write_json(root / "p.json", {name: name, "command": name}),
        stages=made.stages(root, failures),
        seed_data=made.dataset(root, name),
        models={name: made.model(root, "m", rng)},
        evaluations={name: made.evaluation(root, "e", rng, 5, 90, system=name)},
        md=[made.md_run(root, rng, 800.0, "exploded", system=name, reason=name)],
        conductivity=made.conductivity(root, rng, {800.0: "diffusive", 900.0: f"unreliable: {name}"}, name, name),
    )
    build_report(inputs, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert "script" not in page.tags
    assert "<script" not in page.source
    assert '<script>alert("x")</script>' in page.text
    assert not page.open
    for path in (tmp_path / "out" / "figures").iterdir():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name), path.name
        if path.suffix == ".svg":
            assert "<script" not in path.read_text(encoding="utf-8")


def test_damaged_inputs_are_named_not_fatal(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "stages.json").write_text("{broken", encoding="utf-8")
    (root / "config.yaml").write_text("a: [1", encoding="utf-8")
    (root / "provenance.json").write_text("[1, NaN]", encoding="utf-8")
    (root / "e").mkdir()
    (root / "e" / "evaluation.json").write_text('{"force_mae_meV_A": NaN, "n_frames": "many"}', encoding="utf-8")
    (root / "e" / "parity_force.csv").write_text("element,reference_eV_A,predicted_eV_A\nLi,x,1\n", encoding="utf-8")
    summary = build_report(
        ReportInputs(
            config=root / "config.yaml",
            provenance=root / "provenance.json",
            stages=root / "stages.json",
            evaluations={"pretrain": root / "e"},
            models={"student": root / "none"},
            md=[root / "gone"],
            conductivity=root / "nothing",
        ),
        tmp_path / "out",
    )
    page = Page(tmp_path / "out" / "report.html")
    for words in (
        "stages.json: unreadable",
        "not valid YAML",
        "not a JSON object",
        "none/model.json: not there",
        "gone/run.json: not there",
    ):
        assert words in page.text, words
    assert summary["errors"]["pretrain"] == dict.fromkeys(
        ("energy_mae_meV_atom", "force_mae_meV_A", "virial_mae_meV_atom", "n_frames")
    )
    assert "NaN" not in (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
