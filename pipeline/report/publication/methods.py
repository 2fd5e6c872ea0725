"""The methods paragraph: one sentence for each thing that was run, with the numbers of its result files.

A generator yields nothing where the run has no such result; no setting is repeated that had no effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dpa_sse.ops.md.lammps import TAU_P_PS, TAU_T_PS
from dpa_sse.ops.results.dataset import SPLITS
from dpa_sse.ops.results.md import MdRun
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.results.self_check import ErrorEstimate
from dpa_sse.ops.structures.series import base_name
from dpa_sse.pipeline.report.context import label_level, label_source
from dpa_sse.pipeline.report.inputs import ReportData, number
from dpa_sse.pipeline.report.page import as_published, interval, kelvin, listed, measured, plural, show
from dpa_sse.pipeline.report.publication.citations import cite
from dpa_sse.pipeline.report.publication.labelled_runs import labelled_runs
from dpa_sse.pipeline.report.publication.level_words import level_words
from dpa_sse.pipeline.report.transport import arrhenius_parts, transport_points

DESCRIPTORS = {"dpa2": "zhang2024dpa2", "dpa1": "zhang2024dpa1", "se_atten": "zhang2024dpa1"}
"""Citation by the beginning of DeePMD-kit's type of descriptor; ``se_e2_a`` and its relatives share one."""
FRAMES_OF_REFERENCE = {
    "framework": "relative to the framework", "barycentre": "relative to the centre of mass",
    "laboratory": "in the laboratory frame",
}


