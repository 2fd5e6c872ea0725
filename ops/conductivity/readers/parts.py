"""One run in several files: found by its positions, and read as one trajectory."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.conductivity.continuation import Ends, continues, rms_by_species
from dpa_sse.ops.conductivity.readers.formats import open_trajectory
from dpa_sse.ops.conductivity.readers.sources import Source
from dpa_sse.ops.conductivity.readers.trajectory import Chunk, Trajectory, leave_out
from dpa_sse.ops.conductivity.settings import SourceOptions
from dpa_sse.ops.core.errors import InputError

if TYPE_CHECKING:
    from dpa_sse.ops.conductivity.run import AnalysedRun

_SINGLE = 3.0  # steps between files of one frame each differ by less than this factor


def open_parts(paths: Sequence[Path], options: SourceOptions, timestep_fs: float | None) -> Trajectory:
    """Open one trajectory of one or several consecutive files.

    Raises
    ------
    InputError
        A file cannot be read, or they hold different atoms.
    """
    if len(paths) == 1:
        return open_trajectory(paths[0], options, timestep_fs)
    first = open_trajectory(paths[0], options, timestep_fs)
    whole = dataclasses.replace(
        first, n_frames_hint=None, notes=[f"{len(paths)} files joined, {_short(paths[0])} to {_short(paths[-1])}"],
        left_out={}, again=lambda: open_parts(paths, options, timestep_fs),
    )

    def chunks() -> Iterator[Chunk]:
        alone = True
        for k, path in enumerate(paths):
            part = open_trajectory(path, options, timestep_fs) if k else first
            if part.symbols != first.symbols:
                raise InputError(f"{path}: other atoms than in {paths[0].name}")
            for chunk in part.chunks:
                alone = alone and len(chunk.positions) == 1 and chunk.steps is not None
                if alone and part.facts.counts:  # files of one frame each: all are number 1
                    chunk = dataclasses.replace(chunk, steps=np.array([k + 1.0]))  # noqa: PLW2901
                yield chunk
            whole.notes += [note for note in part.notes if note not in whole.notes]
            for reason, count in part.left_out.items():
                leave_out(whole.left_out, reason, count)

    whole.chunks = chunks()
    return whole


def _short(path: Path) -> str:
    """Return the name of a file with that of its folder."""
    return f"{path.parent.name}/{path.name}"


def find_chains(sources: Sequence[Source], runs: Sequence[AnalysedRun]) -> list[Source]:
    """Return the runs that continue in several files, as a source each; MD folders are complete by themselves."""
    groups: dict[tuple[str, int, tuple[str, ...]], list[tuple[Source, Ends]]] = {}
    for source, run in zip(sources, runs, strict=True):
        if run.ends is not None and source.folder is None and source.path is not None:
            key = (source.system, round(run.source.temperature_K), run.ends.symbols)
            groups.setdefault(key, []).append((source, run.ends))
    chains = []
    for group in groups.values():
        for chain in [*_single_frames(group), *_linked(group)]:
            parts = tuple(source.path for source in chain if source.path is not None)
            chains.append(dataclasses.replace(chain[0], parts=parts, label=_label(chain)))
    return chains


def _label(chain: Sequence[Source]) -> str:
    """Return the label of a chain: that of its first part."""
    return re.sub(r"[._-]*$", "", chain[0].label)


def _linked(group: Sequence[tuple[Source, Ends]]) -> list[list[Source]]:
    """Return the chains of files of which each continues exactly one other."""
    several = [one for one in group if one[1].n_frames > 1]
    after: dict[int, list[int]] = {
        a: [b for b in range(len(several)) if b != a and continues(several[a][1], several[b][1])]
        for a in range(len(several))
    }
    before = {b: [a for a, found in after.items() if b in found] for b in range(len(several))}
    clear = {a: found[0] for a, found in after.items() if len(found) == 1 and len(before[found[0]]) == 1}
    chains = []
    for start in range(len(several)):
        if start in clear.values() or start not in clear:
            continue
        chain = [start]
        while chain[-1] in clear and clear[chain[-1]] not in chain:
            chain.append(clear[chain[-1]])
        chains.append([several[k][0] for k in chain])
    return chains


def _number(source: Source) -> float:
    """Return the last number in the name of a file."""
    found = re.findall(r"\d+", source.path.name.partition(".gz")[0]) if source.path is not None else []
    return float(found[-1]) if found else float("nan")


def _single_frames(group: Sequence[tuple[Source, Ends]]) -> list[list[Source]]:
    """Return the chain of files with one frame each, if they are evenly spaced.

    The order is that of their step numbers, or of the numbers in their names where they have none.
    """
    alone = [one for one in group if one[1].n_frames == 1]
    if len(alone) < 10:
        return []
    stamps = [ends.first_stamp for _, ends in alone]
    if len(set(stamps)) == 1 or not np.isfinite(stamps).any():
        stamps = [_number(source) for source, _ in alone]
    order = [int(k) for k in np.argsort(stamps, kind="stable") if np.isfinite(stamps[k])]
    single = [alone[k] for k in order]
    if len(single) < 10:
        return []
    gaps = np.diff([stamps[k] for k in order])
    steps = [
        float(np.sqrt((rms_by_species(a.last, b.first, a.species) ** 2).mean()))
        for (_, a), (_, b) in pairwise(single)
    ]
    even = gaps.min() > 0 and gaps.max() < 1.01 * gaps.min()
    if not even or max(steps) > _SINGLE * float(np.median(steps)) + 1e-3:
        return []
    return [[source for source, _ in single]]
