"""Sections on the models: training, accuracy, distillation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dpa_sse.ops.results.evaluation import Evaluation
from dpa_sse.pipeline.report.context import evaluation_source
from dpa_sse.pipeline.report.figures import FigureBook, PageFigure
from dpa_sse.pipeline.report.inputs import QUANTITIES, ReportData, TrainedModel
from dpa_sse.pipeline.report.page import (
    ABSENT,
    DetailsBlock,
    PageSection,
    TableBlock,
    count,
    duration,
    interval,
    kelvin,
    plural,
    show,
)
from dpa_sse.pipeline.report.plots.models import plot_errors, plot_parity, plot_training
from dpa_sse.pipeline.report.records import evaluation_label

ERROR_COLUMNS = (
    "E MAE (meV/atom)",
    "95 % interval",
    "E MAE, shifted",
    "E RMSE",
    "F MAE (meV/Å)",
    "95 % interval ",
    "F RMSE",
    "virial MAE (meV/atom)",
)
DOWNSTREAM = ("zero_shot", "zero_shot_bias", "from_scratch", "fine_tuned")
TESTED = {
    "pretrain": "pretrain", "finetune": "fine_tuned", "from_scratch": "from_scratch", "student": "student_vs_teacher",
}
"""The evaluation of each model on held-out frames with labels of the kind that it is trained on."""
GROUPS = {"ensemble": "Ensemble", "pretrain": "Pre-training", "finetune": "Fine-tuning", "student": "Student"}


def model_groups(models: Mapping[str, TrainedModel]) -> dict[str, tuple[str, dict[str, TrainedModel]]]:
    """Return title and models of every figure of training curves."""
    groups: dict[str, tuple[str, dict[str, TrainedModel]]] = {}
    for name, model in models.items():
        stem = re.sub(r"-\d+$", "", name)
        key = "finetune" if stem == "from_scratch" else stem
        groups.setdefault(key, (GROUPS.get(key, key), {}))[1][name] = model
    return groups


def training(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section on training curves and sizes of the models."""
    section = PageSection("training", "Training")
    if not data.models:
        section.absent = "no model was trained"
        return section
    tested = {name: data.evaluations[own].errors for name, own in TESTED.items() if own in data.evaluations}
    section.figures([plot_training(book, key, *group, tested) for key, group in model_groups(data.models).items()])
    rows = [
        [
            name,
            model.info.preset or ABSENT,
            count(model.info.steps),
            show(model.info.rcut_A),
            count(model.info.n_parameters),
            duration(model.info.seconds),
            count(model.info.threads),
            ABSENT if model.info.seed is None else str(model.info.seed),
        ]
        for name, model in data.models.items()
    ]
    section.table(
        ("model", "preset", "steps", "cutoff (Å)", "parameters", "time", "threads", "seed"),
        rows,
        "",
        "model|preset",
        "cutoff (Å)|parameters|threads|seed",
    )
    return section


def accuracy(data: ReportData, book: FigureBook) -> PageSection:
    """Return the section on errors and parity of every model on held-out trajectories."""
    section = PageSection("accuracy", "Accuracy on held-out trajectories")
    names = data.ordered_evaluations
    if not names:
        section.absent = "no model was evaluated"
        return section
    sources = {evaluation_source(data.evaluations[name].errors) for name in names}
    same = sources.pop() if len(sources) == 1 else ""
    section.table(
        ("model", "split", "labels", "frames", *ERROR_COLUMNS),
        [[evaluation_label(name), *_error_cells(data.evaluations[name].errors, same)] for name in names],
        (f"All relative to {same}. " if same else "")
        + "Shifted: after subtracting one constant per composition, since the absolute energy of a new compound is "
        "arbitrary. Intervals are over trajectories, whose frames are correlated. These are errors on short runs with "
        "the labeler; the errors in production are in the self-check.",
        "model|split|labels",
        "labels|virial MAE (meV/atom)|E MAE, shifted",
    )
    bars = {name: data.evaluations[name].errors for name in DOWNSTREAM if name in data.evaluations}
    section.figures(_error_bars(book, bars))
    for key, title, members in parity_groups(names):
        figures = []
        for quantity in QUANTITIES:
            hidden = quantity != "energy" and "zero_shot" in members  # a bias per element changes energies only
            found = {
                name: data.evaluations[name] for name in members if not (hidden and name == "zero_shot_bias")
            }
            figures.append(plot_parity(book, key, title, quantity, found))
        section.figures(figures)
    _per_element(data, names, section)
    _per_trajectory(data, names, section)
    return section


