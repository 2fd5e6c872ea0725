"""Small trajectories with known motion, written in every format."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dpa_sse.ops.conductivity.synthetic import HopModel, simulate
from tests.md_runs import md_run

CELL = np.array([[14.0, 0.0, 0.0], [3.0, 13.0, 0.0], [2.0, 1.0, 15.0]])


@dataclass
class Sample:
    """A trajectory: Cartesian, unwrapped."""

    positions: np.ndarray  # (T, N, 3)
    cells: np.ndarray  # (T, 3, 3)
    symbols: list[str]
    dt_ps: float = 0.1
    timestep_fs: float = 2.0

    @property
    def every(self) -> int:
        return round(self.dt_ps * 1e3 / self.timestep_fs)

    def wrapped(self) -> np.ndarray:
        reduced = np.einsum("tnc,tcd->tnd", self.positions, np.linalg.inv(self.cells))
        return np.einsum("tnc,tcd->tnd", reduced % 1.0, self.cells)

    def images(self) -> np.ndarray:
        reduced = np.einsum("tnc,tcd->tnd", self.positions, np.linalg.inv(self.cells))
        return np.floor(reduced).astype(int)


def make_sample(
    n_frames: int = 300, n_li: int = 12, D: float = 0.1, seed: int = 3, drift: float = 0.05, dt_ps: float = 0.1,
    cell: np.ndarray = CELL, model: HopModel | None = None,
) -> Sample:
    """Mobile Li in a vibrating P-S framework that drifts."""
    rng = np.random.default_rng(seed + 1000)
    model = model or HopModel(n_ions=n_li, n_frames=n_frames, dt_ps=dt_ps, D_A2_ps=D)
    symbols = ["Li"] * model.n_ions + ["P"] * 4 + ["S"] * 14
    n_framework = len(symbols) - model.n_ions
    positions = np.empty((model.n_frames, len(symbols), 3))
    positions[:, : model.n_ions] = simulate(model, seed).transpose(2, 0, 1)
    positions[:, model.n_ions :] = 0.1 * rng.standard_normal((model.n_frames, n_framework, 3))
    positions += rng.random((len(symbols), 3)) @ cell
    positions += np.arange(model.n_frames)[:, None, None] * model.dt_ps * drift * np.array([1.0, -0.5, 0.2])
    return Sample(positions, np.repeat(cell[None], model.n_frames, axis=0), symbols, model.dt_ps)


def _bounds(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    low = [min(0, xy, xz, xy + xz), min(0, yz), 0.0]
    high = [cell[0, 0] + max(0, xy, xz, xy + xz), cell[1, 1] + max(0, yz), cell[2, 2]]
    return np.array([low, high]).T, np.array([xy, xz, yz])


def write_text(
    sample: Sample, path: Path, columns: str = "id element xu yu zu", shuffle: bool = False, steps=None,
    digits: int = 12,
) -> Path:
    """Write a LAMMPS text dump; ``columns`` may hold id, type, element, xu.., x.., xs.., ix.."""
    rng = np.random.default_rng(1)
    wrapped, images = sample.wrapped(), sample.images()
    types = {name: k + 1 for k, name in enumerate(dict.fromkeys(sample.symbols))}
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as out:
        for t, positions in enumerate(sample.positions):
            bounds, tilts = _bounds(sample.cells[t])
            step = steps[t] if steps is not None else t * sample.every
            out.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(positions)}\n")
            out.write("ITEM: BOX BOUNDS xy xz yz pp pp pp\n")
            out.writelines(f"{lo:.16e} {hi:.16e} {tilt:.16e}\n" for (lo, hi), tilt in zip(bounds, tilts, strict=True))
            out.write(f"ITEM: ATOMS {columns}\n")
            reduced = wrapped[t] @ np.linalg.inv(sample.cells[t])
            order = rng.permutation(len(positions)) if shuffle else range(len(positions))
            for i in order:
                values = {"id": i + 1, "element": sample.symbols[i], "type": types[sample.symbols[i]], "vx": -1.5e-3}
                for k, c in enumerate("xyz"):
                    values |= {f"{c}u": positions[i, k], c: wrapped[t, i, k], f"{c}s": reduced[i, k]}
                    values[f"i{c}"] = images[t, i, k]
                cells = [values[name] for name in columns.split()]
                out.write(" ".join(f"{v:.{digits}g}" if isinstance(v, float) else str(v) for v in cells) + "\n")
    return path


def write_binary(sample: Sample, path: Path, chunks: int = 3) -> Path:
    """Write a LAMMPS binary dump of format revision 2: id type xu yu zu."""
    types = {name: k + 1 for k, name in enumerate(dict.fromkeys(sample.symbols))}
    columns = b"id type xu yu zu "
    with path.open("wb") as out:
        for t, positions in enumerate(sample.positions):
            bounds, tilts = _bounds(sample.cells[t])
            out.write(struct.pack("<q", -10) + b"DUMPCUSTOM" + struct.pack("<2i", 1, 2))
            out.write(struct.pack("<2qi6i", t * sample.every, len(positions), 1, *[0] * 6))
            out.write(struct.pack("<9d", *bounds.ravel(), *tilts) + struct.pack("<i", 5))
            out.write(struct.pack("<i", 0) + b"\0" + struct.pack("<i", len(columns)) + columns)
            rows = np.column_stack([np.arange(1, len(positions) + 1), [types[s] for s in sample.symbols], positions])
            parts = np.array_split(rows[::-1], chunks)
            out.write(struct.pack("<i", chunks))
            for part in parts:
                out.write(struct.pack("<i", part.size) + np.ascontiguousarray(part, "<f8").tobytes())
    return path


def write_md_folder(sample: Sample, folder: Path, temperature_K: float, replica: int = 0, **facts: object) -> Path:
    """Write an MD folder of the pipeline."""
    folder.mkdir(parents=True)
    write_text(sample, folder / "traj.lammpstrj", digits=9)
    known = {"system": "LPS", "temperature_K": temperature_K, "timestep_fs": sample.timestep_fs, "replica": replica}
    md_run(**{**known, **facts}).write(folder)
    return folder


class Makers:
    """Everything above, for tests."""

    sample = staticmethod(make_sample)
    text = staticmethod(write_text)
    binary = staticmethod(write_binary)
    md_folder = staticmethod(write_md_folder)
    Sample = Sample
    CELL = CELL


@pytest.fixture(scope="session")
def makers() -> type[Makers]:
    return Makers


@pytest.fixture(scope="session")
def sample() -> Sample:
    return make_sample()
