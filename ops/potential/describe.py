"""What is in any model file: read from its headers, without DeePMD-kit and without running any of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.limits import regular
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.potential.inert_pickle import Tensor, read_entry, read_objects, walk
from dpa_sse.ops.results.model import LearningRates
from dpa_sse.ops.results.model_file import FileKind, ModelBranch, ModelFile, ModelUse

PACKAGE_FACTS = "extra/metadata.json"
PACKAGE_INPUT = "extra/model_def_script.json"
PACKAGE_DEVICE = "wrapper_metadata.json"
MAX_FACTS = 100_000
DEVICE_KEYS = ("DEVICE_KEY", "MACHINE", "CPU_ISA", "COMPUTE_CAPABILITY")
DPA4 = ("dpa4", "sezm")
COMPRESSIBLE = ("se_e2_a", "se_a", "se_e2_r", "se_r", "se_e3", "se_at")
"""Descriptors that DeePMD-kit compresses without loss."""
ENERGY = ("ener", "dpa4_ener", "direct_force_ener")
FLOATS = {"default": "float64", "double": "float64", "single": "float32", "half": "float16"}
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF"
TENSORFLOW = (".pb", ".meta", ".pbtxt")
TEXTS = (".yaml", ".yml", ".json")
"""Of DeePMD-kit's models too, which name it."""
TEXT_BYTES = 4096
OTHERS = (".savedmodel", ".hlo", ".dp", ".yaml", ".yml", ".json", ".pdmodel", ".pte")
CUTOFF = "rcut"
PAIR_TABLE = "use_srtab"
STATISTICS = (
    "mean", "stddev", "davg", "dstd", "out_bias", "out_std", "min_nbor_dist", "bias_atom_e", "fparam_avg",
    "fparam_inv_std", "aparam_avg", "aparam_inv_std", "type_mask", "buffer_type_map", "case_embd", "default_fparam",
    "tab_info", "tab_data",
)
"""Tensors of a model that are not trained."""


def describe_model(path: Path) -> ModelFile:
    """Return what is in a model file.

    Raises
    ------
    InputError
        It is missing or empty, no model of DeePMD-kit's PyTorch backend, damaged, or holds what no model needs. The
        message begins with the path as given.
    """
    try:
        return _describe(path)
    except InputError as error:
        raise InputError(f"{printable(str(path), keep='')}: {error}") from error


def _describe(path: Path) -> ModelFile:
    try:
        size = regular(path).stat().st_size
        if path.is_dir():
            raise InputError("is a folder; give a model file (.pt, .pth, .pt2) in it")
        with path.open("rb") as stream:
            start = stream.read(len(OLD_TORCH))
    except FileNotFoundError as error:
        raise InputError("no such file") from error
    except OSError as error:
        raise InputError(error.strerror or str(error)) from error
    if not size:
        raise InputError("the file is empty")
    if not zipfile.is_zipfile(path):
        raise InputError(_why_not(path, start))
    try:
        with zipfile.ZipFile(path) as archive:
            kind, branches, multi_task, trained = _content(archive)
            compiled_for = _compiled_for(archive) if kind == "package" else None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"is damaged ({printable(str(error), keep='')})") from error
    return ModelFile(
        file=str(path), kind=kind, size_bytes=size, branches=tuple(branches), multi_task=multi_task,
        steps=trained.steps, learning_rate=trained.learning_rate,
        deepmd_version=None, compiled_for=compiled_for, uses=tuple(_uses(kind, branches, compiled_for)),
    )


def _why_not(path: Path, start: bytes) -> str:
    if start.startswith(OLD_TORCH):
        return "is in the file format of PyTorch before 1.6; load it there and save it again"
    if path.suffix in TENSORFLOW:
        return (
            "is a model of DeePMD-kit's TensorFlow backend, which is not installed here; convert it where that is: "
            f"dp convert-backend {path.name} {path.stem}.pth"
        )
    if path.suffix in TEXTS and not _is_dpmodel(path):
        return (
            "is a text file (a configuration, a structure or data), no model; give the model file (.pt, .pth, .pt2) or "
            "the folder that it is in"
        )
    if path.suffix in OTHERS:
        return f"is of another backend of DeePMD-kit; convert it: dp convert-backend {path.name} {path.stem}.pth"
    cut = "is cut or damaged" if start.startswith(b"PK") else "is not a file of PyTorch"
    return f"{cut}: no model of DeePMD-kit (.pt, .pth, .pt2)"


