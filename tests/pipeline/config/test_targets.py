"""Targets: what a project with many compounds says, and every mistake at its line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dpa_sse.ops.training.settings import PretrainSettings
from dpa_sse.pipeline.config import ConfigError, load_checked, load_located, load_project, resolved_yaml
from dpa_sse.pipeline.config.element_check import unseen_by_model
from dpa_sse.pipeline.config.targets import place_in_target, target_project

GOOD = """\
name: screen
type_map: [Li, P, S, Cl, Br, Ge, Sn]
systems:
  - {name: Li2S, structure: Li2S}
  - {name: base-Sn, structure: Li10SnP2S12}
  - {name: base-Ge, structure: Li10GeP2S12}
  - {name: LiCl, structure: LiCl}
labeler: {kind: mock}
targets:
  - name: LGSPS
    systems:
      - {name: LGSPS, structure: "Li10Ge{1-x}Sn{x}P2S12", series: {x: [0, 1]}}
  - name: LPSCl
    systems:
      - {name: Li6PS5Cl, structure: Li6PS5Cl, site_disorder: 0.5, count: 2}
    md: {temperatures_K: [600, 700], production_ps: 5}
  - name: LPSBr
    systems:
      - {name: Li6PS5Br, structure: Li6PS5Br, site_disorder: 0}
    finetune: {frames: 5, steps: 10}
    perturb: {count: 4}
    aimd: {steps: 20, sample_every: 5}
