"""Mistakes that people make with their first configuration: each is named, at its key, with what to write instead.

The files of ``bad/`` hold further ones, above all of YAML. What is possible but rarely meant is remarked, not refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.pipeline.config import ConfigError, load_checked
from dpa_sse.pipeline.config.remarks import remarks
from tests.model_files import checkpoint, dpa4_checkpoint, frozen, package

SOUND: dict[str, Any] = {
    "name": "x", "type_map": ["Li", "P", "S", "Cl"],
    "systems": [{"name": "a", "structure": "Li6PS5Cl", "site_disorder": 0.5}], "labeler": {"kind": "mock"},
    "distill": {"student": {"preset": "se_e2_a", "overrides": {"model.descriptor.rcut": 4.0}}},
    "md": {"temperatures_K": [600, 700], "supercell": [2, 2, 2]},
}
LEARN = "stages: [{temperatures_K: [300], steps: 50}]"
REFUSED = [
    # units, numbers, lists
    ("md.timestep_fs=0.002", "md.timestep_fs", "0.002 ps = 2 fs"),
    ("md.timestep_fs=20", "md.timestep_fs", "at most 5 fs, not 20"),
    ("md.temperatures_K=600", "md.temperatures_K", "write [600]"),
    ("md.temperatures_K=[300 K]", "md.temperatures_K.0", "write only the number, in K"),
    ("md.temperatures_K=[-100]", "md.temperatures_K.0", "larger than 0 K, not -100"),
    ("md.temperatures_K=[]", "md.temperatures_K", "must not be empty"),
    ("md.temperatures_K=[600, 600]", "md.temperatures_K.1", "duplicate; for better statistics, increase md.replicas"),
    ("md.production_ns=1", "md.production_ns", "write 'production_ps' (1 ns = 1000 ps)"),
    ("md.pressure_bar=1", "md.pressure_bar", "write 'pressure_GPa' (1 bar = 0.0001 GPa)"),
    ("md.production_ps=0.1", "md.production_ps", "fewer than 10 frames at one frame per 20 fs"),
    ("md.dump_every_fs=3", "md.dump_every_fs", "multiple of timestep_fs (2), not 3"),
    ("md.replicas=0", "md.replicas", "at least 1, not 0"),
    ("md.supercell=2", "md.supercell", "write [2, 2, 2]"),
    ("md.supercell=[2, 2]", "md.supercell", "3 entries, e.g. [1, 1, 1]"),
    ("aimd.steps=2.5", "aimd.steps", "whole number, not 2.5"),
    ("seed=-1", "seed", "at least 0, not -1"),
    ("failure.task_timeout_h=2", "failure.task_timeout_h", "write 'task_timeout_min' (2 h = 120 min)"),
    ("conductivity.extrapolate_to_K=[25]", "conductivity.extrapolate_to_K.0", "25 degrees Celsius are 298.15 K"),
    # per cent
    ("perturb.strain=3", "perturb.strain", "3 % is 0.03"),
    ("systems.0.site_disorder=50", "systems.0.site_disorder", "50 % is 0.5"),
    ("split.test=20", "split.test", "20 % is 0.2"),
    ("failure.min_success_ratio=90", "failure.min_success_ratio", "90 % is 0.9"),
    ("split={test: 0.6, validation: 0.5}", "split", "their sum must be below 1"),
    # names of keys
    ("temperature=600", "temperature", "did you mean 'md.temperatures_K'"),
    ("md.temperature=600", "md.temperature", "did you mean 'temperatures_K'?"),
    ("md.steps=100000", "md.steps", "the length of the runs is 'production_ps'"),
    ("perturb.displacement=0.1", "perturb.displacement", "did you mean 'displacement_A'?"),
    ("pretrain.lr=0.001", "pretrain.lr", "did you mean 'start_lr'?"),
    ("pretrain.epochs=5", "pretrain.epochs", "possible keys: preset, steps"),
    ("validation.test=0.1", "validation", "it belongs to split"),
    ("training.steps=5", "training", "did you mean 'simplify.train' or 'concurrent_learning.train'?"),
    ("aimd.ensemble=NPT", "aimd.ensemble", "did you mean 'npt'?"),
    # structures and elements
    ("systems=[{name: a, structure: LiClo}]", "systems.0.structure", "did you mean 'LiCl'"),
    ("systems=[{name: a, structure: my.cif}]", "systems.0.structure", "my.cif: no such file"),
    ("systems=[{name: a, structure: beta-Li3PS4}]", "systems.0.structure", "did you mean 'Li3PS4_beta_b'"),
    ("systems=[{name: a, structure: Li2S, site_disorder: 0.5}]", "systems.0.site_disorder", "needs an argyrodite"),
    ("systems=[{name: a b, structure: Li2S}]", "systems.0.name", "use at most 64 letters, digits and . _ + -"),
    ("systems=[{structure: Li2S}]", "systems.0.name", "is missing: name of the system"),
    ("systems=[Li2S]", "systems.0", "write {name: Li2S, structure: Li2S}"),
    ("systems=[{name: a, structure: Li2S}, {name: a, structure: LiCl}]", "systems.1.name", "names must be unique"),
    ("systems=[{name: a, structure: Li6PS5Br}]", "systems.0.structure", "element Br is not in type_map [Li, P, S, Cl]"),
    ("type_map=[Li, P, S]", "systems.0.structure", "element Cl is not in type_map [Li, P, S]"),
    ("type_map=Li P S Cl", "type_map", "write [Li, P, S, Cl]"),
    ("type_map=[lithium, P, S, Cl]", "type_map.0", "did you mean 'Li'?"),
    ("type_map=[LI, P, S, Cl]", "type_map.0", "did you mean 'Li'?"),
    ("type_map=[Li, P, S, Cl, Li]", "type_map", "duplicate: Li"),
    ("name=my run!", "name", "use at most 50 letters, digits and . _ -"),
    # labelers
    ("labeler=chgnet", "labeler", "write {kind: ase, calculator: chgnet}"),
    ("labeler=VASP", "labeler", "write {kind: vasp}"),
    ("labeler.kind=pw.x", "labeler.kind", "write {kind: qe}"),
    ("labeler.kind=chgnet", "labeler.kind", "write {kind: ase, calculator: chgnet}"),
    ("labeler={kind: ase, calculator: mace}", "labeler.calculator", "did you mean 'mace.calculators:mace_mp'?"),
    ("labeler={kind: ase, calculator: 'nomodule:X'}", "labeler.calculator", "'nomodule' is not installed"),
    ("labeler={kind: cp2k, command: no_cp2k}", "labeler.command", "apt-get install cp2k"),
    ("labeler={kind: deepmd}", "labeler.model", "is missing"),
    # networks, data, stages
    ("concurrent_learning={models: 1, stages: [{temperatures_K: [300]}]}", "concurrent_learning.models",
     "at least 2, not 1"),
    ("concurrent_learning={}", "concurrent_learning.stages", "e.g. [{temperatures_K: [300, 600], steps: 2000}]"),
    ("concurrent_learning={trust: {force_lo_eV_A: 0.5, force_hi_eV_A: 0.2}, " + LEARN + "}",
     "concurrent_learning.trust.force_lo_eV_A", "must be smaller than force_hi_eV_A (0.2)"),
    ("concurrent_learning={trust: {virial_lo_eV: 0.5}, " + LEARN + "}", "concurrent_learning.trust.virial_lo_eV",
     "did you mean 'virial_lo_eV_atom'?"),
    ("concurrent_learning={trust: {force_lo_eV_A: 0.1, virial_hi_eV_atom: 0.2}, " + LEARN + "}",
     "concurrent_learning.trust.virial_hi_eV_atom", "needs virial_lo_eV_atom as well"),
    ("concurrent_learning={trust_of: {LiCL: {force_lo_eV_A: 0.2}}, " + LEARN + "}",
     "concurrent_learning.trust_of.LiCL", "'LiCL' is not one of the systems"),
    ("concurrent_learning={stages: [{temperatures_K: [300], steps: 50, trust: {force_lo_eV_A: 0.4}}]}",
     "concurrent_learning.stages.0.trust.force_lo_eV_A", "in stage 0: force_lo_eV_A (0.4) must be smaller than"),
    ("concurrent_learning={stages: [{temperatures_K: [300], steps: 50, trust: {relative: {lo: 0.1}}}]}",
     "concurrent_learning.stages.0.trust.relative.hi", "is missing: upper trust level"),
    ("concurrent_learning={trust: {adaptive: {}}, stages: [{temperatures_K: [300], steps: 50, max_iterations: 1}]}",
     "concurrent_learning.stages.0.max_iterations", "must be at least 2, not 1: fewer cannot show"),
    ("concurrent_learning={train: [{preset: se_e2_a}, {preset: dpa9}], " + LEARN + "}",
     "concurrent_learning.train.1.preset", "neither a known name"),
    ("concurrent_learning={train: [{preset: se_e2_a, lr: 0.1}], " + LEARN + "}", "concurrent_learning.train.0.lr",
     "did you mean 'start_lr'?"),
    ("concurrent_learning={train: [{preset: se_e2_a, start_lr: 1e-4, stop_lr: 1e-3}], " + LEARN + "}",
     "concurrent_learning.train.0.stop_lr", "must be at most start_lr (0.0001)"),
    ("concurrent_learning={train: [], " + LEARN + "}", "concurrent_learning.train", "must not be empty"),
    ("concurrent_learning={train: se_e2_a, " + LEARN + "}", "concurrent_learning.train", "section of keys and values"),
    ("concurrent_learning={models: 2, train: [{preset: se_e2_a}, {preset: dpa2-tiny}, {preset: dpa2-paper}], "
     + LEARN + "}", "concurrent_learning.train", "has 3 networks for 2 models"),
    ("concurrent_learning={sample_every: 100, " + LEARN + "}", "concurrent_learning.stages.0.steps",
     "at least concurrent_learning.sample_every (100), not 50"),
    ("pretrain.preset=dpa3", "pretrain.preset", "neither a known name (dpa2-paper"),
    ("pretrain.steps=0", "pretrain.steps", "at least 1, not 0"),
    ("pretrain={model: nofile.pt}", "pretrain.model", "no such file"),
    ("pretrain={model: broken.pth}", "pretrain.model", "broken.pth: is not a file of PyTorch"),
    ("pretrain={model: cut.pt}", "pretrain.model", "cut.pt: is cut or damaged"),
    ("pretrain={model: graph.pb}", "pretrain.model", "dp convert-backend graph.pb graph.pth"),
    ("pretrain={model: renamed.pt}", "pretrain.model", "is a frozen model of DeePMD-kit, whose name must end in .pth"),
    ("pretrain={model: two.pt}", "pretrain.model",
     "Branches: Alloy (alias Domains_Alloy): Li P S Cl, 6 A; SSE_PBESol: Li P S Cl, 6 A (`pretrain.branch: NAME`)"),
    ("pretrain={model: two.pt, branch: SSE_PBE}", "pretrain.branch", "did you mean 'SSE_PBESol'?"),
    ("pretrain={model: one.pt, branch: SSE}", "pretrain.branch", "remove the branch 'SSE'"),
    ("pretrain={model: few.pt}", "pretrain.model", "the model does not know P, Cl; it knows Li S"),
    ("pretrain={branch: SSE}", "pretrain.branch", "which is not given"),
    ("md.model=two.pt", "md.model", "dp --pt freeze -c two.pt --head BRANCH -o branch.pth"),
    ("pretrain.overrides={model.descriptor.rcutt: 5}", "pretrain.overrides.model.descriptor.rcutt",
     "no key 'rcutt' in model.descriptor"),
    ("pretrain=null", "distill", "needs a model, but `pretrain` is null; remove one of them"),
    ("distill=null", "md", "`distill: {}` uses the defaults; `md.model` is for a model of yours"),
    ("finetune={}", "finetune", "downstream: {system: {name: mine, structure: my.cif}}"),
    ("data=[nodata]", "data.0", "no such folder"),
    ("data=[frames.extxyz]", "data.0", "`dpa-sse data convert frames.extxyz FOLDER` makes one"),
    ("downstream={system: {name: b, structure: Li2S}, data: [nodata]}", "downstream.data.0", "no such folder"),
    ("md.model=none.pth", "md.model", "no such file"),
    ("md.model=frozen.pth", "distill", "has no effect, since `md.model` is the model of the MD; remove one of them"),
    ("validate={rounds: 1, production_labels: 0}", "validate.rounds", "production_labels is 0"),
    ("validate={rounds: 1, round_ps: 100}", "validate.round_ps", "shorter than md.production_ps (10)"),
    ("conductivity.mobile=[Na]", "conductivity.mobile.0", "'Na' is not in type_map"),
    ("conductivity.mobile=[Li+]", "conductivity.mobile.0", "write the element, Li"),
    ("conductivity.mobile=Li", "conductivity.mobile", "write [Li]"),
    ("conductivity.mobile=[P]", "conductivity.charges", "e.g. charges: {P: 1}"),
    # the machine
    ("resources={cores: 1, threads_per_task: 4}", "resources.threads_per_task", "at most resources.cores (1), not 4"),
    ("cluster.preset=gpu", "cluster.preset", "one of the presets cpu-only, many-gpus, one-gpu, spot, tiny"),
    ("on_end=mail me", "on_end", "write [mail, me]"),
    ("on_end=[no-such-program]", "on_end.0", "not a program that can be started"),
    ("on_end_url=https://x.example/secret", "on_end_url", "write $NAME, an environment variable"),
]
REMARKED = [
    ("md.temperatures_K=[25, 600]", "md.temperatures_K", "25 K: ions of a solid hardly move there"),
    ("md.production_ps=1000000", "md.production_ps", "1e+06 ps are 1000 ns for each run"),
    ("md.production_ps=200", "labeler.kind", "'mock' has no physics"),
    ("md.equilibration_ps=0", "md.equilibration_ps", "the volume of the cell as it was built, not that of 0 GPa"),
    ("md.supercell=[1, 1, 1]", "md.supercell", "9.9 A wide; 15 A or more are advised, e.g. md.supercell: [2, 2, 2]"),
    ("perturb.strain=0", "perturb.strain", "strain: 0.05 covers the volumes of hot cells"),
    ("perturb.volume_preserving=true", "perturb.volume_preserving", "all labelled cells have one volume"),
    ("validate.production_labels=1", "validate.production_labels", "1 for 2 state points"),
    ("conductivity.charges={Li: 2}", "conductivity.charges.Li", "formal charge of Li is +1 e"),
    ("resources.cores=1000", "resources.cores", "more tasks at a time will share them"),
    ("concurrent_learning={trust: {adaptive: {}}, " + LEARN + "}", "concurrent_learning.stages.0",
     "explores 6 frames; with adaptive.candidates at 200, none can be accurate"),
    ("systems.0.site_disorder=0.6", "systems.0.site_disorder", "a larger `supercell` comes closer"),
]
WITHOUT_MD = [("conductivity.hop_distance_A=2", "conductivity"), ("validate.production_labels=5", "validate")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    for name in ("frames.extxyz", "broken.pth", "graph.pb"):
        (folder / name).write_text("x")
    elements = ["Li", "P", "S", "Cl"]
    frozen(folder / "frozen.pth", elements)
    frozen(folder / "renamed.pt", elements)
    package(folder / "aot.pt2", elements)
    checkpoint(folder / "one.pt", {"": elements})
    dpa4_checkpoint(folder / "four.pt", elements)
    examples = json.loads((Path(__file__).parents[2] / "data" / "deepmd_inputs.json").read_text(encoding="utf-8"))
    network = examples["water/dpa4/input.json"]
    network["model"].pop("type_map")
    (folder / "four.json").write_text(json.dumps(network))
    checkpoint(folder / "few.pt", {"": ["Li", "S"]})
    checkpoint(folder / "two.pt", {"Alloy": elements, "SSE_PBESol": elements}, {"Alloy": ["Domains_Alloy"]})
    (folder / "cut.pt").write_bytes((folder / "one.pt").read_bytes()[:200])
    (folder / "c.yaml").write_text(json.dumps(SOUND))
    return folder / "c.yaml"


def found(path: Path, *overrides: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is refused and what is remarked, by key."""
    try:
        located = load_checked(path, overrides)
    except ConfigError as error:
        return {one.path: str(one) for one in error.problems}, {}
    return {}, {one.path: str(one) for one in remarks(located)}


