"""Child process of `ops.training.train.change_bias`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.files import read_json, write_json


def main(argv: Sequence[str]) -> int:
    """Fit the energy bias as a task file says; writes ``model.pt`` beside the working folder."""
    task_file = Path(argv[1])
    work = task_file.parent
    task = read_json(task_file)
    listing = work / "systems.txt"
    listing.write_text("".join(f"{path}\n" for path in task["systems"]), encoding="utf-8")
    from deepmd.pt.entrypoints.main import change_bias
    from deepmd.pt.utils.dataloader import setup_seed

    setup_seed(0)  # the frames are only shuffled, but sums of floats depend on their order
    changed = work / "changed.pt"
    change_bias(task["model"], datafile=str(listing), output=str(changed))
    type_map, before = output_bias(Path(task["model"]))
    after = output_bias(changed)[1]
    write_json(work / "bias.json", {"type_map": type_map, "bias_before_eV": before, "bias_after_eV": after})
    changed.replace(work.parent / "model.pt")
    return 0


def output_bias(checkpoint: Path) -> tuple[list[str], list[float]]:
    """Return type map and energy bias per element (eV) of a checkpoint."""
    import torch

    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    state = state.get("model", state)
    keys = [key for key in state if key.endswith("atomic_model.out_bias")]
    type_map = list(state["_extra_state"]["model_params"]["type_map"])
    return type_map, state[keys[0]][0].reshape(-1).tolist()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
