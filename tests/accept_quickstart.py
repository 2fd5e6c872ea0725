"""Acceptance of a finished quickstart: ``python -m tests.accept_quickstart runs/quickstart``.

Reads ``summary.json`` and the MD folders; prints each promise with its figure; exit code 1 when one is broken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpa_sse.pipeline.runs.folder import Run

MAX_MINUTES = 15.0


def promises(summary: dict[str, Any], run: Path) -> Iterator[tuple[str, bool, str]]:
    """Yield (promise, kept, figure)."""
    stages = summary["stages"]
    # A run that melts is one of the ends of production MD; how many must not is a promise of its own, below.
    done = all(s["status"] == "ok" or (s["name"], s["status"]) == ("07-md", "partial") for s in stages)
    yield "every stage is done", done, ", ".join(
        f"{s['name']} {s['status']}" for s in stages
    )
    attempt = Run(run).latest_attempt()
    minutes = (attempt[-1]["time"] - attempt[0]["time"]) / 60
    yield f"within {MAX_MINUTES:.0f} min from start to report", minutes <= MAX_MINUTES, f"{minutes:.1f} min"
    loop = summary["concurrent_learning"]
    yield "at least two iterations", len(loop) >= 2, f"{len(loop)} iterations"
    yield "frames were labelled", sum(i["labelled"] or 0 for i in loop) > 0, str([i["labelled"] for i in loop])
    errors = summary["errors"]
    for quantity, unit in (("energy_mae_meV_atom", "meV/atom"), ("force_mae_meV_A", "meV/A")):
        tuned, zero, scratch = (errors[name][quantity] for name in ("fine_tuned", "zero_shot", "from_scratch"))
        text = f"zero-shot {zero:.2f}, from scratch {scratch:.2f}, fine-tuned {tuned:.2f} {unit}"
        yield f"fine-tuned {quantity} below zero-shot", tuned < zero, text
        yield f"fine-tuned {quantity} below from scratch", tuned < scratch, text
    runs = [json.loads(path.read_text()) for path in sorted(run.glob("tasks/07-md/md-*/run.json"))]
    stable = {r["temperature_K"] for r in runs if r["status"] == "ok"}
    yield "student MD stable at three temperatures or more", len(stable) >= 3, f"stable at {sorted(stable)} K"
    diffusive = [c["temperature_K"] for c in summary["conductivity"] if c["verdict"] == "diffusive"]
    found = summary["conductivity"]
    verdicts = ", ".join(f"{c['temperature_K']:.0f} K {c['verdict']} {c['sigma_mS_cm']}" for c in found)
    yield "diffusive at two temperatures or more", len(diffusive) >= 2, verdicts
    report = run / "report.html"
    page = report.read_text(encoding="utf-8") if report.exists() else ""
    outside = [mark for mark in ('src="http', "src='http", "<link", "@import", "url(http") if mark in page]
    yield "one self-contained report", len(page) > 10_000 and not outside, f"{len(page) / 1e6:.2f} MB {outside or ''}"


def main() -> int:
    """Print all promises."""
    run = Path(sys.argv[1])
    summary = json.loads((run / "summary.json").read_text())
    failed = passed = 0
    for name, kept, figure in promises(summary, run):
        print(f"{'kept  ' if kept else 'BROKEN'}  {name}: {figure}")
        passed, failed = passed + kept, failed + (not kept)
    print(f"quickstart: {passed} kept, {failed} broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
