"""Single points for the frames of one task; a restarted task does not label a frame again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.core.files import jsonable, sha256_file
from dpa_sse.ops.data.convert import with_results
from dpa_sse.ops.labelers.base import LabelResult
from dpa_sse.ops.labelers.registry import labeler_files, make_labeler
from dpa_sse.ops.labelers.settings import LabelerSettings
from dpa_sse.ops.results.status import EMPTY, TaskStatus, is_finished
from dpa_sse.ops.structures.extxyz import read_frames, write_frames

if TYPE_CHECKING:
    from ase import Atoms

_SYNC_S = 1.0


def label_frames(task: Path, labeler: LabelerSettings, out: Path) -> None:
    """Label ``task/frames.extxyz`` and write ``frames.extxyz`` and ``status.json``.

    Parameters
    ----------
    task : Path
        Folder with the frames; if it does not exist, nothing is done.
    labeler : LabelerSettings
        Source of the labels.
    out : Path
        Receives ``frames.extxyz``, the labelled frames with their number in the task as ``info["frame"]``, and
        ``status.json`` with the outcome for each frame. Progress is kept in ``labels.jsonl.partial``; files of the
        labeler go into a folder named after its kind.

    Raises
    ------
    TransientError, FatalError, InputError
        See :meth:`dpa_sse.ops.labelers.base.Labeler.label`.
    """
    out.mkdir(parents=True, exist_ok=True)
    if is_finished(out):
        return
    source = task / "frames.extxyz"
    if not source.is_file():
        EMPTY.write(out)
        return
    frames = read_frames(source)
    partial = out / "labels.jsonl.partial"
    identity = {"frames_sha256": sha256_file(source), "labeler": _identity(labeler, frames)}
    done = _read_progress(partial, identity, len(frames))
    with partial.open("a", encoding="utf-8") as stream:
        made, synced = make_labeler(labeler), time.monotonic()
        while len(done) < len(frames):
            batch = [frame.copy() for frame in frames[len(done):len(done) + made.batch]]
            for index, frame in enumerate(batch, start=len(done)):
                frame.info["frame"] = index
            try:
                results = made.label(batch, out / labeler.kind)
            except PipelineError:  # this may be the last attempt: what is labelled counts
                write_frames(out / "frames.extxyz", _labelled_frames(frames, done))
                raise
            for result in results:
                done.append(_record(result))
                _append(stream, done[-1])
            if time.monotonic() - synced > _SYNC_S:
                os.fsync(stream.fileno())
                synced = time.monotonic()
    labelled = _labelled_frames(frames, done)
    write_frames(out / "frames.extxyz", labelled)
    items = [(record["status"], record["reason"]) for record in done]
    TaskStatus.of_items(items, level=made.level(labelled) if labelled else None).write(out)
    partial.unlink()


def _identity(labeler: LabelerSettings, frames: Sequence[Atoms]) -> dict[str, Any]:
    """Return the settings of a labeler; its files by element by their content: their folder moves with the task."""
    values = labeler.model_dump(mode="json", exclude=set(labeler.folders))
    if labeler.folders:
        elements = sorted({symbol for frame in frames for symbol in frame.get_chemical_symbols()})
        values["files"] = {path.name: sha256_file(path) for path in labeler_files(labeler, elements)}
    return values


def _read_progress(partial: Path, identity: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return the records of an interrupted run of the same task, and leave the file ready for appending."""
    records = list(_complete_lines(partial)) if partial.is_file() else []
    if not records or records[0] != identity:
        records = [identity]
    records = records[: count + 1]
    with partial.open("w", encoding="utf-8") as stream:  # drops a half-written last line
        for record in records:
            _append(stream, record)
    return records[1:]


def _complete_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _append(stream: Any, record: dict[str, Any]) -> None:
    stream.write(json.dumps(jsonable(record), allow_nan=False) + "\n")
    stream.flush()  # a killed process loses nothing; only a machine that stops may lose the last second


def _record(result: LabelResult) -> dict[str, Any]:
    record: dict[str, Any] = {"status": result.status, "reason": result.reason}
    if result.atoms is not None and result.atoms.calc is not None:
        values = result.atoms.calc.results
        record |= {key: np.asarray(values[key], float).tolist() for key in ("energy", "forces", "stress")}
    return record


def _labelled_frames(frames: Sequence[Atoms], done: Sequence[dict[str, Any]]) -> list[Atoms]:
    """Return the frames that have labels so far."""
    return [
        _labelled(frame, index, record) for index, (frame, record) in enumerate(zip(frames, done, strict=False))
        if record["status"] == "ok"
    ]


def _labelled(frame: Atoms, index: int, record: dict[str, Any]) -> Atoms:
    atoms = with_results(frame, record["energy"], np.array(record["forces"]), np.array(record["stress"]))
    atoms.info["frame"] = index
    return atoms
