"""The events of jobs, copied into the log of the run by the one process that waits for them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from dpa_sse.ops.runtime.events import LOG, Event
from dpa_sse.pipeline.engines.slurm.records import BatchFolder


class EventCopier:
    """Copies complete lines, each once, in the order of their times.

    Parameters
    ----------
    run : Path
        The run folder.
    """

    def __init__(self, run: Path) -> None:
        self.log = run / LOG
        self._offsets: dict[Path, int] = {}
        self._known: set[bytes] = set()
        self._read = False

    def catch_up(self, folder: BatchFolder) -> None:
        """Copy the events of the jobs of an earlier driver, as far as that has not copied them."""
        if not self._read and self.log.exists():
            self._known, self._read = set(self.log.read_bytes().split(b"\n")), True
        self.copy((folder, member) for member in range(len(folder.batch.members)))

    def copy(self, jobs: Iterable[tuple[BatchFolder, int]], ended: Container[tuple[Path, int]] = ()) -> bool:
        """Copy what the jobs have written since the last time; return whether there was anything.

        Parameters
        ----------
        jobs : iterable of tuple
            Submission and member.
        ended : container of tuple, optional
            Those of which a result has been seen, by path and member: their events are there, even if a network file
            system still shows an old size of the file.
        """
        fresh: list[tuple[float, bytes]] = []
        there: dict[Path, frozenset[str]] = {}
        for folder, member in jobs:
            path = folder.path / "events" / f"{member}.jsonl"
            if folder.path not in there:
                there[folder.path] = folder.names("events")
            sure = (folder.path, member) in ended
            if path.name not in there[folder.path] and not sure:
                continue
            start = self._offsets.get(path, 0)
            try:
                if not sure and path.stat().st_size <= start:
                    continue
                with path.open("rb") as stream:
                    stream.seek(start)
                    data = stream.read()
            except OSError:
                continue
            whole = data[: data.rfind(b"\n") + 1]
            self._offsets[path] = start + len(whole)
            for line in whole.splitlines():
                try:
                    time = Event.from_line(line).time
                except ValueError:  # torn by a full disk
                    continue
                if line not in self._known:
                    fresh.append((time, line))
        if fresh:
            fresh.sort(key=lambda one: one[0])
            descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            try:
                os.write(descriptor, b"".join(line + b"\n" for _, line in fresh))
            finally:
                os.close(descriptor)
        return bool(fresh)

