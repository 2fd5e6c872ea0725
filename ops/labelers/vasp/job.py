"""One VASP calculation: input files, custodian, clean-up of its folder."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dpa_sse.ops.core.errors import FatalError, InputError, PipelineError
from dpa_sse.ops.core.files import write_json, write_text
from dpa_sse.ops.core.tools import die_with_parent, tail, thread_environment
from dpa_sse.ops.data.incar import Value, incar_text, tag_boolean, tag_number
from dpa_sse.ops.labelers.kmesh import kspacing_mesh
from dpa_sse.ops.labelers.programs import command_words
from dpa_sse.ops.labelers.settings import VaspSettings
from dpa_sse.ops.labelers.vasp.kpoints import kpoints_text
from dpa_sse.ops.labelers.vasp.potcar import Potcar, write_potcar
from dpa_sse.ops.labelers.vasp.results import INCAR_USED, KPOINTS_ASKED, KPOINTS_USED

if TYPE_CHECKING:
    import subprocess

    from ase import Atoms

POLL_S = 1.0
MONITOR_EVERY = 30
"""Custodian checks every POLL_S seconds whether VASP has ended, and every MONITOR_EVERY-th time its output."""
STOP_GRACE_S = 120.0
"""Seconds after the wall time at which a program that ignores STOPCAR is killed."""
NAMED_BY = " (the command of VASP: the key `command`, or the environment variable VASP_COMMAND)"
OUTPUT, ERRORS = "vasp.out", "std_err.txt"
KEPT = ("vasprun.xml", "OUTCAR", "XDATCAR")
"""Output that is kept, compressed."""
REMOVED = (
    "POTCAR", "WAVECAR", "CHG", "CHGCAR", "DOSCAR", "EIGENVAL", "PCDAT", "IBZKPT", "PROCAR", "STOPCAR", "vaspwave.h5",
    "vaspout.h5",
)


@dataclass(frozen=True)
class VaspOutcome:
    """How a calculation ended.

    Attributes
    ----------
    code : int or None
        Exit status of the last attempt.
    stopped : bool
        It was stopped at its wall time.
    corrected : list of str
        Errors that custodian handled.
    problem : str
        Why custodian gave up; empty if it did not.
    """

    code: int | None = None
    stopped: bool = False
    corrected: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def stumbled(self) -> bool:
        """Whether custodian itself failed, on output that it could not read."""
        return self.problem.startswith("custodian: ")

    @property
    def killed_by(self) -> str:
        """Name of the signal that killed the program from outside (seen by us or by mpirun); else empty."""
        number = 0 if self.code is None else -self.code if self.code < 0 else self.code - 128
        ours = self.stopped or self.corrected or self.stumbled
        if ours or number not in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGBUS):
            return ""
        return signal.Signals(number).name


def command_of(settings: VaspSettings) -> list[str]:
    """Return the command line of VASP as a list.

    Raises
    ------
    InputError
        It is empty, has unbalanced quotes, or its program does not exist.
    """
    text = settings.command or os.environ.get("VASP_COMMAND") or "vasp_std"
    return command_words(text, "vasp_std, or mpirun -np 16 vasp_std", NAMED_BY)


def species_order(atoms: Atoms) -> tuple[list[str], np.ndarray]:
    """Return the elements in the order of a POSCAR, and the order of the atoms in it."""
    symbols = atoms.get_chemical_symbols()
    species = list(dict.fromkeys(symbols))
    return species, np.argsort([species.index(one) for one in symbols], kind="stable")


def poscar_text(atoms: Atoms, velocities: np.ndarray | None = None) -> str:
    """Return a POSCAR; ``velocities`` in A/fs, in the order of ``atoms``."""
    species, order = species_order(atoms)
    symbols = atoms.get_chemical_symbols()
    lines = [f"{atoms.info.get('system', 'cell')}"[:40], "1.0"]
    lines += [" ".join(f"{x:.16f}" for x in row) for row in atoms.cell.array]
    lines += [" ".join(species), " ".join(str(symbols.count(one)) for one in species), "Direct"]
    lines += [" ".join(f"{x:.16f}" for x in row) for row in atoms.get_scaled_positions(wrap=False)[order]]
    if velocities is not None:
        lines += ["", *(" ".join(f"{x:.12e}" for x in row) for row in velocities[order])]
    return "\n".join(lines) + "\n"


def write_inputs(
    folder: Path, atoms: Atoms, tags: Mapping[str, Value], potcars: Sequence[Potcar],
    velocities: np.ndarray | None = None,
) -> None:
    """Write INCAR, KPOINTS, POSCAR and POTCAR, and ``potcar.json`` with titles and hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "INCAR", incar_text(tags))
    write_text(folder / "KPOINTS", kpoints_of(atoms, tags))
    write_text(folder / "POSCAR", poscar_text(atoms, velocities))
    write_json(folder / "potcar.json", [{"titel": one.titel, "sha256": one.sha256} for one in potcars])
    write_potcar(folder / "POTCAR", potcars)


def kpoints_of(atoms: Atoms, tags: Mapping[str, Value]) -> str:
    """Return the KPOINTS of a cell, as VASP derives them from KSPACING and KGAMMA."""
    mesh = kspacing_mesh(atoms.cell.array, tag_number(tags, "KSPACING", 0.5))
    return kpoints_text(mesh, gamma=tag_boolean(tags, "KGAMMA", default=True))


