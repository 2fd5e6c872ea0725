"""Labels that fine-tuning needs: short MD with the labeler, or frames from MD with the model (random, diverse).

Needs a finished quickstart (``runs/quickstart``, or the folder in ``DPA_SSE_BENCH_RUN``), whose pre-trained model is
fine-tuned; about ten minutes of two cores for each seed. The runs resume.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("labels.yaml")
SEEDS = int(os.environ.get("DPA_SSE_BENCH_SEEDS", "3"))
FIRST = 10
MORE = (5, 10, 20)
WAYS = ("short MD", "random", "diverse")
BAR = 0.7


def main() -> int:
    """Print one JSON object; return 1 if the bar is missed."""
    run = Path(os.environ.get("DPA_SSE_BENCH_RUN", ROOT / "runs" / "quickstart"))
    models = sorted(run.glob("tasks/04-pretrain/pretrain--*/model.pt"))
    if not models:
        print(f"no pre-trained model in {run}: run `dpa-sse run configs/quickstart.yaml` first")
        return 1
    work = Path(os.environ.get("DPA_SSE_BENCH_WORK", ROOT / "runs" / "bench-labels"))
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy2(CONFIG, work)
    for name in ("model.pt", "model.json"):
        shutil.copy2(models[-1].with_name(name), work)
    errors: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed in range(1, SEEDS + 1):
        for way in WAYS:
            errors[way].append([measure(work, way, more, seed) for more in MORE])
            print(f"seed {seed}, {way}: {errors[way][-1]}", file=sys.stderr, flush=True)
    result: dict[str, Any] = {"frames": [FIRST + more for more in MORE], "force_mae_meV_A": errors}
    mean = {way: [sum(column) / SEEDS for column in zip(*rows, strict=True)] for way, rows in errors.items()}
    result["mean_force_mae_meV_A"] = mean
    result["labels_of_diverse_over_random"] = needed(mean["diverse"], mean["random"])
    result["labels_of_diverse_over_short_md"] = needed(mean["diverse"], mean["short MD"])
    result["bar"] = BAR
    print(json.dumps(result))
    ratios = [result["labels_of_diverse_over_random"], result["labels_of_diverse_over_short_md"]]
    return 0 if all(ratio is not None and ratio <= BAR for ratio in ratios) else 1


def measure(work: Path, way: str, more: int, seed: int) -> float:
    """Return the force MAE on held-out trajectories, meV/A, after fine-tuning on ``FIRST + more`` frames."""
    rounds, frames = (0, FIRST + more) if way == "short MD" else (1, FIRST)
    values = {
        "seed": seed, "finetune.rounds": rounds, "finetune.frames": frames, "finetune.explore.frames": more,
        "finetune.explore.selection": way if rounds else "diverse",
    }
    command = [sys.executable, "-m", "dpa_sse.pipeline", "run", CONFIG.name]
    for key, value in values.items():
        command += ["-s", f"{key}={value}"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    summary = json.loads((work / "runs" / "labels" / "summary.json").read_text())
    return float(summary["errors"]["fine_tuned"]["force_mae_meV_A"])


def needed(one: list[float], other: list[float]) -> float | None:
    """Return how many labels ``one`` needs for the error that ``other`` reaches with the most, as a share of those.

    None if it does not reach it.
    """
    wanted, most = other[-1], FIRST + MORE[-1]
    sizes = [FIRST + more for more in MORE]
    if one[0] <= wanted:
        return sizes[0] / most
    for k in range(1, len(sizes)):
        if one[k] <= wanted:
            share = (one[k - 1] - wanted) / (one[k - 1] - one[k])
            return (sizes[k - 1] + share * (sizes[k] - sizes[k - 1])) / most
    return None


if __name__ == "__main__":
    sys.exit(main())
