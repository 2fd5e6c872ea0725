"""``dpa-sse data``."""

import json

import pytest
from typer.testing import CliRunner

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.extxyz import write_frames
from dpa_sse.pipeline.commands.data import app
from tests.ops.data.mock_frames import labelled


def call(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def frames(tmp_path):
    for k in range(4):
        write_frames(tmp_path / f"in/run{k}.extxyz", labelled("Li2S", 3, f"t{k}"))
    return tmp_path / "in"


def test_convert(frames, tmp_path):
    assert call("convert", frames, tmp_path / "a").startswith("12 frames of 1 systems, extxyz -> npy, type_map [Li, S]")
    done = json.loads(call("convert", tmp_path / "a", tmp_path / "b.h5", "--type-map", "S,P,Li", "--json"))
    assert (done["to"], done["type_map"], done["n_frames"]) == ("hdf5", ["S", "P", "Li"], 12)
    with pytest.raises(InputError, match="already exists"):
        call("convert", tmp_path / "a", tmp_path / "b.h5")
    call("convert", tmp_path / "a", tmp_path / "b.h5", "--overwrite")


def test_split(frames, tmp_path):
    shown = call("split", frames, "--test", 0.25, "--validation", 0.25, "-o", tmp_path / "parts")
    assert "train 6 frames (2 trajectories), validation 3 frames (1 trajectories), test 3 frames" in shown
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "dataset.json", "test", "train", "validation",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--test", "1.5"), "--test 1.5: must be at least 0 and less than 1"),
        (("--test", "0"), "nothing to split"),
        (("--type-map", "Li"), "element S is not in type_map"),
        (("--from", "hdf4"), "unknown format 'hdf4' - did you mean 'hdf5'"),
    ],
)
def test_bad_options(frames, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        call("split", frames, *options, "-o", tmp_path / "parts")
    assert not (tmp_path / "parts").exists()


def test_audit(frames, tmp_path):
    shown = call("audit", frames, "-o", tmp_path / "audit")
    assert "verdict: usable, with the warnings above" in shown or "verdict: OK" in shown
    assert (tmp_path / "audit/audit.png").is_file()
    result = json.loads(call("audit", frames, "--type-map", "Li,P", "--json", code=3))
    assert result["verdict"] == "unusable"
    assert result["data_sets"][0]["n_frames"] == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--calculator", "emt"), "module:Class"),
        (("--calculator", "ase.calculators.emt:EMT", "--argument", "fish"), "write NAME=VALUE"),
        (("--type-map", "Li,Zz"), "not an element: Zz"),
        (("--from", "npy"), "holds no deepmd system"),
    ],
)
def test_bad_audit_options(frames, options, message):
    with pytest.raises(InputError, match=message):
        call("audit", frames, *options)


def test_merge(frames, tmp_path):
    write_frames(tmp_path / "more.extxyz", [*labelled("LiCl", 2, "t0"), *labelled("Li2S", 3, "t1")])
    shown = call("merge", frames, tmp_path / "more.extxyz", "-o", tmp_path / "all")
    assert shown.startswith("12 + 5 frames -> 14 (train 14); 3 duplicates left out, type_map [Li, S, Cl]: ")
    done = json.loads(call("merge", frames, tmp_path / "more.extxyz", "-o", tmp_path / "all.h5", "--json"))
    assert (done["to"], done["duplicates_dropped"], done["n_frames"]["train"]) == ("hdf5", 3, 14)
    with pytest.raises(InputError, match="already exists"):
        call("merge", frames, tmp_path / "more.extxyz", "-o", tmp_path / "all")
