"""Outputs of VASP and CP2K as parts of labelled data: of each calculation its best file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.data.cp2k_runs import read_dynamics, read_single_point
from dpa_sse.ops.data.output_frames import OutputFrames
from dpa_sse.ops.data.part import DataPart
from dpa_sse.ops.data.plain_text import SUFFIXES, read_text
from dpa_sse.ops.data.sources import Source, cp2k_outputs
from dpa_sse.ops.data.vasp_outcar import read_outcar
from dpa_sse.ops.data.vasp_xml import read_vasprun

SAME_ENERGY_EV = 2e-5
TAIL_BYTES = 1 << 20


def read_output(source: Source, name: str) -> list[DataPart]:
    """Read one calculation.

    Parameters
    ----------
    source : Source
    name : str
        Name of the trajectory.

    Raises
    ------
    InputError
        It cannot be read.
    """
    if source.form == "vasprun":
        return _read_vasp(source, name)
    if source.form == "outcar":
        return [_part(read_outcar(source.path), name)]
    if source.form == "cp2k":
        return [_part(read_single_point(source.path), name)]
    if source.form == "cp2k-md":
        logs = source.others or cp2k_outputs(source.path.parent)
        if not logs:
            raise InputError(f"{source.path}: no output of CP2K in the folder of this trajectory")
        return [_part(read_dynamics(source.path, logs), name)]
    raise InputError(f"{source.path}: no extxyz frames in it (no Lattice= in the second line)")


def _part(frames: OutputFrames, name: str) -> DataPart:
    elements = list(dict.fromkeys(frames.elements))
    if any(step.virial is None for step in frames.steps):
        count = sum(step.virial is None for step in frames.steps)
        frames.account.note(f"no virials in {count} steps: the run printed no stress, or not where it is expected")
    return DataPart(elements, frames.blocks(elements, name), frames.account.result(), frames.level)


def _read_vasp(source: Source, name: str) -> list[DataPart]:
    """Read vasprun.xml, or the OUTCAR beside it if that holds more; both if they are of different runs."""
    outcar = next(iter(source.others), None)
    if outcar is None:
        return [_part(read_vasprun(source.path), name)]
    other_name = name.removesuffix(source.path.name) + outcar.name
    try:
        frames = read_vasprun(source.path)
    except InputError as error:
        second = read_outcar(outcar)
        second.account.note(f"read instead of {source.path.name} ({str(error).partition(': ')[2]})")
        return [_part(second, other_name)]
    if not frames.account.left_out and frames.steps and _ends_alike(frames, outcar):
        return [_part(frames, name)]
    return _better(frames, outcar, name, other_name)


def _better(frames: OutputFrames, outcar: Path, name: str, other_name: str) -> list[DataPart]:
    """Return the one of two outputs that has more labels, both if they are of different runs."""
    try:
        second = read_outcar(outcar)
    except InputError as error:
        frames.account.note(f"the OUTCAR beside it is left out ({str(error).partition(': ')[2]})")
        return [_part(frames, name)]
    if not _same_run(frames, second):
        return [_part(frames, name), _part(second, other_name)]
    if len(second.steps) > len(frames.steps):
        second.account.note(f"read instead of {frames.account.path.name}, which has {len(frames.steps)} usable steps")
        return [_part(second, other_name)]
    return [_part(frames, name)]


def _ends_alike(frames: OutputFrames, outcar: Path) -> bool:
    """Return whether the last energy of an OUTCAR is that of the last step."""
    if outcar.suffix in SUFFIXES:
        text, _ = read_text(outcar)
    else:
        with outcar.open("rb") as stream:
            stream.seek(max(0, outcar.stat().st_size - TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
    found = re.findall(r"free  energy   TOTEN  =\s+(-?\d+\.\d+) eV", text)
    return bool(found) and abs(float(found[-1]) - frames.steps[-1].energy) < SAME_ENERGY_EV


def _same_run(frames: OutputFrames, second: OutputFrames) -> bool:
    """Return whether two outputs share a step."""
    if frames.elements != second.elements or not frames.steps or not second.steps:
        return frames.elements == second.elements and not (frames.steps and second.steps)
    energies = np.array([step.energy for step in frames.steps])
    return any(np.abs(energies - step.energy).min() < SAME_ENERGY_EV for step in second.steps)
