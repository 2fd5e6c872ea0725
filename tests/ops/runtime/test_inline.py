"""Inputs as text: what Argo, YAML and a container's environment must not change, arrives unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpa_sse.ops.runtime.inline import FILE_MARK, FOLDER_MARK, UNSAFE, decode, encode

CASES = [
    b"", b"plain {json: 1}\n", b"{{workflow.name}}", b"5$$", b"$(HOME) ${X}", b"caf\xc3\xa9", bytes(range(256)),
    b"x" * 20_000, b"dpa-sse file gzip+base64\nAAAA", b"windows\r\nlines", b"}} alone is harmless",
]


@pytest.mark.parametrize("data", CASES)
def test_files_arrive_unchanged(data: bytes, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(data)
    text = encode(source)
    assert not UNSAFE.search(text)
    assert text.isascii()
    sent = tmp_path / "sent"
    sent.write_text(text)
    assert decode(sent, tmp_path / "out").read_bytes() == data
    assert encode(source) == text


def test_small_harmless_files_stay_readable(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1 2 3\n")
    assert encode(tmp_path / "a") == "1 2 3\n"
    (tmp_path / "b").write_text("1 2 3\n" * 10_000)
    assert encode(tmp_path / "b").startswith(FILE_MARK)


def test_folders_arrive_unchanged(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "000" / "set.000").mkdir(parents=True)
    (folder / "000" / "set.000" / "coord.npy").write_bytes(b"\x93NUMPY")
    (folder / "type.raw").write_text("0\n")
    text = encode(folder)
    assert text.startswith(FOLDER_MARK)
    (tmp_path / "sent").write_text(text)
    back = decode(tmp_path / "sent", tmp_path / "out")
    assert (back / "000" / "set.000" / "coord.npy").read_bytes() == b"\x93NUMPY"
    assert (back / "type.raw").read_text() == "0\n"
    assert decode(folder, tmp_path / "out") == folder
