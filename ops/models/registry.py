"""The registry: a folder with the versions of models, which never change.

``<name>/<version>/`` holds the files of a version, ``model.yaml``, ``MODEL_CARD.md`` and ``SHA256SUMS`` (as
``sha256sum`` writes it). Contents are stored once, under their hash, in ``.objects/``; the files of a version are links
to them. A version appears with one rename, so that writers at the same time get different versions, and readers whole
ones.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dpa_sse.ops.core.environment import MODELS
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import sha256_file, write_text
from dpa_sse.ops.core.foreign import inside
from dpa_sse.ops.core.limits import read_small, regular
from dpa_sse.ops.core.removal import remove_tree
from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.ops.models.card_text import card_page
from dpa_sse.ops.models.names import ModelName, parse_name
from dpa_sse.ops.potential.folder import CHECKPOINT, COMPRESSED, PACKAGE, TORCHSCRIPT
from dpa_sse.ops.results.model_card import NAME, ModelCard, StoredFile

OBJECTS, SUMS, PAGE = ".objects", "SHA256SUMS", "MODEL_CARD.md"
MODEL_FILES = (COMPRESSED, TORCHSCRIPT, CHECKPOINT, PACKAGE)
EVIDENCE = ("model.json", "input.json", "gates.json", "summary.json")
"""Kept with a model: its description, the input of its training, and where its numbers were measured."""
KNOWN_FILES = (*MODEL_FILES, *EVIDENCE, ModelCard.FILE, PAGE)
READ_ONLY = 0o444
_SUM = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._-]+)")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredModel:
    """A version whose files are those that were stored.

    Attributes
    ----------
    card : ModelCard
    folder : Path
    sums : dict
        SHA-256 by file name.
    """

    card: ModelCard
    folder: Path
    sums: dict[str, str]

    @property
    def name(self) -> ModelName:
        """Name and version."""
        return ModelName(self.card.model_name, self.card.model_version)

    def file(self, *wanted: str) -> Path:
        """Return the first of the wanted files that the version has.

        Raises
        ------
        InputError
            It has none of them.
        """
        for name in wanted:
            if name in self.sums:
                return self.folder / name
        held = ", ".join(name for name in MODEL_FILES if name in self.sums)
        raise InputError(f"{self.name} has no {' or '.join(wanted)}; it has {held}")


class ModelRegistry:
    """The versions below a folder.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.title = str(root)

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        if not self.root.exists():
            return []
        if not self.root.is_dir():
            raise InputError(f"{self.root}: a file; the registry of models is a folder")
        found = []
        for path in self.root.iterdir():
            with suppress(InputError):  # a link that leads out of the registry
                if re.fullmatch(NAME, path.name) and self.versions(path.name):
                    found.append(path.name)
        return sorted(found)

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the latest last; none for a name that there is not."""
        if name.startswith("."):
            return []
        folder = inside(self.root, name)
        if not folder.is_dir():
            return []
        found = [path.name for path in folder.iterdir() if not path.name.startswith(".") and (path / SUMS).is_file()]
        return sorted(found, key=natural)

    def whole(self, given: ModelName) -> ModelName:
        """Return a name with its version: the latest one where none is given.

        Raises
        ------
        InputError
            There is no such model or version; names those that there are.
        """
        known = self.versions(given.name)
        if not known:
            names = self.names()
            hint = did_you_mean(given.name, names) or (f"; it has {_some(names)}" if names else "; it is empty")
            raise InputError(
                f"'{given.name}': no such model in the registry {self.title} ({MODELS.name} names another){hint}"
            )
        if given.version and given.version not in known:
            raise InputError(f"'{given}': {given.name} has no version {given.version}; it has {_some(known)}")
        return ModelName(given.name, given.version or known[-1])

    def open(self, text: str) -> StoredModel:
        """Return a version, each file of which has been compared with its hash.

        Parameters
        ----------
        text : str
            ``name@version``, or ``name`` for the latest version.

        Raises
        ------
        InputError
            There is no such version, or it is damaged.
        """
        name = self.whole(parse_name(text))
        self.prepare(name)
        folder = inside(self.root, name.name) / name.version
        sums = read_sums(folder / SUMS)
        for file, digest in sums.items():
            path = inside(folder, file)
            try:
                same = sha256_file(regular(path)) == digest
            except OSError as error:
                raise InputError(f"{name}: damaged: {path}: {error.strerror}; {REPAIR}") from error
            if not same:
                raise InputError(f"{name}: damaged: {path} is not the file that was stored (SHA-256); {REPAIR}")
        card = ModelCard.read(folder)
        if (card.model_name, card.model_version) != name:
            raise InputError(f"{name}: damaged: its {ModelCard.FILE} is that of {card.reference}; {REPAIR}")
        if {key: one.sha256 for key, one in card.files.items()} != {
            key: digest for key, digest in sums.items() if key not in (ModelCard.FILE, PAGE)
        }:
            raise InputError(f"{name}: damaged: {ModelCard.FILE} and {SUMS} name other files; {REPAIR}")
        return StoredModel(card, folder, sums)

    def prepare(self, name: ModelName) -> None:
        """Do what is needed before the files of a version are read: nothing where they are in the folder."""

    def card_of(self, name: ModelName) -> ModelCard:
        """Return the card of a version, without comparing its files."""
        return ModelCard.read(self.root / name.name / name.version)

    def stored(self) -> Iterator[tuple[ModelName, ModelCard | str]]:
        """Yield all versions with their cards, or why the card cannot be read; files are not compared."""
        for name in self.names():
            for version in self.versions(name):
                own = ModelName(name, version)
                try:
                    yield own, self.card_of(own)
                except InputError as error:
                    yield own, str(error)

    def add(self, card: ModelCard, files: Mapping[str, Path], version: str = "") -> tuple[StoredModel, bool]:
        """Store a model as a new version; nothing is stored twice.

        Parameters
        ----------
        card : ModelCard
            Its version, day and files are filled in.
        files : mapping
            Files by their name in the version.
        version : str
            By default the next number.

        Returns
        -------
        tuple of StoredModel and bool
            The version, and whether it is new: files and card may be there already.

        Raises
        ------
        InputError
            There is another model of this version.
        """
        stored = {name: self._keep(path) for name, path in files.items()}
        card = card.model_copy(update={"files": stored, "date_added": datetime.now(UTC).date().isoformat()})
        for _ in range(1000):
            if (same := self._same(card, version)) is not None:
                return same, False
            number = version or self.next_version(card.model_name)
            whole = card.model_copy(update={"model_version": number})
            texts = {ModelCard.FILE: whole.text(), PAGE: card_page(whole)}
            sums = {name: one.sha256 for name, one in stored.items()}
            if self.place(ModelName(card.model_name, number), sums, texts):
                return self.open(whole.reference), True
            if version:
                raise InputError(f"{whole.reference} is another model already; a version never changes, take another")
        raise InputError(f"{self.title}: no free version of {card.model_name} found")

    def place(self, name: ModelName, sums: Mapping[str, str], texts: Mapping[str, str]) -> bool:
        """Put a version in its place; False if there is one already.

        Parameters
        ----------
        name : ModelName
        sums : mapping
            Hashes of stored files by name.
        texts : mapping
            Further files.
        """
        home = inside(self.root, name.name)
        home.mkdir(parents=True, exist_ok=True)
        fresh = home / f".new.{uuid.uuid4().hex}"
        fresh.mkdir()
        try:
            for file, digest in sums.items():
                _link(self.object(digest), inside(fresh, file))
            for file, text in texts.items():
                write_text(inside(fresh, file), text)
            write_text(fresh / SUMS, sums_text(sums, texts))
            for path in fresh.iterdir():
                path.chmod(READ_ONLY)
            try:
                fresh.rename(home / name.version)
            except OSError:
                if (home / name.version).exists():
                    return False
                raise
        finally:
            remove_tree(fresh, home)
        return True

    def keep(self, blocks: Iterator[bytes]) -> StoredFile:
        """Store a content under its hash."""
        folder = self.root / OBJECTS
        folder.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        descriptor, name = tempfile.mkstemp(prefix=".new.", dir=folder)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                for block in blocks:
                    digest.update(block)
                    size += len(block)
                    stream.write(block)
            found = StoredFile(sha256=digest.hexdigest(), size_bytes=size)
            target = self.object(found.sha256)
            if not target.is_file() or sha256_file(target) != found.sha256:  # a damaged one is replaced
                target.parent.mkdir(exist_ok=True)
                temporary.chmod(READ_ONLY)
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return found

    def discard(self, name: ModelName) -> None:
        """Remove a damaged version, if there is one."""
        home = inside(self.root, name.name)
        gone = home / f".gone.{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            (home / name.version).rename(gone)
        remove_tree(gone, home)
        with suppress(OSError):  # other versions are there
            home.rmdir()

    def _keep(self, path: Path) -> StoredFile:
        with regular(path).open("rb") as stream:
            return self.keep(iter(lambda: stream.read(_BLOCK), b""))

    def object(self, digest: str) -> Path:
        """Return the place of a content."""
        return inside(self.root / OBJECTS, digest[:2]) / digest

    def next_version(self, name: str) -> str:
        """Return the next number."""
        numbers = [int(version) for version in self.versions(name) if version.isdigit()]
        return str(max(numbers, default=0) + 1)

    def _same(self, card: ModelCard, version: str) -> StoredModel | None:
        """Return a version with the same files and the same card, if there is one."""
        given = {"model_version", "date_added"}
        for known in [version] if version else self.versions(card.model_name):
            if known not in self.versions(card.model_name):
                continue
            try:
                other = self.card_of(ModelName(card.model_name, known))
                if other.model_dump(exclude=given) == card.model_dump(exclude=given):
                    return self.open(other.reference)
            except InputError:  # damaged: not the same
                continue
        return None


REPAIR = "get it again (`dpa-sse models pull`, or add it as a new version)"


def read_sums(path: Path, text: str | None = None) -> dict[str, str]:
    """Return the hashes of a version by file name.

    Parameters
    ----------
    path : Path
        For messages; read where no text is given.
    text : str, optional

    Raises
    ------
    InputError
        It cannot be read, or has a name that no version has.
    """
    try:
        lines = (read_small(path) if text is None else text).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        one = _SUM.fullmatch(line)
        if one is None or one[2] not in KNOWN_FILES:
            raise InputError(f"{path}:{number}: not a line of a version of a model (SHA-256, two spaces, file name)")
        found[one[2]] = one[1]
    if ModelCard.FILE not in found or not set(found) & set(MODEL_FILES):
        raise InputError(f"{path}: damaged: it names no {ModelCard.FILE} or no model")
    return found


def sums_text(sums: Mapping[str, str], texts: Mapping[str, str]) -> str:
    """Return the text of ``SHA256SUMS``, from the hashes of stored files and from further texts."""
    every = {**sums, **{file: hashlib.sha256(text.encode()).hexdigest() for file, text in texts.items()}}
    return "".join(f"{every[file]}  {file}\n" for file in sorted(every))


def _link(source: Path, target: Path) -> None:
    """Make a hard link: DeePMD-kit tells files by the end of their names; a copy where links are not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def natural(version: str) -> list[tuple[int, int, str]]:
    """Sort key: numbers in a version by size, 2 before 10 and 1.9 before 1.10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|\D+", version)]


def _some(names: list[str]) -> str:
    return ", ".join(names[-8:]) + (" and others" if len(names) > 8 else "")

