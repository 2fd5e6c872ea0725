"""Models from other registries: folders and web addresses, whole or damaged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.models.card import Background
from dpa_sse.ops.models.collect import collect_model
from dpa_sse.ops.models.pull import pull_model
from dpa_sse.ops.models.registry import ModelRegistry
from dpa_sse.ops.models.store import claims_of, store_model
from tests.ops.models.stored import gate, model_folder, verdict


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def theirs(tmp_path: Path) -> ModelRegistry:
    registry = ModelRegistry(tmp_path / "theirs")
    for seed in (0, 1):
        folder = model_folder(tmp_path / f"m{seed}", seed=seed)
        gates = verdict(folder, gate("G1", "PASS"))
        evidence = {"gates.json": folder / "gates.json"}
        store_model(registry, "lps", collect_model(folder), Background(gates=gates), evidence)
    return registry


@pytest.fixture(params=["folder", "web"])
def source(request: pytest.FixtureRequest, theirs: ModelRegistry) -> Iterator[str]:
    if request.param == "folder":
        yield str(theirs.root)
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(theirs.root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def own(tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(tmp_path / "own")


def test_a_version_is_copied_whole(source: str, theirs: ModelRegistry, own: ModelRegistry) -> None:
    got, new = pull_model(own, "lps@2", source)
    assert new and got.card == theirs.open("lps@2").card and claims_of(got) == []
    again, new = pull_model(own, "lps@2", source)
    assert not new and again == got
    assert own.versions("lps") == ["2"]


@pytest.mark.parametrize("file", ["model.pth", "model.yaml", "MODEL_CARD.md", "gates.json", "SHA256SUMS"])
def test_damage_is_refused_and_nothing_is_left(
    file: str, source: str, theirs: ModelRegistry, own: ModelRegistry
) -> None:
    path = theirs.root / "lps" / "1" / file
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"#")
    with pytest.raises(InputError, match=rf"{file}.*not (the file that was stored|a line of)") as caught:
        pull_model(own, "lps@1", source)
    assert "\n" not in str(caught.value) and own.names() == []


def test_a_damaged_version_here_is_replaced(source: str, own: ModelRegistry) -> None:
    pull_model(own, "lps@1", source)
    path = own.root / "lps" / "1" / "model.pt"
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"damaged.*models pull"):
        own.open("lps@1")
    assert pull_model(own, "lps@1", source)[1]
    assert own.open("lps@1").card.model_version == "1"


def test_another_model_of_the_same_name(source: str, own: ModelRegistry, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine", seed=7)
    store_model(own, "lps", collect_model(folder), Background(), {})
    with pytest.raises(InputError, match="lps@1 is another model here"):
        pull_model(own, "lps@1", source)


@pytest.mark.parametrize(("name", "source", "message"), [
    ("lps@1", "/no/such/folder", "no such folder"), ("lps@1", "ftp://x", "give a folder, s3://"),
    ("lps@1", "s3://UPPER", "write s3://BUCKET/PREFIX"), ("lps@1", "s3://bucket/x", "DPA_SSE_S3_ENDPOINT to host:port"),
    ("lps@1", "http://127.0.0.1:1", "cannot be read"), ("lps", "http://127.0.0.1:1", "name the version"),
    ("lps@1", "http://", "cannot be read"), ("../x@1", "/no", "the name of a model"),
    ("lps@1", "http://127.0.0.1:99999", "cannot be read"),
])
def test_places_that_there_are_not(name: str, source: str, message: str, own: ModelRegistry) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pull_model(own, name, source)
    assert "\n" not in str(caught.value)


def test_the_latest_of_a_folder(theirs: ModelRegistry, own: ModelRegistry) -> None:
    assert pull_model(own, "lps", str(theirs.root))[0].card.reference == "lps@2"
