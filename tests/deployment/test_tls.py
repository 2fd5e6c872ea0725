"""TLS inside the cluster: the certificate that the installation makes, and clients that trust its authority only."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest
import urllib3
import yaml

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.runtime.store import trusting_client
from dpa_sse.pipeline.engines.argo.bucket import forwarded_client

K8S = Path(__file__).resolve().parents[2] / "k8s"
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    sys.path.insert(0, str(K8S / "base/install"))
    spec = importlib.util.spec_from_file_location("make_certificate", K8S / "base/install/make_certificate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(K8S / "base/install"))
    return module


@pytest.fixture(scope="module")
def names() -> str:
    """The names that the component gives to the script."""
    component = yaml.safe_load((K8S / "components/tls/kustomization.yaml").read_text())
    job = next(one for one in component["patches"] if one.get("target", {}).get("kind") == "Job")
    container = next(one["value"] for one in yaml.safe_load(job["patch"]) if one["path"].endswith("initContainers/-"))
    return str(container["command"][-1])


@pytest.fixture(scope="module")
def folder(script: ModuleType, names: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificate")
    script.make_certificate(names, path)
    return path


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "public.crt", folder / "private.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_the_certificate_holds_for_the_names_of_the_store(folder: Path) -> None:
    store = next(
        one for one in yaml.safe_load_all((K8S / "base/artifact-repositories.yaml").read_text())
        if one["metadata"]["name"] == "dpa-sse-store"
    )
    host = store["data"]["endpoint"].rpartition(":")[0]
    for name in (host, "minio", "localhost"):
        shown = subprocess.run(
            ["openssl", "x509", "-in", "public.crt", "-noout", "-checkhost", name], cwd=folder, capture_output=True,
            text=True, check=True,
        ).stdout
        assert "does match" in shown, shown
    checked = subprocess.run(
        ["openssl", "verify", "-CAfile", "ca.crt", "-purpose", "sslserver", "public.crt"], cwd=folder, check=True,
        capture_output=True, text=True,
    )
    assert checked.stdout == "public.crt: OK\n"


def test_pods_trust_the_authority_and_no_other(folder: Path, script: ModuleType, tmp_path: Path, port: int) -> None:
    authority = (folder / "ca.crt").read_text()
    assert trusting_client(authority).request("GET", f"https://127.0.0.1:{port}/").data == b"ok"
    script.make_certificate("DNS:minio,IP:127.0.0.1", tmp_path)
    for client in (trusting_client((tmp_path / "ca.crt").read_text()), urllib3.PoolManager()):
        with pytest.raises(urllib3.exceptions.MaxRetryError, match="CERTIFICATE_VERIFY_FAILED"):
            client.request("GET", f"https://127.0.0.1:{port}/", retries=0)
    assert trusting_client(None) is None
    with pytest.raises(InputError, match="`ca` of the S3 server's secret is not a certificate"):
        trusting_client("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")


def test_a_forwarded_connection_is_checked_against_the_name_of_the_service(folder: Path, port: int) -> None:
    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port))

    authority = (folder / "ca.crt").read_text()
    client = forwarded_client(connect, authority)
    assert client.request("GET", "https://minio.dpa-sse.svc:9000/x").data == b"ok"
    with pytest.raises(urllib3.exceptions.MaxRetryError, match="Hostname mismatch"):
        client.request("GET", "https://other.dpa-sse.svc:9000/x", retries=0)
    with pytest.raises(urllib3.exceptions.MaxRetryError, match="CERTIFICATE_VERIFY_FAILED"):
        forwarded_client(connect, None).request("GET", "https://minio.dpa-sse.svc:9000/x", retries=0)


def test_secrets_that_do_not_fit_are_said(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, dict[str, str]] = {}

    def create(name: str, values: dict[str, str], *, there: tuple[str, ...] = ()) -> bool:
        made[name] = values
        return name not in there

    monkeypatch.setattr(sys, "argv", ["make_certificate.py", "DNS:minio"])
    monkeypatch.setattr(script, "create_secret", create)
    script.main()
    assert {name: set(values) for name, values in made.items()} == {
        "dpa-sse-server-tls": {"public.crt", "private.key"}, "dpa-sse-s3": {"accesskey", "secretkey", "ca"},
    }
    monkeypatch.setattr(script, "create_secret", lambda *one: create(*one, there=("dpa-sse-s3",)))
    with pytest.raises(SystemExit, match="the secret dpa-sse-s3 is from an earlier installation"):
        script.main()
