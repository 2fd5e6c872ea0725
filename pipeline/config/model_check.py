"""The user's models: files that can be read, what they are wanted for, the branch of a multi-task model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.models.builtin import builtin_hashes
from dpa_sse.ops.results.model_file import SUFFIXES, ModelFile
from dpa_sse.ops.training.settings import PretrainSettings
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.config.schema import Project

KeyMessage = tuple[KeyPath, str]
"""Path in the project, and what is wrong there."""
KINDS = {"checkpoint": "checkpoint", "frozen": "frozen model", "package": "package"}
OTHER_BACKENDS = (".pb", ".pbtxt", ".savedmodel", ".hlo", ".dp")


def model_findings(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield models of the user that are missing, cannot be read, or cannot be what they are wanted for."""
    if project.md and project.md.own_model:
        yield from _own_model(project, project.md.own_model, base_dir)
    pretrain = project.pretrain
    if pretrain and pretrain.model is None:
        yield from _trained_here(project, pretrain, base_dir)
    if pretrain and pretrain.branch and pretrain.model is None:
        yield ("pretrain", "branch"), "names a branch of `pretrain.model`, which is not given; remove it"
    if pretrain and pretrain.model:
        yield from _pretrained(project, pretrain.model, base_dir)


def _trained_here(project: Project, pretrain: PretrainSettings, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield what a network of the project lacks: the compiler of a DPA-4, low-rank additions of all others."""
    from dpa_sse.ops.potential.describe import DPA4
    from dpa_sse.ops.training.presets import load_preset

    try:
        kind = load_preset(pretrain.preset, base_dir).section("model")["descriptor"]["type"]
    except InputError:  # reported elsewhere
        return
    dpa4 = str(kind).lower() in DPA4
    yield from _compiler(dpa4, ("pretrain",))
    yield from _additions(project, dpa4)


def model_remarks(project: Project, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield the learning rate of the fine-tuning of a model of the user, where the configuration does not give it."""
    from dpa_sse.ops.training.finetune import RATE_SHARE
    from dpa_sse.ops.training.rates import rates_of

    pretrain, finetune = project.pretrain, project.finetune
    if not (pretrain and pretrain.model and finetune) or is_remote(pretrain.model):
        return
    default = PretrainSettings.model_fields["preset"].default
    if finetune.start_lr is not None or pretrain.start_lr is not None or pretrain.preset != default:
        return
    if not (base_dir / Path(pretrain.model).expanduser()).is_file():
        return
    model = _read(pretrain.model, base_dir)
    if isinstance(model, ModelFile):
        found = model.branch(pretrain.branch) if pretrain.branch else None
        rates = rates_of(model, found.name if found else "")
        source = "its checkpoint records" if model.learning_rate else "is usual for such a network (it records none)"
        yield ("finetune",), (
            f"starts with a learning rate of {RATE_SHARE * rates.start_lr:.2g}, {RATE_SHARE:g} times the one that "
            f"{source}; `finetune.start_lr` sets another"
        )


def _own_model(project: Project, name: str, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield what keeps a model from running the production MD."""
    where: KeyPath = ("md", "model")
    if is_remote(name):
        return
    if not (base_dir / Path(name).expanduser()).is_file():
        yield where, f"no such file: {base_dir / Path(name).expanduser()}"
        return
    from dpa_sse.ops.potential.describe import is_dpa4

    model = _read(name, base_dir)
    if isinstance(model, str):
        yield where, model
    elif model.multi_task and len(model.branches) > 1:
        names = ", ".join(one.name for one in model.branches)
        yield where, (
            f"{name}: a multi-task model; freeze the branch that is to be used ({names}): dp --pt freeze -c {name} "
            "--head BRANCH -o branch.pth"
        )
    else:
        unusable = next((use.how for use in model.uses if use.use == "LAMMPS" and not use.possible), "")
        if unusable:
            yield where, f"{name}: {unusable}"
        yield from _unknown_elements(project, model, "", where, name)
        yield from _compiler(model.kind == "checkpoint" and is_dpa4(model.branches[0]), where)


def _pretrained(project: Project, name: str, base_dir: Path) -> Iterator[KeyMessage]:
    """Yield what keeps a model from being the large model of the project."""
    where: KeyPath = ("pretrain", "model")
    if is_remote(name):
        return
    path = base_dir / Path(name).expanduser()
    if not path.is_file():
        if "/" in name or name.endswith((*SUFFIXES.values(), *OTHER_BACKENDS)):
            yield where, f"no such file: {path}"
        elif name in builtin_hashes():
            yield from _compiler(name.upper().startswith("DPA4"), where)
        else:
            hint = did_you_mean(name, builtin_hashes()) or f" (known names: {', '.join(builtin_hashes())})"
            yield where, f"'{name}' is neither a file nor a model known to deepmd{hint}"
        return
    model = _read(name, base_dir)
    if isinstance(model, str):
        yield where, model
        return
    if why := _why_not(project, model):
        yield where, f"{name}: {why}"
        return
    from dpa_sse.ops.potential.describe import choose_branch, is_dpa4

    assert project.pretrain is not None  # noqa: S101  (for the type checker)
    try:
        branch = choose_branch(model, project.pretrain.branch)
    except InputError as error:
        key = "branch" if project.pretrain.branch else "model"
        way_out = "" if project.pretrain.branch else " (`pretrain.branch: NAME`)"
        yield ("pretrain", key), f"{name}: {error}{way_out}"
        return
    yield from _unknown_elements(project, model, branch, where, name)
    yield from _compiler(model.kind == "checkpoint" and is_dpa4(model.branches[0]), where)
    yield from _additions(project, is_dpa4(model.branches[0]))
    chosen = model.branch(branch) if branch else model.branches[0]
    if project.finetune and chosen and chosen.has_table and list(chosen.type_map) != list(project.type_map):
        yield where, (
            f"{name}: has a table of pair potentials, whose elements DeePMD-kit cannot rearrange for the fine-tuning: "
            f"type_map must be [{', '.join(chosen.type_map)}]"
        )


def _additions(project: Project, dpa4: bool) -> Iterator[KeyMessage]:
    """Yield low-rank additions to a network for which DeePMD-kit has none."""
    if project.finetune and project.finetune.trainable == "lora" and not dpa4:
        yield ("finetune", "trainable"), (
            "DeePMD-kit has low-rank additions (LoRA) for DPA-4 only; `fitting_net` keeps the descriptor of any model"
        )


def _compiler(compiled: bool, where: KeyPath) -> Iterator[KeyMessage]:
    """Yield a missing compiler, which freezing a DPA-4 needs."""
    from dpa_sse.ops.core.tools import cpp_compiler
    from dpa_sse.ops.training.freeze import NO_COMPILER

    if compiled and cpp_compiler() is None:
        yield where[:1], NO_COMPILER


def _read(name: str, base_dir: Path) -> ModelFile | str:
    """Return what is in a model file, or why it cannot be read."""
    from dpa_sse.ops.potential.describe import describe_model

    path = base_dir / Path(name).expanduser()
    try:
        model = describe_model(path)
    except InputError as error:
        return f"{name}: {str(error).removeprefix(f'{path}: ')}"
    if path.suffix != SUFFIXES[model.kind]:
        kind, suffix = KINDS[model.kind], SUFFIXES[model.kind]
        return f"{name}: is a {kind} of DeePMD-kit, whose name must end in {suffix}; rename it"
    return model


def _why_not(project: Project, model: ModelFile) -> str:
    """Return why a readable model cannot be the large model of this project; empty if it can."""
    if model.kind != "checkpoint":
        if project.finetune:
            return (
                "a frozen model cannot be trained further; give its checkpoint (.pt), or remove `finetune` to use "
                "it as it is"
            )
        if project.validate.rounds and project.md:
            return (
                "a frozen model cannot be trained further; give its checkpoint (.pt), or set `validate.rounds: 0`, "
                "which does without corrections of it"
            )
    wanted = "fine-tune" if project.finetune else "teacher"
    found = next((use for use in model.uses if use.use == wanted), None)
    return "" if found is None or found.possible else found.how


def _unknown_elements(
    project: Project, model: ModelFile, branch: str, where: KeyPath, name: str
) -> Iterator[KeyMessage]:
    own = next(one for one in model.branches if not branch or one.name == branch)
    if missing := [element for element in project.type_map if element not in own.type_map]:
        known = " ".join(own.type_map) if len(own.type_map) <= 20 else f"{len(own.type_map)} elements"
        yield where, f"{name}: the model does not know {', '.join(missing)}; it knows {known}"