def _error_cells(errors: Evaluation, same: str) -> list[str]:
    """Return the cells of a model; its labels are left out where all models have the ``same``."""
    values = (
        errors.energy_mae_meV_atom, errors.energy_mae_shifted_meV_atom, errors.energy_rmse_meV_atom,
        errors.force_mae_meV_A, errors.force_rmse_meV_A, errors.virial_mae_meV_atom,
    )
    cells = [show(value) for value in values]
    cells.insert(4, interval(errors.force_mae_ci95_meV_A, 2))
    cells.insert(1, interval(errors.energy_mae_ci95_meV_atom, 2))
    labels = ABSENT if same else evaluation_source(errors).removesuffix(" labels")
    return [errors.split, labels, count(errors.n_frames), *cells]


def _error_bars(book: FigureBook, errors: Mapping[str, Evaluation]) -> list[PageFigure | None]:
    same = len({(found.split, found.n_frames) for found in errors.values()}) == 1
    note = f"Lower is better; {'all bars are for the same' if same else 'the bars are not all for the same'} frames."
    energy = [(name, found.energy_mae_meV_atom) for name, found in errors.items()]
    force = [(name, found.force_mae_meV_A) for name, found in errors.items()]
    return [
        plot_errors(book, "energy_mae_meV_atom", "Energy MAE (meV/atom)", note, energy),
        plot_errors(book, "force_mae_meV_A", "Force MAE (meV/Å)", note, force),
    ]


def parity_groups(names: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Return (key, title, evaluations) of the parity figures."""
    known = (
        ("pretrain", "Pre-trained", ("pretrain",)),
        ("downstream", "Downstream", DOWNSTREAM),
        ("student", "Student", ("student", "student_vs_teacher")),
    )
    groups = [(key, title, [m for m in members if m in names]) for key, title, members in known]
    others = [n for n in names if not any(n in members for _, _, members in known)]
    return [group for group in groups if group[2]] + [(name, name, [name]) for name in others]


def _per_element(data: ReportData, names: Sequence[str], section: PageSection) -> None:
    found = {name: data.evaluations[name].errors.force_mae_per_element_meV_A for name in names}
    elements = list(dict.fromkeys(element for values in found.values() for element in values))
    rows = [[evaluation_label(name), *(show(values.get(e)) for e in elements)] for name, values in found.items()]
    table = TableBlock(("model", *elements), rows, words=("model",))
    section.blocks.append(DetailsBlock("Force MAE by element (meV/Å)", blocks=[table]))


def _per_trajectory(data: ReportData, names: Sequence[str], section: PageSection) -> None:
    rows = [
        [
            evaluation_label(name), one.system, one.trajectory, kelvin(one.temperature_K), count(one.n_frames),
            show(one.energy_mae_meV_atom), show(one.force_mae_meV_A), show(one.distance_to_training_A, 2),
        ]
        for name in names for one in data.evaluations[name].errors.trajectories
    ]
    if rows:
        columns = (
            "model", "system", "trajectory", "T (K)", "frames", "E MAE (meV/atom)", "F MAE (meV/Å)",
            "distance to training (Å)",
        )
        table = TableBlock(
            columns, rows, "Distance: smallest root mean square displacement to a training frame.",
            words=("model", "system", "trajectory"),
        )
        section.blocks.append(DetailsBlock("Errors by trajectory, and distance to the training frames", blocks=[table]))


def distillation(data: ReportData) -> PageSection | None:
    """Return the section on the student's data and on the agreement of its frozen and compressed forms, or None."""
    if data.teacher_filter is None and data.parity is None:
        return None
    section = PageSection("distillation", "Distillation")
    if found := data.teacher_filter:
        section.text(
            f"{count(found.n_kept)} of {count(found.n_frames)} frames of the teacher's MD were kept; "
            f"{count(found.n_dropped)} had a force above {show(found.max_force_limit_eV_A)} eV/Å or a label that is "
            "not finite."
        )
        broken = [run for run in found.trajectories if run.status != "ok"]
        if broken:
            section.text(
                f"{len(broken)} of {plural(len(found.trajectories), 'teacher run')} did not reach the end; the frames "
                f"before were used: {'; '.join(f'{run.name}: {run.reason or run.status}' for run in broken)}.",
                "warn",
            )
    if parity := data.parity:
        section.table(
            ("file", "largest force difference (eV/Å)", "largest energy difference (meV/atom)"),
            [
                [name, show(entry.max_force_difference_eV_A, 2), show(entry.max_energy_difference_meV_atom, 2)]
                for name, entry in parity.files.items()
            ],
            f"Relative to {parity.reference}, on held-out frames of the teacher's MD.",
            "file",
        )
    return section
