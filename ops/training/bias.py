"""Fit of the energy per element to data; also the child process of `dpa_sse.ops.training.train.change_bias`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.results.model import BiasFit
from dpa_sse.ops.results.training import BiasTask


def fit_bias(
    checkpoint: Path, systems: Sequence[str], work: Path, max_frames: int = 0, branch: str | None = None
) -> Path:
    """Fit the energy bias of a checkpoint by least squares, as DeePMD-kit's ``change-bias`` does.

    Parameters
    ----------
    checkpoint : Path
        Model (.pt); left unchanged.
    systems : sequence of str
        Folders in deepmd/npy format.
    work : Path
        Receives ``changed.pt``.
    max_frames : int
        Frames of each folder; 0 means all.
    branch : str, optional
        Branch of a multi-task model.

    Returns
    -------
    Path
        ``changed.pt``.
    """
    from deepmd.pt.entrypoints.main import change_bias
    from deepmd.pt.utils.dataloader import setup_seed

    listing, changed = work / "systems.txt", work / "changed.pt"
    write_text(listing, "".join(f"{path}\n" for path in systems))
    setup_seed(0)  # frames are shuffled, and sums of floats depend on their order
    change_bias(str(checkpoint), datafile=str(listing), numb_batch=max_frames, output=str(changed), model_branch=branch)
    return changed


def output_bias(checkpoint: Path, branch: str | None = None) -> tuple[list[str], list[float]]:
    """Return type map and energy bias per element (eV) of a checkpoint."""
    import torch

    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = state.get("model", state)
    params = state["_extra_state"]["model_params"]
    params = params["model_dict"][branch] if branch else params
    key = f"model.{branch or 'Default'}.atomic_model.out_bias"
    return list(params["type_map"]), state[key][0].reshape(-1).tolist()


def main(argv: Sequence[str]) -> int:
    """Fit the energy bias as a task file specifies; write ``model.pt`` to the parent of the working folder."""
    task_file = Path(argv[1])
    work = task_file.parent
    task = BiasTask.read(task_file)
    changed = fit_bias(Path(task.model), task.systems, work, branch=task.branch)
    type_map, before = output_bias(Path(task.model), task.branch)
    after = output_bias(changed, task.branch)[1]
    BiasFit(type_map=tuple(type_map), bias_before_eV=tuple(before), bias_after_eV=tuple(after)).write(work)
    changed.replace(work.parent / "model.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
