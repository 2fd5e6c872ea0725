"""Settings of the labelers: which one, and the short molecular dynamics made with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class LabelerSettings(Settings):
    """Base of the settings of all labelers.

    Class attributes
    ----------------
    text_files : tuple of str
        Keys that name a text file of the user (an INCAR, a template). Tasks run elsewhere, so its content replaces the
        name, see :func:`with_file_texts`.
    model_file : str
        Key that names a model file; the tasks receive it with their inputs.
    """

    text_files: ClassVar[tuple[str, ...]] = ()
    model_file: ClassVar[str] = ""

    kind: str


class MockSettings(LabelerSettings):
    """An analytic, conservative potential for tests: cheap and deterministic, no physics."""

    kind: Literal["mock"] = "mock"
    fail_every: int = Field(0, ge=0, description="Every n-th frame fails on purpose (0: none).")
    failure: Literal["error", "not converged", "nan", "crash", "hang"] = Field(
        "error", description="How it fails. crash ends the process, hang waits for the time limit of the task; when "
        "labels are made, both do so in the first attempt only."
    )
    delay_s: float = Field(0.0, ge=0, description="Sleep before each frame, to test progress and interruption.")


class AseSettings(LabelerSettings):
    """Any ASE calculator: `chgnet`, or `module:Class` with keyword arguments."""

    kind: Literal["ase"] = "ase"
    calculator: str = Field("chgnet", description="`chgnet`, or `module:Class` of an ASE calculator.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the calculator.")


class DeepmdSettings(LabelerSettings):
    """A DeePMD-kit model as teacher."""

    model_file: ClassVar[str] = "model"

    kind: Literal["deepmd"] = "deepmd"
    model: str = Field(description="Frozen model (.pth, .pt2) or checkpoint (.pt); relative to the configuration file.")
    head: str | None = Field(None, description="Branch of a model with several.")
    batch: int = Field(16, ge=1, description="Frames per call of the model.")


class Cp2kKind(Settings):
    """Basis set and potential of one element."""

    basis: str | None = Field(None, description="Name in the basis files of CP2K.")
    potential: str | None = Field(None, description="Name in GTH_POTENTIALS.")


class Cp2kSettings(LabelerSettings):
    """CP2K: density functional theory (GPW), or the fast tight binding GFN1-xTB."""

    text_files: ClassVar[tuple[str, ...]] = ("template",)

    kind: Literal["cp2k"] = "cp2k"
    command: str = Field("cp2k", description="Program with arguments, e.g. `mpirun -np 8 cp2k.psmp`; no shell.")
    data_dir: str | None = Field(
        None, description="Folder of basis sets and potentials. By default $CP2K_DATA_DIR, else what came with CP2K."
    )
    method: Literal["dft", "gfn1-xtb"] = Field(
        "dft", description="GFN1-xTB is a thousand times cheaper and made for molecules: halides of lithium are fair, "
        "sulfides and oxides are not (CP2K refuses their charges); cells with a lattice vector below 4.5 A are refused."
    )
    functional: Literal["PBEsol", "PBE"] = Field("PBEsol", description="Exchange and correlation.")
    basis: Literal["DZVP", "TZVP", "TZV2P"] = Field("DZVP", description="MOLOPT basis set of all elements.")
    kinds: dict[str, Cp2kKind] = Field(default_factory=dict, description="Other basis set or potential, by element.")
    cutoff_Ry: float = Field(600.0, gt=0, description="Cutoff of the finest grid, Ry.")
    rel_cutoff_Ry: float = Field(60.0, gt=0, description="Cutoff that a Gaussian sees, Ry.")
    kspacing: float | None = Field(
        0.5, gt=0, description="Spacing of k-points, 1/A, by VASP's rule; edges above 2 pi / kspacing get one. null: "
        "Gamma only."
    )
    scf: Literal["auto", "ot", "diagonalization"] = Field(
        "auto", description="auto: orbital transformation with Gamma only and without smearing, else diagonalization."
    )
    smearing_K: float = Field(0.0, ge=0, description="Electronic temperature, for metals; 0: fixed occupations.")
    eps_scf: float = Field(1e-6, gt=0, lt=1e-3, description="Convergence of the density.")
    max_scf: int = Field(50, ge=1, description="Steps of self-consistency; with orbital transformation six times.")
    timeout_min: float = Field(0.0, ge=0, description="A single point that takes longer fails; 0: no limit.")
    template: str | None = Field(
        None, description="Own input file, taken as it is but for coordinates, cell, run type, dynamics and what is "
        "printed; the keys of the method have no effect then. Relative to the configuration file."
    )


class VaspSettings(LabelerSettings):
    """Density functional theory with VASP; program and PAW data sets are the user's own."""

    kind: Literal["vasp"] = "vasp"
    text_files: ClassVar[tuple[str, ...]] = ("incar",)
    command: str | None = Field(
        None, min_length=1, description="How VASP is started, e.g. `mpirun -np 16 vasp_std`; by default what the "
        "environment variable VASP_COMMAND says, else `vasp_std`. No shell reads it.",
    )
    potcar_dir: str | None = Field(
        None, min_length=1, description="Folder of your PAW data sets (Li/POTCAR or POTCAR.Li below it); by default "
        "the environment variable VASP_POTCAR_DIR.",
    )
    potcars: dict[str, str] = Field(
        default_factory=dict, description="Data set of an element where it is not the usual one, e.g. {Li: Li_sv}.",
    )
    functional: Literal["PBEsol", "PBE"] = Field("PBEsol", description="Exchange and correlation.")
    encut_eV: float = Field(600.0, gt=0, le=5000, description="Cutoff of the plane waves, eV.")
    kspacing: float = Field(0.3, gt=0, le=2, description="Largest distance of k-points, 1/Angstrom (KSPACING).")
    tags: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Other INCAR tags, e.g. {KPAR: 4, NCORE: 4, SIGMA: 0.1}.",
    )
    incar: str | None = Field(
        None, min_length=1, description="File with your own INCAR (or its text), taken as it is in place of "
        "functional, encut_eV, kspacing and tags.",
    )
    wall_time_min: float | None = Field(
        None, gt=0, description="Minutes after which one calculation is told to stop (STOPCAR).",
    )
    frozen_min: float = Field(360.0, gt=0, description="Minutes without output after which VASP is taken for dead.")
    max_corrections: int = Field(3, ge=0, le=20, description="Corrections by custodian per calculation.")
    attempts: int = Field(2, ge=1, le=10, description="Attempts for a calculation whose program was killed.")


