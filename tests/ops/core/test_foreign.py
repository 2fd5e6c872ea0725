"""Foreign names, archives and texts: nothing leads out of a folder, nothing controls a terminal."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import inside, printable, unpack
from dpa_sse.ops.core.removal import remove_listed, remove_tree


@pytest.mark.parametrize("name", ["a", "task.000", "b_c-1.npy", "..a", "a..b", ".hidden"])
def test_plain_names_stay_below_the_folder(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name


def test_names_that_a_user_chose_are_allowed_where_asked_for(tmp_path: Path) -> None:
    assert inside(tmp_path, "Li6PS5Cl (größer)/set 1", plain=False) == tmp_path / "Li6PS5Cl (größer)/set 1"
    with pytest.raises(InputError, match="only letters"):
        inside(tmp_path, "Li6PS5Cl (größer)")
    with pytest.raises(InputError, match="it has a '/'"):
        inside(tmp_path, "a/b")


def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_not(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    (root / "out").symlink_to(other)
    (root / "in").symlink_to(root)
    with pytest.raises(InputError, match="through a link"):
        inside(root, "out/a", plain=False)
    assert inside(root, "in/a", plain=False) == root / "in" / "a"


def archive(*entries: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as made:
        for entry, data in entries:
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, 0o4777
    return made


def test_archives_are_unpacked_without_the_filters_of_tarfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data_filter", "tar_filter", "fully_trusted_filter"):
        monkeypatch.delattr(tarfile, name, raising=False)
    monkeypatch.delattr(tarfile.TarFile, "extractall")
    monkeypatch.delattr(tarfile.TarFile, "extract")
    packed = archive((entry("a", tarfile.DIRTYPE), b""), (entry("a/b"), b"text"), (entry("./c"), b""))
    assert unpack(packed, tmp_path / "t") == ["a/b", "c"]
    assert (tmp_path / "t/a/b").read_bytes() == b"text"
    assert (tmp_path / "t/a/b").stat().st_mode & 0o7000 == 0


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_archive_are_refused(tmp_path: Path, kind: bytes) -> None:
    packed = archive((entry("x", kind, "../../victim"), b""), (entry("x/y"), b"text"))
    with pytest.raises(InputError, match="neither a file nor a folder"):
        unpack(packed, tmp_path / "t")
    assert not (tmp_path / "victim").exists()


def test_a_damaged_archive_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = archive((entry("a"), b"text" * 1000)).getvalue()
    for data in (b"", b"nonsense", whole[: len(whole) // 2]):
        with pytest.raises(InputError, match="cannot be unpacked"):
            unpack(io.BytesIO(data), tmp_path / "t")


def test_text_keeps_its_letters_and_loses_what_controls_a_terminal() -> None:
    assert printable("größer Å \t\n") == "größer Å \t\n"
    assert printable("\x1b]52;c;ZXZpbA==\x07") == r"\x1b]52;c;ZXZpbA==\x07"
    assert printable("a\rb\x9b31m\u202etxt") == r"a\rb\x9b31m\u202etxt"
    assert printable("a\nb", keep="") == r"a\nb"
    shown = printable("".join(map(chr, range(0x110000))), keep="")
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in shown)
    shown.encode("utf-8")  # no half of a surrogate pair


def test_folders_are_removed_only_below_that_of_the_program(tmp_path: Path) -> None:
    run, home = tmp_path / "run", tmp_path / "home"
    (run / "work" / "deep").mkdir(parents=True)
    home.mkdir()
    (home / "mine").write_text("precious")
    (run / "link").symlink_to(home)
    (run / "work" / "link").symlink_to(home)
    for folder in (home, run / "link", run, run / "work" / ".." / ".." / "home"):
        with pytest.raises(InputError, match="not removed"):
            remove_tree(folder, run)
    (run / "file").write_text("x")
    with pytest.raises(InputError, match="it is a file"):
        remove_tree(run / "file", run)
    remove_tree(run / "work", run)
    remove_tree(run / "work", run)  # nothing there
    assert not (run / "work").exists()
    assert (home / "mine").read_text() == "precious"


def test_only_listed_files_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in ("a.svg", "mine.svg"):
        (folder / name).write_text("x")
    (tmp_path / "outside").write_text("x")
    remove_listed(folder, {"a.svg", "../outside", "..", "missing", str(tmp_path / "outside")})
    assert [path.name for path in folder.iterdir()] == ["mine.svg"]
    assert (tmp_path / "outside").exists()
