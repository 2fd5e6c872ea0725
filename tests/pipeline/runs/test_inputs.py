"""A run folder holds the user's files that its configuration names: it can be moved, resumed and repeated alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.extxyz import write_frames
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.pipeline.commands import project as commands
from dpa_sse.pipeline.config import load_checked, load_located, resolved_yaml
from dpa_sse.pipeline.config.load import Located
from dpa_sse.pipeline.runs.configuration import load_run_config
from dpa_sse.pipeline.runs.folder import Run
from dpa_sse.pipeline.runs.inputs import store_inputs, with_own_inputs


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a configuration that names a file of every kind, some by absolute paths."""
    folder, other = tmp_path / "mine", tmp_path / "other"
    for name in (folder / "cells", other, folder / "frames" / "LiCl" / "set.000"):
        name.mkdir(parents=True)
    cell = build_cell(SystemSettings(name="LiCl", structure="LiCl"), folder, 1)
    write_frames(folder / "cells" / "a.extxyz", [cell])
    write_frames(other / "a.extxyz", [cell.repeat((1, 1, 2))])
    (folder / "frames" / "LiCl" / "type.raw").write_text("0\n")
    (folder / "frames" / "LiCl" / "set.000" / "energy.npy").write_bytes(b"x" * 2000)
    for name in ("student.pth", "net.json", "labels.inp", "cluster.yaml", "tell.sh"):
        (folder / name).write_text(name)
    (folder / "tell.sh").chmod(0o755)
    config: dict[str, Any] = {
        "name": "x", "type_map": ["Li", "Cl"],
        "systems": [{"name": "one", "structure": "cells/a.extxyz"},
                    {"name": "two", "structure": str(other / "a.extxyz")},
                    {"name": "three", "structure": "cells/a.extxyz", "supercell": [1, 1, 2]},
                    {"name": "four", "structure": "LiCl"}],
        "labeler": {"kind": "cp2k", "template": "labels.inp"}, "data": ["frames", "s3://sets/licl"],
        "concurrent_learning": {"train": [{"preset": "se_e2_a"}, {"preset": "net.json"}],
                                "stages": [{"temperatures_K": [300]}]},
        "pretrain": {"preset": "net.json"}, "distill": {"student": {"preset": "se_e2_a"}},
        "md": {"temperatures_K": [300], "production_ps": 10}, "cluster": {"preset": "cluster.yaml"},
        "on_end": ["./tell.sh", "a/b"],
    }
    (folder / "c.yaml").write_text(json.dumps(config))
    return folder / "c.yaml"


def stored(path: Path, run: Path) -> Located:
    """Return the configuration in a run folder, written as `run` does."""
    located = load_located(path)
    project, places = with_own_inputs(located.project, located.base_dir)
    made = Run(run)
    made.create()
    store_inputs(places, run)
    (run / "config.resolved.yaml").write_text(resolved_yaml(project))
    made.write_base_dir(run)
    return load_run_config(made)


def test_every_file_is_in_the_run_folder_and_no_path_leads_out(mine: Path, tmp_path: Path) -> None:
    located = stored(mine, tmp_path / "runs" / "x")
    project = located.project
    assert [one.structure for one in project.systems] == [
        "inputs/a.extxyz", "inputs/1-a.extxyz", "inputs/a.extxyz", "LiCl",
    ]
    assert project.data == ["inputs/frames", "s3://sets/licl"]
    assert project.pretrain is not None and project.distill is not None
    assert (project.pretrain.preset, project.distill.student.preset) == ("inputs/net.json", "se_e2_a")
    assert project.concurrent_learning is not None
    assert [one.preset for one in project.concurrent_learning.trainings] == ["se_e2_a", "inputs/net.json"]
    assert project.cluster.preset == "inputs/cluster.yaml"
    assert project.on_end == ["inputs/tell.sh", "a/b"]
    text = (tmp_path / "runs" / "x" / "config.resolved.yaml").read_text()
    assert "template: inputs/labels.inp" in text
    assert str(tmp_path) not in text
    inputs = tmp_path / "runs" / "x" / "inputs"
    assert (inputs / "frames" / "LiCl" / "set.000" / "energy.npy").stat().st_size == 2000
    assert (inputs / "tell.sh").stat().st_mode & 0o100
    assert len(build_cell(project.systems[1], located.base_dir, 1)) == 2 * len(
        build_cell(project.systems[0], located.base_dir, 1)
    )


