"""Finished tasks and checkpoints, kept outside the pod that makes them.

A task is stored under the hash of everything that its result depends on. Its folder is kept as an index and
content-addressed blocks, so a growing trajectory costs only its new part. The index is written last, when all files in
it are complete. A restarted pod, or another workflow with the same task, resumes from there.

The location of the store is read from the environment (:mod:`dpa_sse.ops.core.environment`): a folder on a shared
volume, or an S3 bucket; without an endpoint nothing is stored.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, Field

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import InputError, TransientError
from dpa_sse.ops.core.foreign import inside
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.results.task_record import OutputValue

if TYPE_CHECKING:
    import ssl

BLOCK = 8 * 2**20
INDEX = "index.json"
PATIENCE_S = 120.0
T = TypeVar("T")


class ObjectStore(Protocol):
    """Named objects: a folder or a bucket."""

    def get(self, name: str) -> bytes | None:
        """Return an object, None where there is none."""

    def put(self, name: str, data: bytes) -> None:
        """Write an object: complete, or not at all."""

    def names(self, prefix: str) -> set[str]:
        """Return the names of all objects that start with ``prefix``."""

    def delete(self, names: set[str]) -> None:
        """Remove objects."""


@dataclass(frozen=True)
class FolderBucket:
    """Objects kept as files below a folder."""

    root: Path

    def get(self, name: str) -> bytes | None:
        """Return an object, None where there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Write an object: complete, or not at all."""
        from dpa_sse.ops.core.files import atomic_path

        with atomic_path(self.root / name) as temporary:
            temporary.write_bytes(data)

    def names(self, prefix: str) -> set[str]:
        """Return the names of all objects below the folder ``prefix``."""
        return {path.relative_to(self.root).as_posix() for path in (self.root / prefix).rglob("*") if path.is_file()}

    def delete(self, names: set[str]) -> None:
        """Remove objects."""
        for name in names:
            inside(self.root, name, plain=False).unlink(missing_ok=True)


@dataclass(frozen=True)
class S3Bucket:
    """Objects in an S3 bucket."""

    client: Any
    bucket: str

    def get(self, name: str) -> bytes | None:
        """Return an object, None where there is none."""
        from minio.error import S3Error

        try:
            response = self.client.get_object(self.bucket, name)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def put(self, name: str, data: bytes) -> None:
        """Write an object: complete, or not at all."""
        import io

        self.client.put_object(self.bucket, name, io.BytesIO(data), len(data))

    def names(self, prefix: str) -> set[str]:
        """Return the names of all objects that start with ``prefix``."""
        return {str(item.object_name) for item in self.client.list_objects(self.bucket, prefix, recursive=True)}

    def delete(self, names: set[str]) -> None:
        """Remove objects."""
        for name in names:
            self.client.remove_object(self.bucket, name)


class StoredFile(BaseModel):
    """A file of a stored task: its relative name, its time, and the hashes of its blocks."""

    name: str
    mtime_ns: int
    blocks: list[Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


class StoredTask(BaseModel):
    """The index of a stored task: a finished one with its output parameters, or a checkpoint."""

    done: bool
    values: dict[str, OutputValue]
    files: list[StoredFile]
    versions: dict[str, str] = {}


@dataclass(frozen=True)
class TaskStore:
    """The tasks below ``prefix`` of a bucket."""

    bucket: ObjectStore
    prefix: str = env.STORE_PREFIX.default
    every_s: float = env.CHECKPOINT_S.default
    patience_s: float = PATIENCE_S

    def restore(self, key: str, folder: Path) -> StoredTask | None:
        """Download the result of a task, or its last checkpoint, into ``folder``; None for a new task.

        Raises
        ------
        TransientError
            The store did not answer.
        """
        return self._patiently(lambda: self._restore(key, folder))

    def _restore(self, key: str, folder: Path) -> StoredTask | None:
        text = self.bucket.get(f"{self._place(key)}/{INDEX}")
        try:
            index = None if text is None else StoredTask.model_validate_json(text)
        except ValueError:  # not written by this program: start from scratch
            return None
        if index is None:
            return None
        try:
            paths = [inside(folder, entry.name, plain=False) for entry in index.files]
        except InputError as error:  # not written by this program: start from scratch
            sys.stderr.write(f"stored task not used: {error}\n")
            return None
        for entry, path in zip(index.files, paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                for digest in entry.blocks:
                    data = self.bucket.get(self._block(key, digest))
                    # Removed by hand or by another workflow with the same task, or damaged: start from scratch
                    if data is None or hashlib.sha256(data).hexdigest() != digest:
                        remove_tree(folder, folder.parent)
                        return None
                    stream.write(data)
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))  # the newest checkpoint is found by its time
        return index

    def save(
        self, key: str, folder: Path, *, values: Mapping[str, OutputValue] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Store the folder of a task: as a result if it has ``values``, otherwise as a checkpoint.

        Parameters
        ----------
        key : str
            Hash of the task.
        folder : Path
        values : mapping, optional
            Output parameters of a finished task.
        versions : mapping, optional
            Versions of the programs that made the result.

        Raises
        ------
        TransientError
            The store did not answer.
        """
        self._patiently(lambda: self._save(key, folder, values, versions))

    def _save(
        self, key: str, folder: Path, values: Mapping[str, OutputValue] | None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        place = self._place(key)
        before = self.bucket.names(f"{place}/")
        kept = {f"{place}/{INDEX}"}
        files = []
        for name, mtime in _files(folder, hidden=values is None):
            blocks = []
            try:
                with (folder / name).open("rb") as stream:
                    while data := stream.read(BLOCK):
                        digest = hashlib.sha256(data).hexdigest()
                        block = self._block(key, digest)
                        if block not in before and block not in kept:
                            self.bucket.put(block, data)
                        kept.add(block)
                        blocks.append(digest)
            except FileNotFoundError:  # a checkpoint that was just replaced
                continue
            files.append(StoredFile(name=name, mtime_ns=mtime, blocks=blocks))
        index = StoredTask(
            done=values is not None, values=dict(values or {}), files=files, versions=dict(versions or {})
        )
        self.bucket.put(f"{place}/{INDEX}", index.model_dump_json().encode())
        self.bucket.delete(before - kept)

    @contextmanager
    def checkpoints(self, key: str, folder: Path) -> Iterator[None]:
        """Store checkpoints while the block runs, and its last state when it is terminated."""
        stop = threading.Event()

        def follow() -> None:
            while not stop.wait(self.every_s):
                self._try_to_save(key, folder)

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            stop.set()
            thread.join()
            self._try_to_save(key, folder)
            raise
        finally:
            stop.set()
            thread.join()

    def _try_to_save(self, key: str, folder: Path) -> None:
        try:
            self._save(key, folder, None)
        except Exception as error:  # the work itself continues
            sys.stderr.write(f"checkpoint not stored: {type(error).__name__}: {error}\n")

    def _patiently(self, action: Callable[[], T]) -> T:
        """Access the store; retry for a while if it does not answer."""
        deadline = time.monotonic() + self.patience_s
        pause = 1.0
        while True:
            try:
                return action()
            except Exception as error:  # network, permissions, a missing bucket
                if time.monotonic() + pause > deadline:
                    reason = f"{type(error).__name__}: {error}"
                    raise TransientError(f"the task store does not answer: {reason}") from error
                time.sleep(pause)
                pause = min(2 * pause, 20.0)

    def _place(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def _block(self, key: str, digest: str) -> str:
        return f"{self._place(key)}/{digest}"


def store_from_environment() -> TaskStore | None:
    """Return the store that the environment names, None if it names none."""
    kind, endpoint = env.STORE.read(), env.S3_BUCKET_ENDPOINT.read()
    bucket: ObjectStore
    if kind not in ("", "s3"):
        bucket = FolderBucket(Path(kind))
    elif kind == "s3" and endpoint:
        bucket = s3_bucket(endpoint)
    else:
        return None
    return TaskStore(bucket, prefix=env.STORE_PREFIX.read(), every_s=env.CHECKPOINT_S.read())


def s3_bucket(endpoint: str) -> S3Bucket:
    """Return the bucket that the environment names, at ``endpoint`` (host:port)."""
    from minio import Minio

    client = Minio(
        endpoint,
        access_key=env.S3_ACCESS_KEY.read(),
        secret_key=env.S3_SECRET_KEY.read(),
        secure=env.S3_SECURE.read() == "true",
        region=env.S3_REGION.read() or "us-east-1",  # without one, each client would send a request for it
        http_client=trusting_client(env.S3_CA.read()),
    )
    return S3Bucket(client, env.S3_BUCKET.read() or "dpa-sse")


def trusting_client(authority: str | None) -> Any:
    """Return an HTTP client that trusts one private certificate authority (PEM), None for the default client."""
    if not authority:
        return None
    from urllib3 import PoolManager, Retry, Timeout

    return PoolManager(
        ssl_context=trusting_context(authority), maxsize=10, timeout=Timeout(300),
        retries=Retry(total=5, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),  # those of the library
    )


def trusting_context(authority: str) -> ssl.SSLContext:
    """Return the TLS settings of a client that trusts one certificate authority (PEM).

    Raises
    ------
    InputError
        It is not a certificate.
    """
    import ssl

    try:
        return ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise InputError(
            f"the entry `ca` of the S3 server's secret is not a certificate in PEM format ({error.reason})"
        ) from error


def _files(folder: Path, *, hidden: bool) -> list[tuple[str, int]]:
    """Return names and times of the files of a task, oldest first, without links and temporary files.

    A growing file is read after the checkpoint that refers to it, so the part that the checkpoint needs is there.
    """
    found = []
    for root, folders, names in os.walk(folder):
        if not hidden:
            folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if path.is_symlink() or name.endswith(".tmp") or (not hidden and name.startswith(".")):
                continue
            try:
                found.append((path.stat().st_mtime_ns, path.relative_to(folder).as_posix()))
            except FileNotFoundError:
                continue
    return [(name, mtime) for mtime, name in sorted(found)]
