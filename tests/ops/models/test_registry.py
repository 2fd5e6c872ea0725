"""The registry: versions never change, damage is found at each use, writers at once lose nothing."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.models.card import Background
from dpa_sse.ops.models.collect import collect_model
from dpa_sse.ops.models.names import ModelName, names_version, parse_name, registry_folder
from dpa_sse.ops.models.registry import KNOWN_FILES, SUMS, ModelRegistry
from dpa_sse.ops.models.store import claims_of, store_model
from dpa_sse.ops.models.where import open_registry
from tests.ops.models.stored import model_folder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "registry")


def put(registry: ModelRegistry, folder: Path, name: str = "lps", version: str = "", **known: object) -> str:
    parts = collect_model(folder)
    return str(store_model(registry, name, parts, Background(**known), {}, version)[0].name)  # type: ignore[arg-type]


def test_versions_are_numbers_and_the_same_model_is_stored_once(registry: ModelRegistry, tmp_path: Path) -> None:
    one, two = model_folder(tmp_path / "one"), model_folder(tmp_path / "two", seed=1)
    assert [put(registry, one), put(registry, two), put(registry, one)] == ["lps@1", "lps@2", "lps@1"]
    assert put(registry, one, license="MIT") == "lps@3"  # another card
    assert registry.versions("lps") == ["1", "2", "3"] and registry.names() == ["lps"]
    assert put(registry, two, version="1.10") == "lps@1.10"
    assert put(registry, two, version="1.9") == "lps@1.9"
    assert registry.versions("lps")[-2:] == ["2", "3"]
    assert str(registry.whole(ModelName("lps"))) == "lps@3"
    stored = registry.open("lps@2")
    assert stored.file("model_compressed.pth", "model.pth").read_bytes() == (two / "model.pth").read_bytes()
    assert claims_of(stored) == []
    with pytest.raises(InputError, match=r"has no model_compressed\.pth; it has model\.pth, model\.pt"):
        stored.file("model_compressed.pth")


def test_contents_are_stored_once(registry: ModelRegistry, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one")
    put(registry, folder)
    put(registry, folder, "other")
    first, second = (registry.root / name / "1" / "model.pth" for name in ("lps", "other"))
    assert first.stat().st_ino == second.stat().st_ino
    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=first.parent, check=True)


def test_a_version_never_changes(registry: ModelRegistry, tmp_path: Path) -> None:
    put(registry, model_folder(tmp_path / "one"), version="1")
    with pytest.raises(InputError, match="lps@1 is another model already"):
        put(registry, model_folder(tmp_path / "two", seed=1), version="1")
    assert not any(path.stat().st_mode & 0o222 for path in (registry.root / "lps" / "1").iterdir())


@pytest.mark.parametrize("file", ["model.pth", "model.pt", "model.yaml", "MODEL_CARD.md", "input.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "lose"])
def test_damage_is_found_at_each_use(file: str, harm: str, registry: ModelRegistry, tmp_path: Path) -> None:
    put(registry, model_folder(tmp_path / "one"))
    path = registry.root / "lps" / "1" / file
    data = bytearray(path.read_bytes())
    path.chmod(0o644)
    if harm == "lose":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data) if harm == "flip" else bytes(data[:-1]))
    with pytest.raises(InputError, match=rf"lps@1: damaged: .*{file}") as caught:
        registry.open("lps@1")
    assert "\n" not in str(caught.value)


def test_a_damaged_content_is_stored_again(registry: ModelRegistry, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one")
    put(registry, folder)
    path = registry.root / "lps" / "1" / "model.pth"
    path.chmod(0o644)
    path.write_bytes(b"damaged")  # and with it the content that other versions would share
    assert put(registry, folder) == "lps@2"
    assert registry.open("lps@2").file("model.pth").read_bytes() == (folder / "model.pth").read_bytes()


@pytest.mark.parametrize(("text", "message"), [
    ("lps@9", "lps has no version 9; it has 1"), ("lpss@1", "did you mean 'lps'"), ("x@1", "no such model"),
    ("../lps@1", "the name of a model consists of"), ("lps@..", "the version of a model consists of"),
    ("lps@", "the version of a model"), ("a/b@1", "the name"), ("lps@1@2", "the version"), ("", "the name"),
    (".objects@1", "the name"), ("lps@1\x1b[31m", "the version"),
])
def test_names_that_there_are_not(text: str, message: str, registry: ModelRegistry, tmp_path: Path) -> None:
    put(registry, model_folder(tmp_path / "one"))
    with pytest.raises(InputError, match=message) as caught:
        registry.open(text)
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


def test_writers_at_once_get_versions_of_their_own(registry: ModelRegistry, tmp_path: Path) -> None:
    folders = [model_folder(tmp_path / f"m{k}", seed=k) for k in range(12)]
    with ThreadPoolExecutor(12) as pool:
        names = list(pool.map(lambda folder: put(registry, folder), folders))
    assert sorted(names) == sorted(f"lps@{k}" for k in range(1, 13))
    for name, folder in zip(names, folders, strict=True):
        assert registry.open(name).file("model.pt").read_bytes() == (folder / "model.pt").read_bytes()
    assert list(registry.root.rglob(".new.*")) == []


def test_processes_at_once(registry: ModelRegistry, tmp_path: Path) -> None:
    folders = [model_folder(tmp_path / f"m{k}", seed=k) for k in range(3)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dpa_sse.pipeline", "models", "add", str(folder), "--name", "lps", "--registry",
             str(registry.root)], cwd=ROOT, stdout=subprocess.DEVNULL,
        ) for folder in folders
    ]
    assert [one.wait() for one in running] == [0, 0, 0]
    assert registry.versions("lps") == ["1", "2", "3"]
    kept = {registry.open(f"lps@{k}").file("model.pt").read_bytes() for k in (1, 2, 3)}
    assert kept == {(folder / "model.pt").read_bytes() for folder in folders}


def test_what_others_put_into_the_folder_is_no_version(registry: ModelRegistry, tmp_path: Path) -> None:
    put(registry, model_folder(tmp_path / "one"))
    (registry.root / "notes.txt").write_text("x")
    (registry.root / "my folder").mkdir()
    (registry.root / "lps" / "half").mkdir()
    (registry.root / "link").symlink_to(tmp_path)
    assert (registry.names(), registry.versions("lps")) == (["lps"], ["1"])
    sums = registry.root / "lps" / "1" / SUMS
    sums.chmod(0o644)
    sums.write_text(sums.read_text() + f"{'0' * 64}  ../../x\n")
    with pytest.raises(InputError, match="SHA256SUMS:7: not a line"):
        registry.open("lps")
    assert len(list(registry.stored())) == 1


def test_a_registry_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a file; the registry of models is a folder"):
        ModelRegistry(tmp_path / "file").names()


def test_which_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DPA_SSE_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert registry_folder() == tmp_path / "data" / "dpa-sse" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert registry_folder() == Path.home() / ".local" / "share" / "dpa-sse" / "models" == open_registry().root
    monkeypatch.setenv("DPA_SSE_MODELS", str(tmp_path / "shared"))
    assert open_registry().root == tmp_path / "shared"
    assert open_registry(str(tmp_path / "given")).root == tmp_path / "given"


def test_what_is_meant_as_a_model_of_the_registry() -> None:
    assert names_version("lps@1") and not names_version("lps.pt") and not names_version("a@b/model.pt")
    assert parse_name("lps") == ("lps", "") and parse_name("lps@1.2") == ("lps", "1.2")
    assert "model.yaml" in KNOWN_FILES
