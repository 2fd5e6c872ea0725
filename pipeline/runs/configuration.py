"""The configuration that a run folder holds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from dpa_sse.pipeline.runs.folder import CONFIG, Run

if TYPE_CHECKING:
    from dpa_sse.pipeline.config import Located


def load_run_config(run: Run) -> Located:
    """Load the configuration of a run folder; its relative paths mean the same files as at the first start."""
    from dpa_sse.pipeline.config import load_located

    located = load_located(run.folder / CONFIG)
    return dataclasses.replace(located, path=run.base_dir / CONFIG)