def _is_dpmodel(path: Path) -> bool:
    """Return whether a text file is a model of DeePMD-kit, which says so near its start or its end."""
    with path.open("rb") as stream:
        ends = stream.read(TEXT_BYTES)
        stream.seek(max(0, path.stat().st_size - TEXT_BYTES))
        ends += stream.read()
    return b"software" in ends and b"deepmd-kit" in ends


class Training(NamedTuple):
    """What a checkpoint says about its training."""

    steps: int | None = None
    learning_rate: LearningRates | None = None


def _content(archive: zipfile.ZipFile) -> tuple[FileKind, list[ModelBranch], bool, Training]:
    names = [info.filename.partition("/")[2] for info in archive.infolist()]
    if PACKAGE_FACTS in names:
        return "package", [_package(archive)], False, Training()
    stream = read_entry(archive, "data.pkl")
    if stream is None:
        raise InputError("is a zip file, but no model of DeePMD-kit")
    with stream:
        objects = read_objects(stream)
    if any(name.startswith("code/") for name in names):
        return "frozen", [_frozen(objects)], False, Training()
    return "checkpoint", *_checkpoint(objects)


def _checkpoint(objects: Any) -> tuple[list[ModelBranch], bool, Training]:
    state = objects.get("model", objects) if isinstance(objects, dict) else None
    extra = state.get("_extra_state") if isinstance(state, dict) else None
    params = extra.get("model_params") if isinstance(extra, dict) else None
    if not isinstance(params, dict) or not isinstance(state, dict):
        raise InputError("is a file of PyTorch, but no checkpoint of DeePMD-kit (model_params is missing)")
    trained = _training(objects, _mapping(extra.get("train_infos") if isinstance(extra, dict) else None))
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if "model_dict" not in params:
        return [_branch("", params, _count(tensors.items()))], False, trained
    found = params["model_dict"]
    if not isinstance(found, dict) or not found:
        raise InputError("is a multi-task checkpoint without branches")
    branches = []
    for name, own in found.items():
        if not isinstance(own, dict):
            raise InputError(f"the network of its branch {name!r} is not described")
        part = [(key, value) for key, value in tensors.items() if key.startswith(f"model.{name}.")]
        branches.append(_branch(str(name), own, _count(part)))
    return branches, True, trained


def _training(objects: Any, info: Mapping[str, Any]) -> Training:
    """Return the steps and learning rates; those of the optimizer are missing in most published checkpoints."""
    step, last = info.get("step"), info.get("lr")
    optimizer = _mapping(objects.get("optimizer") if isinstance(objects, dict) else None)
    groups = optimizer.get("param_groups")
    first = groups[0].get("initial_lr") if isinstance(groups, list) and groups and isinstance(groups[0], dict) else None
    rates = None
    if isinstance(first, float) and first > 0:
        rates = LearningRates(start_lr=first, stop_lr=last if isinstance(last, float) and last > 0 else None)
    return Training(int(step) + 1 if isinstance(step, int) else None, rates)


def _frozen(objects: Any) -> ModelBranch:
    attributes: dict[str, Any] = {}
    for key, value in walk(objects):
        if not isinstance(value, (dict, Tensor)):
            attributes.setdefault(key, value)
    if not _elements(attributes.get("type_map")):
        raise InputError("is a TorchScript file, but no frozen model of DeePMD-kit (it has no type_map)")
    script = attributes.get("model_def_script")
    params = _json_mapping(script) if isinstance(script, str) and script.startswith("{") else {}
    compressed = any(value is True for key, value in walk(objects) if key == "compress")
    known = {"type_map": attributes["type_map"], "rcut": attributes.get("rcut"), **params}
    n_parameters = None if compressed else _count(walk(objects))
    return _branch("", known, n_parameters, compressed=compressed)


