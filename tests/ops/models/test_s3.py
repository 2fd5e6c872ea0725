"""A registry in a bucket: a client that keeps objects in memory, as an S3 server would, with times of one second."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.models import s3
from dpa_sse.ops.models.card import Background
from dpa_sse.ops.models.collect import collect_model
from dpa_sse.ops.models.pull import pull_model
from dpa_sse.ops.models.registry import ModelRegistry
from dpa_sse.ops.models.s3 import BucketRegistry, open_bucket_registry
from dpa_sse.ops.models.store import claims_of, store_model
from tests.ops.models.stored import model_folder

RESOLUTION_S = 0.2


@dataclass
class Client:
    """What is used of minio's client."""

    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    def get_object(self, bucket: str, name: str) -> Any:
        from minio.error import S3Error

        if name not in self.objects:
            raise S3Error(SimpleNamespace(status=404), "NoSuchKey", "none", name, "1", "1", bucket, name)
        data = self.objects[name][0]
        return SimpleNamespace(read=lambda: data, close=lambda: None, release_conn=lambda: None)

    def put_object(self, bucket: str, name: str, stream: io.BytesIO, length: int) -> None:
        with self.lock:
            self.objects[name] = (stream.read(length), time.monotonic() // RESOLUTION_S)

    def list_objects(self, bucket: str, prefix: str, recursive: bool) -> list[Any]:
        with self.lock:
            known = dict(self.objects)
        return [
            SimpleNamespace(object_name=name, last_modified=when) for name, (_, when) in sorted(known.items())
            if name.startswith(prefix)
        ]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(s3, "SETTLE_S", 2 * RESOLUTION_S)
    monkeypatch.delenv("DPA_SSE_S3_ENDPOINT", raising=False)


def registry(client: Client, cache: Path, monkeypatch: pytest.MonkeyPatch, prefix: str = "/models") -> BucketRegistry:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return open_bucket_registry(f"s3://ours{prefix}", client)


def put(where: ModelRegistry, folder: Path, name: str = "lps", version: str = "") -> str:
    return str(store_model(where, name, collect_model(folder), Background(), {}, version)[0].name)


@pytest.mark.parametrize("prefix", ["", "/models", "/a/b"])
def test_a_version_for_everybody(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    mine = registry(client, tmp_path / "mine", monkeypatch, prefix)
    one, two = model_folder(tmp_path / "one"), model_folder(tmp_path / "two", seed=1)
    assert [put(mine, one), put(mine, two), put(mine, one)] == ["lps@1", "lps@2", "lps@1"]
    theirs = registry(client, tmp_path / "theirs", monkeypatch, prefix)
    assert (theirs.names(), theirs.versions("lps")) == (["lps"], ["1", "2"])
    got = theirs.open("lps@2")
    assert got.folder.is_relative_to(tmp_path / "theirs") and claims_of(got) == []
    assert got.file("model.pt").read_bytes() == (two / "model.pt").read_bytes()
    assert [str(name) for name, _ in theirs.stored()] == ["lps@1", "lps@2"]
    assert theirs.open("lps").card.model_version == "2"
    with pytest.raises(InputError, match="lps has no version 3; it has 1, 2"):
        theirs.open("lps@3")
    with pytest.raises(InputError, match=r"no such model in the registry s3://ours"):
        theirs.open("x")
    folder = ModelRegistry(tmp_path / "folder")
    theirs.prepare(theirs.whole(got.name))
    assert pull_model(folder, "lps@2", str(theirs.root))[1]


def test_damage_in_the_bucket_and_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    folder = model_folder(tmp_path / "one")
    put(registry(client, tmp_path / "mine", monkeypatch), folder)
    theirs = registry(client, tmp_path / "theirs", monkeypatch)
    path = theirs.open("lps@1").file("model.pth")
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert theirs.open("lps@1").file("model.pth").read_bytes() == (folder / "model.pth").read_bytes()
    for name, (data, when) in list(client.objects.items()):
        if "/.objects/" in name:
            client.objects[name] = (data[:-1], when)
    others = registry(client, tmp_path / "others", monkeypatch)
    with pytest.raises(InputError, match=r"damaged: .* is not the file that was stored") as caught:
        others.open("lps@1")
    assert "\n" not in str(caught.value)
    assert put(others, folder, "again") == "again@1"  # and the damaged contents are stored again
    assert others.open("lps@1").file("model.pt").read_bytes() == (folder / "model.pt").read_bytes()


def test_writers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    folders = [model_folder(tmp_path / f"m{k}", seed=k) for k in range(5)]
    places = [registry(client, tmp_path / f"cache{k}", monkeypatch) for k in range(5)]
    with ThreadPoolExecutor(5) as pool:
        names = list(pool.map(lambda k: put(places[k], folders[k]), range(5)))
    assert len(set(names)) == 5
    reader = registry(client, tmp_path / "reader", monkeypatch)
    for name, folder in zip(names, folders, strict=True):
        assert reader.open(name).file("model.pt").read_bytes() == (folder / "model.pt").read_bytes()


def test_a_writer_that_died_with_its_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.put_object("ours", "models/.claims/lps/1/0", io.BytesIO(b""), 0)
    assert put(registry(client, tmp_path / "mine", monkeypatch), model_folder(tmp_path / "one")) == "lps@2"


def test_an_explicit_version_never_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = registry(Client(), tmp_path / "mine", monkeypatch)
    assert put(mine, model_folder(tmp_path / "one"), version="7") == "lps@7"
    with pytest.raises(InputError, match="lps@7 is another model already"):
        put(mine, model_folder(tmp_path / "two", seed=1), version="7")


@pytest.mark.parametrize("address", [
    "s3://", "s3:/ours", "s3://ours/../x", "s3://ours/a//b", "s3://Ours", "s3://ours/ ",
])
def test_malformed_addresses(address: str) -> None:
    with pytest.raises(InputError, match="write s3://BUCKET/PREFIX"):
        open_bucket_registry(address)


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Client):
        def list_objects(self, bucket: str, prefix: str, recursive: bool) -> list[Any]:
            raise OSError("connection\nrefused")

    with pytest.raises(InputError, match="the S3 server refuses or does not answer") as caught:
        registry(Silent(), tmp_path, monkeypatch).names()
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="set DPA_SSE_S3_ENDPOINT to host:port"):
        open_bucket_registry("s3://ours/models")
