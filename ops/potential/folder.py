"""A model folder: checkpoint, frozen and compressed model of one training run."""

from __future__ import annotations

import shutil
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError

REPAIR = "if files of a finished task were deleted, delete its whole folder in tasks/ and run the same command again"
CHECKPOINT = "model.pt"
TORCHSCRIPT, PACKAGE = "model.pth", "model.pt2"
FROZEN = (TORCHSCRIPT, PACKAGE)
"""TorchScript, or the AOTInductor package of a DPA-4, which DeePMD-kit does not write as TorchScript."""
COMPRESSED = "model_compressed.pth"
BASE_MODEL = "model_base.pt"
"""Beside a model that was fine-tuned with two tasks: that of the base systems."""


def model_file(model: Path) -> Path:
    """Return the model file for LAMMPS: the compressed one of a model folder, else the frozen one.

    Raises
    ------
    FatalError
        There is no such file.
    """
    if model.is_dir():
        return model / COMPRESSED if (model / COMPRESSED).exists() else frozen_model(model)
    if not model.exists():
        raise FatalError(f"model file not found: {model}; {REPAIR}")
    return model


def frozen_model(folder: Path) -> Path:
    """Return the frozen model of a model folder, not compressed.

    Raises
    ------
    FatalError
        There is none.
    """
    for name in FROZEN:
        if (folder / name).exists():
            return folder / name
    raise FatalError(f"no frozen model ({' or '.join(FROZEN)}) in {folder}; {REPAIR}")


def checkpoint_or_frozen(model: Path) -> Path:
    """Return the checkpoint of a model folder, or the frozen model of one that has none."""
    checkpoint = model / CHECKPOINT
    return checkpoint if checkpoint.is_file() else frozen_model(model)


def copy_model(source: Path, out: Path) -> None:
    """Copy a model folder, without what only a restart of its training needs."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts) and path.name != "manifest.json":
            (out / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / relative)
