"""The labeler of kind ``qe``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.labelers import programs
from dpa_sse.ops.labelers.base import ProgramFinding, SettingsProblem
from dpa_sse.ops.labelers.installation import program_with_pseudos
from dpa_sse.ops.labelers.program_labeler import ProgramLabeler, SinglePoint
from dpa_sse.ops.labelers.programs import NotConvergedError, RunError, read_output
from dpa_sse.ops.labelers.pseudopotentials import find_pseudos, library_folder, pseudo_problems, recorded
from dpa_sse.ops.labelers.qe.inputs import NOT_PHYSICS, OUT, density_cutoff, key_problems, pw_input
from dpa_sse.ops.labelers.qe.output import NOT_CONVERGED, read_single_point, why_it_stopped
from dpa_sse.ops.labelers.settings import AimdSettings, QeSettings
from dpa_sse.ops.results.level import LevelOfTheory

if TYPE_CHECKING:
    from ase import Atoms

VARIABLE = "ESPRESSO_PSEUDO"
HINT = " (Debian, Ubuntu: apt-get install quantum-espresso)"


class QeLabeler(ProgramLabeler[QeSettings]):
    """The labeler of kind ``qe``: one run of pw.x per cell."""

    settings_class = QeSettings
    image = "qe"
    code = "Quantum ESPRESSO"
    gpus = True
    program = "pw.x"
    example = "{kind: qe, command: mpirun -np 8 pw.x, ecutwfc_Ry: 80}"

    def prepare(self) -> None:
        """Look for pw.x and the folder of pseudopotentials."""
        command_words(self.settings)
        pseudo_folder(self.settings)

    def single_point(self, atoms: Atoms, folder: Path) -> SinglePoint:
        """Compute one cell; input and output stay as ``pw.in`` and ``pw.out``."""
        library = pseudo_folder(self.settings)
        pseudos = find_pseudos(library, atoms.get_chemical_symbols(), self.settings)
        write_text(folder / "pw.in", pw_input(self.settings, atoms, pseudos, library))
        output = folder / "pw.out"
        try:
            programs.run_program(
                [*command_words(self.settings), "-in", "pw.in"], folder, output, name="pw.x",
                timeout_min=self.settings.timeout_min, reason=lambda: why_it_stopped(read_output(output)),
            )
        except RunError as error:
            if str(error) == NOT_CONVERGED:
                raise NotConvergedError(NOT_CONVERGED) from error
            raise
        finally:
            shutil.rmtree(folder / OUT, ignore_errors=True)
        return read_single_point(read_output(output), atoms, self.settings.functional)

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return the method, and the pseudopotential of each element with its hash."""
        chosen = self.settings
        elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
        settings = {
            "functional": chosen.functional, "ecutwfc_Ry": f"{chosen.ecutwfc_Ry:g}",
            "ecutrho_Ry": f"{density_cutoff(chosen):g}", "kspacing": f"{chosen.kspacing:g}",
            "smearing_eV": f"{chosen.smearing_eV:g}", "conv_thr_Ry": f"{chosen.conv_thr_Ry:g}", "vdw": chosen.vdw,
        }
        settings |= {f"magnetization_{one}": f"{value:g}" for one, value in sorted(chosen.magnetization.items())}
        settings |= {
            key.lower(): str(value) for key, value in sorted(chosen.keys.items()) if key.lower() not in NOT_PHYSICS
        }
        found = find_pseudos(pseudo_folder(chosen), elements, chosen)
        return LevelOfTheory(
            code=self.code, settings=settings,
            potentials=recorded(found),
        )

    @classmethod
    def versions(cls, settings: QeSettings) -> dict[str, str]:
        """Return what distinguishes builds of pw.x."""
        return {"pw.x": programs.program_build(command_words(settings))}

    @classmethod
    def files(cls, settings: QeSettings, elements: Sequence[str]) -> list[Path]:
        """Return the pseudopotential of each element."""
        return [one.path for one in find_pseudos(pseudo_folder(settings), elements, settings).values()]

    @classmethod
    def problems(cls, settings: QeSettings, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield what is wrong with the settings, or missing on this machine."""
        try:
            command_words(settings)
        except InputError as error:
            yield ("command",), str(error)
        yield from ((("keys", key), message) for key, message in key_problems(settings))
        if settings.magnetization and not settings.smearing_eV and "tot_magnetization" not in map(
            str.lower, settings.keys
        ):
            yield ("magnetization",), (
                "needs smearing_eV, or tot_magnetization in `keys`: pw.x does not know how to fill the two spins "
                "otherwise"
            )
        if density_cutoff(settings) < 4 * settings.ecutwfc_Ry:
            yield ("ecutrho_Ry",), f"must be at least 4 times ecutwfc_Ry ({4 * settings.ecutwfc_Ry:g} Ry)"
        try:
            folder = pseudo_folder(settings)
        except InputError as error:
            yield ("pseudo_dir",), str(error)
            return
        density = "ecutwfc_Ry" if settings.ecutrho_Ry is None else "ecutrho_Ry"
        cutoffs = {
            "ecutwfc_Ry": ("ecutwfc_Ry", settings.ecutwfc_Ry), "ecutrho_Ry": (density, density_cutoff(settings)),
        }
        yield from pseudo_problems(settings, type_map, folder, cutoffs)

    @classmethod
    def write_inputs(cls, settings: QeSettings, atoms: Atoms, aimd: AimdSettings, folder: Path) -> None:
        """Write the input of a single point, to be read by people; ASE runs the dynamics with such inputs."""
        library = pseudo_folder(settings)
        pseudos = find_pseudos(library, atoms.get_chemical_symbols(), settings)
        write_text(folder / "pw.in", pw_input(settings, atoms, pseudos, Path(library.name)))

    @classmethod
    def findings(cls) -> Iterator[ProgramFinding]:
        """Yield whether pw.x and its pseudopotentials are installed."""
        purpose = "only needed for labels with Quantum ESPRESSO" + HINT
        yield from program_with_pseudos("Quantum ESPRESSO", ("pw.x",), purpose, VARIABLE)


def command_words(settings: QeSettings) -> list[str]:
    """Return the command line of pw.x as a list.

    Raises
    ------
    InputError
        It is empty, has unbalanced quotes, or its program does not exist.
    """
    return programs.command_words(settings.command, "pw.x, or mpirun -np 8 pw.x", HINT)


def pseudo_folder(settings: QeSettings) -> Path:
    """Return the folder of pseudopotentials.

    Raises
    ------
    InputError
        It is not named, does not exist, or is relative.
    """
    return library_folder(settings, VARIABLE)
