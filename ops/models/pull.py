"""A version from another registry: a folder, or a web address that serves one. Every file is compared with its hash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.foreign import inside, printable
from dpa_sse.ops.core.limits import MAX_BYTES, regular
from dpa_sse.ops.models.names import SIGN, parse_name
from dpa_sse.ops.models.registry import PAGE, SUMS, ModelRegistry, StoredModel, read_sums
from dpa_sse.ops.models.where import open_registry
from dpa_sse.ops.results.model_card import ModelCard

TIMEOUT_S = 60.0
MAX_MODEL = 20_000_000_000
_BLOCK = 1 << 20
TEXTS = (ModelCard.FILE, PAGE)


def pull_model(registry: ModelRegistry, text: str, source: str) -> tuple[StoredModel, bool]:
    """Copy a version into the registry.

    Parameters
    ----------
    registry : ModelRegistry
    text : str
        ``name@version``; ``name`` for the latest version of a folder.
    source : str
        Folder of a registry, ``s3://bucket/prefix``, or an address (http, https) under which one is served.

    Returns
    -------
    tuple of StoredModel and bool
        The version, and whether it is new here.

    Raises
    ------
    InputError
        It is not there, damaged, or this name and version are another model here.
    """
    name = parse_name(text)
    web = source.startswith(("http://", "https://"))
    if not web:
        if "://" in source and not source.startswith("s3://"):
            raise InputError(f"--from {printable(source)}: give a folder, s3://BUCKET/PREFIX, http:// or https://")
        other = open_registry(source)
        if not source.startswith("s3:") and not other.root.is_dir():
            raise InputError(f"--from {source}: no such folder")
        name = other.whole(name)
        other.prepare(name)
        source = str(other.root)
    elif not name.version:
        raise InputError(f"models pull {text}: name the version ({name.name}{SIGN}VERSION): an address has no list")
    place = f"{source.rstrip('/')}/{name.name}/{name.version}"
    sums_text = _text(place, SUMS)
    sums = read_sums(Path(f"{place}/{SUMS}"), sums_text)
    here = inside(registry.root, name.name) / name.version
    if here.exists():
        if read_sums(here / SUMS) != sums:
            raise InputError(f"{name} is another model here than in {source}; a version never changes")
        with suppress(InputError):  # damaged: it is replaced
            return registry.open(str(name)), False
    texts = {file: _text(place, file) for file in sums if file in TEXTS}
    for file, digest in sums.items():
        if file in texts:
            found = _digest(texts[file])
        else:
            with _opened(f"{place}/{file}") as stream:
                found = registry.keep(_blocks(stream, f"{place}/{file}", MAX_MODEL)).sha256
        if found != digest:
            raise InputError(f"{place}/{file}: damaged: it is not the file that was stored (SHA-256)")
    registry.discard(name)
    registry.place(name, {file: one for file, one in sums.items() if file not in texts}, texts)
    try:
        return registry.open(str(name)), True
    except InputError as error:
        registry.discard(name)
        raise InputError(f"{place}: {error}") from error


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def _text(place: str, file: str) -> str:
    path = f"{place}/{file}"
    with _opened(path) as stream:
        data = b"".join(_blocks(stream, path, MAX_BYTES))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8") from error


def _blocks(stream: IO[bytes], path: str, most: int) -> Iterator[bytes]:
    """Yield what a stream holds, up to a limit."""
    size = 0
    try:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > most:
                raise InputError(f"{path}: larger than {most / 1e6:.0f} MB")
            yield block
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file or an address."""
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import Request, urlopen

    try:
        if path.startswith(("http://", "https://")):
            stream = urlopen(Request(path, headers={"User-Agent": "dpa-sse"}), timeout=TIMEOUT_S)  # noqa: S310
        else:
            stream = regular(Path(path).expanduser()).open("rb")
    except (URLError, HTTPException, ValueError) as error:
        raise InputError(f"{printable(path)}: cannot be read: {getattr(error, 'reason', None) or error}") from error
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read: {error.strerror or error}") from error
    with stream:
        yield stream
