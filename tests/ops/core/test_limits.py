"""Limits on files that a user names: pipes, devices and archives without end."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import h5py
import pytest

from dpa_sse.ops.core.files import find_files, walk_files
from dpa_sse.ops.core.limits import gunzip, read_small, regular
from dpa_sse.ops.data.stores import walk_groups


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(OSError, match="not a file but a pipe or a device"):
            regular(tmp_path / name)
        with pytest.raises(OSError, match="not a file but a pipe or a device"):
            read_small(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        regular(tmp_path / "missing")
    (tmp_path / "text").write_text("text")
    assert read_small(tmp_path / "text") == "text"
    (tmp_path / "link").symlink_to("text")
    assert regular(tmp_path / "link") == tmp_path / "link"


def test_pipes_and_devices_are_not_part_of_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "type.raw").write_text("0")
    os.mkfifo(tmp_path / "b" / "type.raw")
    (tmp_path / "c" / "type.raw").symlink_to("/dev/zero")
    (tmp_path / "c" / "broken").symlink_to("nowhere")
    assert find_files(tmp_path, "type.raw") == [tmp_path / "a" / "type.raw"]
    assert list(walk_files(tmp_path)) == ["a/type.raw", "c/broken"]  # whoever reads a broken link reports it


def test_an_archive_is_unpacked_up_to_a_limit() -> None:
    data = bytes(range(256)) * 100
    assert gunzip(gzip.compress(data), len(data)) == data
    assert gunzip(gzip.compress(data) + gzip.compress(b"more") + bytes(10), 10**6) == data + b"more"
    assert gunzip(b"", 10) == b""
    with pytest.raises(ValueError, match=r"larger than 0\.0256 MB when unpacked"):
        gunzip(gzip.compress(data + b"x"), len(data))
    with pytest.raises(ValueError, match="larger than 10 MB"):
        gunzip(gzip.compress(bytes(10**8)), 10**7)
    with pytest.raises(ValueError, match="cut"):
        gunzip(gzip.compress(data)[:-20], 10**6)
    for damaged in (b"text", gzip.compress(data)[:50] + b"x" * 100):
        with pytest.raises(ValueError, match=r"damaged|cut"):
            gunzip(damaged, 10**6)


def test_groups_that_contain_themselves_are_visited_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "loop.hdf5", "w") as file:
        group = file.create_group("a")
        group["self"], group["root"] = group, file["/"]
        group["system/type.raw"] = [0]
        file["b"], file["nothing"] = h5py.SoftLink("/a"), h5py.SoftLink("/none")
        assert [found.name for found in walk_groups(file)] == ["/a/system"]
