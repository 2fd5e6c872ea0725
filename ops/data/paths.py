"""Location of the data set in the result of a step."""

from __future__ import annotations

from pathlib import Path

DATASET = "dataset"


def dataset_of(folder: Path) -> Path:
    """Return the data set in the result of a step: ``folder/dataset``, or ``folder`` itself."""
    inner = folder / DATASET
    return inner if inner.is_dir() else folder
