"""Damaged deepmd sets: a sentence or the numbers of the sound frames, never a traceback or other numbers."""

import shutil
import time

import numpy as np
import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.exchange import convert_data
from dpa_sse.ops.data.reading import read_data
from tests.ops.data.vasp_text import Run, outcar

LONGEST_S = 10.0
FORMS = ("npy", "mixed", "hdf5")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for seed in (1, 2):
        (folder / "calc" / str(seed)).mkdir(parents=True)
        (folder / "calc" / str(seed) / "OUTCAR").write_text(outcar(Run(seed=seed)))
    for form in FORMS:
        convert_data(folder / "calc", folder / (f"{form}.h5" if form == "hdf5" else form), to_format=form)
    (folder / "npy/dataset.json").unlink()
    return {form: folder / (f"{form}.h5" if form == "hdf5" else form) for form in FORMS}


def damage(path, rng):
    """Cut, empty, delete or overwrite a part of one file."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    one = files[rng.integers(len(files))]
    content = bytearray(one.read_bytes())
    kind = rng.choice(["cut", "flip", "zero", "noise", "empty", "delete", "double"])
    at = int(rng.integers(len(content))) if content else 0
    if kind == "cut":
        content = content[:at]
    elif kind == "flip" and content:
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == "zero":
        content[at:at + 16] = bytes(len(content[at:at + 16]))
    elif kind == "noise":
        content[at:at + 16] = rng.bytes(len(content[at:at + 16]))
    elif kind == "empty":
        content = bytearray()
    elif kind == "double":
        content = content * 2
    if kind == "delete" and path.is_dir():
        one.unlink()
    else:
        one.write_bytes(bytes(content))


def check_damage(original, work, seed, count):
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(count):
        path = work / original.name
        if path.is_dir():
            shutil.rmtree(path)
        (shutil.copytree if original.is_dir() else shutil.copy)(original, path)
        damage(path, rng)
        start = time.monotonic()
        try:
            data = read_data(path)
        except InputError as error:
            assert len(str(error).splitlines()) <= 4
            refused += 1
        else:
            for one in data.sources:
                assert one.found == one.taken + sum(one.left_out.values())
            for block in data.blocks:
                assert len({len(values) for values in block.arrays().values()}) == 1
                assert all(np.isfinite(values).all() for values in block.arrays().values())
        assert time.monotonic() - start < LONGEST_S
    assert 0 < refused < count


@pytest.mark.parametrize("form", FORMS)
def test_damage(tmp_path, originals, form):
    check_damage(originals[form], tmp_path, 1, 150)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_much_damage(tmp_path, originals, form):
    check_damage(originals[form], tmp_path, 2, 2000)