def test_there_are_many() -> None:
    assert len(REFUSED) + len(REMARKED) + len(WITHOUT_MD) >= 60
    assert len({mistake for mistake, _, _ in [*REFUSED, *REMARKED]}) == len(REFUSED) + len(REMARKED)


def test_without_a_mistake_nothing_is_said(sound: Path) -> None:
    assert found(sound) == ({}, {})


@pytest.mark.parametrize("model", [
    "model: one.pt", "model: two.pt, branch: sse_pbesol", "model: two.pt, branch: Domains_Alloy", "model: frozen.pth",
    "model: aot.pt2", "model: four.pt",
])
def test_models_of_others_are_accepted(model: str, sound: Path) -> None:
    """A frozen model, too, where nothing trains it further; branches as DeePMD-kit knows them."""
    assert found(sound, f"pretrain={{{model}}}")[0] == {}


def test_a_frozen_model_is_not_trained_further(sound: Path) -> None:
    new = "downstream={system: {name: b, structure: Li2S}}"
    for name in ("frozen.pth", "aot.pt2"):
        refused, _ = found(sound, f"pretrain={{model: {name}}}", new, "finetune={}")
        assert "give its checkpoint (.pt), or remove `finetune`" in refused["pretrain.model"]
    assert "pretrain.model" not in found(sound, "pretrain={model: one.pt}", new, "finetune={}")[0]
    refused, _ = found(sound, "pretrain={model: frozen.pth}", "validate={rounds: 1}")
    assert "or set `validate.rounds: 0`" in refused["pretrain.model"]


