"""AIMD and labelling tasks: results, restart, partial success."""

import json

import numpy as np
import pytest

from dpa_sse.ops.core.errors import TransientError
from dpa_sse.ops.labelers import single_points as label_module
from dpa_sse.ops.labelers.aimd import run_aimd
from dpa_sse.ops.labelers.dynamics import CalculatorLabeler
from dpa_sse.ops.labelers.native import NativeLabeler
from dpa_sse.ops.labelers.settings import AimdSettings, AseSettings, MockSettings
from dpa_sse.ops.labelers.single_points import label_frames
from dpa_sse.ops.results.status import EMPTY, DroppedStep, TaskStatus
from dpa_sse.ops.structures.build import write_cells
from dpa_sse.ops.structures.extxyz import read_frames, write_frames
from dpa_sse.ops.structures.perturb import perturb_cells
from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings

SETTINGS = AimdSettings(temperatures_K=[300.0, 900.0], steps=12, sample_every=3)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    write_cells([SystemSettings(name="Li2S", structure="Li2S")], folder, 1, folder / "cells.extxyz")
    perturb_cells(folder / "cells.extxyz", PerturbSettings(count=3), 1, folder)
    return folder


def status(out):
    return json.loads((out / "status.json").read_text())


def test_aimd(tasks, tmp_path):
    run_aimd(tasks / "task.001", MockSettings(), SETTINGS, 1, tmp_path)
    frames = read_frames(tmp_path / "frames.extxyz")
    assert [frame.info["step"] for frame in frames] == [0, 3, 6, 9, 12]
    assert np.array_equal(frames[0].positions, read_frames(tasks / "task.001/cell.extxyz")[0].positions)
    info = frames[2].info
    assert (info["system"], info["trajectory"], info["temperature_K"]) == ("Li2S", "Li2S.p001", 900.0)
    assert frames[2].get_forces().shape == (12, 3)
    assert frames[2].get_stress().shape == (6,)
    assert status(tmp_path)["status"] == "ok"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames.extxyz", "status.json"]


