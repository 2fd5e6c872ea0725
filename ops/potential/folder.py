"""A model folder: the checkpoint, the frozen and the compressed model of one training."""

from __future__ import annotations

from pathlib import Path

from dpa_sse.ops.core.errors import FatalError


def model_file(model: Path) -> Path:
    """Return the file that LAMMPS reads: the compressed one of a model folder, else the frozen one.

    Raises
    ------
    FatalError
        There is no such file.
    """
    if model.is_dir():
        for name in ("model_compressed.pth", "model.pth"):
            if (model / name).exists():
                return model / name
        raise FatalError(f"no frozen model (model.pth) in {model}")
    if not model.exists():
        raise FatalError(f"model file not found: {model}")
    return model
