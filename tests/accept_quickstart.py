"""Acceptance of a finished quickstart: ``python -m tests.accept_quickstart runs/quickstart``.

Reads ``summary.json``, the event log and the report; prints each promise with its figure; exit code 1 when one is
broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from dpa_sse.ops.results.summary import Summary
from dpa_sse.pipeline.runs.folder import Run

MAX_MINUTES = 15.0
MAX_BIAS = 8.0


def promises(summary: Summary, run: Path) -> Iterator[tuple[str, bool, str]]:
    """Yield (promise, kept, figure)."""
    # A run that melts is one of the ends of production MD; how many must not is a separate promise, below.
    done = all(s.status == "ok" or (s.name, s.status) == ("07-md", "partial") for s in summary.stages)
    stages = ", ".join(f"{s.name} {s.status}" for s in summary.stages)
    yield "every stage is done", bool(summary.stages) and done, stages
    attempt = Run(run).latest_attempt()
    minutes = (attempt[-1].time - attempt[0].time) / 60
    yield f"within {MAX_MINUTES:.0f} min from start to report", minutes <= MAX_MINUTES, f"{minutes:.1f} min"
    loop = summary.concurrent_learning
    yield "at least two iterations", len(loop) >= 2, f"{len(loop)} iterations"
    yield "frames were labelled", sum(i.labelled or 0 for i in loop) > 0, str([i.labelled for i in loop])
    tuned, zero, scratch = (summary.errors[name] for name in ("fine_tuned", "zero_shot", "from_scratch"))
    for quantity, unit, values in (
        ("energy", "meV/atom", [errors.energy_mae_meV_atom for errors in (tuned, zero, scratch)]),
        ("force", "meV/A", [errors.force_mae_meV_A for errors in (tuned, zero, scratch)]),
    ):
        text = f"zero-shot {values[1]:.2f}, from scratch {values[2]:.2f}, fine-tuned {values[0]:.2f} {unit}"
        yield f"fine-tuned {quantity} MAE below zero-shot", values[0] < values[1], text
        yield f"fine-tuned {quantity} MAE below from scratch", values[0] < values[2], text
    stable = {one.temperature_K for one in summary.md if one.status == "ok"}
    yield "student MD stable at three temperatures or more", len(stable) >= 3, f"stable at {sorted(stable)} K"
    found = summary.conductivity
    verdicts = ", ".join(f"{point.temperature_K:.0f} K {point.verdict} {point.sigma_mS_cm}" for point in found)
    yield "diffusive at two temperatures or more", sum(p.verdict == "diffusive" for p in found) >= 2, verdicts
    states = [point.state for point in found if point.state]
    text = ", ".join(sorted({state.text for state in states}))
    there = len(states) == len(found) > 0
    yield "at 0 GPa, with state points", there and all(state.pressure_GPa == 0 for state in states), text
    for line in summary.arrhenius:
        ends = line.Ea_ci95_eV or (0.0, 0.0)
        figure = f"{line.Ea_eV and round(line.Ea_eV, 3)} eV (95 %: {ends[0]:.3f} to {ends[1]:.3f})"
        yield "an activation energy that is not zero", line.Ea_eV is not None and ends[0] > 0, figure
    for system in summary.self_check:
        bias = system.errors.energy_bias_meV_atom if system.errors else None
        figure = "none" if bias is None else f"{bias.mean:.1f} meV/atom ({bias.ci95}), {system.labels} labels, " \
            f"{summary.self_check_rounds} rounds: {system.verdict}"
        name = f"energy error in production at most {MAX_BIAS:g} meV/atom"
        yield name, bias is not None and abs(bias.mean) <= MAX_BIAS, figure
    yield "the production was checked", bool(summary.self_check), ""
    report = run / "report.html"
    page = report.read_text(encoding="utf-8") if report.exists() else ""
    outside = [mark for mark in ('src="http', "src='http", "<link", "@import", "url(http") if mark in page]
    yield "one self-contained report", len(page) > 10_000 and not outside, f"{len(page) / 1e6:.2f} MB {outside or ''}"


def main() -> int:
    """Print all promises."""
    run = Path(sys.argv[1])
    summary = Summary.read(run)
    failed = passed = 0
    for name, kept, figure in promises(summary, run):
        print(f"{'kept  ' if kept else 'BROKEN'}  {name}: {figure}")
        passed, failed = passed + kept, failed + (not kept)
    print(f"quickstart: {passed} kept, {failed} broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
