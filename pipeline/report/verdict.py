"""What the run shows, in plain words: made, trustworthy, inconclusive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpa_sse.ops.conductivity.arrhenius import ADVISED_TEMPERATURES
from dpa_sse.ops.conductivity.estimate import WARN_HOPS as MIN_HOPS
from dpa_sse.pipeline.report.inputs import ReportData, number
from dpa_sse.pipeline.report.page import Level, clip, interval, listed, measured, plural, show
from dpa_sse.pipeline.report.summary import label, overall_status
from dpa_sse.pipeline.report.transport import Point, arrhenius_parts, combined_verdict, transport_points

MAX_RELATIVE_CI = 0.25
MIN_TEMPERATURES = ADVISED_TEMPERATURES
MIN_EDGE_A = 20.0
MAX_ENERGY_MAE = 5.0
"""meV/atom; above it, or above the next, the report warns."""
MAX_FORCE_MAE = 100.0
"""meV/A."""


@dataclass
class Verdict:
    """The box at the top of the page."""

    level: Level
    headline: str
    made: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tile:
    """One key figure."""

    value: str
    unit: str
    label: str
    note: str = ""


def judge(data: ReportData) -> Verdict:
    """Return the verdict on a run."""
    points = transport_points(data)
    level, headline = _headline(data, points)
    verdict = Verdict(level, headline)
    _made(data, verdict)
    _failures(data, verdict)
    _fine_tuning(data, verdict)
    _student(data, verdict)
    _accuracy(data, verdict)
    _dynamics(data, verdict)
    _transport(data, points, verdict)
    for entry in data.history[-1:]:
        if entry.get("converged") is False:
            verdict.unsure.append(
                "Concurrent learning stopped before it had converged: the models may be wrong in "
                "configurations that were not explored."
            )
    return verdict


def _headline(data: ReportData, points: Sequence[Point]) -> tuple[Level, str]:
    failed = [str(s.get("title") or s.get("name")) for s in data.stages if s.get("status") == "failed"]
    if failed:
        return "bad", f"The run failed in: {_names(failed)}."
    if not data.conductivity:
        return "info", "No conductivity was computed in this run."
    n = sum(p.sigma_mS_cm is not None for p in points)
    if combined_verdict(points) == "all":
        return "good", f"Conductivity determined at {'all ' if n > 1 else ''}{plural(n, 'temperature')}."
    if n:
        return (
            "warn",
            f"Conductivity determined at {n} of {plural(len(points), 'temperature')}; the rest is inconclusive.",
        )
    return "warn", "Inconclusive: no temperature gave a conductivity."


def _made(data: ReportData, verdict: Verdict) -> None:
    systems = [s for s in data.dataset.get("systems") or [] if isinstance(s, dict)]
    frames = sum(int(number(s.get("n_frames")) or 0) for s in systems)
    if frames:
        verdict.made.append(f"{frames} labelled frames of {_names(s.get('system') for s in systems)}.")
    labelled = sum(int(number(entry.get("labelled", entry.get("selected"))) or 0) for entry in data.history)
    if data.history:
        verdict.made.append(
            f"{plural(len(data.history), 'iteration')} of concurrent learning, {labelled} frames chosen for labels."
        )
    if data.models:
        verdict.made.append(f"{plural(len(data.models), 'trained model')}: {_names(data.models)}.")
    if data.md:
        of = _names(run.run.get("system") for run in data.md)
        verdict.made.append(f"{plural(len(data.md), 'production run')}" + (f" of {of}." if of else "."))


def _names(values: Iterable[Any]) -> str:
    """Return distinct names as a list in words, long lists and names shortened."""
    names = [clip(name, 48) for name in sorted({str(value) for value in values if value})]
    return listed(names if len(names) <= 8 else [*names[:7], f"{len(names) - 7} others"])


def _failures(data: ReportData, verdict: Verdict) -> None:
    if overall_status(data.stages) == "partial":
        lost = sum(int(number(s.get("tasks_failed")) or 0) for s in data.stages)
        open_stages = [
            str(s.get("title") or s.get("name")) for s in data.stages if s.get("status") not in {"ok", "partial"}
        ]
        if lost:
            verdict.bad.append(f"{plural(lost, 'task')} failed; see Failures.")
        if open_stages:
            verdict.bad.append(f"Not finished: {_names(open_stages)}.")


def _mae(data: ReportData, name: str, key: str) -> float | None:
    return number(data.evaluations[name].numbers.get(key)) if name in data.evaluations else None


def _fine_tuning(data: ReportData, verdict: Verdict) -> None:
    keys = (("energy_mae_meV_atom", "energy", "meV/atom"), ("force_mae_meV_A", "force", "meV/Å"))
    # Before fine-tuning the energies of a new element are off by a constant, which is no merit to remove.
    before = ("zero_shot", "before fine-tuning")
    if "zero_shot_bias" in data.evaluations:
        before = ("zero_shot_bias", "before fine-tuning with its energies per element fitted")
    for other, words in (
        before,
        ("from_scratch", "the same network trained from scratch"),
    ):
        parts, better = [], True
        for key, quantity, unit in keys:
            old, new = _mae(data, other, key), _mae(data, "fine_tuned", key)
            if old is None or new is None:
                continue
            better = better and new < old
            parts.append(f"{quantity} MAE {show(new)} instead of {show(old)} {unit}")
        if parts:
            word = "better" if better else "not better in every quantity"
            text = f"The fine-tuned model is {word} than {words}: {listed(parts)} on held-out frames."
            (verdict.good if better else verdict.unsure).append(text)


def _student(data: ReportData, verdict: Verdict) -> None:
    force, energy = (_mae(data, "student_vs_teacher", key) for key in ("force_mae_meV_A", "energy_mae_meV_atom"))
    if force is not None:
        n = number(data.evaluations["student_vs_teacher"].numbers.get("n_frames"))
        close = force <= MAX_FORCE_MAE and (energy or 0.0) <= MAX_ENERGY_MAE
        words = "follows its teacher with" if close else "departs from its teacher by"
        (verdict.good if close else verdict.unsure).append(
            f"The student {words} a mean error of {show(energy)} meV/atom and {show(force)} meV/Å on "
            f"{plural(int(n or 0), 'held-out frame')}."
        )


def _accuracy(data: ReportData, verdict: Verdict) -> None:
    """Warn when the model that ran the MD is far from its labels: its conductivity is then not the material's."""
    name = next((n for n in ("student", "fine_tuned", "pretrain") if n in data.evaluations), None)
    if name is None:
        return
    force, energy = _mae(data, name, "force_mae_meV_A"), _mae(data, name, "energy_mae_meV_atom")
    if (force or 0.0) > MAX_FORCE_MAE or (energy or 0.0) > MAX_ENERGY_MAE:
        verdict.unsure.append(
            f"The {label(name)} model is off its labels by {show(energy)} meV/atom and {show(force)} meV/Å "
            f"(MAE; up to {MAX_ENERGY_MAE:g} and {MAX_FORCE_MAE:g} are advised): the numbers are those of this model, "
            "not necessarily of the material."
        )


