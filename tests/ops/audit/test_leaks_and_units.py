"""Near copies across splits are leaks, and a virial in another unit is found however small it is."""

from dataclasses import replace

import numpy as np
import pytest

from dpa_sse.ops.audit.consistency import check_consistency
from dpa_sse.ops.audit.duplicates import find_duplicates
from dpa_sse.ops.audit.frames import make_table
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.settings import SystemSettings
from tests.ops.audit.test_audit import TYPE_MAP, label, table_of, walk


@pytest.fixture(scope="module")
def block():
    rng = np.random.default_rng(7)
    frames = [frame for k in range(6) for frame in walk("Li2S", f"p{k}", 300.0, rng)]
    (made,) = frames_to_blocks(frames, TYPE_MAP)
    return made


@pytest.mark.parametrize("factor", [0.003, 0.01, 0.1, 10.0, 100.0])
def test_virials_in_another_unit_are_found(block, factor):
    wrong = replace(block, virial=block.virial * factor)
    numbers, findings = check_consistency(make_table([wrong], TYPE_MAP, ["data"]))
    assert numbers.virials.slope == pytest.approx(1 / factor, rel=0.15)
    assert [one.level for one in findings] == ["unusable"]
    assert "the virials are not in the unit" in findings[0].message


def test_right_virials_are_accepted(block):
    numbers, findings = check_consistency(make_table([block], TYPE_MAP, ["data"]))
    assert numbers.virials.slope == pytest.approx(1, abs=0.1)
    assert findings == []


@pytest.mark.parametrize(("size", "near"), [(0.0005, True), (0.02, True), (0.2, False)])
@pytest.mark.parametrize("shift", [0.0, 1.3])
def test_held_out_frames_near_a_training_frame_are_leaks(size, near, shift):
    """Atoms displaced by so much, and the whole cell shifted: another label, but nothing new."""
    rng = np.random.default_rng(3)
    train = walk("Li2S", "a", 300.0, rng, frames=6)
    other = train[4].copy()
    change = rng.normal(size=other.positions.shape)
    other.positions += size * change / np.linalg.norm(change, axis=1).max() + shift
    test = [label(other)]
    blocks = [*frames_to_blocks(train, TYPE_MAP), *frames_to_blocks(test, TYPE_MAP, "test")]
    numbers, findings = find_duplicates(make_table(blocks, TYPE_MAP, ["data", "data"]))
    assert numbers.near_across_splits == int(near)
    leaks = [one for one in findings if "nearer than 0.1 A" in one.message]
    assert [one.level for one in leaks] == ["unusable"] * near
    if near:
        assert "train/Li2S[4]" in leaks[0].message


def test_frames_that_differ_in_their_spins_are_no_copies(block):
    one = block.select([0, 0])
    one.extra = {"spin": np.arange(2 * 3.0 * len(one.types)).reshape(2, -1)}
    numbers, findings = find_duplicates(make_table([one], TYPE_MAP, ["data"]))
    assert (numbers.copies, findings) == (0, [])
    one.extra = {"spin": np.ones((2, 3 * len(one.types)))}
    assert find_duplicates(make_table([one], TYPE_MAP, ["data"]))[0].copies == 1


def test_copies_agree_with_a_slow_search():
    """Random repetitions, lattice translations and noise below and above the tolerance."""
    rng = np.random.default_rng(0)
    atoms = build_cell(SystemSettings(name="Li2S", structure="Li2S"), None, 1)
    frames, origin = [], []
    for k in range(60):
        if k > 5 and rng.random() < 0.4:
            source = int(rng.integers(k))
            new = frames[source].copy()
            new.positions += rng.integers(-2, 3, (len(new), 3)) @ new.cell.array
            new.positions += rng.choice([0.0, 1e-6]) * rng.uniform(-1, 1, (len(new), 3))
            origin.append(origin[source])
        else:
            new = atoms.copy()
            new.positions += rng.normal(size=(len(new), 3)) * rng.choice([1e-3, 0.1])
            origin.append(k)
        frames.append(label(new))
    table = table_of(frames_to_blocks(frames, TYPE_MAP))
    counts, _ = find_duplicates(table)
    assert counts.copies == sum(origin[k] != k for k in range(60)) > 10
