"""Synthetic inputs of the measurements: hopping Li in a drifting crystal, as npz and as LAMMPS text dump."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

CELL = np.array([[30.0, 0, 0], [5.0, 29.0, 0], [3.0, 2.0, 31.0]])
TRUE_D_CM2_S = 1e-5
TIMESTEP_FS = 2.0
DRIFT_A_PS = (0.02, 0.01, 0.0)
_FRAMEWORK_FRAMES = 1000


def write_npz(path: Path, n_frames: int, n_li: int, n_framework: int, dt_ps: float = 0.1) -> Path:
    """Write wrapped float32 positions of a drifting, vibrating crystal with hopping Li."""
    from dpa_sse.ops.conductivity.synthetic import HopModel, simulate

    n_atoms = n_li + n_framework
    positions = np.lib.format.open_memmap(
        path.with_suffix(".npy"), mode="w+", dtype=np.float32, shape=(n_frames, n_atoms, 3)
    )
    rng = np.random.default_rng(0)
    for first in range(0, n_li, 50):
        count = min(50, n_li - first)
        model = HopModel(n_ions=count, n_frames=n_frames, dt_ps=dt_ps, group=min(5, count))
        positions[:, first : first + count] = simulate(model, 100 + first).transpose(2, 0, 1)
    sites, inverse = rng.random((n_atoms, 3)) @ CELL, np.linalg.inv(CELL)
    for first in range(0, n_frames, 1000):
        part = positions[first : first + 1000]
        part[:, n_li:] = 0.15 * rng.standard_normal((len(part), n_framework, 3))
        drift = (first + np.arange(len(part)))[:, None, None] * dt_ps * np.array(DRIFT_A_PS)
        reduced = (part + sites + drift) @ inverse
        part[:] = (reduced % 1.0) @ CELL
    symbols = np.array(["Li"] * n_li + ["P"] * (n_framework // 5) + ["S"] * (n_framework - n_framework // 5))
    np.savez(path, positions=positions, cells=CELL, symbols=symbols, dt_ps=dt_ps)
    path.with_suffix(".npy").unlink()
    return path


def write_text(npz: Path, path: Path, n_frames: int) -> Path:
    """Write the first ``n_frames`` of an npz file as a text dump, without the drift of the crystal.

    The lines of the framework are those of its first frames over and over, which costs a reader the same and a writer
    much less: without drift they are thermal noise about fixed sites. The Li ions keep moving.
    """
    with np.load(npz) as data:
        positions, symbols, dt_ps = data["positions"], [str(name) for name in data["symbols"]], float(data["dt_ps"])
    tilt = (CELL[1, 0], CELL[2, 0], CELL[2, 1])
    bounds = [
        (0.0, CELL[0, 0] + CELL[1, 0] + CELL[2, 0], tilt[0]), (0.0, CELL[1, 1] + CELL[2, 1], tilt[1]),
        (0.0, CELL[2, 2], tilt[2]),
    ]
    box = "".join(f"{low:.16e} {high:.16e} {slope:.16e}\n" for low, high, slope in bounds)
    middle = f"\nITEM: NUMBER OF ATOMS\n{len(symbols)}\nITEM: BOX BOUNDS xy xz yz pp pp pp\n{box}"
    head = f"{middle}ITEM: ATOMS id element x y z\n".encode()
    n_li, inverse = symbols.count("Li"), np.linalg.inv(CELL)

    def lines(frame: int, first: int, last: int) -> bytes:
        drift = frame * dt_ps * np.array(DRIFT_A_PS)
        wrapped = (((positions[frame, first:last] - drift) @ inverse) % 1.0) @ CELL
        rows = zip(symbols[first:last], wrapped.tolist(), strict=True)
        return "".join(
            f"{k} {name} {x:.9g} {y:.9g} {z:.9g}\n" for k, (name, (x, y, z)) in enumerate(rows, first + 1)
        ).encode()

    framework = [lines(frame, n_li, len(symbols)) for frame in range(min(_FRAMEWORK_FRAMES, n_frames))]
    step = round(dt_ps * 1e3 / TIMESTEP_FS)
    with path.open("wb") as out:
        for frame in range(n_frames):
            li = lines(frame, 0, n_li)
            out.write(b"ITEM: TIMESTEP\n%d" % (frame * step) + head + li + framework[frame % len(framework)])
    return path