def run_vasp(folder: Path, settings: VaspSettings, *, dynamics: bool) -> VaspOutcome:
    """Run VASP in a folder with its input.

    Parameters
    ----------
    folder : Path
        With INCAR, KPOINTS, POSCAR and POTCAR.
    settings : VaspSettings
        Command, limits.
    dynamics : bool
        A wall time stops molecular dynamics after a time step, a single point after an electronic step. Errors of
        molecular dynamics are corrected in the input, but the run is not repeated here: its frames would be lost.

    Raises
    ------
    FatalError
        The program is not found.
    """
    from custodian import Custodian
    from custodian.custodian import CustodianError

    try:
        command = command_of(settings)
    except InputError as error:
        raise FatalError(f"labeler vasp: {error}") from error
    for name in (*KEPT, "OSZICAR", "CONTCAR", "STOPCAR", OUTPUT, ERRORS, "custodian.json"):
        (folder / name).unlink(missing_ok=True)
    job = _make_job(command)
    handlers, limit = _make_handlers(settings, dynamics=dynamics)
    custodian = Custodian(
        handlers, [job], max_errors=1 if dynamics else settings.max_corrections + 1, polling_time_step=POLL_S,
        monitor_freq=MONITOR_EVERY, directory=str(folder),
    )
    problem = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            custodian.run()
    except PipelineError:  # the time limit of the task
        raise
    except CustodianError as error:
        problem = str(error)
    except Exception as error:  # a handler that fails on half-written output
        problem = f"custodian: {type(error).__name__}: {error}"
    finally:
        job.stop()
    errors = [name for log in custodian.run_log for one in log["corrections"] for name in one["errors"]]
    stopped = limit.reached or "Walltime reached" in errors
    errors = [name for name in errors if name not in ("Walltime reached", _LIMIT)]
    process = job.process
    return VaspOutcome(None if process is None else process.returncode, stopped, errors, problem)


_LIMIT = "ignored STOPCAR"


def _make_job(command: Sequence[str]) -> Any:
    """Return custodian's job, which dies with this process and has one thread per MPI rank."""
    import subprocess

    from custodian.vasp.jobs import VaspJob

    class Job(VaspJob):
        """VASP in its own session."""

        process: subprocess.Popen[bytes] | None = None

        def run(self, directory: str = "./") -> subprocess.Popen[bytes]:
            """Start the program."""
            folder = Path(directory)
            if self.process is None:
                shutil.copyfile(folder / "KPOINTS", folder / KPOINTS_ASKED)
            shutil.copyfile(folder / "KPOINTS", folder / KPOINTS_USED)
            shutil.copyfile(folder / "INCAR", folder / INCAR_USED)
            with (folder / OUTPUT).open("wb") as out, (folder / ERRORS).open("wb") as err:
                self.process = self._vasp_process = subprocess.Popen(
                    list(self.vasp_cmd), cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    env={**os.environ, **thread_environment(1)}, start_new_session=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread holds a lock here
                )
            return self.process

        def stop(self) -> None:
            """Make sure that the program has ended."""
            if self.process is not None and self.process.poll() is None:
                self.terminate()
                self.process.wait()

    return Job(command, output_file=OUTPUT, stderr_file=ERRORS, backup=False, auto_gamma=False, terminate_timeout=5.0)


def _make_handlers(settings: VaspSettings, *, dynamics: bool) -> tuple[list[Any], Any]:
    """Return custodian's handlers for these calculations, and the one that enforces the wall time."""
    from custodian.custodian import ErrorHandler
    from custodian.vasp.handlers import (
        FrozenJobErrorHandler,
        UnconvergedErrorHandler,
        VaspErrorHandler,
        WalltimeHandler,
    )

    wall_s = settings.wall_time_min and settings.wall_time_min * 60

    class Limit(ErrorHandler):
        """Kill a program that continues after its wall time."""

        is_monitor, is_terminating, raises_runtime_error = True, True, False
        start, reached = time.monotonic(), False

        def check(self, directory: str = "./") -> bool:
            """Return whether the time is up."""
            late = wall_s is not None and time.monotonic() - self.start > wall_s + STOP_GRACE_S
            self.reached = self.reached or late
            return self.reached

        def correct(self, directory: str = "./") -> dict[str, Any]:
            """Give up."""
            return {"errors": [_LIMIT], "actions": None}

    limit = Limit()
    handlers: list[Any] = [VaspErrorHandler(OUTPUT), FrozenJobErrorHandler(OUTPUT, timeout=settings.frozen_min * 60)]
    if not dynamics:
        handlers.append(UnconvergedErrorHandler())
    if wall_s is not None:
        os.environ.pop("CUSTODIAN_WALLTIME_START", None)  # else the clock of the first calculation applies to all
        buffer = min(300.0, 0.1 * wall_s)
        handlers += [WalltimeHandler(wall_s, buffer_time=buffer, electronic_step_stop=not dynamics), limit]
    return handlers, limit


def last_words(folder: Path) -> str:
    """Return the last line that VASP printed."""
    for name in (ERRORS, OUTPUT):
        words = [line.strip(" |") for line in tail(folder / name).splitlines() if line.strip(" |-*")]
        if words:
            return words[-1][:200]
    return "it printed nothing"


def tidy(folder: Path) -> None:
    """Remove the POTCAR and large files that are not needed; compress the output that is kept."""
    for name in REMOVED:
        (folder / name).unlink(missing_ok=True)
    for name in KEPT:
        path = folder / name
        if path.is_file():
            target = path.with_name(name + ".gz")
            with path.open("rb") as source, gzip.open(target, "wb", compresslevel=6) as stream:
                shutil.copyfileobj(source, stream)
            path.unlink()
