"""Loading what is right: values, defaults, YAML dialects, the resolved configuration, overrides."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.pipeline.config import (
    ConfigError,
    Project,
    check_project,
    load_checked,
    load_located,
    load_project,
    resolved_yaml,
)
from tests.model_files import checkpoint

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
QUICKSTART = HERE / "good" / "quickstart.yaml"
GOOD = sorted(
    path for path in [*(HERE / "good").glob("*.yaml"), *(ROOT / "configs").glob("*.yaml")]
    if shutil.which("cp2k") or "cp2k" not in path.stem  # its program is looked for, too
)


def write(folder: Path, text: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_checked(path, overrides)
    return [str(problem).replace(str(path), "my.yaml") for problem in caught.value.problems]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_good_files_pass(path: Path) -> None:
    located = load_checked(path)
    assert check_project(located.project, path) == []
    assert load_project(path) == located.project


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_resolved_configuration_is_equal_complete_and_stable(path: Path, tmp_path: Path) -> None:
    project = load_project(path)
    text = resolved_yaml(project)
    again = load_project(write(tmp_path, text))
    assert again == project
    assert resolved_yaml(again) == text
    written = yaml.safe_load(text)
    assert set(written) == set(Project.model_fields)
    assert written["failure"] == {"min_success_ratio": 1.0, "retries": 1, "task_timeout_min": None}


def test_yaml_dialects() -> None:
    project = load_project(HERE / "good" / "yaml_dialects.yaml")
    assert project.name == "2024-06-18"
    assert project.seed == 1000
    assert project.type_map == ["Li", "P", "S", "Cl", "No", "Y", "N"]
    assert [system.name for system in project.systems] == ["1e3a", "other"]
    assert project.systems[1].structure == "Li6PS5Cl"
    assert project.aimd.steps == 30
    assert isinstance(project.aimd.steps, int)
    assert project.aimd.temperatures_K == [300.0, 600.0]
    assert project.concurrent_learning is not None
    assert project.concurrent_learning.reuse_models is False
    assert project.pretrain.start_lr == 1e-3
    assert project.pretrain.overrides["model.descriptor.repinit.rcut"] == 6
    assert project.finetune is not None
    assert project.finetune.from_scratch is False
    assert project.resources.gpus is None


def test_text_that_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    path = write(tmp_path, 'name: "1e3"\ntype_map: [Li, S]\nsystems: [{name: "5", structure: Li2S}]\n')
    project = load_project(path)
    assert (project.name, project.systems[0].name) == ("1e3", "5")
    assert load_project(write(tmp_path, resolved_yaml(project))) == project


def test_defaults_and_targets() -> None:
    project = load_project(HERE / "good" / "ten_lines.yaml")
    assert project.labeler.kind == "ase"
    assert project.downstream is None
    assert [system.name for system in project.target_systems] == ["Li6PS5Cl", "Li2S"]
    assert [system.name for system in load_project(QUICKSTART).target_systems] == ["Li6PS5Br"]
    with pytest.raises(ValidationError):
        project.seed = 3  # type: ignore[misc]


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + QUICKSTART.read_bytes().replace(b"\n", b"\r\n"))
    assert load_project(path) == load_project(QUICKSTART)
    path.write_bytes(path.read_bytes().replace(b"seed: 20240618", b"seed: -1"))
    assert complaints(path) == ["my.yaml:3: seed: must be at least 0, not -1"]


def test_project_built_in_python_is_checked_too() -> None:
    with pytest.raises(ValidationError, match="distill"):
        Project.model_validate({"name": "x", "type_map": ["Li"], "data": ["d"], "md": {"temperatures_K": [300]}})


def test_config_error_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no such file"):
        load_project("does-not-exist.yaml")


def test_overrides() -> None:
    project = load_project(
        QUICKSTART,
        ["md.replicas=3", "systems.0.site_disorder=0.25", "systems[1].name=sulfide", "pretrain.start_lr=1e-4",
         "pretrain.overrides.model.descriptor.repinit.rcut=7.5", "aimd.temperatures_K=[300, 500]", "aimd.steps=1e2",
         "finetune.from_scratch=no", "resources.cores=1", "labeler={kind: mock}", "data=[]",
         "concurrent_learning=null"],
    )
    assert project.md is not None
    assert project.finetune is not None
    assert (project.md.replicas, project.resources.cores, project.aimd.steps) == (3, 1, 100)
    assert [(one.name, one.site_disorder) for one in project.systems] == [("Li6PS5Cl", 0.25), ("sulfide", None)]
    assert project.pretrain.start_lr == 1e-4
    assert project.pretrain.overrides == {"model.descriptor.repinit.rcut": 7.5}
    assert project.aimd.temperatures_K == [300.0, 500.0]
    assert project.finetune.from_scratch is False
    assert project.labeler.kind == "mock"
    assert project.concurrent_learning is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("md.replicas=0", "command line: md.replicas: must be at least 1, not 0"),
        ("md.replica=2", "command line: md.replica: unknown key - did you mean 'replicas'?"),
        ("md.replicas", "command line: md.replicas: write it as key.subkey=value, e.g. md.replicas=2"),
        ("=3", "command line: =3: write it as key.subkey=value, e.g. md.replicas=2"),
        ("systems.5.name=x", "command line: systems.5.name: 'systems' is a list of 2 items, numbered from 0; "
                             "there is no '5'"),
        ("systems.first.name=x", "command line: systems.first.name: 'systems' is a list of 2 items, numbered from 0; "
                                 "there is no 'first'"),
        ("name.first=x", "command line: name.first: 'name' is a plain value; it has no 'first'"),
        ("md.production_ps=[1", "command line: md.production_ps: YAML syntax: '[' is opened here but not closed, or a "
                                "comma is missing"),
        ("md.production_ps=.nan", "command line: md.production_ps: must be a finite number, not .nan"),
        ("downstream.system.structure=Li6PS5J", "command line: downstream.system.structure: no structure 'Li6PS5J'"),
        ("pretrain.overrides={model.descriptor.rcutt: 7.0}",
         "command line: pretrain.overrides.model.descriptor.rcutt: DeePMD-kit has no key 'rcutt' in model.descriptor"),
        ("pretrain.overrides={learning_rate.stop_lr: 1.0}", "command line: pretrain.overrides: stop_lr 1 is larger"),
        ("cluster.preset=huge",
         "command line: cluster.preset: 'huge' is neither a file nor one of the presets cpu-only"),
        ("cluster.overrides={pods.trian.gpus: 2}",
         "command line: cluster.overrides.pods.trian.gpus: pods.trian: must be"),
        ("distill=null", "my.yaml:45: md: runs with the student"),
    ],
)
def test_bad_overrides(override: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, QUICKSTART.read_text(encoding="utf-8"))
    found = complaints(path, override)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_deepmd_is_imported_only_to_check_what_is_not_of_the_package() -> None:
    code = (
        "import sys; from dpa_sse.pipeline.config import load_checked; load_checked(sys.argv[1]); "
        "print([name for name in sys.modules if name.split('.')[0] in ('deepmd', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT / "configs" / "quickstart.yaml")],
                          capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_problems_of_file_and_command_line_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, QUICKSTART.read_text(encoding="utf-8").replace("seed: 20240618", "seed: none"))
    assert complaints(path, "md.replicas=0", "md.timestep_fs=20") == [
        "my.yaml:3: seed: must be a whole number, not 'none'",
        "command line: md.replicas: must be at least 1, not 0",
        "command line: md.timestep_fs: must be at most 5 fs, not 20",
    ]


def test_override_that_creates_a_section_is_blamed_for_it(tmp_path: Path) -> None:
    path = write(tmp_path, (HERE / "good" / "ten_lines.yaml").read_text(encoding="utf-8"))
    assert complaints(path, "downstream.split.test=0.3") == [
        "command line: downstream.system: is missing: the compound, with name and structure"
    ]


def test_structure_and_key_problems_come_together_behind_a_faulty_item(tmp_path: Path) -> None:
    path = write(tmp_path, (
        "name: x\ntype_map: [Li, S]\nsystems:\n  - Li2S\n  - name: B\n    structure: Li2SS\n"
        "  - {name: C, structure: 3}\n"
    ))
    found = complaints(path)
    assert [one.split(" ")[0] + " " + one.split(" ")[1] for one in found] == [
        "my.yaml:4: systems.0:", "my.yaml:6: systems.1.structure:", "my.yaml:7: systems.2.structure:",
    ]


def test_relative_files_start_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    cell = (
        "Li2S\n1.0\n5.7 0 0\n0 5.7 0\n0 0 5.7\nS Li\n4 8\nDirect\n0 0 0\n0 .5 .5\n.5 0 .5\n.5 .5 0\n"
        + "".join(f"{x} {y} {z}\n" for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75))
    )
    (tmp_path / "POSCAR.li2s").write_text(cell)
    text = "name: x\ntype_map: [Li, S]\nsystems: [{name: A, structure: POSCAR.li2s}]\n"
    assert load_checked(write(tmp_path, text)).base_dir == tmp_path


@pytest.fixture
def data_project(tmp_path: Path) -> Path:
    part = tmp_path / "data" / "Li2S" / "set.000"
    part.mkdir(parents=True)
    (part.parent / "type.raw").write_text("0\n0\n1\n")
    (part.parent / "type_map.raw").write_text("Li\nS\nO\n")
    rng = np.random.default_rng(1)
    for name, values in (
        ("coord", 3.0 * np.arange(9) + rng.normal(0, 0.1, (2, 9))), ("box", np.tile(30 * np.eye(3).ravel(), (2, 1))),
        ("energy", rng.normal(-12, 0.01, 2)), ("force", np.tile([0.1, 0.0, 0.0, -0.1, 0, 0, 0, 0, 0], (2, 1))),
    ):
        np.save(part / f"{name}.npy", values)
    return write(tmp_path, "name: x\ntype_map: [Li, S]\nsystems: [{name: A, structure: Li2S}]\ndata: [data]\n")


def test_data_folder_with_other_elements(data_project: Path) -> None:
    system = data_project.parent / "data" / "Li2S"
    load_checked(data_project)
    (system / "type.raw").write_text("0\n0\n2\n")
    assert complaints(data_project) == ["my.yaml:4: data.0: data contains O, not in type_map (Li, S)"]
    (system / "type.raw").write_text("0\n0\n5\n")
    assert "type 5 in type.raw, but type_map.raw names 3 elements" in complaints(data_project)[0]
    (system / "type.raw").write_text("0\nLi\n")
    assert "data/Li2S cannot be read" in complaints(data_project)[0]


def test_data_folder_of_mixed_type(data_project: Path) -> None:
    system = data_project.parent / "data" / "Li2S"
    (system / "type_map.raw").write_text("H\nO\nLi\nS\n")
    np.save(system / "set.000" / "real_atom_types.npy", np.array([[2, 2, 3], [2, 3, -1]]))
    load_checked(data_project)
    np.save(system / "set.000" / "real_atom_types.npy", np.array([[2, 2, 1], [2, 3, -1]]))
    assert complaints(data_project) == ["my.yaml:4: data.0: data contains O, not in type_map (Li, S)"]


def test_incomplete_data_folder(data_project: Path) -> None:
    system = data_project.parent / "data" / "Li2S"
    (system / "set.000" / "force.npy").unlink()
    assert complaints(data_project) == ["my.yaml:4: data.0: data/Li2S lacks set.000/force.npy"]
    (system / "type_map.raw").unlink()
    assert "has no type_map.raw" in complaints(data_project)[0]
    (system / "nopbc").touch()
    assert "is not periodic" in complaints(data_project)[0]


def test_model_file(tmp_path: Path) -> None:
    text = "name: x\ntype_map: [Li, S]\nsystems: [{name: A, structure: Li2S}]\npretrain: {model: MODEL}\n"
    (tmp_path / "model.pt").write_bytes(b"")
    assert "the file is empty" in complaints(write(tmp_path, text.replace("MODEL", "model.pt")))[0]
    checkpoint(tmp_path / "model.pt", {"": ["Li", "S"]})
    load_checked(write(tmp_path, text.replace("MODEL", "model.pt")))
    load_checked(write(tmp_path, text.replace("MODEL", "DPA-3.1-3M")))
    checkpoint(tmp_path / "model.txt", {"": ["Li", "S"]})
    assert "whose name must end in .pt" in complaints(write(tmp_path, text.replace("MODEL", "model.txt")))[0]


def test_located_points_to_the_line_or_to_the_section_around() -> None:
    located = load_located(QUICKSTART)
    lines = QUICKSTART.read_text(encoding="utf-8").splitlines()
    for path, start in [
        (("seed",), "seed:"), (("systems", 1, "structure"), "  - {name: Li2S"),
        (("concurrent_learning", "trust"), "  trust:"), (("md", "supercell"), "md:"),
        (("concurrent_learning", "stages", 1, "cells_per_system"), "    - {temperatures_K: [900"),
        (("failure", "retries"), "# Quickstart"),
    ]:
        line = located.problem(path, "x").line
        assert line is not None
        assert lines[line - 1].startswith(start)


def test_checking_imports_nothing_heavy() -> None:
    """Its speed is measured by bench/command_line.py."""
    code = (
        "import sys; from dpa_sse.pipeline.config import load_checked; load_checked(sys.argv[1]);"
        "heavy = {'torch', 'deepmd', 'pymatgen', 'dpdata', 'dflow', 'scipy', 'matplotlib', 'chgnet', 'dpgen2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(QUICKSTART)], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout == "[]\n"