@dataclass(frozen=True)
class Paragraph:
    """Sentences on one topic; citations are marks, see :mod:`.citations`."""

    title: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences in one line."""
        return " ".join(self.sentences)


def methods(data: ReportData) -> list[Paragraph]:
    """Return the paragraphs of the methods section; empty for a run without results."""
    found = (
        ("Reference data", _data(data)), ("Potentials", _potentials(data)), ("Accuracy", _accuracy(data)),
        ("Molecular dynamics", _dynamics(data)), ("Conductivity", _conductivity(data)),
        ("Self-check", _self_check(data)), ("Workflow", _workflow(data)),
    )
    paragraphs = [Paragraph(title, tuple(sentences)) for title, sentences in found]
    kept = [one for one in paragraphs if one.sentences]
    return [] if [one.title for one in kept] == ["Workflow"] else kept


def _data(data: ReportData) -> Iterator[str]:
    virials = any(found.errors.virial_mae_meV_atom is not None for found in data.evaluations.values())
    labels = "Energies, forces and virials" if virials else "Energies and forces"
    if data.dataset is not None and data.dataset.systems:
        systems = list(dict.fromkeys(part.system for part in data.dataset.systems))
        splits: dict[str, int] = {}
        for part in sorted(data.dataset.systems, key=lambda part: SPLITS.index(part.split)):
            splits[part.split] = splits.get(part.split, 0) + part.n_frames
        shares = listed([f"{n} for {'training' if split == 'train' else split}" for split, n in splits.items()])
        yield (
            f"{labels} of {sum(splits.values())} configurations of {listed(systems)} ({shares}) were computed with "
            f"{level_words(data.dataset.level or label_level(data))}."
        )
    elif (level := label_level(data)) is not None:
        yield f"{labels} were computed with {level_words(level)}."
    yield from labelled_runs(data)
    if data.history:
        yield from _learning(data)


def _learning(data: ReportData) -> Iterator[str]:
    members = sum(name.startswith("ensemble-") for name in data.models)
    ensemble = f" with an ensemble of {members} potentials" if members else ""
    labelled = sum(report.selected if report.labelled is None else report.labelled for report in data.history)
    groups = [group for report in data.history for group in report.groups]
    bounds = list(dict.fromkeys((group.force_lo, group.force_hi) for group in groups))
    between = listed([f"{low:.3g} and {high:.3g}" for low, high in bounds])
    epsilons = {group.epsilon_eV_A for group in groups if group.epsilon_eV_A is not None}
    unit = "eV/Å" if not epsilons else f"times |F| + {listed([f'{one:g}' for one in sorted(epsilons)])} eV/Å"
    virial = " or of the virial was between its trust levels" if any(
        group.virial_hi_eV_atom is not None for group in groups) else ""
    ended = "It ended converged." if data.history[-1].converged else "It ended before it converged."
    yield (
        f"Concurrent learning{cite('zhang2019active', 'zhang2020dpgen')}{ensemble} made "
        f"{plural(len(data.history), 'iteration')} and labelled {labelled} configurations whose largest deviation of "
        f"the forces was between {between} {unit}{virial}. {ended}"
    )


def _potentials(data: ReportData) -> Iterator[str]:
    ensemble = [model.info for name, model in data.models.items() if name.startswith("ensemble-")]
    if ensemble:
        last = " in the last iteration" if len(data.history) > 1 else ""
        networks = Counter(map(_network, ensemble))
        each = f", each {_network(ensemble[0])}" if len(networks) == 1 else ": " + listed(
            [f"{n} of {network}" for network, n in networks.items()])
        yield (
            f"The ensemble consists of {plural(len(ensemble), 'potential')}{each}{_steps(ensemble)}{last}."
        )
    if (model := data.models.get("pretrain")) is not None:
        info = model.info
        if info.adopted:
            yield f"The pre-trained potential {info.adopted} was taken as it is ({_network(info)})."
        else:
            yield f"The pre-trained potential is {_network(info)}{_steps([info])}."
    if (model := data.models.get("finetune")) is not None:
        yield _fine_tuned(model.info)
    if (model := data.models.get("from_scratch")) is not None:
        yield f"For comparison, the same network was trained on the same data from scratch{_steps([model.info])}."
    yield from _distilled(data)
    if (model := data.models.get("student")) is not None and model.info.adopted:
        words = f"({_network(model.info)})"
        yield f"The potential {model.info.adopted} of the molecular dynamics was taken as it is {words}."
    trained = [model.info for model in data.models.values() if not model.info.adopted]
    versions = sorted({info.deepmd_version for info in trained if info.deepmd_version})
    if versions:
        code = cite("wang2018deepmd", "zeng2023deepmd", *(["zeng2025deepmd"] if versions[-1] >= "3" else []))
        yield f"Potentials were trained with DeePMD-kit {listed(versions)}{code}."


def _network(info: ModelInfo) -> str:
    """Return ``a network with the descriptor dpa2 [@...] (cutoff 6 Å, 123456 parameters)``."""
    kind = info.descriptor or ""
    key = next((key for start, key in DESCRIPTORS.items() if kind.startswith(start)), "")
    if not key and kind.startswith("se_"):
        key = "zhang2018deeppot"
    details = [f"preset {info.preset}"] if info.preset else []
    details += [f"cutoff {info.rcut_A:g} Å"] if info.rcut_A else []
    details += [f"{info.n_parameters} parameters"] if info.n_parameters else []
    name = f"a network with the descriptor {kind}{cite(key) if key else ''}" if kind else "a network"
    return f"{name} ({', '.join(details)})" if details else name


def _steps(models: Sequence[ModelInfo]) -> str:
    steps = sorted({info.steps for info in models if info.steps})
    return f", trained for {' to '.join(str(n) for n in dict.fromkeys((steps[0], steps[-1])))} steps" if steps else ""


def _fine_tuned(info: ModelInfo) -> str:
    text = "It was fine-tuned"
    if info.frames is not None:
        text += f" on {plural(info.frames, 'configuration')} of the new compound"
    if info.replay_frames:
        text += f" and {info.replay_frames} of the base systems"
        if info.strategy == "multitask":
            text += ", which have a separate fitting net,"
    if info.steps:
        text += f" for {info.steps} steps"
    if (rate := info.learning_rate) is not None:
        end = f" to {as_published(rate.stop_lr)}" if rate.stop_lr else ""
        text += f", learning rate {as_published(rate.start_lr)}{end}"
    return f"{text}."


def _distilled(data: ReportData) -> Iterator[str]:
    student = data.models.get("student")
    if data.teacher_filter is None or student is None:
        return
    found = data.teacher_filter
    teacher = "fine-tuned" if "finetune" in data.models else "pre-trained"
    corrections = data.self_check.corrections if data.self_check else 0
    last = " in the last correction" if corrections and _steps([student.info]) else ""
    yield (
        f"The {teacher} potential was distilled{cite('wang2025dpasse')} into {_network(student.info)}"
        f"{_steps([student.info])}{last}. {found.n_kept} configurations of molecular dynamics with it, which it "
        f"labelled, are training and test data ({found.n_train} and {found.n_test})."
    )
    if data.config.distill and data.config.distill.self_exploration:
        yield (
            "A first student, trained on these, ran molecular dynamics as well; the configurations that it visited "
            "were labelled in the same way and added."
        )
    if student.info.compressed:
        yield f"The student was compressed{cite('lu2022compress')}."


def _accuracy(data: ReportData) -> Iterator[str]:
    name = next((one for one in ("student", "fine_tuned", "pretrain") if one in data.evaluations), None)
    if name is None:
        return
    errors = data.evaluations[name].errors
    words = {"student": "distilled", "fine_tuned": "fine-tuned", "pretrain": "pre-trained"}[name]
    source = f" ({errors.level.name})" if errors.level else ""
    parts = [
        _with_ends(errors.energy_mae_meV_atom, errors.energy_mae_ci95_meV_atom, "meV/atom in the energy"),
        _with_ends(errors.force_mae_meV_A, errors.force_mae_ci95_meV_A, "meV/Å in the force components"),
    ]
    yield (
        f"On {errors.n_frames} configurations of the {errors.split} split{source}, the mean absolute errors of the "
        f"{words} potential are {listed(parts)}."
    )


def _with_ends(value: float, ends: tuple[float, float] | None, unit: str) -> str:
    return f"{show(value)} {unit}" + (f" (95 %: {interval(ends, 2)})" if ends else "")


def _dynamics(data: ReportData) -> Iterator[str]:
    for system in dict.fromkeys(base_name(run.info.system) for run in data.md):
        runs = [run.info for run in data.md if base_name(run.info.system) == system]
        yield _runs(data, system, runs)
        for word in ("exploded", "melted", "failed"):
            lost = [f"{kelvin(run.temperature_K)} K" for run in runs if run.status == word]
            if lost:
                yield f"{plural(len(lost), 'run')} ({listed(list(dict.fromkeys(lost)))}) {word} and were not used." if (
                    len(lost) > 1
                ) else f"1 run ({lost[0]}) {word} and was not used."


def _runs(data: ReportData, system: str, runs: Sequence[MdRun]) -> str:
    version = _package(data, "lammps")
    program = f"LAMMPS{f' {version}' if version else ''}{cite('thompson2022lammps')}"
    distilled = data.teacher_filter is not None
    with_student = f" and the {'distilled' if distilled else 'given'} potential" if "student" in data.models else ""
    atoms = " or ".join(str(n) for n in sorted({run.n_atoms for run in runs}))
    arrangements = len({run.system for run in runs})
    of = f"{system} ({arrangements} arrangements of its atoms)" if arrangements > 1 else system
    text = f"Cells of {of} with {atoms} atoms were simulated with {program}{with_student}, time step "
    text += f"{_range([run.timestep_fs for run in runs])} fs: "
    before = [run.equilibration_steps * run.timestep_fs / 1000 for run in runs]
    if any(before):
        text += (
            f"{_range(before)} ps at constant pressure ({_range([run.pressure_GPa for run in runs])} GPa, isotropic "
            f"barostat, {TAU_P_PS:g} ps), then "
        )
    ensembles = " or ".join(sorted({run.ensemble.upper() for run in runs}))
    text += f"{_range([run.steps * run.timestep_fs / 1000 for run in runs])} ps in the {ensembles} ensemble"
    if any(run.own_input for run in runs):
        text += " (with an input file of LAMMPS that was written for it)"
    elif any(run.ensemble != "nve" for run in runs):
        text += f" (Nosé–Hoover thermostat{cite('nose1984', 'hoover1985')}, {TAU_T_PS:g} ps)"
    temperatures = listed([kelvin(T) for T in sorted({run.temperature_K for run in runs})])
    counts = {T: sum(run.temperature_K == T for run in runs) for T in {run.temperature_K for run in runs}}
    each = _range([float(n) for n in counts.values()])
    return f"{text}, at {temperatures} K, {each} {'run' if each == '1' else 'runs'} at each temperature."


def _range(values: Sequence[float]) -> str:
    ends = list(dict.fromkeys(f"{value:g}" for value in (min(values), max(values))))
    return " to ".join(ends)


def _conductivity(data: ReportData) -> Iterator[str]:
    found, points = data.conductivity, transport_points(data)
    if found is None or not points:
        return
    settings = found.settings
    names = settings.get("mobile")
    mobile = [str(name) for name in names] if isinstance(names, list) else []
    frame = FRAMES_OF_REFERENCE.get(str(settings.get("reference")), "")
    of = (f" of {listed(mobile)}" if mobile else "") + (f" {frame}" if frame else "")
    start = number(settings.get("start_ps"))
    since = f"averaged over possible starts of the diffusive regime{cite('jay2021')}" if start is None else (
        f"from {start:g} ps on"
    )
    yield (
        f"Tracer diffusion coefficients are slopes of the mean squared displacement{of} by generalised least "
        f"squares{cite('bullerjahn2020')}, {since}; intervals are 95 %."
    )
    valued = [p for p in points if p.sigma_mS_cm is not None]
    several = len({p.system for p in points}) > 1
    of = plural(len(points), "state point" if several else "temperature")
    text = f"A value was obtained at {len(valued)} of {of}"
    titles = [p.title for p in valued]
    yield text + (f" ({'; '.join(titles) if several else listed(titles)})." if valued else ".")
    if valued:
        charges = settings.get("charges")
        given = {one: number(value) for one, value in charges.items()} if isinstance(charges, dict) else {}
        known = [f"{one} {given[one]:+g}" for one in mobile if given.get(one) is not None]
        inside = f" (charges: {', '.join(known)})" if known else ""
        yield f"Conductivities follow from the Nernst–Einstein relation{inside}."
    for system, line, _ in arrhenius_parts(data, points):
        if line.Ea_eV is None or not line.determined:
            continue
        power = "σT" if line.exponent_m == -1 else f"σT^{-line.exponent_m:g}"
        text = (
            f"For {system}, a line through ln({power}) against 1/T at "
            f"{listed([kelvin(T) for T in line.points_used])} K gives Ea = {measured(line.Ea_eV, line.Ea_ci95_eV)} eV "
            f"(95 %: {interval(line.Ea_ci95_eV, 2)})"
        )
        for one in line.extrapolated:
            if one.sigma_mS_cm is not None:
                value = measured(one.sigma_mS_cm, one.sigma_ci95_mS_cm)
                text += f" and, extrapolated to {kelvin(one.temperature_K)} K, σ = {value} mS/cm"
                text += f" (95 %: {interval(one.sigma_ci95_mS_cm, 2)})"
        yield f"{text}."


def _self_check(data: ReportData) -> Iterator[str]:
    found = data.self_check
    if found is None or not found.frames:
        return
    bars = found.bars
    if found.corrections:
        learned = sum(one.labels for one in found.rounds[:-1])
        yield (
            f"{learned} configurations of earlier production runs were labelled ({label_source(data)}); the potential "
            f"was trained on with them ({plural(found.corrections, 'correction')}), the student on its new labels, and "
            "the molecular dynamics started again."
        )
    yield (
        f"{len(found.frames)} configurations of the production runs were labelled ({label_source(data)}) and compared "
        "with the potential that ran them; the mean energy error on its training configurations of the composition is "
        "subtracted."
    )
    for system in found.systems:
        if system.errors is None:
            continue
        parts = [
            _estimate(estimate, unit)
            for estimate, unit in (
                (system.errors.energy_bias_meV_atom, "meV/atom in the energy"),
                (system.errors.pressure_error_GPa, "GPa in the pressure"),
                (system.errors.force_mae_meV_A, "meV/Å (mean absolute) in the forces"),
            )
            if estimate is not None
        ]
        yield (
            f"For {system.system} it is off by {listed(parts)}; with {bars.max_energy_bias_meV_atom:g} meV/atom, "
            f"{bars.max_pressure_error_GPa:g} GPa and {bars.max_force_mae_ratio:g} times the force error on held-out "
            f"configurations allowed, the verdict is “{system.verdict}”."
        )


def _estimate(estimate: ErrorEstimate, unit: str) -> str:
    half = estimate.half_width
    return f"{show(estimate.mean, 2)}{'' if half is None else f' ± {show(half, 2)}'} {unit}"


def _workflow(data: ReportData) -> Iterator[str]:
    version = data.provenance.get("pipeline")
    engine = _package(data, "pydflow")
    if version:
        text = f"The calculations were run with the DPA-SSE pipeline {version}"
        yield text + (f" on dflow {engine}{cite('liu2024dflow')}." if engine else ".")
    earlier = data.provenance.get("earlier")
    if isinstance(earlier, dict) and earlier:
        names = "; ".join(
            f"{name} {', '.join(map(str, old))}" for name, old in earlier.items() if isinstance(old, list)
        )
        yield f"Earlier starts of the run used other versions: {names}."


def _package(data: ReportData, name: str) -> str:
    """Return the version of a package that the run records; empty if it does not."""
    packages = data.provenance.get("packages")
    return str(packages.get(name) or "") if isinstance(packages, dict) else ""
