"""Small files in the formats of models: headers as DeePMD-kit writes them, without numbers."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NETWORK = {"type": "se_e2_a", "rcut": 6.0, "rcut_smth": 0.5, "sel": [20], "precision": "float64"}


def params(elements: Sequence[str], aliases: Sequence[str] = ()) -> dict[str, Any]:
    """Return the network of one branch, as a checkpoint describes it."""
    return {
        "type_map": list(elements), "descriptor": dict(NETWORK), "fitting_net": {"type": "ener"},
        "model_branch_alias": list(aliases),
    }


def checkpoint(
    path: Path, branches: Mapping[str, Sequence[str]], aliases: Mapping[str, Sequence[str]] | None = None
) -> Path:
    """Write a checkpoint: elements by branch; a single-task model has one branch without a name."""
    known = {name: params(elements, (aliases or {}).get(name, ())) for name, elements in branches.items()}
    network = known.get("", {"model_dict": known})
    state = {"_extra_state": {"model_params": network, "train_infos": {"lr": 1e-3, "step": 99}}}
    optimizer = {"param_groups": [{"lr": 1e-3, "initial_lr": 4e-3, "params": [0]}]}
    return archive(path, {"data.pkl": pickle.dumps({"model": state, "optimizer": optimizer}, protocol=2)})


def frozen(path: Path, elements: Sequence[str]) -> Path:
    """Write the headers of a frozen model."""
    inner = {"type_map": list(elements), "rcut": 6.0}
    content = {"atomic_model": inner, "model_def_script": json.dumps(params(elements))}
    return archive(path, {"data.pkl": pickle.dumps(content, protocol=2), "code/__torch__/model.py": b""})


def package(path: Path, elements: Sequence[str], device: str = "cpu") -> Path:
    """Write the headers of an AOTInductor package."""
    facts = json.dumps({"type_map": list(elements), "rcut": 6.0}).encode()
    machine = {"AOTI_DEVICE_KEY": device, "AOTI_MACHINE": "x86_64", "AOTI_CPU_ISA": "AVX512"}
    if device == "cuda":
        machine["AOTI_COMPUTE_CAPABILITY"] = "sm_90"
    return archive(path, {
        "extra/metadata.json": facts, "data/aotinductor/model.so": b"",
        "data/aotinductor/model/a.wrapper_metadata.json": json.dumps(machine).encode(),
    })


def dpa4_checkpoint(path: Path, elements: Sequence[str]) -> Path:
    """Write the headers of a DPA-4 checkpoint, without the state of its optimizer, as published ones."""
    network = {
        "type": "dpa4", "type_map": list(elements), "descriptor": {"type": "dpa4", "rcut": 6.0},
        "fitting_net": {"type": "dpa4_ener"},
    }
    state = {"_extra_state": {"model_params": network}}
    return archive(path, {"data.pkl": pickle.dumps({"model": state}, protocol=2)})


def archive(path: Path, entries: Mapping[str, bytes]) -> Path:
    """Write a zip file with everything below one folder, as PyTorch does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in entries.items():
            target.writestr(f"model/{name}", content)
    path.write_bytes(buffer.getvalue())
    return path
