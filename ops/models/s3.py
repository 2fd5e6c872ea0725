"""A registry in an S3 bucket, with a folder of this machine for the files of the versions that are used here.

The layout is that of a folder, but a version is its texts and ``SHA256SUMS``, which is written last; its files are
below ``.objects/``. A bucket has no rename: a writer puts a claim, waits until every earlier one can be seen, and has
the version if its claim is the oldest (by the clock of the server; S3 lists what was written).
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import inside, printable
from dpa_sse.ops.models.names import ModelName
from dpa_sse.ops.models.registry import OBJECTS, SUMS, ModelRegistry, natural, read_sums, sums_text
from dpa_sse.ops.results.model_card import NAME, ModelCard
from dpa_sse.ops.runtime.store import S3Bucket, s3_bucket

ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,62})(?P<prefix>(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*)/?")
CLAIMS = ".claims"
SETTLE_S = 1.5
"""Longer than the resolution of the times that a server lists."""


class BucketRegistry(ModelRegistry):
    """The versions below a prefix of a bucket.

    Parameters
    ----------
    bucket : S3Bucket
    prefix : str
        Without slashes at its ends.
    root : Path
        Folder of this machine for files that are used here.
    """

    def __init__(self, bucket: S3Bucket, prefix: str, root: Path) -> None:
        super().__init__(root)
        self.bucket, self.prefix = bucket, prefix
        self.title = f"s3://{'/'.join(part for part in (bucket.bucket, prefix) if part)}"

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        return sorted({name for name, _ in self._versions("")})

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the latest last; none for a name that there is not."""
        if not re.fullmatch(NAME, name):
            return []
        return sorted((version for _, version in self._versions(f"{name}/")), key=natural)

    def card_of(self, name: ModelName) -> ModelCard:
        """Return the card of a version, without comparing its files."""
        text = self._text(name, ModelCard.FILE)
        return ModelCard.parse(text, f"{self.title}/{name.name}/{name.version}/{ModelCard.FILE}")

    def prepare(self, name: ModelName) -> None:
        """Copy a version from the bucket, unless it is here and whole."""
        text = self._text(name, SUMS)
        sums = read_sums(Path(f"{self.title}/{name.name}/{name.version}/{SUMS}"), text)
        here = inside(self.root, name.name) / name.version
        if (here / SUMS).is_file() and (here / SUMS).read_text(encoding="utf-8") == text and self._whole(here, sums):
            return
        texts = {file: self._text(name, file) for file in sums if file in (ModelCard.FILE, "MODEL_CARD.md")}
        for file, digest in sums.items():
            if file not in texts and self.keep(iter([self._get(f"{OBJECTS}/{digest[:2]}/{digest}")])).sha256 != digest:
                raise InputError(f"{name}: damaged: {file} in {self.title} is not the file that was stored (SHA-256)")
        self.discard(name)
        super().place(name, {file: digest for file, digest in sums.items() if file not in texts}, texts)

    def place(self, name: ModelName, sums: Mapping[str, str], texts: Mapping[str, str]) -> bool:
        """Put a version in its place; False if there is one already, or another writer is about to."""
        with self._calling():
            present = self.bucket.names(self._key(f"{OBJECTS}/"))
            for digest in sums.values():
                key = self._key(f"{OBJECTS}/{digest[:2]}/{digest}")
                kept = self.bucket.get(key) if key in present else None
                if kept is None or hashlib.sha256(kept).hexdigest() != digest:
                    self.bucket.put(key, self.object(digest).read_bytes())
        if not self._claimed(name):
            return False
        with self._calling():
            for file, text in texts.items():
                self.bucket.put(self._key(f"{name.name}/{name.version}/{file}"), text.encode())
            self.bucket.put(self._key(f"{name.name}/{name.version}/{SUMS}"), sums_text(sums, texts).encode())
        return True

    def next_version(self, name: str) -> str:
        """Return the next number, which nobody has claimed: the writer of a claim may have died."""
        start = self._key(f"{CLAIMS}/{name}/")
        with self._calling():
            claimed = {key[len(start) :].partition("/")[0] for key in self.bucket.names(start)}
        numbers = [int(version) for version in (*claimed, *self.versions(name)) if version.isdigit()]
        return str(max(numbers, default=0) + 1)

    def _claimed(self, name: ModelName) -> bool:
        """Return whether this writer has the version."""
        if name.version in self.versions(name.name):
            return False
        place, own = self._key(f"{CLAIMS}/{name.name}/{name.version}/"), uuid.uuid4().hex
        with self._calling():
            self.bucket.put(place + own, b"")
            time.sleep(SETTLE_S)
            found = [
                (item.last_modified, str(item.object_name))
                for item in self.bucket.client.list_objects(self.bucket.bucket, place, recursive=True)
            ]
        return min(found)[1] == place + own

    def _versions(self, below: str) -> Iterator[tuple[str, str]]:
        start = self._key(below)
        with self._calling():
            names = self.bucket.names(start)
        for name in names:
            parts = name[len(self._key("")) :].split("/")
            if len(parts) == 3 and parts[2] == SUMS and all(re.fullmatch(NAME, part) for part in parts[:2]):
                yield parts[0], parts[1]

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _get(self, name: str) -> bytes:
        with self._calling():
            data = self.bucket.get(self._key(name))
        if data is None:
            raise InputError(f"{self.title}/{name}: not in the bucket")
        return data

    def _text(self, name: ModelName, file: str) -> str:
        place = f"{name.name}/{name.version}/{file}"
        try:
            return self._get(place).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.title}/{place}: not UTF-8") from error

    @staticmethod
    def _whole(here: Path, sums: Mapping[str, str]) -> bool:
        from dpa_sse.ops.core.files import sha256_file

        return all((here / file).is_file() and sha256_file(here / file) == digest for file, digest in sums.items())

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Turn errors of the client into one line."""
        try:
            yield
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:  # minio, urllib3, ssl: network, permissions, a missing bucket
            text = printable(" ".join(str(error).split())[:200], keep="")
            raise InputError(f"{self.title}: the S3 server refuses or does not answer ({text})") from error


def open_bucket_registry(address: str, client: Any = None) -> BucketRegistry:
    """Return the registry of an address.

    Parameters
    ----------
    address : str
        ``s3://bucket/prefix``.
    client : optional
        Of the S3 server; by default the one that the environment names.

    Raises
    ------
    InputError
        The address is malformed, or no server is named.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise InputError(f"{printable(address, keep='')}: write s3://BUCKET/PREFIX")
    if client is None:
        endpoint = env.S3_ENDPOINT.read()
        if not endpoint:
            raise InputError(f"{address}: set {env.S3_ENDPOINT.name} to host:port of the S3 server")
        try:
            bucket = replace(s3_bucket(endpoint), bucket=found["bucket"])
        except ValueError as error:
            raise InputError(f"{env.S3_ENDPOINT.name}: {error}") from error
    else:
        bucket = S3Bucket(client, found["bucket"])
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given.startswith("/") else Path.home() / ".cache"
    prefix = found["prefix"].strip("/")
    return BucketRegistry(bucket, prefix, cache / "dpa-sse" / "models" / found["bucket"] / prefix)
