"""Every reader accounts for every step, and no damage to a file ends in a traceback or in a number it does not hold."""

import re
import time

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.reading import read_data
from tests.ops.data.vasp_text import Run, extxyz, outcar, vasprun
from tests.ops.labelers.cp2k.conftest import DATA

LONGEST_S = 10.0
READERS = ("OUTCAR", "vasprun.xml", "a.extxyz", "cp2k.out", "cp2k-md")


@pytest.fixture(scope="module")
def originals():
    run = Run(steps=4)
    return {
        "OUTCAR": outcar(run), "vasprun.xml": vasprun(run), "a.extxyz": extxyz(run),
        "cp2k.out": (DATA / "xtb_LiCl.out").read_text(), "cp2k-md": (DATA / "md/run-pos-1.xyz").read_text(),
    }


def write(folder, reader, text):
    """Write a damaged file, with the sound files that belong to it; return what is read."""
    if reader != "cp2k-md":
        (folder / reader).write_text(text)
        return folder / reader
    if not (folder / "run.log").exists():
        (folder / "run.log").write_text((DATA / "md/run.log").read_text())
    (folder / "run-pos-1.xyz").write_text(text)
    return folder


def damaged(text, rng):
    """Cut at any byte, swap two lines, drop a line, double a line, or replace a number."""
    kind = rng.choice(["cut", "swap", "drop", "double", "stars"])
    if kind == "cut":
        return text[: rng.integers(1, len(text))]
    if kind == "stars":
        numbers = list(re.finditer(r"-?\d+\.\d+", text))
        one = numbers[rng.integers(len(numbers))]
        return text[: one.start()] + "*" * len(one[0]) + text[one.end():]
    lines = text.splitlines(keepends=True)
    i, j = sorted(rng.integers(0, len(lines), 2))
    if kind == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == "drop":
        del lines[i]
    else:
        lines.insert(i, lines[i])
    return "".join(lines)


def check_damage(folder, reader, whole, seed, count):
    rng = np.random.default_rng(seed)
    known = np.concatenate([block.energy for block in read_data(write(folder, reader, whole)).blocks])
    refused = 0
    for _ in range(count):
        path = write(folder, reader, damaged(whole, rng))
        start = time.monotonic()
        try:
            data = read_data(path)
        except InputError as error:
            assert "Error:" not in str(error) or "not readable" in str(error), error
            refused += 1
        else:
            for one in data.sources:
                assert one.found == one.taken + sum(one.left_out.values())
            assert sum(one.taken for one in data.sources) == sum(map(len, data.blocks))
            for block in data.blocks:
                assert all(np.isfinite(values).all() for values in block.arrays().values())
                assert np.abs(block.energy[:, None] - known[None]).min(axis=1).max() < 1e-6
        assert time.monotonic() - start < LONGEST_S
    assert refused < count


@pytest.mark.parametrize("reader", READERS)
def test_damage(tmp_path, originals, reader):
    check_damage(tmp_path, reader, originals[reader], 1, 200 if reader not in ("cp2k.out", "cp2k-md") else 60)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_much_damage(tmp_path, originals, reader):
    check_damage(tmp_path, reader, originals[reader], 2, 2000)


@pytest.mark.parametrize("seed", range(12))
def test_taken_and_left_out_sum_to_what_the_files_hold(tmp_path, seed):
    """A tree of runs with random faults: the accounts of all files sum to the steps that were written."""
    rng = np.random.default_rng(seed)
    written = good = 0
    for number in range(4):
        steps = int(rng.integers(1, 6))
        cycles = tuple(int(one) for one in rng.choice([4, 7, 60], steps, p=[0.4, 0.4, 0.2]))
        run = Run(steps=steps, cycles=cycles, seed=100 * seed + number)
        name, text = [("OUTCAR", outcar(run)), ("vasprun.xml", vasprun(run))][number % 2]
        folder = tmp_path / "calc" / f"r{number}"
        folder.mkdir(parents=True)
        (folder / name).write_text(text)
        written += steps
        good += sum(one < 60 for one in cycles)
    frames = Run(steps=3, seed=100 * seed + 50)
    (tmp_path / "calc/x.extxyz").write_text(extxyz(frames).replace("free_energy", "other", 1).replace("energy", "x", 1))
    data = read_data(tmp_path / "calc")
    assert sum(one.found for one in data.sources) == written + 3
    assert sum(one.taken for one in data.sources) == good + 2 == sum(map(len, data.blocks))
    assert sum(sum(one.left_out.values()) for one in data.sources) == written - good + 1
    done = convert_data(tmp_path / "calc", tmp_path / "out")
    assert done.sources == tuple(data.sources)
    (again,) = read_data(tmp_path / "out").sources
    assert (again.found, again.taken) == (good + 2, good + 2)