def test_a_table_that_an_input_names_is_carried(tmp_path: Path) -> None:
    """Inside the input, whose folder is not that of the configuration; of an override, as a file."""
    from dpa_sse.ops.training.presets import load_preset, resolve

    folder = tmp_path / "mine"
    (folder / "net" / "tables").mkdir(parents=True)
    for path in (folder / "net" / "tables" / "zbl.txt", folder / "own.txt"):
        path.write_text("".join(f"{0.1 * row:g} {row}\n" for row in range(1, 60)))
    data = load_preset("se_e2_a-tiny").copy().data
    descriptor = {"type": "dpa1", "rcut": 4.0, "rcut_smth": 1.0, "sel": 60, "attn_layer": 0}
    data["model"] |= {"descriptor": descriptor, "use_srtab": "tables/zbl.txt", "sw_rmin": 0.5, "sw_rmax": 1.0}
    (folder / "net" / "net.json").write_text(json.dumps(data))
    student = {"preset": "net/net.json", "overrides": {"model.use_srtab": "own.txt"}}
    (folder / "c.yaml").write_text(json.dumps({
        "name": "x", "type_map": ["Li"], "systems": [{"name": "a", "structure": "Li"}], "labeler": {"kind": "mock"},
        "pretrain": {"preset": "net/net.json"}, "distill": {"student": student},
    }))
    before = load_located(folder / "c.yaml").project
    assert before.pretrain is not None and before.distill is not None
    wanted = [resolve(one, folder).model_dump() for one in (before.pretrain, before.distill.student)]
    located = stored(folder / "c.yaml", tmp_path / "runs" / "x")
    shutil.rmtree(folder)
    project = located.project
    assert project.pretrain is not None and project.distill is not None
    found = [resolve(one, located.base_dir).model_dump() for one in (project.pretrain, project.distill.student)]
    assert [one.pop("preset") for one in found] == ["inputs/net.json"] * 2
    assert [one.pop("preset") for one in wanted] == ["net/net.json"] * 2
    assert found == wanted
    assert project.distill.student.overrides == {"model.use_srtab": "inputs/own.txt"}


def test_a_composition_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "Li5.5PS4.5Cl1.5").mkdir()
    (tmp_path / "Li2S").write_text("a file with the name of a structure of the library")
    config = {"name": "x", "type_map": ["Li", "P", "S", "Cl"], "systems": [
        {"name": "a", "structure": "Li5.5PS4.5Cl1.5"}, {"name": "b", "structure": "Li2S"},
    ]}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    located = stored(tmp_path / "c.yaml", tmp_path / "runs" / "x")
    assert [one.structure for one in located.project.systems] == ["Li5.5PS4.5Cl1.5", "Li2S"]
    assert not (tmp_path / "runs" / "x" / "inputs").exists()


def test_it_can_be_moved_and_repeated_without_the_originals(mine: Path, tmp_path: Path) -> None:
    before = stored(mine, tmp_path / "runs" / "x")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "runs" / "x", tmp_path / "elsewhere" / "y")
    shutil.rmtree(mine.parent)
    shutil.rmtree(tmp_path / "other")
    moved = load_run_config(Run(tmp_path / "elsewhere" / "y"))
    assert moved.project == before.project
    assert len(build_cell(moved.project.systems[1], moved.base_dir, 1)) == 16
    again = stored(tmp_path / "elsewhere" / "y" / "config.resolved.yaml", tmp_path / "runs" / "again")
    assert again.project == before.project
    in_place = stored(tmp_path / "elsewhere" / "y" / "config.resolved.yaml", tmp_path / "elsewhere" / "y")
    assert in_place.project == before.project
    assert (tmp_path / "elsewhere" / "y" / "inputs" / "a.extxyz").is_file()


def test_a_changed_file_replaces_the_old_one_and_an_unused_one_goes(mine: Path, tmp_path: Path) -> None:
    stored(mine, tmp_path / "runs" / "x")
    (mine.parent / "net.json").write_text("new")
    config = json.loads(mine.read_text())
    mine.write_text(json.dumps({**config, "on_end": []}))
    stored(mine, tmp_path / "runs" / "x")
    inputs = tmp_path / "runs" / "x" / "inputs"
    assert (inputs / "net.json").read_text() == "new"
    assert not (inputs / "tell.sh").exists()


def test_large_files_are_linked(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpa_sse.pipeline.runs.inputs.COPIED_BYTES", 1000)
    stored(mine, tmp_path / "runs" / "x")
    inputs = tmp_path / "runs" / "x" / "inputs"
    source = mine.parent / "frames" / "LiCl" / "set.000" / "energy.npy"
    assert (inputs / "frames" / "LiCl" / "set.000" / "energy.npy").samefile(source)
    assert not (inputs / "net.json").samefile(mine.parent / "net.json")  # an editor may write it in place


def test_a_link_called_inputs_is_not_followed(mine: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").write_text("kept")
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "inputs").symlink_to(theirs)
    with pytest.raises(InputError, match="because it is a link"):
        stored(mine, tmp_path / "runs" / "x")
    assert (theirs / "kept").read_text() == "kept"


def test_run_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself, up to the start of the engine."""
    seen: list[Located] = []
    monkeypatch.setattr(commands, "run_to_end", lambda _run, located: seen.append(located) or 0)
    cell = build_cell(SystemSettings(name="LiCl", structure="LiCl"), tmp_path, 1)
    write_frames(tmp_path / "my.extxyz", [cell])
    config = {"name": "x", "type_map": ["Li", "Cl"], "systems": [{"name": "a", "structure": "my.extxyz"}],
              "labeler": {"kind": "mock"}, "pretrain": None}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    assert commands.run_config(tmp_path / "c.yaml", [], tmp_path / "runs", None) == 0
    assert seen[0].project.systems[0].structure == "inputs/my.extxyz"
    assert seen[0].base_dir == tmp_path / "runs" / "x"
    assert load_checked(tmp_path / "runs" / "x" / "config.resolved.yaml").project == seen[0].project
    assert commands.run_config(tmp_path / "c.yaml", [], tmp_path / "runs", None) == 0  # the same project
