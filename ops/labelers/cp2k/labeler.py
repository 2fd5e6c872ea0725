"""The labeler of kind ``cp2k``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dpa_sse.ops.core.errors import FatalError, InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.labelers.base import AimdResult, AimdRun, LabelResult, ProgramFinding, SettingsProblem, finite_label
from dpa_sse.ops.labelers.cp2k.inputs import dynamics_input, single_point_input
from dpa_sse.ops.labelers.cp2k.installation import installation_findings
from dpa_sse.ops.labelers.cp2k.kinds import choose_kinds
from dpa_sse.ops.labelers.cp2k.output import NOT_CONVERGED, OutputError, read_evaluations
from dpa_sse.ops.labelers.cp2k.program import command_words, data_folder, run_cp2k, version
from dpa_sse.ops.labelers.cp2k.template import template_problems
from dpa_sse.ops.labelers.cp2k.trajectory import continue_dynamics
from dpa_sse.ops.labelers.native import NativeLabeler
from dpa_sse.ops.labelers.programs import RunError
from dpa_sse.ops.labelers.settings import AimdSettings, Cp2kSettings
from dpa_sse.ops.results.level import LevelOfTheory

if TYPE_CHECKING:
    from ase import Atoms

SHORTEST_XTB_A = 4.5
"""CP2K before 2026 leaves interactions of an atom with its own images out of the derivatives of GFN1-xTB
(github.com/cp2k/cp2k, pull request 5131). Measured with 2023.1 on LiCl, by finite differences: the stress is off by
64 kbar where the shortest lattice vector is 3.6 A, by 1 kbar (forces: 0.7 meV/A) at 5.0 A."""


def unfit(settings: Cp2kSettings, atoms: Atoms) -> str:
    """Return why the method must not be used for a cell; empty if it may be."""
    if settings.method != "gfn1-xtb" or settings.template is not None:
        return ""
    from ase.geometry import minkowski_reduce

    shortest = float(np.linalg.norm(minkowski_reduce(atoms.cell)[0], axis=1).min())
    if shortest >= SHORTEST_XTB_A:
        return ""
    return (
        f"the shortest lattice vector is {shortest:.2f} A; below {SHORTEST_XTB_A} A the stress of GFN1-xTB is wrong in "
        "CP2K: use a supercell"
    )


class Cp2kLabeler(NativeLabeler[Cp2kSettings]):
    """The labeler of kind ``cp2k``: one process per frame, and one per trajectory."""

    settings_class = Cp2kSettings
    image = "cp2k"
    code = "CP2K"
    gpus = True
    example = "{kind: cp2k, command: mpirun -np 8 cp2k.psmp}"

    def __init__(self, settings: Cp2kSettings) -> None:
        super().__init__(settings)
        self._data: Path | None = None

    def label(self, frames: Sequence[Atoms], work: Path) -> list[LabelResult]:
        """Label frames; inputs and outputs stay in ``work/frame.<number>``."""
        data = self._ready()
        return [
            self._label(atoms, work / f"frame.{int(atoms.info.get('frame', position)):05d}", data)
            for position, atoms in enumerate(frames)
        ]

    def aimd(self, run: AimdRun, work: Path) -> AimdResult:
        """Run one trajectory, or resume an interrupted one from its restart file."""
        if reason := unfit(self.settings, run.atoms):
            return AimdResult([], reason)
        return continue_dynamics(self.settings, run, work, self._ready())

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return the method, and basis set and potential of each element.

        How the density is found (orbital transformation, steps of self-consistency) is not part of it.
        """
        chosen = self.settings
        if chosen.template is not None:
            text = " ".join(chosen.template.split())
            return LevelOfTheory(
                code="CP2K", settings={"template_sha256": hashlib.sha256(text.encode()).hexdigest()}
            )
        smearing = {"smearing_K": f"{chosen.smearing_K:g}"}
        if chosen.method == "gfn1-xtb":
            return LevelOfTheory(code="CP2K", settings={"method": "gfn1-xtb", **smearing})
        elements = sorted({symbol for atoms in frames for symbol in atoms.get_chemical_symbols()})
        return LevelOfTheory(
            code="CP2K",
            settings={
                "method": "dft", "functional": chosen.functional, "cutoff_Ry": f"{chosen.cutoff_Ry:g}",
                "rel_cutoff_Ry": f"{chosen.rel_cutoff_Ry:g}", "eps_scf": f"{chosen.eps_scf:g}",
                "kspacing": "Gamma" if chosen.kspacing is None else f"{chosen.kspacing:g}", **smearing,
            },
            potentials={
                kind.element: f"{kind.basis} {kind.potential}"
                for kind in choose_kinds(chosen, elements, data_folder(chosen))
            },
        )

    @classmethod
    def versions(cls, settings: Cp2kSettings) -> dict[str, str]:
        """Return the version of CP2K."""
        return {"cp2k": version(tuple(command_words(settings)))}

    @classmethod
    def problems(cls, settings: Cp2kSettings, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield what is wrong with the settings, or missing on this machine."""
        try:
            version(tuple(command_words(settings)))
        except InputError as error:
            yield ("command",), str(error)
        try:
            data = data_folder(settings)
        except InputError as error:
            yield ("data_dir",), str(error)
            return
        if settings.template is not None:
            yield from ((("template",), text) for text in template_problems(settings, type_map, base_dir, data))
        elif settings.method == "dft":
            for element in settings.kinds:
                if element not in type_map:
                    yield ("kinds", element), "is not in type_map"
            for element in type_map:
                try:
                    choose_kinds(settings, [element], data)
                except InputError as error:
                    yield ("kinds", element) if element in settings.kinds else ("basis",), str(error)

    @classmethod
    def aimd_problems(cls, settings: Cp2kSettings, aimd: AimdSettings) -> Iterator[tuple[str, str]]:
        """Yield what CP2K's dynamics cannot do."""
        if aimd.end_temperatures_K:
            yield "end_temperatures_K", "CP2K runs at constant temperature; use several temperatures_K instead"
        if aimd.thermostat == "langevin" and aimd.ensemble == "npt":
            yield "thermostat", "CP2K's Langevin dynamics has constant volume; with npt use csvr or nose-hoover"

    @classmethod
    def write_inputs(cls, settings: Cp2kSettings, atoms: Atoms, aimd: AimdSettings, folder: Path) -> None:
        """Write the inputs of a single point and of molecular dynamics, to be read by people.

        Raises
        ------
        InputError
            The data files of CP2K are not found, or an element is not in them.
        """
        data = data_folder(settings)
        start, end = aimd.temperatures_of(0)
        write_text(folder / "label.inp", single_point_input(settings, atoms, data))
        write_text(folder / "aimd.inp", dynamics_input(settings, AimdRun(atoms, aimd, start, end, 0), data))

    @classmethod
    def findings(cls) -> Iterator[ProgramFinding]:
        """Yield what is known about the installation of CP2K."""
        return installation_findings()

    def _ready(self) -> Path:
        """Return the data folder; program, version and files are checked once per process."""
        if self._data is None:
            try:
                version(tuple(command_words(self.settings)))
                self._data = data_folder(self.settings)
            except InputError as error:
                raise FatalError(f"labeler cp2k: {error}") from error
        return self._data

    def _label(self, atoms: Atoms, folder: Path, data: Path) -> LabelResult:
        if reason := unfit(self.settings, atoms):
            return LabelResult(None, "failed", reason)
        write_text(folder / "run.inp", single_point_input(self.settings, atoms, data))
        limit = self.settings.timeout_min
        try:
            found = read_evaluations(run_cp2k(self.settings, folder, data, timeout_min=limit))
        except (RunError, OutputError) as error:
            return LabelResult(None, "not converged" if str(error) == NOT_CONVERGED else "failed", str(error))
        finally:
            for path in [*folder.glob("run-RESTART*"), folder / "run.log"]:
                path.unlink(missing_ok=True)
        last = found[-1]
        if len(found) != 1 or last.forces.shape != (len(atoms), 3):
            return LabelResult(None, "failed", "the output does not belong to this frame")
        if not last.converged:
            return LabelResult(None, "not converged", NOT_CONVERGED)
        return finite_label(atoms, last.energy, last.forces, last.stress, "CP2K")
