"""MD of reference models, kept beside them and reused: it takes as long as that of the model under test.

A file holds one run, named after everything that it depends on: the model file, the cell, temperature, time step, seed,
the protocol. A damaged one is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.files import atomic_path
from dpa_sse.ops.models.registry import SUMS
from dpa_sse.ops.runtime.events import LOG
from dpa_sse.ops.validation.gates.base import GateSettings
from dpa_sse.ops.validation.gates.dynamics import Trajectory

if TYPE_CHECKING:
    from ase import Atoms

PROTOCOL = 1
"""Raised when the MD of the same settings changes."""
FOLDER = "reference-md"
ARRAYS = ("cell", "positions", "forces", "energy", "kinetic", "virial")


def _quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class StoredMd:
    """Where the MD of a reference model is kept.

    Attributes
    ----------
    folder : Path
    model_sha256, branch : str
    program : str
        Version of DeePMD-kit.
    tell : callable
        Gets a line when runs are reused, or a damaged file is left out.
    """

    folder: Path
    model_sha256: str
    branch: str = ""
    program: str = ""
    tell: Callable[[str], None] = _quiet

    def remember(
        self, atoms: Atoms, settings: GateSettings, make: Callable[[], tuple[list[Trajectory], list[str]]]
    ) -> tuple[list[Trajectory], list[str]]:
        """Return the runs of a cell, from their file or made now, and why copies ended early."""
        path = self.folder / f"{self.key(atoms, settings)}.npz"
        if path.is_file():
            try:
                found = _read(path)
            except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
                reason = " ".join(str(error).split())[:100]
                self.tell(f"{path}: damaged ({reason}): this MD of the reference is made again")
            else:
                self.tell(f"MD of the reference used again: {path}")
                return found
        made = make()
        try:
            _write(path, *made)
        except OSError as error:  # a full disk: the runs are there all the same
            self.tell(f"{path}: MD of the reference not kept ({error.strerror or error})")
        return made

    def key(self, atoms: Atoms, settings: GateSettings) -> str:
        """Return the name of a run, from everything that it depends on."""
        cell = hashlib.sha256()
        for part in (atoms.numbers.astype("<i8"), atoms.positions, atoms.cell.array, atoms.get_masses()):
            cell.update(np.ascontiguousarray(part).tobytes())
        content = {
            "protocol": PROTOCOL, "model": self.model_sha256, "branch": self.branch, "program": self.program,
            "cell": cell.hexdigest(),
            "temperature_K": settings.temperature_K, "timestep_fs": settings.timestep_fs, "seed": settings.seed,
            "md": dict(sorted(settings.md.items())),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def place_for(model: Path) -> Path:
    """Return the folder for the MD of a model: beside it, else in the cache of the user.

    Not beside it in a registry or in a run, whose folders hold what they say they hold, nor where it cannot be written.
    """
    folder = model.resolve().parent
    foreign = (folder / SUMS).exists() or any((parent / LOG).exists() for parent in (folder, *folder.parents))
    if not foreign and os.access(folder, os.W_OK):
        return folder / FOLDER
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return cache / "dpa-sse" / FOLDER


def _write(path: Path, runs: Sequence[Trajectory], ended: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, np.ndarray] = {"ended": np.array(list(ended), dtype=np.str_)}
    for number, run in enumerate(runs):
        content |= {f"{name}{number}": getattr(run, name) for name in ARRAYS}
        content[f"symbols{number}"] = np.array(run.symbols, dtype=np.str_)
        content[f"ended{number}"] = np.array(run.ended, dtype=np.str_)
        content[f"dt_fs{number}"] = np.array(run.dt_fs)
    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **content)  # type: ignore[arg-type]


def _read(path: Path) -> tuple[list[Trajectory], list[str]]:
    with np.load(path, allow_pickle=False) as data:
        runs = []
        for number in range(sum(name.startswith("dt_fs") for name in data.files)):
            cell, positions, forces, energy, kinetic, virial = (data[f"{name}{number}"] for name in ARRAYS)
            symbols = [str(one) for one in data[f"symbols{number}"]]
            frames, copies = energy.shape
            if positions.shape != (frames, copies, len(symbols), 3) or forces.shape != positions.shape:
                raise ValueError("its arrays do not fit together")
            runs.append(Trajectory(
                symbols, cell, positions, forces, energy, kinetic, virial, float(data[f"dt_fs{number}"]),
                [str(one) for one in data[f"ended{number}"]],
            ))
        if not runs:
            raise ValueError("it holds no run")
        return runs, [str(one) for one in data["ended"]]
