"""The quick audit of the user's data sets: labels in another unit, no frames to test on."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import walk_folders
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.results.audit import Finding, Severity
from dpa_sse.pipeline.config.problems import KeyPath
from dpa_sse.pipeline.config.remote import is_remote
from dpa_sse.pipeline.config.schema import Project

if TYPE_CHECKING:
    from dpa_sse.ops.data.settings import SplitSettings
    from dpa_sse.ops.results.dataset import Split

MAX_BYTES = 16 * 2**20
"""Force labels that `check` reads, in all: larger sets are audited by their first systems (wrong units are in all)."""
NO_TEST_FRAMES = (
    "no frames to test the model on: each system has one trajectory (set.*) only, or {key} is 0; give a folder `test` "
    "beside `train`, or convert a folder with one file for each trajectory (or extxyz with `trajectory=NAME` in its "
    "comment lines), and `dpa-sse data split` holds some of them out"
)
OTHERS = {"duplicates", "levels", "elements", "reading"}
"""Checks of the audit that have their own rules here: duplicates are dropped, levels and elements are checked."""


def data_findings(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield data sets that the audit calls unusable, and a project that would test its model on nothing.

    The data sets are known to be readable.
    """
    complete, tested = True, False
    for where, name in data_folders(project):
        if is_remote(name):
            complete = complete and where[0] != "data"
            continue
        folder = base_dir / Path(name).expanduser()
        systems, rest = _first_systems(folder)
        if project.audit_data:
            try:
                found = _findings(systems, project.type_map, "unusable")
            except (InputError, OSError, ValueError, MemoryError) as error:
                text = str(error).splitlines()[0].replace(f"{folder}/", "")
                yield where, f"{name} cannot be read: {printable(text, keep='')}"
                return
            for message in found:
                part = f" (the first {len(systems)} of {len(systems) + rest} systems were read)" if rest else ""
                yield where, (
                    f"{name}: {message}{part}; `dpa-sse data audit {name}` shows the frames, `audit_data: false` uses "
                    "the data anyway"
                )
        if where[0] == "data":
            complete = complete and not rest
            tested = tested or (not rest and _has_test_frames(folder, project))
    yield from _same_folders(project, base_dir)
    yield from _frames_to_thin(project, base_dir)
    yield from _downstream_frames(project, base_dir)
    if project.data and complete and not tested and _tests_on_data(project):
        yield ("data", 0), NO_TEST_FRAMES.format(key="split.test")


def data_folders(project: Project) -> Iterator[tuple[KeyPath, str]]:
    """Yield the user's data sets with their keys."""
    yield from ((("data", index), name) for index, name in enumerate(project.data))
    if project.downstream:
        yield from ((("downstream", "data", index), name) for index, name in enumerate(project.downstream.data))


