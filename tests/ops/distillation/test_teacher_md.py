from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.distillation.teacher_md import prepare_teacher_md, teacher_of
from dpa_sse.ops.results.md import MdTask
from dpa_sse.ops.structures.perturb import perturb_cells


def test_the_number_of_runs_is_that_of_the_task_folders(tmp_path: Path) -> None:
    systems = ["LiCl", "LiBr"]
    cells = [bulk(name, "rocksalt", a=5.2, cubic=True) for name in systems]
    for atoms, name in zip(cells, systems, strict=True):
        atoms.info = {"system": name}
    write(tmp_path / "cells.extxyz", cells)
    settings = DistillSettings(temperatures_K=[300, 600, 900], sample_every=25, steps=100)
    perturb_cells(tmp_path / "cells.extxyz", settings.perturb, 1, tmp_path / "cells")
    assert prepare_teacher_md(tmp_path / "cells", settings, 1, tmp_path / "tasks") == settings.n_teacher_runs(2) == 12
    tasks = [MdTask.read(folder) for folder in sorted((tmp_path / "tasks").glob("task.*"))]
    assert len({task.seed for task in tasks}) == len({task.trajectory for task in tasks}) == 12
    assert {(task.ensemble, task.equilibration_steps, task.dump_every, task.restart_every) for task in tasks} == {
        ("npt", 0, 25, 100)
    }


def test_the_cell_of_the_teacher_md_may_change_its_shape(tmp_path: Path) -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.2, cubic=True)
    atoms.info = {"system": "LiCl"}
    write(tmp_path / "cells.extxyz", [atoms])
    for ensemble, coupling in (("npt", "iso"), ("npt-aniso", "aniso"), ("npt-tri", "tri")):
        settings = DistillSettings(ensemble=ensemble, steps=100, perturb={"count": 1})
        perturb_cells(tmp_path / "cells.extxyz", settings.perturb, 1, tmp_path / ensemble / "cells")
        prepare_teacher_md(tmp_path / ensemble / "cells", settings, 1, tmp_path / ensemble / "tasks")
        task = MdTask.read(tmp_path / ensemble / "tasks" / "task.000")
        assert (task.ensemble, task.coupling) == ("npt", coupling)


def test_the_teacher_is_the_fine_tuned_model_if_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "group.000/task.000").mkdir(parents=True)
    pretrained = tmp_path / "pretrained"
    assert teacher_of([tmp_path / "group.000"], pretrained) == tmp_path / "group.000/task.000"
    assert teacher_of([], pretrained) == teacher_of(None, pretrained) == pretrained
    with pytest.raises(InputError, match="nothing to distil"):
        teacher_of(None, None)
