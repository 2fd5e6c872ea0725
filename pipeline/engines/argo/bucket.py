"""The artifact bucket for a client outside the cluster: directly, or through a pod of the S3 server."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.environment import S3_ENDPOINT
from dpa_sse.ops.core.errors import InputError, PipelineError
from dpa_sse.ops.core.foreign import inside, printable, unpack
from dpa_sse.ops.runtime.store import S3Bucket, trusting_client, trusting_context
from dpa_sse.pipeline.engines.argo.pod_templates import STORE_CONFIG, STORE_SECRET

if TYPE_CHECKING:
    from dpa_sse.pipeline.engines.argo.cluster import Cluster

CATALOG = ".dflow"


def open_bucket(cluster: Cluster, namespace: str) -> S3Bucket:
    """Return the artifact bucket of a namespace, with the access that the namespace itself has.

    Raises
    ------
    InputError
        The S3 server cannot be reached from here.
    """
    from minio import Minio

    values = cluster.settings(namespace, STORE_CONFIG, STORE_SECRET)
    endpoint = S3_ENDPOINT.read() or values["endpoint"]
    secure = values.get("secure") == "true"
    options: dict[str, Any] = {}
    if not _reachable(endpoint):
        service = re.fullmatch(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]+)?:(\d+)", endpoint)
        if service is None:
            raise InputError(
                f"the S3 server {endpoint} cannot be reached from here: set {S3_ENDPOINT.name} to host:port"
            )
        authority = values.get("ca") if secure else None
        options["http_client"] = _through_pod(cluster, service[1], service[2], int(service[3]), authority)
    elif secure:
        options["http_client"] = trusting_client(values.get("ca"))
    client = Minio(
        endpoint, access_key=values["accesskey"], secret_key=values["secretkey"], secure=secure,
        region=values.get("region") or "us-east-1", **options,
    )
    return S3Bucket(client, values["bucket"])


def download_artifact(bucket: S3Bucket, key: str, target: Path) -> bool:
    """Download an artifact into the folder ``target``; False if the bucket has nothing under this key."""
    if key.endswith(".tgz"):
        data = bucket.get(key)
        if data is not None:
            _unpack(data, target)
        return data is not None
    names = bucket.names(f"{key}/")
    for name in names:
        relative = name[len(key) + 1 :]
        if CATALOG in relative.split("/"):
            continue
        path = inside(target, relative, plain=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bucket.get(name) or b"")
        except OSError as error:
            raise InputError(f"{target}: cannot write {printable(relative)} ({error.strerror})") from error
    return bool(names)


def _unpack(data: bytes, target: Path) -> None:
    """Unpack an archive without the folder that Argo puts around an artifact, and without dflow's catalogue."""
    def inner(name: str) -> str | None:
        first, *parts = PurePosixPath(name).parts
        return "/".join(parts) if parts and first != "/" and CATALOG not in parts else None

    target.mkdir(parents=True, exist_ok=True)
    unpack(io.BytesIO(data), target, inner)


def _reachable(endpoint: str) -> bool:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except (OSError, ValueError):
        return False
    return True


def _through_pod(cluster: Cluster, service: str, namespace: str, port: int, authority: str | None) -> Any:
    """Return an HTTP client whose connections are forwarded by the API server to a pod of the service."""
    from kubernetes.stream import portforward

    from dpa_sse.pipeline.engines.argo.cluster import explained

    with explained(f"service {namespace}/{service}"):
        found = cluster.core.read_namespaced_service(service, namespace)
        labels = ",".join(f"{key}={value}" for key, value in (found.spec.selector or {}).items())
        pods = cluster.core.list_namespaced_pod(namespace, label_selector=labels).items if labels else []
    running = [pod for pod in pods if pod.status.phase == "Running"]
    if not running:
        raise PipelineError(f"service {namespace}/{service}: no running pod to connect to; set {S3_ENDPOINT.name}")
    inner = next((item.target_port for item in found.spec.ports if item.port == port), port)
    number = _port_number(running[0], inner)

    def connect() -> socket.socket:
        forward = portforward(
            cluster.core.connect_get_namespaced_pod_portforward, running[0].metadata.name, namespace,
            ports=str(number),
        )
        connection: socket.socket = forward.socket(number)
        connection.setblocking(True)
        return connection

    return forwarded_client(connect, authority)


def _port_number(pod: Any, port: Any) -> int:
    """Return the number of a port that a service may give by name."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    named = {item.name: item.container_port for part in pod.spec.containers for item in part.ports or []}
    return int(named[port])


def forwarded_client(connect: Callable[[], socket.socket], authority: str | None) -> Any:
    """Return an HTTP client with connections from ``connect``; https trusts the authority (PEM), or public ones."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect()

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    options: dict[str, Any] = {"ssl_context": trusting_context(authority)} if authority else {}
    manager = PoolManager(retries=Retry(total=3), timeout=Timeout(connect=10, read=120), maxsize=2, **options)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}
    return manager
