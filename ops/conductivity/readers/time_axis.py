"""The time of every frame: what the file says, checked against the options; nothing is assumed.

Times and step numbers of a file win. Where an option contradicts them, the run is refused; where neither the file nor
an option says how far frames are apart, ``--frame-every`` is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpa_sse.ops.core.errors import InputError

_SAME = 0.01
_UNITS_FS = {"fs": 1.0, "ps": 1000.0}


@dataclass
class TimeFacts:
    """What is known of the time axis besides the numbers in the frames.

    Attributes
    ----------
    timestep_fs, frame_every : float, int
        Options.
    file_timestep_fs, file_every : float, int
        MD time step and steps between frames that the file, or the input file of its run, states.
    file_frame_ps : float
        Time between frames that the file states.
    counts : bool
        Step numbers 1, 2, 3 may count frames, as VASP and converters write them.
    unit : str
        Of the times in the frames: ``ps``, or empty where the file does not say.
    hint : str
        What this kind of file cannot say, for messages.
    """

    timestep_fs: float | None = None
    frame_every: int | None = None
    file_timestep_fs: float | None = None
    file_every: int | None = None
    file_frame_ps: float | None = None
    counts: bool = False
    unit: str = "ps"
    hint: str = ""


def frame_times(times: np.ndarray, steps: np.ndarray, facts: TimeFacts, notes: list[str]) -> np.ndarray:
    """Return the time of each frame, ps.

    Parameters
    ----------
    times : numpy.ndarray
        (T,), stored times (ps, or the unknown unit of ``facts``); NaN where a frame has none.
    steps : numpy.ndarray
        (T,), MD step numbers; NaN where a frame has none.
    facts : TimeFacts
    notes : list of str
        Receives remarks.

    Raises
    ------
    InputError
        The time between frames is unknown, or statements contradict each other.
    """
    stored, numbers = _stated(times, "time"), _stated(steps, "step number")
    step_fs = _agreed(facts.timestep_fs, facts.file_timestep_fs, "--timestep-fs {:g}, but the file says {:g} fs")
    every = _agreed(facts.frame_every, facts.file_every, "--frame-every {:g}, but the file says {:g}")
    mere_count = facts.counts and numbers is not None and _spacing(numbers) == 1
    if stored is not None:
        real = None if mere_count else numbers
        stored = stored if facts.unit == "ps" else _with_unit(stored, real, step_fs, facts.frame_every)
        _compare(stored, real, step_fs, facts.frame_every, notes)
        return stored
    if numbers is not None and not mere_count:
        _check_every(numbers, every)
        if step_fs is None:
            raise InputError("the time between frames is unknown; give the MD time step with --timestep-fs")
        return numbers * step_fs * 1e-3
    spacing = facts.file_frame_ps
    if every is not None and step_fs is not None:
        given = every * step_fs * 1e-3
        if spacing is not None and not _same(spacing, given):
            raise InputError(_contradiction(spacing, given))
        spacing = given
    if spacing is None:
        missing = ["--frame-every (MD steps between frames)"] if every is None else []
        missing += ["--timestep-fs"] if step_fs is None else []
        why = facts.hint or "nothing in the file says how far frames are apart"
        raise InputError(f"the time between frames is unknown: {why}; give {' and '.join(missing)}")
    return (np.arange(len(times), dtype=float) if numbers is None else numbers) * spacing


def _stated(values: np.ndarray, what: str) -> np.ndarray | None:
    """Return values that say something: every frame has one, and they are not all the same."""
    known = np.isfinite(values)
    if not known.any():
        return None
    if not known.all():
        raise InputError(f"{int((~known).sum())} of {len(values)} frames have no {what}")
    return values if np.ptp(values) > 0 or len(values) == 1 else None


def _agreed(option: float | None, stated: float | None, message: str) -> float | None:
    """Return the option or what the file states; they must agree."""
    if option is not None and stated is not None and not _same(option, stated):
        raise InputError(f"contradiction: {message.format(option, stated)}; leave the option out, or correct it")
    return stated if option is None else option


def _spacing(values: np.ndarray) -> float:
    return float(np.median(np.diff(values))) if len(values) > 1 else 0.0


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(abs(one), abs(other))


def _with_unit(
    stored: np.ndarray, numbers: np.ndarray | None, step_fs: float | None, every: int | None
) -> np.ndarray:
    """Return stored times in ps, with the unit that the time step shows."""
    steps = _spacing(numbers) if numbers is not None else every
    if not steps or step_fs is None:
        need = "--timestep-fs" if numbers is not None else "--timestep-fs and --frame-every"
        raise InputError(f"the times in the file have no unit; give {need}, which shows whether they are fs or ps")
    for factor in _UNITS_FS.values():
        if _same(_spacing(stored) * factor, steps * step_fs):
            return stored * factor * 1e-3
    raise InputError(
        f"contradiction: the times in the file are {_spacing(stored):g} apart, in fs or ps, but {steps:g} steps of "
        f"{step_fs:g} fs are {steps * step_fs:g} fs"
    )


def _compare(
    stored: np.ndarray, numbers: np.ndarray | None, step_fs: float | None, every: int | None, notes: list[str]
) -> None:
    """Compare stored times with what step numbers and options say."""
    if step_fs is None or len(stored) < 2:
        return
    if every is not None and not _same(_spacing(stored), every * step_fs * 1e-3):
        raise InputError(_contradiction(_spacing(stored), every * step_fs * 1e-3))
    if numbers is None:
        return
    gaps, moved = np.diff(stored), np.diff(numbers)
    forward = (gaps > 0) & (moved > 0)
    if not forward.any():
        return
    steps_fs = 1e3 * gaps[forward] / moved[forward]
    low, high = np.quantile(steps_fs, [0.05, 0.95])
    if high > low * (1 + 5 * _SAME):
        notes.append(f"the MD time step varies ({low:.3g} to {high:.3g} fs); the times in the file are used")
    elif not _same(float(np.median(steps_fs)), step_fs):
        raise InputError(
            f"contradiction: --timestep-fs {step_fs:g}, but times and steps in the file say "
            f"{float(np.median(steps_fs)):g} fs; leave the option out, or correct it"
        )


def _check_every(numbers: np.ndarray, every: float | None) -> None:
    """Compare step numbers with the given interval."""
    found = _spacing(numbers)
    if every is not None and found > 0 and not _same(found, every):
        raise InputError(
            f"contradiction: --frame-every {every:g}, but the step numbers in the file are {found:g} apart; leave the "
            "option out, or correct it"
        )


def _contradiction(stated_ps: float, given_ps: float) -> str:
    return (
        f"contradiction: frames are {stated_ps:g} ps apart by the file, but {given_ps:g} ps by --timestep-fs and "
        "--frame-every; leave them out, or correct them"
    )


def even_section(
    times: np.ndarray, skip_ps: float, notes: list[str], left_out: dict[str, int] | None = None
) -> tuple[slice, float]:
    """Return the longest evenly spaced section of frames after ``skip_ps``, and the spacing in ps.

    What is not in it is counted in ``left_out``.

    Raises
    ------
    InputError
        Less than half of the frames are evenly spaced, or fewer than ten are left.
    """
    steps = np.diff(times)
    start = int(np.searchsorted(times, times[0] + skip_ps - 1e-9))
    if len(times) - start < 10:
        raise InputError(f"fewer than ten frames are left after the first {skip_ps:g} ps")
    steps = steps[start:]
    dt = float(np.median(steps))
    left_out = {} if left_out is None else left_out
    if start:
        left_out["before --skip-ps"] = start
    rounding = 1e-9
    if (times == times.astype(np.float32)).all():  # written in single precision, as XTC does
        rounding += 2 * float(np.spacing(np.float32(np.abs(times).max())))
    uneven = np.flatnonzero(np.abs(steps - dt) > 1e-4 * dt + rounding)
    if len(uneven) == 0:
        return slice(start, len(times)), float((times[-1] - times[start]) / len(steps))
    edges = np.concatenate([[-1], uneven, [len(steps)]])
    longest = int(np.argmax(np.diff(edges)))
    first, last = start + int(edges[longest]) + 1, start + int(edges[longest + 1]) + 1
    if last - first < max(10, (len(times) - start) // 2):
        count = f"{len(uneven)} of {len(steps)}"
        raise InputError(f"frames are not evenly spaced ({count} intervals differ from {dt:g} ps)")
    left_out["outside the longest evenly spaced section"] = len(times) - start - (last - first)
    notes.append(f"frames are missing: only the {last - first} evenly spaced ones from {times[first]:g} ps on are used")
    return slice(first, last), float((times[last - 1] - times[first]) / (last - 1 - first))