def _dynamics(data: ReportData, verdict: Verdict) -> None:
    if not data.md:
        return
    stable = [run for run in data.md if run.status == "ok"]
    if stable:
        verdict.good.append(f"{len(stable)} of {plural(len(data.md), 'MD run')} stayed stable to the end.")
    for word in ("exploded", "melted", "failed", "unknown"):
        runs = [run.name for run in data.md if run.status == word]
        if runs:
            said = "gave no status" if word == "unknown" else word
            verdict.bad.append(
                f"{plural(len(runs), 'MD run')} {said} ({_names(runs)}); nothing is concluded from such a run."
            )


def _transport(data: ReportData, points: Sequence[Point], verdict: Verdict) -> None:
    for p in points:
        if p.sigma_mS_cm is None:
            verdict.unsure.append(
                f"{clip(p.title)}: inconclusive, {clip(p.verdict or 'no verdict', 120)}"
                + (f": {clip(p.reasons[0], 160)}" if p.reasons else "")
                + "."
            )
            continue
        sigma = measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm)
        text = f"{p.title}: σ = {sigma} mS/cm (95 %: {interval(p.sigma_ci95_mS_cm)})."
        width = relative_width(p)
        if width is not None and width > MAX_RELATIVE_CI:
            verdict.unsure.append(f"{text} The run is diffusive, but the interval is wide (± {100 * width:.0f} %).")
        elif p.n_hops is not None and p.n_hops < MIN_HOPS:
            verdict.unsure.append(f"{text} It is diffusive, but rests on {p.n_hops:.0f} hops ({MIN_HOPS} advised).")
        else:
            verdict.good.append(text)
    if any(p.sigma_mS_cm is not None for p in points):
        _extrapolation(data, points, verdict)