def test_aimd_depends_on_seed_and_trajectory_only(tasks, tmp_path):
    for name, task, seed in [("a", 0, 1), ("b", 0, 1), ("c", 0, 2), ("d", 2, 1)]:
        run_aimd(tasks / f"task.{task:03d}", MockSettings(), SETTINGS, seed, tmp_path / name)
    a, b, c, d = ((tmp_path / name / "frames.extxyz").read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_aimd_holds_the_temperature_and_the_centre_of_mass(tasks, tmp_path, monkeypatch):
    from ase.md.langevin import Langevin

    seen = []
    original = Langevin.step

    def step(self, forces=None):
        result = original(self, forces)
        seen.append(self.atoms.get_temperature())
        return result

    monkeypatch.setattr(Langevin, "step", step)
    settings = AimdSettings(temperatures_K=[500.0], steps=400, sample_every=100)
    run_aimd(tasks / "task.000", MockSettings(), settings, 1, tmp_path)
    assert np.mean(seen[100:]) == pytest.approx(500, rel=0.3)  # 12 atoms, 0.6 ps
    centres = [frame.get_center_of_mass() for frame in read_frames(tmp_path / "frames.extxyz")]
    assert np.abs(centres[-1] - centres[0]).max() < 0.1  # free, it would wander more than 1 A


def test_failing_calculator_keeps_the_frames_so_far(tasks, tmp_path):
    run_aimd(tasks / "task.000", MockSettings(fail_every=8), SETTINGS, 1, tmp_path)
    assert status(tmp_path)["status"] == "partial"
    assert "as requested" in status(tmp_path)["reason"]
    assert len(read_frames(tmp_path / "frames.extxyz")) == 3


def test_failure_at_the_first_call(tasks, tmp_path):
    run_aimd(tasks / "task.000", MockSettings(fail_every=1), SETTINGS, 1, tmp_path)
    assert status(tmp_path)["status"] == "failed"
    assert read_frames(tmp_path / "frames.extxyz") == []
    run_aimd(tasks / "task.000", MockSettings(), SETTINGS, 1, tmp_path)  # a failed task is tried again
    assert status(tmp_path)["status"] == "ok"


def test_exploding_dynamics_stops(tasks, tmp_path):
    hot = read_frames(tasks / "task.000/cell.extxyz")[0]
    hot.positions[0] = hot.positions[8] + [0.3, 0, 0]
    (tmp_path / "task").mkdir()
    write_frames(tmp_path / "task/cell.extxyz", [hot])
    run_aimd(tmp_path / "task", MockSettings(), AimdSettings(temperatures_K=[300.0], steps=200), 1, tmp_path / "out")
    assert status(tmp_path / "out")["status"] in ("partial", "failed")
    assert "exploded at step" in status(tmp_path / "out")["reason"]


def test_aimd_restarts_after_interruption(tasks, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/frames.extxyz.partial").write_text("12\nhalf written")
    run_aimd(tasks / "task.000", MockSettings(), SETTINGS, 1, tmp_path / "out")
    run_aimd(tasks / "task.000", MockSettings(), SETTINGS, 1, tmp_path / "fresh")
    assert (tmp_path / "out/frames.extxyz").read_bytes() == (tmp_path / "fresh/frames.extxyz").read_bytes()
    assert not (tmp_path / "out/frames.extxyz.partial").exists()


@pytest.mark.parametrize("run", [lambda task, out: run_aimd(task, MockSettings(), SETTINGS, 1, out),
                                 lambda task, out: label_frames(task, MockSettings(), out)])
def test_missing_task_is_empty(tmp_path, run):
    run(tmp_path / "nothing", tmp_path / "out")
    assert TaskStatus.read(tmp_path / "out") == EMPTY


@pytest.fixture
def frames_task(tasks, tmp_path):
    run_aimd(tasks / "task.000", MockSettings(), SETTINGS, 1, tmp_path / "source")
    return tmp_path / "source"


def test_label(frames_task, tmp_path):
    label_frames(frames_task, MockSettings(fail_every=4), tmp_path / "out")
    labelled = read_frames(tmp_path / "out/frames.extxyz")
    source = read_frames(frames_task / "frames.extxyz")
    assert [frame.info["frame"] for frame in labelled] == [0, 1, 2, 4]
    assert [item["status"] for item in status(tmp_path / "out")["items"]] == ["ok", "ok", "ok", "failed", "ok"]
    for frame in labelled:
        original = source[frame.info["frame"]]
        assert np.array_equal(frame.get_forces(), original.get_forces())
        assert np.array_equal(frame.get_stress(), original.get_stress())
        assert frame.get_potential_energy() == original.get_potential_energy()
        assert frame.info["trajectory"] == "Li2S.p000"
    assert not (tmp_path / "out/labels.jsonl.partial").exists()


class Counting(CalculatorLabeler):
    """A labeler that is killed after some frames."""

    def calculator(self):
        raise NotImplementedError

    def __init__(self, inner, stop_after):
        self.inner, self.left, self.calls = inner, stop_after, 0

    def label(self, frames, work):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.calls += 1
        return self.inner.label(frames, work)


def test_restart_labels_no_frame_twice(frames_task, tmp_path, monkeypatch):
    out, inner = tmp_path / "out", label_module.make_labeler(MockSettings())
    first = Counting(inner, 2)
    monkeypatch.setattr(label_module, "make_labeler", lambda _: first)
    with pytest.raises(KeyboardInterrupt):
        label_frames(frames_task, MockSettings(), out)
    partial = out / "labels.jsonl.partial"
    partial.write_bytes(partial.read_bytes() + b'{"status": "ok", "rea')  # killed while it wrote
    second = Counting(inner, -1)
    monkeypatch.setattr(label_module, "make_labeler", lambda _: second)
    label_frames(frames_task, MockSettings(), out)
    assert (first.calls, second.calls) == (2, 3)
    monkeypatch.undo()
    label_frames(frames_task, MockSettings(), tmp_path / "fresh")
    assert (out / "frames.extxyz").read_bytes() == (tmp_path / "fresh/frames.extxyz").read_bytes()


def test_progress_of_another_labeler_is_not_used(frames_task, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(label_module, "make_labeler", lambda _: Counting(None, 0))
    with pytest.raises(KeyboardInterrupt):
        label_frames(frames_task, MockSettings(delay_s=0.001), out)
    monkeypatch.undo()
    lines = (out / "labels.jsonl.partial").read_text()
    (out / "labels.jsonl.partial").write_text(lines + '{"status": "failed", "reason": "old"}\n')
    label_frames(frames_task, MockSettings(), out)
    assert status(out)["status"] == "ok"


def test_chgnet_run(tasks, tmp_path):
    pytest.importorskip("chgnet")
    settings = AimdSettings(temperatures_K=[300.0], steps=4, sample_every=2)
    for name in "ab":
        run_aimd(tasks / "task.000", AseSettings(), settings, 1, tmp_path / name)
    assert len(read_frames(tmp_path / "a/frames.extxyz")) == 3
    assert (tmp_path / "a/frames.extxyz").read_bytes() == (tmp_path / "b/frames.extxyz").read_bytes()


@pytest.mark.parametrize(
    ("ensemble", "thermostat"), [("nvt", "nose-hoover"), ("npt", "nose-hoover"), ("npt", "langevin")]
)
def test_other_ensembles(tasks, tmp_path, ensemble, thermostat):
    settings = AimdSettings(
        temperatures_K=[300.0], steps=120, sample_every=20, ensemble=ensemble, thermostat=thermostat,
        pressure_damping_fs=300.0,
    )
    run_aimd(tasks / "task.000", MockSettings(), settings, 1, tmp_path)
    frames = read_frames(tmp_path / "frames.extxyz")
    assert len(frames) == 7
    volumes = [frame.get_volume() for frame in frames]
    assert (np.ptp(volumes) > 0.5) == (ensemble == "npt")


def test_pressure_compresses(tasks, tmp_path):
    volume = {}
    for pressure in (0.0, 20.0):
        settings = AimdSettings(temperatures_K=[100.0], steps=300, sample_every=30, ensemble="npt",
                                pressure_GPa=pressure, pressure_damping_fs=300.0)
        run_aimd(tasks / "task.000", MockSettings(), settings, 1, tmp_path / f"{pressure}")
        frames = read_frames(tmp_path / f"{pressure}/frames.extxyz")
        volume[pressure] = np.mean([frame.get_volume() for frame in frames[5:]])
    assert volume[20.0] < 0.97 * volume[0.0]


def test_temperature_ramp(tasks, tmp_path, monkeypatch):
    from ase.md.langevin import Langevin

    targets = []
    original = Langevin.step

    def step(self, forces=None):
        targets.append(self.temp)
        return original(self, forces)

    monkeypatch.setattr(Langevin, "step", step)
    settings = AimdSettings(temperatures_K=[100.0], end_temperatures_K=[500.0], steps=8, sample_every=4)
    run_aimd(tasks / "task.000", MockSettings(), settings, 1, tmp_path)
    from ase import units

    assert np.array(targets) / units.kB == pytest.approx(np.linspace(150, 500, 8))
    assert status(tmp_path)["run"]["end_temperature_K"] == 500.0


class Native(NativeLabeler):
    """A labeler that runs its dynamics itself."""

    def __init__(self, answer, so_far=None):
        self.answer, self.so_far = answer, so_far

    def label(self, frames, work):
        raise NotImplementedError

    def aimd(self, run, work):
        assert work.name == "mock"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def frames_so_far(self, run, work):
        return self.so_far


def native_frames(tasks):
    labelled = label_module.make_labeler(MockSettings()).label(read_frames(tasks / "task.000/cell.extxyz")[:1])[0].atoms
    frames = []
    for number in (0, 3):
        one = labelled.copy()
        one.calc = labelled.calc
        one.info["step"] = number
        frames.append(one)
    return frames


@pytest.mark.parametrize("so_far", [True, False])
def test_frames_of_an_interrupted_native_run_are_kept_where_they_are_known(tasks, tmp_path, monkeypatch, so_far):
    from dpa_sse.ops.labelers import aimd

    made = Native(TransientError("killed"), native_frames(tasks) if so_far else None)
    monkeypatch.setattr(aimd, "make_labeler", lambda _: made)
    with pytest.raises(TransientError):
        run_aimd(tasks / "task.000", MockSettings(), SETTINGS, 1, tmp_path)
    assert (tmp_path / "frames.extxyz").is_file() == so_far
    assert not (tmp_path / "status.json").exists()


def test_frames_of_native_dynamics_and_its_steps_without_label(tasks, tmp_path, monkeypatch):
    from dpa_sse.ops.labelers import aimd
    from dpa_sse.ops.labelers.base import AimdResult

    result = AimdResult(
        native_frames(tasks), "", (DroppedStep(step=6, status="not converged", reason="after 60 cycles"),)
    )
    monkeypatch.setattr(aimd, "make_labeler", lambda _: Native(result))
    run_aimd(tasks / "task.000", MockSettings(), SETTINGS, 1, tmp_path)
    assert len(read_frames(tmp_path / "frames.extxyz")) == 2
    assert (status(tmp_path)["status"], status(tmp_path)["reason"]) == ("partial", "1 of 3 frames without label")
    assert status(tmp_path)["dropped"] == [{"step": 6, "status": "not converged", "reason": "after 60 cycles"}]


def test_batches(frames_task, tmp_path, monkeypatch):
    inner, sizes = label_module.make_labeler(MockSettings()), []

    class Batching(Counting):
        batch = 2

        def label(self, frames, work):
            sizes.append([frame.info["frame"] for frame in frames])
            return inner.label(frames, work)

    monkeypatch.setattr(label_module, "make_labeler", lambda _: Batching(inner, -1))
    label_frames(frames_task, MockSettings(), tmp_path / "out")
    assert sizes == [[0, 1], [2, 3], [4]]
    assert len(read_frames(tmp_path / "out/frames.extxyz")) == 5
