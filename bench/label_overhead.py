"""Overhead of a labelling task over its calculator: `label_frames` on 200 frames, time inside and outside of it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BAR = 0.05
FRAMES = 200


def argyrodite_frames(count: int) -> list[Any]:
    """Return perturbed cells of Li6PS5Cl, 52 atoms."""
    import numpy as np

    from dpa_sse.ops.structures.build import build_cell
    from dpa_sse.ops.structures.perturb import perturb_atoms
    from dpa_sse.ops.structures.settings import SystemSettings

    cell = build_cell(SystemSettings(name="Li6PS5Cl", structure="Li6PS5Cl"), Path(), 1)
    return [perturb_atoms(cell, 0.03, 0.1, np.random.default_rng(number)) for number in range(count)]


def copper_frames(count: int) -> list[Any]:
    """Return displaced copper cells, 108 atoms."""
    import numpy as np
    from ase.build import bulk

    rng = np.random.default_rng(1)
    frames = []
    for _ in range(count):
        atoms = bulk("Cu", cubic=True).repeat(3)
        atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.05
        frames.append(atoms)
    return frames


def measure(calculator: str, frames: list[Any]) -> dict[str, Any]:
    """Return the CPU time of one task (reading, labels, progress, writing), inside and outside of the calculator."""
    from dpa_sse.ops.labelers.registry import make_labeler
    from dpa_sse.ops.labelers.settings import AseSettings
    from dpa_sse.ops.labelers.single_points import label_frames
    from dpa_sse.ops.structures.extxyz import write_frames

    settings = AseSettings(calculator=calculator)
    made = make_labeler(settings).calculator()
    original, inside = made.calculate, [0.0]

    def timed(*arguments: Any, **more: Any) -> None:
        start = time.process_time()
        original(*arguments, **more)
        inside[0] += time.process_time() - start

    made.calculate = timed
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, chosen in (("first", frames[:2]), ("task", frames)):  # the first calls of a model are slower
            write_frames(folder / part / "frames.extxyz", chosen)
            inside[0], start, wall = 0.0, time.process_time(), time.monotonic()
            label_frames(folder / part, settings, folder / part / "out")
            total, wall = time.process_time() - start, time.monotonic() - wall
    outside = total - inside[0]
    return {
        "calculator": calculator, "frames": len(frames), "atoms": len(frames[0]),
        "calculator_cpu_s": round(inside[0], 2), "task_cpu_s": round(total, 2), "task_wall_s": round(wall, 2),
        "outside_ms_per_frame": round(1000 * outside / len(frames), 2), "overhead": round(outside / inside[0], 4),
    }


def main() -> int:
    """Print one JSON object; return 1 if the bar is missed. The cheap calculator is there for scale."""
    os.environ["DPA_SSE_THREADS"] = "1"
    cheap = measure("ase.calculators.emt:EMT", copper_frames(FRAMES))
    default = measure("chgnet", argyrodite_frames(FRAMES))
    print(json.dumps({"bar_overhead": BAR, "default": default, "for_scale": cheap}, indent=1))
    return 0 if default["overhead"] <= BAR else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main())
