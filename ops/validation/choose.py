"""Frames of the production runs to label: evenly over systems and temperatures, and evenly in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.exploration.tasks import write_tasks
from dpa_sse.ops.md.trajectory import DumpReader, parse_frame
from dpa_sse.ops.results.md import MdRun

if TYPE_CHECKING:
    from ase import Atoms

TRAJECTORY = "traj.lammpstrj"


@dataclass(frozen=True)
class Production:
    """A production run with frames."""

    folder: Path
    info: MdRun

    @property
    def point(self) -> tuple[str, float]:
        """System and temperature (K)."""
        return self.info.system, self.info.temperature_K

    @property
    def name(self) -> str:
        """Name of its trajectory in data sets."""
        return f"{self.info.system}.md{self.info.temperature_K:g}K.r{self.info.replica}"


def production_runs(folders: Sequence[Path]) -> list[Production]:
    """Return the runs that left a record, by system, temperature and replica."""
    found = [Production(folder, info) for folder in folders if (info := MdRun.read_if_there(folder))]
    return sorted(found, key=lambda run: (*run.point, run.info.replica))


def choose_frames(folders: Sequence[Path], labels: int, out: Path) -> int:
    """Write ``task.NNN/frames.extxyz`` with one frame each, and return their number.

    Each state point (system, temperature) gets its share of the labels, its replicas in turn; the frames of a run are
    in the middle of equal parts of it. Of a run that exploded or melted, the frames before are used: they show where
    the model fails. With fewer labels than state points, some temperatures get none, evenly spaced.

    Parameters
    ----------
    folders : sequence of Path
        MD folders.
    labels : int
        Number of frames to label, at most.
    out : Path
        Receives ``task.000`` ...
    """
    shares: dict[Path, int] = defaultdict(int)
    runs = [run for run in production_runs(folders) if run.info.n_frames > 0]
    groups: dict[tuple[str, float], list[Production]] = defaultdict(list)
    for run in runs:
        groups[run.point].append(run)
    for members, share in zip(groups.values(), shares_of(labels, len(groups)), strict=True):
        for label in range(share):
            shares[members[label % len(members)].folder] += 1
    frames = [
        atoms for run in runs for atoms in frames_at(run, midpoints(run.info.n_frames, shares[run.folder]))
    ]
    write_tasks(frames, 1, out)
    return len(frames)


def shares_of(total: int, groups: int) -> list[int]:
    """Divide ``total`` labels among groups: as equal as possible, evenly spaced where there are fewer than groups."""
    if not groups:
        return []
    base, rest = divmod(total, groups)
    # The centres of `rest` equal parts of the groups
    extra = {int((k + 0.5) * groups / rest) for k in range(rest)}
    return [base + (k in extra) for k in range(groups)]


def midpoints(frames: int, count: int) -> list[int]:
    """Return the numbers of the frames in the middle of ``count`` equal parts, each once."""
    return sorted({int((k + 0.5) * frames / count) for k in range(count)})


def frames_at(run: Production, chosen: Sequence[int]) -> list[Atoms]:
    """Return the frames with these numbers; ``info`` names system, trajectory, temperature, replica and step."""
    if not chosen:
        return []
    wanted, found = set(chosen), []
    for number, (step, block) in enumerate(DumpReader(run.folder / TRAJECTORY).blocks()):
        if number in wanted:
            atoms = parse_frame(block).atoms()
            atoms.info.update(
                system=run.info.system, trajectory=run.name, temperature_K=run.info.temperature_K,
                replica=run.info.replica, step=step,
            )
            found.append(atoms)
    return found