@pytest.mark.parametrize(("model", "refused"), [("four.pt", False), ("one.pt", True), ("", True)])
def test_low_rank_additions_are_for_dpa4(model: str, refused: bool, sound: Path) -> None:
    options = ["downstream={system: {name: b, structure: Li2S}}", "finetune={trainable: lora}"]
    if model:
        options.append(f"pretrain={{model: {model}}}")
    faults = found(sound, *options)[0]
    assert ("finetune.trainable" in faults) == refused
    if refused:
        assert "for DPA-4 only" in faults["finetune.trainable"]


@pytest.mark.parametrize(("model", "more", "words"), [
    ("one.pt", "", "learning rate of 0.0024, 0.6 times the one that its checkpoint records"),
    ("four.pt", "", "learning rate of 0.00012, 0.6 times the one that is usual for such a network"),
    ("one.pt", ", start_lr: 1e-4, stop_lr: 1e-6", ""), ("one.pt", ", preset: dpa2-paper", ""),
])
def test_the_learning_rate_of_a_model_of_others_is_said(model: str, more: str, words: str, sound: Path) -> None:
    options = ["downstream={system: {name: b, structure: Li2S}}", "finetune={}", f"pretrain={{model: {model}{more}}}"]
    refused, remarked = found(sound, *options)
    assert refused == {}
    assert (words in remarked["finetune"]) if words else ("finetune" not in remarked)