def _extrapolation(data: ReportData, points: Sequence[Point], verdict: Verdict) -> None:
    lines = [part for part in arrhenius_parts(data, points) if part[1].Ea_eV is not None]
    n = min((len({p.temperature_K for p in own if p.D_cm2_s is not None}) for _, _, own in lines), default=0)
    if not lines:
        verdict.unsure.append("No activation energy and nothing at 300 K: fewer than two temperatures gave a value.")
    for _, part, _ in (line for line in lines if not line[1].determined):
        verdict.unsure.append(
            f"The activation energy is not determined (95 %: {interval(part.Ea_ci95_eV, 2)} eV): the "
            "temperatures lie too close together for their error bars. Nothing should be read off the line."
        )
    if n < MIN_TEMPERATURES and any(part.determined for _, part, _ in lines):
        verdict.unsure.append(
            f"The activation energy and the numbers at room temperature rest on {n} temperatures "
            f"({MIN_TEMPERATURES} or more are advised): treat them as a rough guide."
        )
    edge = smallest_edge(data)
    if edge is not None and edge < MIN_EDGE_A:
        verdict.unsure.append(
            f"The cell is small (edge about {edge:.0f} Å; {MIN_EDGE_A:.0f} Å or a size check is advised)."
        )


def relative_width(point: Point) -> float | None:
    """Return half the 95 % interval of sigma over its value."""
    if not point.sigma_mS_cm or point.sigma_ci95_mS_cm is None:
        return None
    return (point.sigma_ci95_mS_cm[1] - point.sigma_ci95_mS_cm[0]) / 2 / point.sigma_mS_cm


def smallest_edge(data: ReportData) -> float | None:
    """Return the cube root of the smallest mean volume among the runs, in A."""
    means = []
    for run in data.md:
        volumes = [v for v in run.thermo.get("volume_A3", []) if isinstance(v, float) and v > 0]
        if volumes:
            means.append((sum(volumes) / len(volumes)) ** (1 / 3))
    return min(means, default=None)


def tiles(data: ReportData) -> list[Tile]:
    """Return the key figures under the verdict."""
    found: list[Tile] = []
    points = transport_points(data)
    valued = [p for p in points if p.sigma_mS_cm is not None]
    if valued:
        p = valued[-1]
        found.append(
            Tile(
                measured(p.sigma_mS_cm, p.sigma_ci95_mS_cm), "mS/cm", f"conductivity at {p.title}",
                f"95 %: {interval(p.sigma_ci95_mS_cm, 2)}",
            )
        )
    elif points:
        found.append(Tile("none", "", "conductivity", "inconclusive at every temperature"))
    parts = arrhenius_parts(data, points)
    for system, part, _ in parts[:2]:
        if part.Ea_eV is not None:
            of = f", {clip(system, 30)}" if len(parts) > 1 else ""
            note = f"95 %: {interval(part.Ea_ci95_eV)}"
            if not part.determined:
                found.append(Tile("open", "", f"activation energy{of}", f"{note} eV"))
                continue
            found.append(Tile(measured(part.Ea_eV, part.Ea_ci95_eV), "eV", f"activation energy{of}", note))
    for name, words in (("fine_tuned", "fine-tuned"), ("pretrain", "pre-trained")):
        force, energy = _mae(data, name, "force_mae_meV_A"), _mae(data, name, "energy_mae_meV_atom")
        if force is not None:
            found.append(Tile(show(force), "meV/Å", f"force MAE, {words}", f"energy MAE {show(energy)} meV/atom"))
            break
    if data.md:
        stable = sum(run.status == "ok" for run in data.md)
        speeds = [v for v in (number(run.run.get("steps_per_s")) for run in data.md) if v is not None]
        ends = list(dict.fromkeys(show(v) for v in (min(speeds), max(speeds)))) if speeds else []
        note = f"{' to '.join(ends)} steps/s" if ends else ""
        found.append(Tile(f"{stable} / {len(data.md)}", "", "stable MD runs", note))
    return found