def _count(tensors: Iterable[tuple[str, Any]]) -> int | None:
    """Return the number of trained numbers: each tensor once, without statistics of the data and energy biases."""
    found = {
        value.place: value.numel for key, value in tensors
        if isinstance(value, Tensor) and key.rpartition(".")[2] not in STATISTICS
    }
    return sum(found.values()) or None


def _package(archive: zipfile.ZipFile) -> ModelBranch:
    found: dict[str, Any] = {}
    for name in (PACKAGE_FACTS, PACKAGE_INPUT):
        stream = read_entry(archive, name)
        if stream is not None:
            with stream:
                found |= _json_mapping(stream.read().decode("utf-8", "replace"))
    if not _elements(found.get("type_map")):
        raise InputError("is an AOTInductor package, but no model of DeePMD-kit (it has no type_map)")
    return _branch("", found, None)


def _compiled_for(archive: zipfile.ZipFile) -> str:
    """Return the device that a package was compiled for, in words."""
    for info in archive.infolist():
        if info.filename.endswith(PACKAGE_DEVICE) and info.file_size < MAX_FACTS:
            facts = _json_mapping(archive.read(info).decode("utf-8", "replace"))
            device, machine, processor, gpu = (_text(facts.get(f"AOTI_{key}")) for key in DEVICE_KEYS)
            return ", ".join(one for one in (device, machine, processor if device == "cpu" else gpu) if one)
    return "a device that the file does not name"