distill: {student: {preset: se_e2_a-tiny, steps: 20}}
md: {temperatures_K: [500]}
"""


def write(folder: Path, text: str = GOOD) -> Path:
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_checked(path)
    return [str(problem).replace(str(path), "my.yaml") for problem in caught.value.problems]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if part in line)


def test_series_and_arrangements_of_targets_are_expanded(tmp_path: Path) -> None:
    project = load_checked(write(tmp_path)).project
    assert [system.name for target in project.targets for system in target.systems] == [
        "LGSPS-x0", "LGSPS-x1", "Li6PS5Cl.c000", "Li6PS5Cl.c001", "Li6PS5Br",
    ]


def test_the_resolved_configuration_is_the_same_project(tmp_path: Path) -> None:
    project = load_project(write(tmp_path))
    assert load_project(write(tmp_path, resolved_yaml(project))) == project


def test_each_target_is_a_project(tmp_path: Path) -> None:
    project = load_project(write(tmp_path))
    zero_shot, cold, tuned = (target_project(project, one.name) for one in project.targets)
    assert zero_shot.downstream is None and zero_shot.finetune is None
    assert [one.name for one in zero_shot.target_systems] == ["LGSPS-x0", "LGSPS-x1"]
    assert zero_shot.md is not None and cold.md is not None and tuned.downstream is not None
    assert (zero_shot.md.temperatures_K, cold.md.temperatures_K) == ([500.0], [600.0, 700.0])
    assert cold.md.production_ps == 5.0 and cold.md.replicas == zero_shot.md.replicas
    assert tuned.finetune is not None and tuned.finetune.frames == 5
    assert tuned.downstream.perturb.count == 4
    assert [one.name for one in tuned.new_systems] == ["Li6PS5Br"]


@pytest.mark.parametrize(("old", "new", "part", "message"), [
    ("name: LPSCl", "name: LGSPS", "name: LGSPS\n    systems:\n      - {name: Li6PS5Cl", "targets.1.name: 'LGSPS' is "
     "already the name of targets.0"),
    ("production_ps: 5", "production_ps: -5", "production_ps", "targets.1.md.production_ps: must be larger than 0 ps, "
     "not -5"),
    ("production_ps: 5", "produktion_ps: 5", "produktion_ps", "targets.1.md.produktion_ps: unknown key - did you mean "
     "'production_ps'?"),
    ("frames: 5", "frames: 500", "frames", "targets.2.finetune.frames: asks for 500 frames, but"),
    ("perturb: {count: 4}", "perturb: {count: 1}", "perturb", "targets.2.perturb.count: must be at least 2: whole "
     "trajectories go to the test set"),
    ("structure: Li6PS5Br, site", "structure: Li6PS5Brr, site", "Li6PS5Brr", "targets.2.systems.0.structure: no "
     "structure 'Li6PS5Brr'"),
    ("Br, Ge", "Ge", "name: Li6PS5Br", "targets.2.systems.0.structure: element Br is not in type_map"),
    ("x: [0, 1]", "y: [0, 1]", "series", "targets.0.systems.0.series"),
    ("md: {temperatures_K: [500]}", "md: {temperatures_K: [500]}\nvalidate: {rounds: 1}", "validate",
     "validate.rounds: must be 0 with `targets`"),
    ("production_ps: 5}", "production_ps: 5}\n    validate: {rounds: 1}", "rounds", "targets.1.validate.rounds: cannot "
     "differ between targets"),
    ("md: {temperatures_K: [500]}", "md: {temperatures_K: [500]}\nvalidate: {on_warn: suspend}", "validate",
     "validate.on_warn: must be `continue` with `targets`"),
    ("md: {temperatures_K: [500]}", "finetune: {frames: 5}", "finetune: {frames: 5}\n",
     "finetune: has no effect beside `targets`"),
    ("finetune: {frames: 5, steps: 10}", "finetune: {frames: 5, rounds: 1, explore: {steps: 5}}", "rounds: 1",
     "targets.2.finetune.explore.sample_every: must be at most the number of steps (5), not 20"),
    ("finetune: {frames: 5, steps: 10}", "finetune: {frames: 5, rounds: 1, explore: {frames: 9, steps: 60}}",
     "rounds: 1",
     "targets.2.finetune.explore.frames: asks for 9 frames, but the MD of a round leaves 6"),
    ("finetune: {frames: 5, steps: 10}", "finetune: {frames: 5, rounds: 1, explore: {perturb: {count: 3, arrangements: "
     "2}}}", "rounds: 1", "targets.2.finetune.explore.perturb.count: must be a multiple of arrangements (2), not 3"),
    ("finetune: {frames: 5, steps: 10}", "finetune: {frames: 5, curve: [2, 6]}", "curve",
     "targets.2.finetune.curve.1: asks for 6 frames, but the models are fine-tuned on 5"),
    ("name: Li6PS5Br, structure", "name: LGSPS-x1, structure", "name: LGSPS-x1", "targets.2.systems.0.name: 'LGSPS-x1' "
     "is already the name of targets.0.systems.1"),
    ("name: LPSBr", "name: pretrained", "pretrained", "targets.2.name: 'pretrained' is the name of a folder of the "
     "run"),
    ("name: LPSBr", "name: LPS/Br", "LPS/Br", "targets.2.name"),
    ("    systems:\n      - {name: Li6PS5Br, structure: Li6PS5Br, site_disorder: 0}\n", "", "LPSBr",
     "targets.2.systems: is missing"),
])
def test_mistakes_are_said_at_their_place(tmp_path: Path, old: str, new: str, part: str, message: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    found = complaints(tmp_path, text)
    assert any(message in one for one in found), found
    assert len(found) == 1, found


def test_mistakes_of_several_targets_are_said_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("production_ps: 5", "production_ps: -5").replace("frames: 5", "frames: 500")
    found = complaints(tmp_path, text)
    assert [one.partition(": ")[2].partition(": ")[0] for one in found] == [
        "targets.1.md.production_ps", "targets.2.finetune.frames",
    ]
    lines = [int(one.split(":")[1]) for one in found]
    assert lines == [line_of(text, "production_ps"), line_of(text, "frames: 500")]


def test_a_mobile_ion_that_a_target_lacks(tmp_path: Path) -> None:
    text = GOOD.replace("site_disorder: 0}", "site_disorder: 0}").replace(
        "    md: {temperatures_K: [600, 700], production_ps: 5}",
        "    conductivity: {mobile: [Ge], charges: {Ge: 4}}",
    )
    assert complaints(tmp_path, text) == [
        f"my.yaml:{line_of(text, 'mobile: [Ge]')}: targets.1.conductivity.mobile.0: 'Ge' does not occur in the "
        "simulated systems (Li6PS5Cl.c000, Li6PS5Cl.c001)"
    ]


def test_places_of_keys(tmp_path: Path) -> None:
    target = load_located(write(tmp_path)).project.targets[1]
    assert place_in_target(("simulate", 0, "structure"), 1, target) == ("targets", 1, "systems", 0, "structure")
    assert place_in_target(("downstream", "aimd", "steps"), 1, target) == ("targets", 1, "aimd", "steps")
    assert place_in_target(("md", "production_ps"), 1, target) == ("targets", 1, "md", "production_ps")
    assert place_in_target(("md", "replicas"), 1, target) is None
    assert place_in_target(("seed",), 1, target) is None


TEACHER = """\
name: large
type_map: [Li, S]
systems: [{name: Li2S, structure: Li2S}]
labeler: {kind: mock}
md: {model: teacher, temperatures_K: [500]}
"""


def test_the_teacher_may_run_the_md(tmp_path: Path) -> None:
    project = load_checked(write(tmp_path, TEACHER)).project
    assert not project.simulates_only
    assert project.distilled is None
    assert [one.name for one in project.labelled_systems] == ["Li2S"]
    both = load_checked(write(tmp_path, TEACHER + "distill: {student: {preset: se_e2_a-tiny}}\n")).project
    assert both.distilled is None


@pytest.mark.parametrize(("more", "message"), [
    ("pretrain: null", "md.model: 'teacher' is the model of the section `pretrain`, which is null"),
    ("validate: {rounds: 1}", "validate.rounds: must be 0 with `md.model: teacher`: the loop trains a student, too"),
])
def test_what_the_teacher_as_the_model_of_the_md_needs(tmp_path: Path, more: str, message: str) -> None:
    assert [one.partition(": ")[2] for one in complaints(tmp_path, f"{TEACHER}{more}\n")] == [message]


def test_systems_that_are_only_simulated_are_not_labelled(tmp_path: Path) -> None:
    text = "\n".join([
        "name: only", "type_map: [Li, P, S, Cl]", "systems:", "  - {name: Li2S, structure: Li2S}",
        "  - {name: P, structure: Li3PS4}", "  - {name: C, structure: LiCl}", "labeler: {kind: mock}",
        "simulate: [{name: Li6PS5Cl, structure: Li6PS5Cl, series: {site_disorder: [0, 0.5]}}]",
        "distill: {student: {preset: se_e2_a-tiny, steps: 20}}", "md: {temperatures_K: [500]}", "",
    ])
    project = load_checked(write(tmp_path, text)).project
    assert [one.name for one in project.labelled_systems] == ["Li2S", "P", "C"]
    assert [one.name for one in project.target_systems] == ["Li6PS5Cl-d0", "Li6PS5Cl-d0.5"]


def test_elements_that_no_training_data_has(tmp_path: Path) -> None:
    """A target that is fine-tuned brings its own data; a model of the user may know more than is said here."""
    without = GOOD.replace("  - {name: base-Ge, structure: Li10GeP2S12}\n", "").replace(
        "  - {name: LiCl, structure: LiCl}\n", "")
    found = complaints(tmp_path, without)
    assert [problem.partition(", so")[0] for problem in found] == [
        f"my.yaml:{line_of(without, 'Li10Ge{1-x}')}: targets.0.systems.0.structure: no training data has Ge",
        f"my.yaml:{line_of(without, 'name: Li6PS5Cl')}: targets.1.systems.0.structure: no training data has Cl",
    ]


DISTILL, MD = "distill: {student: {preset: se_e2_a-tiny, steps: 20}}\n", "md: {temperatures_K: [500]}\n"
MISSING = "md: runs with the student of a `distill` section, which is missing"


def test_a_model_for_the_md_is_needed_by_each_target(tmp_path: Path) -> None:
    assert [one for one in complaints(tmp_path, GOOD.replace(DISTILL + MD, "")) if "nothing to do" in one] == [
        f"my.yaml:{line_of(GOOD, 'name: LGSPS')}: targets.0: has nothing to do: there is no `distill`, no `md` (with "
        "`model: teacher`, the pre-trained model runs it) and no `finetune`"
    ]
    mine = GOOD.replace("    md: {temperatures_K: [600, 700], production_ps: 5}\n", "").replace(DISTILL, "")
    (problem,) = complaints(tmp_path, mine)
    assert MISSING in problem
    load_checked(write(tmp_path, mine.replace("[500]}", "[500], model: teacher}")))
    by_each = GOOD.replace(DISTILL, "").replace("production_ps: 5}", "production_ps: 5, model: teacher}")
    found = complaints(tmp_path, by_each)
    assert len(found) == 2
    assert all(f"targets.{number}: {MISSING}" in problem for number, problem in zip((0, 2), found, strict=True))


def test_elements_that_a_model_has_not_seen_are_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fine-tuned targets bring their own data; a file that says nothing about its data leads to no remark."""
    located = load_checked(write(tmp_path))
    project = located.project.model_copy(update={"pretrain": PretrainSettings(model="model.pt")})
    (tmp_path / "model.pt").write_bytes(b"")
    for seen, expected in ((("Li", "P", "S", "Sn"), ["Cl, Ge"]), (None, []), (("Li", "P", "S", "Ge", "Sn", "Cl"), [])):
        branch = SimpleNamespace(elements_with_data=seen)
        model = SimpleNamespace(used_branch=lambda _, branch=branch: branch)
        monkeypatch.setattr("dpa_sse.ops.potential.describe.describe_model", lambda _, model=model: model)
        found = list(unseen_by_model(project, tmp_path, located.cells))
        assert [where for where, _ in found] == [("pretrain", "model")] * len(expected)
        assert all(f"had no {names}, as far" in text for (_, text), names in zip(found, expected, strict=True))
