"""Labels that fine-tuning needs: short MD with the labeler, or frames from MD with the model (random, diverse).

Needs a finished quickstart (``runs/quickstart``, or the folder in ``DPA_SSE_BENCH_RUN``), whose pre-trained model is
fine-tuned; a quarter of an hour of two cores for each seed. Errors are those on longer MD with the labeler, which no
training has seen, without its first part. The runs resume.
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
HERE = Path(__file__).parent
CONFIG, TEST_SET = "labels.yaml", "test_set.yaml"
SEEDS = int(os.environ.get("DPA_SSE_BENCH_SEEDS", "3"))
FIRST = 10
MORE = (5, 10, 20)
WAYS = ("short MD", "random", "diverse")
BAR = 0.7
FIRST_TEST_FRAME = 4
"""Earlier frames of a trajectory are still near the perturbed cell."""


def main() -> int:
    """Print one JSON object; return 1 if the bar is missed."""
    given = Path(os.environ.get("DPA_SSE_BENCH_RUN", ROOT / "runs" / "quickstart"))
    models = sorted(given.glob("tasks/04-pretrain/pretrain--*/model.pt"))
    if not models:
        print(f"no pre-trained model in {given}: run `dpa-sse run configs/quickstart.yaml` first")
        return 1
    work = Path(os.environ.get("DPA_SSE_BENCH_WORK", ROOT / "runs" / "bench-labels"))
    work.mkdir(parents=True, exist_ok=True)
    for path in (HERE / CONFIG, HERE / TEST_SET, models[-1], models[-1].with_name("model.json")):
        shutil.copy2(path, work)
    run(work, TEST_SET, {})
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


def run(work: Path, config: str, values: dict[str, object]) -> None:
    """Run a project to its end."""
    command = [sys.executable, "-m", "dpa_sse.pipeline", "run", config]
    for key, value in values.items():
        command += ["-s", f"{key}={value}"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


def measure(work: Path, way: str, more: int, seed: int) -> float:
    """Return the force MAE on the longer MD, meV/A, after fine-tuning on ``FIRST + more`` frames."""
    rounds, frames = (0, FIRST + more) if way == "short MD" else (1, FIRST)
    run(work, CONFIG, {
        "seed": seed, "finetune.rounds": rounds, "finetune.frames": frames, "finetune.explore.frames": more,
        "finetune.explore.selection": way if rounds else "diverse",
    })
    return error_of(work / "runs" / "labels" / "models" / "finetuned" / "model.pt", work)


def error_of(model: Path, work: Path) -> float:
    """Return the mean of the absolute force errors on the later frames of all trajectories of the test set, meV/A."""
    import numpy as np

    from dpa_sse.ops.data.dataset import read_dataset
    from dpa_sse.ops.potential.inference import open_model, predict

    opened = open_model(model)
    type_map, blocks = read_dataset(work / "runs" / "labels-test" / "data" / "base" / "dataset")
    index = {element: k for k, element in enumerate(opened.get_type_map())}
    differences = []
    for block in blocks:
        places: dict[str, int] = {}
        for k, name in enumerate(block.trajectories):
            places[name] = places.get(name, -1) + 1
            if places[name] >= FIRST_TEST_FRAME:
                types = np.array([index[type_map[one]] for one in block.types])
                force = predict(opened, types, block.coord[k : k + 1], block.box[k : k + 1])[1]
                differences.append(np.abs(force[0] - block.force[k]).reshape(-1))
    return 1000 * float(np.concatenate(differences).mean())


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
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