def _json_mapping(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _branch(
    name: str, params: Mapping[str, Any], n_parameters: int | None, *, compressed: bool = False
) -> ModelBranch:
    elements = _elements(params.get("type_map"))
    if not elements:
        raise InputError(f"{f'its branch {name!r}' if name else 'it'} has no type_map: no model of DeePMD-kit")
    descriptor, fitting = (_mapping(params.get(key)) for key in ("descriptor", "fitting_net"))
    info = _mapping(params.get("info"))
    observed = _elements(info.get("observed_type"))
    cutoffs = list(_cutoffs(descriptor)) or [value for value in [params.get("rcut")] if isinstance(value, (int, float))]
    return ModelBranch(
        name=name, aliases=_elements(params.get("model_branch_alias")), type_map=elements,
        elements_with_data=tuple(one for one in elements if one in observed) or None,
        descriptor=_text(descriptor.get("type")) or _text(params.get("type")), fitting=_text(fitting.get("type")),
        rcut_A=max(map(float, cutoffs), default=None), precision=_precision(descriptor, fitting),
        n_parameters=n_parameters, compressed=compressed, has_table=PAIR_TABLE in params,
        table_file=_text(params.get(PAIR_TABLE)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return printable(value, keep="") if isinstance(value, str) and value else None


def _elements(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple(printable(one, keep="") for one in value if isinstance(one, str))


def _cutoffs(node: Any) -> Sequence[float]:
    """Return all cutoff radii of a descriptor, of parts of a hybrid one, too."""
    found: list[float] = []
    for key, value in walk(node):
        if (key == CUTOFF or key.endswith(f"_{CUTOFF}")) and isinstance(value, (int, float)):
            found.append(float(value))
    return found


def _precision(*parts: Mapping[str, Any]) -> str | None:
    """Return the precision of the network: the lowest of its parts."""
    named = {
        FLOATS.get(str(value), str(value)) for part in parts for key, value in walk(part)
        if key == "precision" and isinstance(value, str)
    }
    if not named:
        return "float64" if any(parts) else None
    return next((one for one in ("bfloat16", "float16", "float32") if one in named), "float64")


def is_dpa4(branch: ModelBranch) -> bool:
    """Return whether a network is a DPA-4 (SeZM), which DeePMD-kit freezes by compiling it."""
    return (branch.descriptor or "").lower() in DPA4


def table_beside(table: str) -> str:
    """Return why a checkpoint that names the file of a table of pair potentials cannot be used."""
    return (
        f"DeePMD-kit reads its table of pair potentials from {table} whenever it opens the checkpoint; freeze it where "
        "that file is (dp --pt freeze): the frozen model has the table inside"
    )


def _uses(kind: FileKind, branches: Sequence[ModelBranch], compiled_for: str | None) -> list[ModelUse]:
    """Return what a file can be used for in this pipeline and in LAMMPS."""
    energy = all(one.fitting is None or one.fitting in ENERGY for one in branches)
    if not energy:
        why = f"it predicts {', '.join(sorted({str(one.fitting) for one in branches}))}, not energies and forces"
        return [ModelUse(use=use, possible=False, how=why) for use in ("fine-tune", "teacher", "LAMMPS", "compress")]
    table = next((one.table_file for one in branches if one.table_file), None)
    if kind == "checkpoint" and table:
        why = table_beside(table)
        return [ModelUse(use=use, possible=False, how=why) for use in ("fine-tune", "teacher", "LAMMPS", "compress")]
    names = {one.descriptor for one in branches}
    branch = "; name the branch" if len(branches) > 1 else ""
    fine_tune = kind == "checkpoint"
    only_here = f"; compiled for {compiled_for}: it runs on such a device only" if compiled_for else ""
    compiles = " (a DPA-4: compiled, with a C++ compiler)" if any(map(is_dpa4, branches)) else ""
    compressible = names <= set(COMPRESSIBLE) and not any(one.compressed for one in branches)
    lammps = {
        "checkpoint": f"after freezing, which the pipeline does{compiles}{branch}",
        "frozen": "as it is (pair_style deepmd)", "package": f"as it is (pair_style deepmd){only_here}",
    }[kind]
    return [
        ModelUse(
            use="fine-tune", possible=fine_tune,
            how=f"pretrain.model{branch}" if fine_tune
            else "a frozen model cannot be trained further; its checkpoint (.pt) can",
        ),
        ModelUse(use="teacher", possible=True, how=f"pretrain.model with distill{branch}{only_here}"),
        ModelUse(use="LAMMPS", possible=True, how=lammps),
        ModelUse(
            use="compress", possible=compressible,
            how="dp compress; the pipeline does it for its students" if compressible
            else "is compressed" if any(one.compressed for one in branches)
            else f"DeePMD-kit does not compress {', '.join(str(one) for one in names)} without loss",
        ),
    ]


def choose_branch(model: ModelFile, wanted: str) -> str:
    """Return the branch to use: its own name, also where an alias is given; empty for a single-task model.

    Raises
    ------
    InputError
        The model has several branches and none is named, or it has no branch of that name.
    """
    tables = [one.table_file for one in model.branches if one.table_file]
    if model.kind == "checkpoint" and tables:
        raise InputError(table_beside(tables[0]))
    if not model.multi_task:
        if wanted:
            raise InputError(f"is a single-task model, without branches: remove the branch {wanted!r}")
        return ""
    if not wanted and len(model.branches) == 1:
        return model.branches[0].name
    if not wanted:
        raise InputError(
            f"is a multi-task model of {len(model.branches)} branches, which differ in their data and level of theory: "
            f"name the branch to use. {branch_list(model)}"
        )
    found = model.branch(wanted)
    if found is None:
        names = [name for one in model.branches for name in (one.name, *one.aliases)]
        raise InputError(f"has no branch {wanted!r}{did_you_mean(wanted, names)}. {branch_list(model)}".strip())
    return found.name


def branch_list(model: ModelFile) -> str:
    """Return the branches in one line: names, aliases, elements with data, cutoff."""
    return "Branches: " + "; ".join(_branch_words(one) for one in model.branches)


def _branch_words(branch: ModelBranch) -> str:
    aliases = f" (alias {', '.join(branch.aliases)})" if branch.aliases else ""
    known = branch.elements_with_data or branch.type_map
    elements = " ".join(known) if len(known) <= 8 else f"{len(known)} elements"
    cutoff = f", {branch.rcut_A:g} A" if branch.rcut_A else ""
    return f"{branch.name}{aliases}: {elements}{cutoff}"