def with_file_texts(labeler: LabelerSettings, base_dir: Path) -> LabelerSettings:
    """Return the settings with the content of the user's files instead of their names.

    A value with a line break is taken for the content already.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    texts = {}
    for key in labeler.text_files:
        value = getattr(labeler, key)
        if value is not None and "\n" not in value:
            texts[key] = (base_dir / Path(value).expanduser()).read_text(encoding="utf-8").rstrip("\n") + "\n"
    return labeler.model_copy(update=texts)


class AimdSettings(Settings):
    """Short molecular dynamics with the labeler, from each perturbed cell."""

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        default=[300.0, 600.0, 900.0, 1200.0], min_length=1,
        description="Kelvin; perturbed cell i of a system runs at temperature i modulo their number.",
    )
    end_temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] | None = Field(
        None, min_length=1, description="Kelvin, one for each of temperatures_K: the run is heated or cooled evenly "
        "up to this temperature. Constant temperature by default.",
    )
    steps: int = Field(30, ge=1, description="Time steps of each trajectory.")
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step, fs.")
    sample_every: int = Field(3, ge=1, description="A frame is kept every so many steps.")
    ensemble: Literal["nvt", "npt"] = Field("nvt", description="Constant volume, or constant pressure.")
    thermostat: Literal["langevin", "nose-hoover", "csvr"] = Field(
        "langevin", description="What holds the temperature; csvr: stochastic velocity rescaling."
    )
    damping_fs: float = Field(
        50.0, gt=0, description="Time constant of the thermostat, fs: 1 / friction of Langevin, period of Nose-Hoover. "
        "Short runs must lose the heat of the unrelaxed start within their length.",
    )
    pressure_GPa: float = Field(0.0, description="External pressure of npt, GPa.")
    pressure_damping_fs: float = Field(1000.0, gt=0, description="Time constant of the barostat of npt, fs.")

    def temperatures_of(self, number: int) -> tuple[float, float]:
        """Return the temperatures, K, at which trajectory ``number`` of a system starts and ends."""
        index = number % len(self.temperatures_K)
        start = float(self.temperatures_K[index])
        return start, float(self.end_temperatures_K[index]) if self.end_temperatures_K else start
