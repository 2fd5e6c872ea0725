"""An existing model instead of pre-training: checked, frozen and put into a model folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import atomic_path
from dpa_sse.ops.core.tools import run_tool
from dpa_sse.ops.potential.describe import choose_branch, describe_model
from dpa_sse.ops.potential.folder import CHECKPOINT
from dpa_sse.ops.potential.inference import open_model, predict
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.results.training import AdoptTask, ChildError
from dpa_sse.ops.training.freeze import freeze_checkpoint
from dpa_sse.ops.training.job import resolve_model
from dpa_sse.ops.training.rates import rates_of
from dpa_sse.ops.training.train import PARITY_FORCE_EV_A, WORK, child_environment, deepmd_version


def adopt_model(
    model: Path | str, type_map: Sequence[str], out: Path, branch: str = "", *, name: str = ""
) -> ModelInfo:
    """Make a model folder from a checkpoint, a frozen model, or DeePMD-kit's built-in model of that name.

    Parameters
    ----------
    model : Path or str
        Checkpoint (.pt), frozen model (.pth, .pt2; the folder is then without a checkpoint), or a built-in name such
        as ``DPA-3.1-3M``.
    type_map : sequence of str
        Elements of the project; the model must know all of them. Fine-tuning rearranges them if the order or number
        of its elements differs.
    out : Path
        Model folder: ``model.pt``, ``model.pth`` (frozen; ``model.pt2`` of a DPA-4), ``model.json``.
    branch : str
        Branch of a multi-task model to freeze, or an alias of it.
    name : str
        What messages call the model; ``model`` by default.

    Returns
    -------
    ModelInfo

    Raises
    ------
    InputError
        The file is missing, is not a PyTorch model of DeePMD-kit, does not know one of the elements, or has several
        branches and none of them is named.
    """
    if (done := ModelInfo.read_if_there(out)) is not None:
        return done
    source = resolve_model(model)
    try:
        described = describe_model(source)
        head = choose_branch(described, branch)
    except InputError as error:
        raise InputError(f"{name or model}: {str(error).removeprefix(f'{source}: ')}") from error
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    ChildError.path_in(work).unlink(missing_ok=True)
    AdoptTask(model=str(source.resolve()), type_map=tuple(type_map), branch=head).write(work)
    argv: list[str | Path] = [sys.executable, "-P", "-m", __name__, AdoptTask.path_in(work).resolve()]
    try:
        run_tool(argv, out / "adopt.log", work, env=child_environment())
    except FatalError as error:
        if (found := ChildError.read_if_there(work)) is not None:
            raise (InputError if found.kind == "InputError" else FatalError)(
                f"{name or model}: {found.message}"
            ) from error
        raise
    own = described.branch(head) if head else described.branches[0]
    made = ModelInfo.read(work)
    info = made.model_copy(update={
        "n_parameters": (own and own.n_parameters) or made.n_parameters,  # of a TorchScript file only when it is run
        "adopted": Path(name or model).name, "deepmd_version": deepmd_version(), "own_rates": rates_of(described, head),
    })
    info.write(out)
    return info


def _describe(state: dict[str, Any], branch: str) -> ModelInfo:
    """Return the description of a checkpoint, with the branch to freeze (None if there is only one)."""
    try:
        params = state["_extra_state"]["model_params"]
    except (KeyError, TypeError) as error:
        raise InputError("not a PyTorch checkpoint of DeePMD-kit (model_params is missing)") from error
    head = None
    if "model_dict" in params:
        head = branch
        params = params["model_dict"][head]
    from dpa_sse.ops.training.neighbours import cutoffs_of

    cutoffs = cutoffs_of(params)
    return ModelInfo(
        type_map=tuple(params["type_map"]),
        descriptor=params.get("descriptor", {}).get("type", params.get("type")),
        branch=head,
        rcut_A=max(cutoffs) if cutoffs else None,
    )


def _describe_checkpoint(model: str, branch: str) -> ModelInfo:
    """Return the description of a checkpoint file."""
    import torch

    try:
        state = torch.load(model, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch errors alike: not a checkpoint
        raise InputError(f"cannot be read as a PyTorch checkpoint ({type(error).__name__})") from error
    return _describe(state.get("model", state) if isinstance(state, dict) else {}, branch)


def _describe_frozen(model: str) -> ModelInfo:
    """Return the description of a frozen model (TorchScript)."""
    import deepmd.pt.model.model  # noqa: F401  (registers the operators that a compressed model calls)
    import torch

    try:
        script = torch.jit.load(model, map_location="cpu")
        type_map, rcut = script.get_type_map(), float(script.get_rcut())
    except Exception as error:  # zip and torch errors, and scripts of other programs
        raise InputError(f"cannot be read as a frozen model of DeePMD-kit ({type(error).__name__})") from error
    return ModelInfo(
        type_map=tuple(type_map), rcut_A=rcut, n_parameters=sum(one.numel() for one in script.parameters()) or None
    )


def _describe_package(model: str) -> ModelInfo:
    """Return the description of a package (AOTInductor), which is opened: it was compiled for one kind of machine."""
    own = describe_model(Path(model))
    branch = own.branches[0]
    try:
        open_model(Path(model))
    except Exception as error:  # of the loader of the compiled library, and of DeePMD-kit
        raise InputError(
            f"cannot be opened here ({' '.join(str(error).split())[:200]}); it was compiled for {own.compiled_for}: "
            "freeze its checkpoint on a machine like this one, or give the checkpoint (.pt)"
        ) from error
    return ModelInfo(
        type_map=branch.type_map, descriptor=branch.descriptor, rcut_A=branch.rcut_A, n_parameters=branch.n_parameters
    )


def require_same(checkpoint: Path, frozen: Path, branch: str | None, elements: Sequence[str]) -> None:
    """Compare a compiled model with its checkpoint on rattled cells: compilation has gone wrong without an error.

    Raises
    ------
    FatalError
        The forces differ.
    """
    from ase.build import bulk

    models = [open_model(checkpoint, branch), open_model(frozen)]
    known = list(models[0].get_type_map())
    atoms = bulk("LiS", "rocksalt", a=5.6, cubic=True)
    types = np.array([known.index(elements[number % len(elements)]) for number in range(len(atoms))])
    coord = atoms.positions + np.random.default_rng(1).normal(0, 0.15, (3, *atoms.positions.shape))
    box = np.broadcast_to(atoms.cell.array, (3, 3, 3))
    own, other = (predict(model, types, coord, box)[1] for model in models)
    difference, largest = abs(own - other).max(), abs(own).max()
    if not difference < PARITY_FORCE_EV_A * max(1.0, largest):
        raise FatalError(
            f"the compiled model ({frozen.name}) differs from its checkpoint by {difference:.3g} eV/A in forces of up "
            f"to {largest:.3g} eV/A: DeePMD-kit or PyTorch compiled it wrongly on this machine"
        )


READERS: dict[str, Callable[[str], ModelInfo]] = {".pth": _describe_frozen, ".pt2": _describe_package}
"""Frozen models by the suffix of the file."""


def main(argv: Sequence[str]) -> int:
    """Child process: read, check, copy and freeze, so that torch is not loaded into the parent."""
    task_file = Path(argv[1])
    work, out = task_file.parent, task_file.parent.parent
    task = AdoptTask.read(task_file)
    suffix = Path(task.model).suffix
    frozen = suffix in (".pth", ".pt2")
    try:
        info = READERS[suffix](task.model) if frozen else _describe_checkpoint(task.model, task.branch)
        if unknown := [name for name in task.type_map if name not in info.type_map]:
            raise InputError(f"the model does not know {', '.join(unknown)}; it knows {', '.join(info.type_map)}")
    except InputError as error:
        ChildError(kind="InputError", message=str(error)).write(work)
        return 1
    with atomic_path(out / f"model{suffix if frozen else '.pt'}") as temporary:
        temporary.write_bytes(Path(task.model).read_bytes())
    if frozen:
        info.write(work)
        return 0
    try:
        file = freeze_checkpoint(out / CHECKPOINT, work, info.branch)
        if file.suffix == ".pt2":
            require_same(out / CHECKPOINT, file, info.branch, task.type_map)
    except FatalError as error:
        ChildError(kind="FatalError", message=str(error)).write(work)
        return 1
    file.replace(out / f"model{file.suffix}")
    info.write(work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