def test_a_dpa4_needs_a_compiler_on_the_machine_that_freezes_it(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    for own in ("model: four.pt", "preset: four.json, steps: 10", "model: DPA4-Air-OMat24-v20260805"):
        assert "there is no C++ compiler: install g++" in found(sound, f"pretrain={{{own}}}")[0]["pretrain"]
    load_checked(sound, ["pretrain={model: four.pt}"], runs_here=False)  # a plan, or a cluster with its own compiler
    assert found(sound, "pretrain={model: one.pt}")[0] == {}


@pytest.mark.parametrize(("mistake", "where", "advice"), REFUSED, ids=[mistake for mistake, _, _ in REFUSED])
def test_refused(mistake: str, where: str, advice: str, sound: Path) -> None:
    refused, _ = found(sound, mistake)
    assert advice in refused[where]
    assert refused[where].startswith(("command line: ", f"{sound}:"))


@pytest.mark.parametrize(
    ("mistake", "where", "advice"), REMARKED, ids=[mistake for mistake, _, _ in REMARKED]
)
def test_remarked(mistake: str, where: str, advice: str, sound: Path) -> None:
    refused, remarked = found(sound, mistake)
    assert refused == {}
    assert advice in remarked[where]


@pytest.mark.parametrize(("mistake", "where"), WITHOUT_MD)
def test_sections_without_md(mistake: str, where: str, sound: Path) -> None:
    refused, remarked = found(sound, "md=null", mistake)
    assert refused == {}
    assert "has no effect without a section `md`" in remarked[where]
    assert where not in found(sound, mistake)[1]
