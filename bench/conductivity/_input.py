"""Synthetic inputs of the measurements: hopping Li in a drifting crystal, as npz and as LAMMPS text dump."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

CELL = np.array([[30.0, 0, 0], [5.0, 29.0, 0], [3.0, 2.0, 31.0]])
TRUE_D_CM2_S = 1e-5


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
        drift = (first + np.arange(len(part)))[:, None, None] * dt_ps * np.array([0.02, 0.01, 0.0])
        reduced = (part + sites + drift) @ inverse
        part[:] = (reduced % 1.0) @ CELL
    symbols = np.array(["Li"] * n_li + ["P"] * (n_framework // 5) + ["S"] * (n_framework - n_framework // 5))
    np.savez(path, positions=positions, cells=CELL, symbols=symbols, dt_ps=dt_ps)
    path.with_suffix(".npy").unlink()
    return path


def write_text(npz: Path, path: Path, n_frames: int, written: int = 1000) -> Path:
    """Write a text dump of ``n_frames``; after ``written`` frames positions repeat, which costs a reader the same."""
    with np.load(npz) as data:
        positions, symbols = data["positions"][:written].astype(float), [str(name) for name in data["symbols"]]
    tilt = (CELL[1, 0], CELL[2, 0], CELL[2, 1])
    bounds = [
        (0.0, CELL[0, 0] + CELL[1, 0] + CELL[2, 0], tilt[0]), (0.0, CELL[1, 1] + CELL[2, 1], tilt[1]),
        (0.0, CELL[2, 2], tilt[2]),
    ]
    box = "".join(f"{low:.16e} {high:.16e} {slope:.16e}\n" for low, high, slope in bounds)
    middle = f"\nITEM: NUMBER OF ATOMS\n{len(symbols)}\nITEM: BOX BOUNDS xy xz yz pp pp pp\n{box}"
    head = f"{middle}ITEM: ATOMS id element x y z\n".encode()
    names = [f"{k + 1} {name}" for k, name in enumerate(symbols)]
    bodies = [
        "".join(f"{name} {x:.9g} {y:.9g} {z:.9g}\n" for name, (x, y, z) in zip(names, frame, strict=True)).encode()
        for frame in positions
    ]
    with path.open("wb") as out:
        for frame in range(n_frames):
            out.write(b"ITEM: TIMESTEP\n%d" % (frame * 50) + head + bodies[frame % len(bodies)])
    return path
