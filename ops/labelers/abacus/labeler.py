"""The labeler of kind ``abacus``."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.labelers import programs
from dpa_sse.ops.labelers.abacus.inputs import (
    SUFFIX,
    find_orbitals,
    input_text,
    kpt_text,
    orbital_folder,
    species_order,
    stru_text,
)
from dpa_sse.ops.labelers.abacus.keys import NOT_PHYSICS, key_problems, key_value
from dpa_sse.ops.labelers.abacus.output import NOT_CONVERGED, read_single_point, why_it_stopped
from dpa_sse.ops.labelers.base import ProgramFinding, SettingsProblem
from dpa_sse.ops.labelers.installation import program_with_pseudos
from dpa_sse.ops.labelers.program_labeler import ProgramLabeler, SinglePoint
from dpa_sse.ops.labelers.programs import NotConvergedError, RunError, read_output
from dpa_sse.ops.labelers.pseudopotentials import find_pseudos, library_folder, pseudo_problems, recorded
from dpa_sse.ops.labelers.settings import AbacusSettings, AimdSettings
from dpa_sse.ops.results.level import LevelOfTheory

if TYPE_CHECKING:
    from ase import Atoms

VARIABLE = "ABACUS_PP_PATH"
HINT = " (conda-forge: abacus)"


class AbacusLabeler(ProgramLabeler[AbacusSettings]):
    """The labeler of kind ``abacus``: one run per cell."""

    settings_class = AbacusSettings
    image = "abacus"
    code = "ABACUS"
    gpus = True
    program = "ABACUS"
    example = "{kind: abacus, command: mpirun -np 8 abacus, ecutwfc_Ry: 100}"

    def prepare(self) -> None:
        """Look for ABACUS, and the folders of pseudopotentials and orbitals."""
        command_words(self.settings)
        library_folder(self.settings, VARIABLE)
        if self.settings.basis == "lcao":
            orbital_folder(self.settings)

    def single_point(self, atoms: Atoms, folder: Path) -> SinglePoint:
        """Compute one cell; the inputs, what ABACUS prints and ``running_scf.log`` stay."""
        _write(self.settings, atoms, folder, for_reading=False)
        out = folder / f"OUT.{SUFFIX}"
        log, screen = folder / "running_scf.log", folder / "abacus.out"

        def reason() -> str:
            texts = (out / log.name, out / "warning.log", screen)
            return next((words for path in texts if (words := why_it_stopped(read_output(path)))), "")

        try:
            programs.run_program(
                command_words(self.settings), folder, screen, name="ABACUS", timeout_min=self.settings.timeout_min,
                reason=reason,
            )
            if (out / log.name).is_file():
                shutil.move(out / log.name, log)
            text = read_output(log)
            if not text:
                raise RunError(reason() or f"ABACUS wrote no OUT.{SUFFIX}/running_scf.log")
            return read_single_point(text, atoms.get_chemical_symbols(), species_order(atoms)[1])
        except RunError as error:
            if str(error) == NOT_CONVERGED:
                raise NotConvergedError(NOT_CONVERGED) from error
            raise
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return the method, and pseudopotential and orbitals of each element with their hashes."""
        chosen = self.settings
        elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
        settings = {
            "functional": chosen.functional, "basis": chosen.basis, "ecutwfc_Ry": f"{chosen.ecutwfc_Ry:g}",
            "kspacing": f"{chosen.kspacing:g}", "smearing_eV": f"{chosen.smearing_eV:g}",
            "scf_thr": f"{chosen.scf_thr:g}", "vdw": chosen.vdw,
        }
        settings |= {f"magnetization_{one}": f"{value:g}" for one, value in sorted(chosen.magnetization.items())}
        settings |= {key: key_value(value) for key, value in sorted(chosen.keys.items()) if key not in NOT_PHYSICS}
        for element, path in find_orbitals(elements, chosen).items():
            settings[f"orbitals_{element}"] = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        found = find_pseudos(library_folder(chosen, VARIABLE), elements, chosen)
        return LevelOfTheory(
            code=self.code, settings=settings,
            potentials=recorded(found),
        )

    @classmethod
    def versions(cls, settings: AbacusSettings) -> dict[str, str]:
        """Return what distinguishes builds of ABACUS."""
        return {"abacus": programs.program_build(command_words(settings))}

    @classmethod
    def files(cls, settings: AbacusSettings, elements: Sequence[str]) -> list[Path]:
        """Return the pseudopotential and the orbitals of each element."""
        found = find_pseudos(library_folder(settings, VARIABLE), elements, settings)
        return [*(one.path for one in found.values()), *find_orbitals(elements, settings).values()]

    @classmethod
    def problems(cls, settings: AbacusSettings, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield what is wrong with the settings, or missing on this machine."""
        try:
            command_words(settings)
        except InputError as error:
            yield ("command",), str(error)
        yield from ((("keys", key), message) for key, message in key_problems(settings))
        yield from _orbital_problems(settings, type_map)
        try:
            folder = library_folder(settings, VARIABLE)
        except InputError as error:
            yield ("pseudo_dir",), str(error)
            return
        cutoffs = {"ecutwfc_Ry": ("ecutwfc_Ry", settings.ecutwfc_Ry)}
        yield from pseudo_problems(settings, type_map, folder, cutoffs)
        for element in type_map:
            try:
                (found,) = find_pseudos(folder, [element], settings).values()
            except InputError:  # reported above
                continue
            if not found.norm_conserving:
                where = ("pseudos", element) if element in settings.pseudos else ("pseudo_dir",)
                yield where, f"{found.path.name} is not norm-conserving: the labeler runs ABACUS with such ones only"

    @classmethod
    def write_inputs(cls, settings: AbacusSettings, atoms: Atoms, aimd: AimdSettings, folder: Path) -> None:
        """Write the inputs of a single point, to be read by people; ASE runs the dynamics with such inputs."""
        _write(settings, atoms, folder, for_reading=True)

    @classmethod
    def findings(cls) -> Iterator[ProgramFinding]:
        """Yield whether ABACUS and its pseudopotentials are installed."""
        yield from program_with_pseudos("ABACUS", ("abacus",), "only needed for labels with ABACUS" + HINT, VARIABLE)


def command_words(settings: AbacusSettings) -> list[str]:
    """Return the command line of ABACUS as a list.

    Raises
    ------
    InputError
        It is empty, has unbalanced quotes, or its program does not exist.
    """
    return programs.command_words(settings.command, "abacus, or mpirun -np 8 abacus", HINT)


def _write(settings: AbacusSettings, atoms: Atoms, folder: Path, *, for_reading: bool) -> None:
    """Write INPUT, KPT and STRU; those for people name folders without their place on this machine."""
    library = library_folder(settings, VARIABLE)
    pseudos = find_pseudos(library, atoms.get_chemical_symbols(), settings)
    orbitals = find_orbitals(atoms.get_chemical_symbols(), settings)
    orbital_dir = orbital_folder(settings) if orbitals else Path()
    names = [one.name if for_reading else str(one) for one in (library, orbital_dir)]
    magnetic = any(settings.magnetization.get(one) for one in atoms.get_chemical_symbols())
    write_text(folder / "INPUT", input_text(settings, magnetic, *names))
    write_text(folder / "KPT", kpt_text(atoms.cell.array, settings.kspacing))
    write_text(folder / "STRU", stru_text(settings, atoms, pseudos, {one: path.name for one, path in orbitals.items()}))


def _orbital_problems(settings: AbacusSettings, type_map: Sequence[str]) -> Iterator[SettingsProblem]:
    for element in settings.orbitals:
        if element not in type_map:
            yield ("orbitals", element), f"'{element}' is not in type_map ({', '.join(type_map)})"
    if settings.basis == "pw":
        if settings.orbitals or settings.orbital_dir:
            yield ("orbitals",) if settings.orbitals else ("orbital_dir",), "has no effect with basis: pw; remove it"
        return
    try:
        orbital_folder(settings)
    except InputError as error:
        yield ("orbital_dir",), str(error)
        return
    for element in type_map:
        try:
            find_orbitals([element], settings)
        except InputError as error:
            yield ("orbitals", element) if element in settings.orbitals else ("orbital_dir",), str(error)
