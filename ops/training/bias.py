"""Fitting the energy per element to data; also the child process of `dpa_sse.ops.training.train.change_bias`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.files import read_json, write_json, write_text


def fit_bias(
    checkpoint: Path, systems: Sequence[str], work: Path, max_frames: int = 0, branch: str | None = None
) -> Path:
    """Fit the energy bias of a checkpoint by least squares, as deepmd's ``change-bias`` does.

    Parameters
    ----------
    checkpoint : Path
        Model (.pt); not changed.
    systems : sequence of str
        Folders in deepmd/npy format.
    work : Path
        Receives ``changed.pt``.
    max_frames : int
        Frames of each folder; 0 means all.
    branch : str, optional
        Branch of a multi-task model.
    """
    from deepmd.pt.entrypoints.main import change_bias
    from deepmd.pt.utils.dataloader import setup_seed

    listing, changed = work / "systems.txt", work / "changed.pt"
    write_text(listing, "".join(f"{path}\n" for path in systems))
    setup_seed(0)  # the frames come shuffled, and sums of floats depend on their order
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
    """Fit the energy bias as a task file says; writes ``model.pt`` beside the working folder."""
    task_file = Path(argv[1])
    work = task_file.parent
    task = read_json(task_file)
    branch = task["branch"]
    changed = fit_bias(Path(task["model"]), task["systems"], work, branch=branch)
    type_map, before = output_bias(Path(task["model"]), branch)
    after = output_bias(changed, branch)[1]
    write_json(work / "bias.json", {"type_map": type_map, "bias_before_eV": before, "bias_after_eV": after})
    changed.replace(work.parent / "model.pt")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
