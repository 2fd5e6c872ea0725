"""The labeler of kind ``vasp``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.limits import regular
from dpa_sse.ops.data.incar import LABEL_TAGS, incar_text, tag_number, value_text
from dpa_sse.ops.labelers.base import AimdResult, AimdRun, LabelResult, ProgramFinding, SettingsProblem
from dpa_sse.ops.labelers.native import NativeLabeler
from dpa_sse.ops.labelers.programs import program_build
from dpa_sse.ops.labelers.settings import AimdSettings, VaspSettings
from dpa_sse.ops.labelers.vasp.incar import incar_problems, label_incar, single_point_tags
from dpa_sse.ops.labelers.vasp.installation import installation_findings
from dpa_sse.ops.labelers.vasp.job import (
    VaspOutcome,
    command_of,
    kpoints_of,
    last_words,
    poscar_text,
    run_vasp,
    species_order,
    tidy,
    write_inputs,
)
from dpa_sse.ops.labelers.vasp.potcar import Potcar, family_problems, find_potcar, potcar_folder
from dpa_sse.ops.labelers.vasp.results import Reading, label_of, read_steps
from dpa_sse.ops.results.level import LevelOfTheory, PotentialFile

if TYPE_CHECKING:
    from ase import Atoms


class VaspLabeler(NativeLabeler[VaspSettings]):
    """The labeler of kind ``vasp``: single points and molecular dynamics, one folder per calculation."""

    settings_class = VaspSettings
    image = "vasp"
    code = "VASP"
    gpus = True
    example = "{kind: vasp, command: mpirun -np 16 vasp_std}"

    def __init__(self, settings: VaspSettings) -> None:
        super().__init__(settings)
        self.tags = single_point_tags(settings)
        self._potcars: dict[str, Potcar] = {}

    def label(self, frames: Sequence[Atoms], work: Path) -> list[LabelResult]:
        """Label frames one after the other, each below ``work`` in the folder of its number."""
        return [
            self._label_one(atoms, work / f"frame.{int(atoms.info.get('frame', position)):03d}")
            for position, atoms in enumerate(frames)
        ]

    def aimd(self, run: AimdRun, work: Path) -> AimdResult:
        """Run one trajectory; the finished steps of an interrupted one are kept."""
        from dpa_sse.ops.labelers.vasp.dynamics import run_dynamics

        return run_dynamics(run, work, self.settings, self.tags, self.potcars_of(run.atoms))

    def frames_so_far(self, run: AimdRun, work: Path) -> list[Atoms]:
        """Return the labelled frames of the finished steps."""
        from dpa_sse.ops.labelers.vasp.dynamics import frames_so_far

        return frames_so_far(run, work, self.tags)

    def potcars_of(self, atoms: Atoms) -> list[Potcar]:
        """Return the PAW data sets of a cell in the order of its POSCAR.

        Raises
        ------
        InputError
            One is missing, or they must not be combined.
        """
        species, _ = species_order(atoms)
        folder = potcar_folder(self.settings.potcar_dir)
        for element in species:
            if element not in self._potcars:
                self._potcars[element] = find_potcar(folder, element, self.settings.potcars)
        chosen = [self._potcars[element] for element in species]
        if problems := family_problems(chosen, tag_number(self.tags, "ENCUT", 0.0)):
            raise InputError("; ".join(problems))
        return chosen

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return the tags that change the labels, and the PAW data set of each element."""
        elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
        tags = {name: value_text(self.tags[name]) for name in LABEL_TAGS if name in self.tags}
        for atoms in frames:
            self.potcars_of(atoms)  # after a restart none is loaded yet
        known = {one: self._potcars[one] for one in elements}
        return LevelOfTheory(
            code="VASP", settings=tags,
            potentials={one: PotentialFile(titel=potcar.titel, sha256=potcar.sha256) for one, potcar in known.items()},
        )

    def _label_one(self, atoms: Atoms, folder: Path) -> LabelResult:
        try:
            potcars = self.potcars_of(atoms)
        except InputError as error:
            return LabelResult(None, "failed", str(error))
        _, order = species_order(atoms)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for _attempt in range(self.settings.attempts):
                write_inputs(folder, atoms, self.tags, potcars)
                write_text(folder / "INCAR", label_incar(self.settings))
                outcome = run_vasp(folder, self.settings, dynamics=False)
                if not outcome.killed_by:
                    break
            reading = read_steps(folder, [atoms.get_chemical_symbols()[k] for k in order], self.tags)
            return self._verdict(atoms, folder, outcome, reading)
        finally:
            tidy(folder)

    def _verdict(self, atoms: Atoms, folder: Path, outcome: VaspOutcome, reading: Reading) -> LabelResult:
        """Return the label, or why there is none and what was tried."""
        if outcome.killed_by:
            times = f" in each of {self.settings.attempts} attempts" if self.settings.attempts > 1 else ""
            return LabelResult(None, "failed", f"VASP was killed by {outcome.killed_by}{times}")
        stopped = f"stopped at its wall time of {self.settings.wall_time_min:g} min" if outcome.stopped else ""
        if reading.problem or not reading.steps:
            reason = reading.problem or "VASP finished no ionic step"
            if not stopped and reading.usable | (outcome.code != 0):
                reason += f" (exit code {outcome.code}; last output: {last_words(folder)})"
            return LabelResult(None, "failed", _joined(stopped, reason, outcome))
        result = label_of(atoms, species_order(atoms)[1], reading.steps[0])
        if result.status == "ok":
            return result
        return LabelResult(None, result.status, _joined(stopped, result.reason, outcome))

    @classmethod
    def write_inputs(cls, settings: VaspSettings, atoms: Atoms, aimd: AimdSettings, folder: Path) -> None:
        """Write INCAR, KPOINTS and POSCAR of a single point, and the INCAR of molecular dynamics."""
        from dpa_sse.ops.labelers.vasp.dynamics import dynamics_tags

        tags = single_point_tags(settings)
        start, end = aimd.temperatures_of(0)
        write_text(folder / "INCAR", label_incar(settings))
        write_text(folder / "KPOINTS", kpoints_of(atoms, tags))
        write_text(folder / "POSCAR", poscar_text(atoms))
        dynamics = dynamics_tags(AimdRun(atoms, aimd, start, end, 0), 0)
        write_text(folder / "INCAR.aimd", incar_text({**tags, **dynamics}))

    @classmethod
    def versions(cls, settings: VaspSettings) -> dict[str, str]:
        """Return what distinguishes builds of VASP."""
        return {"vasp": program_build(command_of(settings))}

    @classmethod
    def problems(cls, settings: VaspSettings, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield what is missing on this machine, and errors in the user's tags."""
        try:
            command_of(settings)
        except InputError as error:
            yield ("command",), str(error)
        encut: float | None = settings.encut_eV
        if settings.incar is None:
            yield from _tag_problems(settings)
        else:
            text, name = _user_incar(settings.incar, base_dir)
            if text is None:
                yield ("incar",), f"no such file: {name}"
                encut = None
            else:
                found = list(incar_problems(text))
                yield from ((("incar",), f"{name}:{line}: {message}") for line, message in found)
                encut = None if found else tag_number(single_point_tags(settings.model_copy(update={"incar": text})),
                                                      "ENCUT", 0.0)
        yield from _potcar_problems(settings, type_map, encut)

    @classmethod
    def aimd_problems(cls, settings: VaspSettings, aimd: AimdSettings) -> Iterator[tuple[str, str]]:
        """Yield what VASP's molecular dynamics cannot do."""
        if aimd.thermostat not in ("langevin", "nose-hoover"):
            yield "thermostat", f"VASP can be run with langevin or nose-hoover, not with {aimd.thermostat}"
        elif aimd.ensemble == "npt" and aimd.thermostat != "langevin":
            yield "thermostat", "VASP runs at constant pressure with `thermostat: langevin` only"
        if aimd.ensemble == "npt" and aimd.pressure_GPa:
            yield "pressure_GPa", "must be 0 with VASP, which adds the work against it to its energies"

    @classmethod
    def findings(cls) -> Iterator[ProgramFinding]:
        """Yield what is known about the installation of VASP."""
        return installation_findings()


def _joined(stopped: str, reason: str, outcome: VaspOutcome) -> str:
    tried = outcome.problem if outcome.stumbled else ""
    if outcome.corrected:
        tried = f"errors handled by custodian: {', '.join(dict.fromkeys(outcome.corrected))}"
    return "; ".join(part for part in (stopped, reason, tried) if part)


def _user_incar(name: str, base_dir: Path) -> tuple[str | None, str]:
    """Return the text of the user's INCAR (None: no such file), and its name for messages."""
    if "\n" in name:
        return name, "INCAR"
    path = base_dir / Path(name).expanduser()
    try:
        return regular(path).read_text(encoding="utf-8", errors="replace"), str(path)
    except OSError:
        return None, str(path)


_OWN_KEYS = {"ENCUT": "encut_eV", "KSPACING": "kspacing", "GGA": "functional"}


def _tag_problems(settings: VaspSettings) -> Iterator[SettingsProblem]:
    for name, value in settings.tags.items():
        if name.upper() in _OWN_KEYS:
            yield ("tags", name), f"use the key `{_OWN_KEYS[name.upper()]}` of the labeler instead"
            continue
        line = incar_text({name: value}).strip()
        if ";" in line or "\n" in line or "=" not in line:
            yield ("tags", name), "is not a single INCAR tag"
            continue
        alone = f"ENCUT = 500\nKSPACING = 0.3\n{line}\n"
        yield from ((("tags", name), message) for number, message in incar_problems(alone) if number == 3)


def _potcar_problems(settings: VaspSettings, type_map: Sequence[str], encut: float | None) -> Iterator[SettingsProblem]:
    where = ("potcar_dir",)
    for element in settings.potcars:
        if element not in type_map:
            yield ("potcars", element), f"'{element}' is not in type_map ({', '.join(type_map)})"
    try:
        folder = potcar_folder(settings.potcar_dir)
    except InputError as error:
        yield where, str(error)
        return
    found = []
    for element in type_map:
        try:
            found.append(find_potcar(folder, element, settings.potcars))
        except InputError as error:
            yield ("potcars", element) if element in settings.potcars else where, str(error)
    if found and encut is not None:
        key = "incar" if settings.incar else "encut_eV"
        for problem in family_problems(found, encut):
            yield (key,) if problem.startswith("ENCUT") else where, problem