def _same_folders(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield data of the new compound that are among the base data: its held-out frames would be trained on."""
    def place(name: str) -> Path:
        return (base_dir / Path(name).expanduser()).resolve()

    base = [(name, place(name)) for name in project.data if not is_remote(name)]
    own: list[tuple[KeyPath, str]] = []
    if project.downstream:
        own += [(("downstream", "data", k), name) for k, name in enumerate(project.downstream.data)]
    own += [
        (("targets", number, "data", k), name) for number, target in enumerate(project.targets)
        for k, name in enumerate(target.data)
    ]
    for where, name in own:
        for other, folder in base if not is_remote(name) else ():
            if place(name).is_relative_to(folder) or folder.is_relative_to(place(name)):
                yield where, (
                    f"{name} is, or holds, `data` ({other}), which the pre-trained model is trained on: errors on the "
                    "frames that are held out would not be those on unknown ones; name different folders"
                )


def _frames_to_thin(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield that there are no more training frames than the first models of a thinning are to be trained on."""
    if project.simplify is None or project.systems or any(is_remote(name) for name in project.data):
        return
    parts = [_split_counts(base_dir / Path(name).expanduser(), project, project.split) for name in project.data]
    if not all(any(part.values()) for part in parts):
        return  # a folder that cannot be read is reported elsewhere
    counts = {split: sum(part[split] for part in parts) for split in ("train", "test")}
    if counts["train"] <= project.simplify.initial_frames:
        yield ("simplify", "initial_frames"), (
            f"asks for {project.simplify.initial_frames} frames, but `data` have {counts['train']} for training "
            f"({counts['test']} are for testing): nothing to thin"
        )


def _downstream_frames(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield what the user's frames of the new compound lack: frames to train on, or to test on."""
    downstream, finetune = project.downstream, project.finetune
    if downstream is None or finetune is None or any(is_remote(name) for name in downstream.data):
        return
    parts = [_split_counts(base_dir / Path(name).expanduser(), project, downstream.split) for name in downstream.data]
    counts = {split: sum(part[split] for part in parts) for split in ("train", "validation", "test")}
    if not any(counts.values()):
        return
    if not counts["test"]:
        yield ("downstream", "data", 0), NO_TEST_FRAMES.format(key="downstream.split.test")
    elif counts["train"] < finetune.frames:
        yield ("finetune", "frames"), (
            f"asks for {finetune.frames} frames, but its own `data` have {counts['train']} for training "
            f"({counts['test']} are for testing: downstream.split)"
        )


def data_remarks(project: Project, base_dir: Path) -> Iterator[tuple[KeyPath, str]]:
    """Yield what the audit of usable data sets warns about."""
    for where, name in data_folders(project):
        if is_remote(name) or not project.audit_data:
            continue
        systems, _ = _first_systems(base_dir / Path(name).expanduser())
        for message in _findings(systems, project.type_map, "warning"):
            yield where, f"{name}: {message}; `dpa-sse data audit {name}` shows the frames"


def _tests_on_data(project: Project) -> bool:
    """Return whether the errors of the pre-trained model are computed on the user's data alone."""
    if project.simplify and not project.systems:
        return True
    return project.pretrain is not None and not project.systems and not project.finetune


def data_systems(folder: Path) -> Iterator[Path]:
    """Yield the deepmd systems below a folder."""
    for root, files in walk_folders(folder):
        if "type.raw" in files and any(one.is_dir() for one in Path(root).glob("set.*")):
            yield Path(root)


def _first_systems(folder: Path) -> tuple[list[Path], int]:
    """Return the systems of a data set up to :data:`MAX_BYTES`, at least one, and the number of the others."""
    chosen: list[Path] = []
    size = rest = 0
    for system in data_systems(folder):
        size += sum(path.stat().st_size for path in system.glob("set.*/force.npy"))
        if chosen and size > MAX_BYTES:
            rest += 1
        else:
            chosen.append(system)
    return chosen, rest


def _findings(systems: Sequence[Path], type_map: Sequence[str], level: Severity) -> list[str]:
    """Return what the audit found of one severity, one sentence for each check."""
    files = [file for system in systems for file in sorted(system.rglob("*.npy"))]
    state = tuple((file, file.stat().st_mtime_ns) for file in files)
    return [
        f"{finding.check}: {printable(finding.message, keep='')}"
        for finding in _audited(tuple(systems), tuple(type_map), state)
        if finding.level == level and finding.check not in OTHERS
    ]


@lru_cache(maxsize=16)
def _audited(systems: tuple[Path, ...], type_map: tuple[str, ...], state: Hashable) -> list[Finding]:
    """Return all findings; ``state`` makes the files a part of the key."""
    from dpa_sse.ops.audit.run import audit_data

    return [finding for entry in audit_data(systems, type_map=type_map).data_sets for finding in entry.findings]


def _has_test_frames(folder: Path, project: Project) -> bool:
    """Return whether a data set has test frames, or gets some when it is split by trajectory."""
    counts = _split_counts(folder, project, project.split)
    return counts["test"] > 0 or not any(counts.values())


def _split_counts(folder: Path, project: Project, split: SplitSettings) -> dict[Split, int]:
    """Return the frames of a data set as the run will split them; none if it cannot be read (reported elsewhere)."""
    state = tuple((file, file.stat().st_mtime_ns) for file in sorted(folder.rglob("*.npy")))
    return _counted(folder, tuple(project.type_map), split, project.seed, state)


@lru_cache(maxsize=16)
def _counted(
    folder: Path, type_map: tuple[str, ...], split: SplitSettings, seed: int, state: Hashable
) -> dict[Split, int]:
    """Return the same; ``state`` makes the files a part of the key."""
    from dpa_sse.ops.data.collect import split_by_trajectory
    from dpa_sse.ops.data.frames import count_frames
    from dpa_sse.ops.data.user_data import load_user_dataset

    try:
        blocks = load_user_dataset(folder, type_map)
    except (InputError, OSError, ValueError, MemoryError):
        return count_frames([])
    if {block.split for block in blocks} == {"train"}:
        blocks, _ = split_by_trajectory(blocks, split, seed)
    return count_frames(blocks)
