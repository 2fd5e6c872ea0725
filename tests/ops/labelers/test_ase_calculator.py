"""ASE calculators as labelers: loaded once, arguments handed on, and little time beside the calculator's own."""

import time

import numpy as np
import pytest
from ase.build import bulk

from dpa_sse.ops.labelers import registry
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.registry import make_labeler
from dpa_sse.ops.labelers.settings import AimdSettings, AseSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.structures.extxyz import read_frames, write_frames

CHGNET_MS = 200.0  # per frame of 52 atoms with forces and stress, on one quiet core
SHARE = 0.05


def copper(count, repeat=2):
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(count):
        atoms = bulk("Cu", cubic=True).repeat(repeat)
        atoms.positions += rng.normal(size=(len(atoms), 3)) * 0.05
        frames.append(atoms)
    return frames


@pytest.fixture
def task(tmp_path):
    write_frames(tmp_path / "task/frames.extxyz", copper(5))
    return tmp_path / "task"


def test_chgnet_is_loaded_once_for_labels_and_dynamics(task, tmp_path, monkeypatch):
    chgnet = pytest.importorskip("chgnet.model.model")
    monkeypatch.setattr(registry, "_made", {})
    loads = []
    original = chgnet.CHGNet.from_dict.__func__

    def counted(cls, *args, **kwargs):
        loads.append(1)
        return original(cls, *args, **kwargs)

    monkeypatch.setattr(chgnet.CHGNet, "from_dict", classmethod(counted))
    small = [bulk("Cu", cubic=True) for _ in range(3)]
    write_frames(tmp_path / "small/frames.extxyz", small)
    label_frames(tmp_path / "small", AseSettings(), tmp_path / "out")
    small[0].info.update(system="Cu", trajectory="Cu.p000")
    write_frames(tmp_path / "cell/cell.extxyz", small[:1])
    run_aimd(tmp_path / "cell", AseSettings(), AimdSettings(steps=2, sample_every=1), 1, tmp_path / "md")
    assert len(read_frames(tmp_path / "out/frames.extxyz")) == 3
    assert len(loads) == 1


def test_arguments_reach_the_calculator(task, tmp_path):
    name = "ase.calculators.lj:LennardJones"
    energies = {}
    for epsilon in (0.1, 0.2):
        settings = AseSettings(calculator=name, kwargs={"sigma": 2.3, "epsilon": epsilon, "rc": 6.0})
        label_frames(task, settings, tmp_path / f"{epsilon}")
        labelled = read_frames(tmp_path / f"{epsilon}/frames.extxyz")
        energies[epsilon] = [atoms.get_potential_energy() for atoms in labelled]
    assert energies[0.2] == pytest.approx(2 * np.array(energies[0.1]))
    assert make_labeler(AseSettings(calculator=name)) is not make_labeler(
        AseSettings(calculator=name, kwargs={"rc": 5.0})
    )


def test_labels_are_those_of_the_calculator(task, tmp_path):
    from ase.calculators.emt import EMT

    label_frames(task, AseSettings(calculator="ase.calculators.emt:EMT"), tmp_path / "out")
    for labelled, atoms in zip(read_frames(tmp_path / "out/frames.extxyz"), copper(5), strict=True):
        atoms.calc = EMT()
        assert labelled.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-11)
        assert np.allclose(labelled.get_forces(), atoms.get_forces(), rtol=0, atol=1e-11)  # order of summation
        assert np.allclose(labelled.get_stress(), atoms.get_stress(), rtol=0, atol=1e-12)


def test_a_task_adds_little_to_the_calculator(tmp_path):
    """What 50 frames of 32 atoms cost beside the calculator is below 5 % of what CHGNet takes for them."""
    settings = AseSettings(calculator="ase.calculators.emt:EMT")
    frames, added = copper(50), []
    write_frames(tmp_path / "task/frames.extxyz", frames)
    for number in range(3):  # the machine may be busy
        start = time.process_time()
        label_frames(tmp_path / "task", settings, tmp_path / str(number))
        middle = time.process_time()
        for atoms in frames:
            atoms.calc = make_labeler(settings).calculator()
            atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
            atoms.calc = None
        added.append((middle - start) - (time.process_time() - middle))
    assert 1000 * min(added) / len(frames) < SHARE * CHGNET_MS
