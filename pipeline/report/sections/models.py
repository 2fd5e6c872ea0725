"""Sections on the run, the learning and the models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dpa_sse.pipeline.report.figures import Figure, FigureBook
from dpa_sse.pipeline.report.inputs import QUANTITIES, Model, ReportData, number
from dpa_sse.pipeline.report.page import (
    ABSENT,
    Cell,
    DetailsBlock,
    Level,
    Section,
    TableBlock,
    count,
    duration,
    plural,
    show,
)
from dpa_sse.pipeline.report.plots import training as plots_training
from dpa_sse.pipeline.report.summary import label, ordered_evaluations, whole

STATUS_LEVEL: dict[str, Level] = {
    "ok": "good",
    "partial": "warn",
    "failed": "bad",
    "exploded": "bad",
    "melted": "bad",
    "skipped": "warn",
    "empty": "info",
}
LEARNING_COLUMNS = (
    "iteration",
    "stage",
    "accurate",
    "candidate",
    "failed",
    "accurate share",
    "chosen",
    "labelled",
    "largest deviation (eV/Å)",
    "converged",
    "remark",
)
ERROR_COLUMNS = {
    "E MAE (meV/atom)": "energy_mae_meV_atom",
    "E MAE, shifted": "energy_mae_shifted_meV_atom",
    "E RMSE": "energy_rmse_meV_atom",
    "F MAE (meV/Å)": "force_mae_meV_A",
    "F RMSE": "force_rmse_meV_A",
    "virial MAE (meV/atom)": "virial_mae_meV_atom",
}
DOWNSTREAM = ("zero_shot", "zero_shot_bias", "from_scratch", "fine_tuned")


def status_cell(status: Any) -> Cell:
    """Return a marked cell with a status word."""
    return Cell(str(status or "unknown"), STATUS_LEVEL.get(str(status), "warn"))


def what_was_run(data: ReportData, book: FigureBook) -> Section:
    """Systems, time per stage, configuration, versions, seeds."""
    section = Section("run", "What was run")
    section.table(
        ("system", "split", "frames", "atoms", "trajectories"),
        dataset_rows(data.dataset),
        "Labelled data of the base systems; whole trajectories are held out, never single frames.",
        "system|split",
    )
    if data.stages:
        rows: list[list[str | Cell]] = [
            [
                str(s.get("title") or s.get("name")),
                status_cell(s.get("status")),
                duration(s.get("seconds")),
                count(s.get("tasks")),
                count(s.get("tasks_failed")),
            ]
            for s in data.stages
        ]
        total = max(number(s.get("ended_after_s")) or 0.0 for s in data.stages)
        earlier = sum(whole(s.get("tasks_earlier")) or 0 for s in data.stages)
        kept = f", in which {plural(earlier, 'task')} had finished in an earlier start" if earlier else ""
        section.table(
            ("stage", "status", "time", "tasks", "failed"),
            rows,
            f"From the last start to the end of the last stage: {duration(total)}{kept}. The times of the stages are "
            "those in which tasks of them were at work, in all starts; stages may overlap.",
            "stage|status",
        )
    else:
        section.text("The stages of this run are not recorded.", "info")
    section.figures([plots_training.plot_stage_times(book, data.stages)])
    facts = flatten(data.provenance)
    if facts:
        section.blocks.append(
            DetailsBlock(
                "Versions, seed, machine",
                blocks=[TableBlock(("what", "value"), [[key, value] for key, value in facts], words=("what", "value"))],
            )
        )
    if data.config_text:
        section.blocks.append(DetailsBlock("Configuration with every default", pre=data.config_text))
    return section


def dataset_rows(dataset: Mapping[str, Any]) -> list[list[str]]:
    """Return one row per system and split of a ``dataset.json``."""
    rows: dict[tuple[str, str], list[Any]] = {}
    for entry in dataset.get("systems") or []:
        if isinstance(entry, dict):
            row = rows.setdefault((str(entry.get("system")), str(entry.get("split"))), [0, set(), set()])
            row[0] += int(number(entry.get("n_frames")) or 0)
            row[1].add(int(number(entry.get("n_atoms")) or 0))
            row[2] |= {str(name) for name in entry.get("trajectories") or []}
    order = {"train": 0, "validation": 1, "test": 2}
    return [
        [system, split, count(n), ", ".join(map(str, sorted(atoms))), count(len(names)) if names else ABSENT]
        for (system, split), (n, atoms, names) in sorted(rows.items(), key=lambda r: (r[0][0], order.get(r[0][1], 3)))
    ]


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as (dotted key, text) pairs."""
    if isinstance(value, dict):
        return [
            pair for key, inner in value.items() for pair in flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        value = " ".join(str(item) for item in value)
    return [(prefix, ABSENT if value is None else str(value))]


def learning(data: ReportData, book: FigureBook) -> Section:
    """Explored, chosen and labelled frames of every iteration."""
    section = Section("concurrent_learning", "Concurrent learning")
    if not data.history:
        section.absent = "no concurrent learning"
        return section
    section.table(
        LEARNING_COLUMNS,
        [_iteration(i, entry) for i, entry in enumerate(data.history)],
        "Frames by the largest force deviation of the ensemble. The stage counts the exploration conditions.",
        "converged|remark",
        "labelled|largest deviation (eV/Å)|remark",
    )
    section.figures([plots_training.plot_learning(book, data.history)])
    sane: list[list[str | Cell]] = [
        [
            str(entry.get("iteration", i)),
            _text(item.get("model", item.get("name"))),
            status_cell(item.get("status")),
            show(item.get("max_temperature_K", item.get("max_T")), 4),
            _text(item.get("reason"), ""),
        ]
        for i, entry in enumerate(data.history)
        for item in entry.get("sanity") or []
        if isinstance(item, dict)
    ]
    if sane:
        words = ("model", "status", "remark")
        table = TableBlock(("iteration", "model", "status", "highest T (K)", "remark"), sane, words=words)
        section.blocks.append(DetailsBlock("Sanity MD of every new model", blocks=[table]))
    return section


def _iteration(i: int, entry: Mapping[str, Any]) -> list[str | Cell]:
    """Return the row of one iteration."""
    counts = [number(entry.get(key)) for key in ("accurate", "candidate", "failed")]
    total = sum(n or 0.0 for n in counts)
    share = f"{100 * (counts[0] or 0.0) / total:.0f} %" if total else ABSENT
    converged = {"True": Cell("yes", "good"), "False": Cell("no", "warn")}.get(str(entry.get("converged")), ABSENT)
    return [
        str(entry.get("iteration", i)),
        _text(entry.get("stage")),
        *(count(n) for n in counts),
        share,
        count(entry.get("selected")),
        count(entry.get("labelled")),
        show(_deviation(entry)),
        converged,
        _text(entry.get("message"), ""),
    ]


def _deviation(entry: Mapping[str, Any]) -> float | None:
    for key in ("max_devi_f_eV_A", "max_devi_f", "max_devi_eV_A", "max_deviation_eV_A"):
        if (found := number(entry.get(key))) is not None:
            return found
    return next(
        (n for key, v in sorted(entry.items()) if key.startswith("max_devi") and (n := number(v)) is not None), None
    )


def _text(value: Any, empty: str = ABSENT) -> str:
    return empty if value is None else str(value)


def model_groups(models: Mapping[str, Model]) -> dict[str, tuple[str, dict[str, Model]]]:
    """Return the models that share a figure of training curves, by group."""
    titles = {"ensemble": "Ensemble", "pretrain": "Pre-training", "finetune": "Fine-tuning", "student": "Student"}
    groups: dict[str, tuple[str, dict[str, Model]]] = {}
    for name, model in models.items():
        stem = re.sub(r"[^A-Za-z]*\d+$", "", name) or name
        key = {"fine_tuned": "finetune", "from_scratch": "finetune", "model": "ensemble"}.get(stem, stem)
        groups.setdefault(key, (titles.get(key, key), {}))[1][name] = model
    return groups


def training(data: ReportData, book: FigureBook) -> Section:
    """Training curves and sizes of the models."""
    section = Section("training", "Training")
    if not data.models:
        section.absent = "no model was trained"
        return section
    section.figures(
        [
            plots_training.plot_training(book, key, title, group)
            for key, (title, group) in model_groups(data.models).items()
        ]
    )
    rows = [
        [
            name,
            _text(m.info.get("preset")),
            count(m.info.get("steps")),
            show(m.info.get("rcut_A")),
            count(m.info.get("n_parameters")),
            duration(m.info.get("seconds")),
            count(m.info.get("threads")),
            _text(m.info.get("seed")),
        ]
        for name, m in data.models.items()
    ]
    section.table(
        ("model", "preset", "steps", "cut-off (Å)", "parameters", "time", "threads", "seed"),
        rows,
        "",
        "model|preset",
        "cut-off (Å)|parameters|threads|seed",
    )
    return section


def accuracy(data: ReportData, book: FigureBook) -> Section:
    """Errors and parity of every model on held-out trajectories."""
    section = Section("accuracy", "Accuracy on held-out trajectories")
    names = ordered_evaluations(data)
    if not names:
        section.absent = "no model was evaluated"
        return section
    rows = []
    for name in names:
        numbers = data.evaluations[name].numbers
        source = [_text(numbers.get("dataset")), _text(numbers.get("split")), count(numbers.get("n_frames"))]
        rows.append([label(name), *source, *(show(numbers.get(key)) for key in ERROR_COLUMNS.values())])
    section.table(
        ("model", "data", "split", "frames", *ERROR_COLUMNS),
        rows,
        "Shifted: after one constant per composition is taken out (a new compound has an energy of its own).",
        "model|data|split",
        "data|virial MAE (meV/atom)|E MAE, shifted",
    )
    bars = [(name, label(name)) for name in DOWNSTREAM if name in data.evaluations]
    quantities = (("energy_mae_meV_atom", "Energy MAE"), ("force_mae_meV_A", "Force MAE"))
    section.figures([_error_bars(book, data, bars, key, title) for key, title in quantities])
    for key, title, members in parity_groups(names):
        figures = []
        for quantity in QUANTITIES:
            hidden = quantity != "energy" and "zero_shot" in members  # a bias per element changes energies only
            found = {
                name: (label(name), data.evaluations[name])
                for name in members
                if not (hidden and name == "zero_shot_bias")
            }
            figures.append(plots_training.plot_parity(book, key, title, quantity, found))
        section.figures(figures)
    _per_element(data, names, section)
    return section


def _error_bars(book: FigureBook, data: ReportData, bars: list[tuple[str, str]], key: str, title: str) -> Figure | None:
    values = [(name, text, number(data.evaluations[name].numbers.get(key))) for name, text in bars]
    frames = {
        (str(n.get("dataset")), number(n.get("n_frames"))) for n in (data.evaluations[b].numbers for b, _ in bars)
    }
    note = "the same held-out frames for all bars" if len(frames) == 1 else "not all bars are of the same frames"
    unit = "meV/Å" if key.endswith("meV_A") else "meV/atom"
    known = [(n, t, v) for n, t, v in values if v is not None]
    return plots_training.plot_errors(book, key, f"{title} ({unit})", f"Lower is better; {note}.", known)


def parity_groups(names: list[str]) -> list[tuple[str, str, list[str]]]:
    """Return (key, title, evaluations) of the parity figures."""
    known = (
        ("pretrain", "Pre-trained", ["pretrain"]),
        ("downstream", "Downstream", list(DOWNSTREAM)),
        ("student", "Student", ["student", "student_vs_teacher"]),
    )
    groups = [(key, title, [m for m in members if m in names]) for key, title, members in known]
    others = [n for n in names if not any(n in members for _, _, members in known)]
    return [group for group in groups if group[2]] + [(name, name, [name]) for name in others]


def _per_element(data: ReportData, names: list[str], section: Section) -> None:
    found: dict[str, dict[str, float | None]] = {}
    for name in names:
        numbers = data.evaluations[name].numbers
        source = numbers.get("per_element") or numbers.get("force_mae_per_element_meV_A") or {}
        if isinstance(source, dict):
            found[name] = {
                str(k): number(v.get("force_mae_meV_A") if isinstance(v, dict) else v) for k, v in source.items()
            }
    elements = list(dict.fromkeys(e for values in found.values() for e in values))
    if elements:
        rows = [[label(name), *(show(values.get(e)) for e in elements)] for name, values in found.items() if values]
        section.blocks.append(
            DetailsBlock(
                "Force MAE of each element (meV/Å)", blocks=[TableBlock(("model", *elements), rows, words=("model",))]
            )
        )


def distillation(data: ReportData) -> Section | None:
    """Show the data of the student, and whether its frozen and compressed forms agree."""
    if not data.distill_filter and not data.parity:
        return None
    section = Section("distillation", "Distillation")
    f = data.distill_filter
    if f:
        section.text(
            f"{count(f.get('n_kept'))} of {count(f.get('n_frames'))} frames of the teacher's MD were kept; "
            f"{count(f.get('n_dropped'))} had a force above {show(f.get('max_force_limit_eV_A'))} eV/Å, or labels that "
            "are no numbers."
        )
    files = data.parity.get("files")
    entries = files if isinstance(files, dict) else {"compressed": data.parity} if data.parity else {}
    rows = []
    for name, entry in entries.items():
        if isinstance(entry, dict):
            values = {key: number(v) for key, v in entry.items()}
            force = next((v for k, v in values.items() if "force" in k or "dF" in k), None)
            energy = next((v for k, v in values.items() if "energy" in k or "dE" in k), None)
            rows.append([str(name), show(force, 2), show(energy, 2)])
    section.table(
        ("file", "largest force difference (eV/Å)", "largest energy difference (meV/atom)"),
        rows,
        f"Against {_text(data.parity.get('reference'), 'the frozen student')}, on test frames.",
        "file",
    )
    return section
