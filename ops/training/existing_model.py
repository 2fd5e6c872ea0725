"""A model that exists already, instead of pre-training: checked, frozen and put into a model folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import atomic_path, read_json, write_json
from dpa_sse.ops.core.tools import run_tool
from dpa_sse.ops.training.train import WORK, child_environment, deepmd_version, resolve_model


def adopt_model(model: Path | str, type_map: Sequence[str], out: Path, branch: str = "") -> dict[str, Any]:
    """Make a model folder of a checkpoint, or of deepmd's built-in model of that name.

    Parameters
    ----------
    model : Path or str
        Checkpoint (.pt), or a built-in name such as ``DPA-3.1-3M``.
    type_map : sequence of str
        Elements of the project; the model must know all of them. Where its own order or number of elements differs,
        fine-tuning rearranges them.
    out : Path
        Model folder: ``model.pt``, ``model.pth`` (frozen), ``model.json``.
    branch : str
        Branch of a multi-task model that is frozen; its first one by default.

    Returns
    -------
    dict
        The content of ``model.json``.

    Raises
    ------
    InputError
        Missing, no PyTorch checkpoint of deepmd, or without one of the elements.
    """
    if (out / "model.json").is_file():
        return dict(read_json(out / "model.json"))
    source = resolve_model(model)
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    (work / "error.json").unlink(missing_ok=True)
    task = {"model": str(source.resolve()), "type_map": list(type_map), "branch": branch}
    write_json(work / "adopt.json", task)
    argv: list[str | Path] = [sys.executable, "-m", __name__, (work / "adopt.json").resolve()]
    try:
        run_tool(argv, out / "adopt.log", work, env=child_environment())
    except FatalError as error:
        if (report := work / "error.json").is_file():
            raise InputError(f"{model}: {read_json(report)['message']}") from error
        raise
    result = {**read_json(work / "adopted.json"), "preset": None, "adopted": str(Path(model).name),
              "steps": None, "seed": None, "deepmd_version": deepmd_version()}
    write_json(out / "model.json", result)
    return result


def describe(state: dict[str, Any], branch: str) -> tuple[dict[str, Any], str | None]:
    """Return what ``model.json`` says about a checkpoint, and the branch to freeze (None: only one).

    Raises
    ------
    InputError
        Not a checkpoint of deepmd, or no such branch.
    """
    try:
        params = state["_extra_state"]["model_params"]
    except (KeyError, TypeError) as error:
        raise InputError("this file is no PyTorch checkpoint of DeePMD-kit (model_params is missing)") from error
    head = None
    if "model_dict" in params:
        known = list(params["model_dict"])
        head = branch or known[0]
        if head not in known:
            raise InputError(f"the model has no branch {head!r}; its branches are {', '.join(known)}")
        params = params["model_dict"][head]
    from dpa_sse.ops.training.neighbours import cutoffs_of

    cutoffs = cutoffs_of(params)
    prefix = f"model.{head or 'Default'}."
    return {
        "type_map": list(params["type_map"]),
        "descriptor": params.get("descriptor", {}).get("type", params.get("type")),
        "branch": head,
        "rcut_A": max(cutoffs) if cutoffs else None,
        "n_parameters": sum(v.numel() for k, v in state.items() if k.startswith(prefix) and hasattr(v, "numel")),
    }, head


def main(argv: Sequence[str]) -> int:
    """Child process: read, check, copy and freeze (torch is not loaded into the parent)."""
    task_file = Path(argv[1])
    work, out = task_file.parent, task_file.parent.parent
    task = read_json(task_file)
    import torch

    try:
        try:
            state = torch.load(task["model"], map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and torch errors alike: not a checkpoint
            raise InputError(f"can not be read as a PyTorch checkpoint ({type(error).__name__})") from error
        info, head = describe(state.get("model", state) if isinstance(state, dict) else {}, task["branch"])
        if unknown := [name for name in task["type_map"] if name not in info["type_map"]]:
            raise InputError(f"the model does not know {', '.join(unknown)}; it knows {', '.join(info['type_map'])}")
    except InputError as error:
        write_json(work / "error.json", {"kind": "InputError", "message": str(error)})
        return 1
    with atomic_path(out / "model.pt") as temporary:
        temporary.write_bytes(Path(task["model"]).read_bytes())
    from deepmd.pt.entrypoints.main import freeze

    freeze(model=str(out / "model.pt"), output=str(work / "frozen.pth"), head=head)
    (work / "frozen.pth").replace(out / "model.pth")
    write_json(work / "adopted.json", info)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
