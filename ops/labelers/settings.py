"""Settings of the labelers, and of the short molecular dynamics with them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class LabelerSettings(Settings):
    """What the settings of all labelers have in common.

    Class attributes
    ----------------
    model_file : str
        Key that names a model file, which is passed to the tasks with their inputs.
    folders : tuple of str
        Keys that name folders of which a calculation needs some files (pseudopotentials): those files are passed to
        the tasks in one folder, which takes their place.
    """

    model_file: ClassVar[str] = ""
    folders: ClassVar[tuple[str, ...]] = ()

    kind: str = Field(description="Kind of labeler.")


class MockSettings(LabelerSettings):
    """An analytic, conservative potential for tests: cheap, deterministic, without physics."""

    kind: Literal["mock"] = Field("mock", description="An analytic potential without physics, for tests.")
    fail_every: int = Field(0, ge=0, description="Make every n-th frame fail; 0: none.")
    failure: Literal["error", "not converged", "nan", "crash", "hang"] = Field(
        "error", description="How it fails. crash ends the process and hang waits for the time limit of the task; "
        "while labelling, both happen in the first attempt only."
    )
    delay_s: float = Field(0.0, ge=0, description="Pause before each frame, s, to test progress and interruption.")


CALCULATORS = {
    "chgnet": "chgnet", "mace": "mace.calculators:mace_mp", "mace_mp": "mace.calculators:mace_mp",
    "sevennet": "sevenn.calculator:SevenNetCalculator", "sevenn": "sevenn.calculator:SevenNetCalculator",
    "emt": "ase.calculators.emt:EMT",
}
"""What to write for calculators that people call by a short name."""
PROGRAMS = {
    "quantum-espresso": "qe", "quantum_espresso": "qe", "quantumespresso": "qe", "espresso": "qe", "pwscf": "qe",
    "pw.x": "qe", "pw": "qe",
}
"""The kind of labeler for other names of a program."""


class AseSettings(LabelerSettings):
    """Any ASE calculator: `chgnet`, or `module:Class` with keyword arguments."""

    kind: Literal["ase"] = Field("ase", description="An ASE calculator.")
    calculator: str = Field("chgnet", description="`chgnet`, or `module:Class` of an ASE calculator.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the calculator.")


class DeepmdSettings(LabelerSettings):
    """A DeePMD-kit model as teacher."""

    model_file: ClassVar[str] = "model"

    kind: Literal["deepmd"] = Field("deepmd", description="A DeePMD-kit model.")
    model: str = Field(description="Frozen model (.pth, .pt2) or checkpoint (.pt); relative to the configuration file.")
    head: str | None = Field(None, description="Branch of a multi-task model.")
    batch: int = Field(16, ge=1, description="Frames per call of the model.")


class Cp2kKind(Settings):
    """Basis set and potential of one element."""

    basis: str | None = Field(None, description="Name of the basis set in CP2K's files; by default that of `basis`.")
    potential: str | None = Field(
        None, description="Name of the potential in GTH_POTENTIALS; chosen by the functional by default."
    )


class Cp2kSettings(LabelerSettings):
    """CP2K: density functional theory (GPW), or the fast tight-binding method GFN1-xTB."""

    text_files: ClassVar[tuple[str, ...]] = ("template",)

    kind: Literal["cp2k"] = Field("cp2k", description="CP2K.")
    command: str = Field("cp2k", description="Command line of CP2K, e.g. `mpirun -np 8 cp2k.psmp`; not run by a shell.")
    data_dir: str | None = Field(
        None, description="Folder of basis sets and potentials; $CP2K_DATA_DIR by default, else that of the "
        "installation."
    )
    method: Literal["dft", "gfn1-xtb"] = Field(
        "dft", description="gfn1-xtb is a thousand times cheaper, but made for molecules: fair for lithium halides, "
        "unusable "
        "for sulfides and oxides (CP2K rejects their charges); cells need lattice vectors of at least 4.5 A."
    )
    functional: Literal["PBEsol", "PBE"] = Field("PBEsol", description="Exchange-correlation functional.")
    basis: Literal["DZVP", "TZVP", "TZV2P"] = Field("DZVP", description="MOLOPT basis set for all elements.")
    kinds: dict[str, Cp2kKind] = Field(
        default_factory=dict, description="Different basis set or potential, by element."
    )
    cutoff_Ry: float = Field(600.0, gt=0, description="Plane-wave cutoff of the finest grid, Ry.")
    rel_cutoff_Ry: float = Field(
        60.0, gt=0, description="Cutoff of the grid that a Gaussian is mapped onto (REL_CUTOFF), Ry."
    )
    kspacing: float | None = Field(
        0.5, gt=0, description="Spacing of k-points, 1/A, as in VASP; one k-point along edges above 2 pi / kspacing. "
        "null: Gamma only."
    )
    scf: Literal["auto", "ot", "diagonalization"] = Field(
        "auto", description="SCF solver; auto: orbital transformation (ot) if Gamma only and without smearing, else "
        "diagonalization."
    )
    smearing_K: float = Field(0.0, ge=0, description="Electronic temperature, K, for metals; 0: fixed occupations.")
    eps_scf: float = Field(1e-6, gt=0, lt=1e-3, description="Convergence criterion of the SCF cycle (EPS_SCF).")
    max_scf: int = Field(
        50, ge=1, description="Largest number of SCF steps; six times as many with orbital transformation."
    )
    timeout_min: float = Field(0.0, ge=0, description="Time limit of a single point, minutes; 0: no limit.")
    template: str | None = Field(
        None, description="Your own input file, used as it is except for coordinates, cell, run type, dynamics and "
        "printing; the keys of the method then have no effect. Relative to the configuration file."
    )


class VaspSettings(LabelerSettings):
    """Density functional theory with VASP; you provide the program and the PAW data sets."""

    kind: Literal["vasp"] = Field("vasp", description="VASP.")
    text_files: ClassVar[tuple[str, ...]] = ("incar",)
    command: str | None = Field(
        None, min_length=1, description="Command line of VASP, e.g. `mpirun -np 16 vasp_std`; by default that in the "
        "environment variable VASP_COMMAND, else `vasp_std`. Not run by a shell.",
    )
    potcar_dir: str | None = Field(
        None, min_length=1, description="Folder with your PAW data sets (Li/POTCAR or POTCAR.Li in it); by default "
        "that in the environment variable VASP_POTCAR_DIR.",
    )
    potcars: dict[str, str] = Field(
        default_factory=dict, description="PAW data set by element, if not the default one, e.g. {Li: Li_sv}.",
    )
    functional: Literal["PBEsol", "PBE"] = Field("PBEsol", description="Exchange-correlation functional.")
    encut_eV: float = Field(600.0, gt=0, le=5000, description="Plane-wave cutoff, eV (ENCUT).")
    kspacing: float = Field(0.3, gt=0, le=2, description="Largest spacing of k-points, 1/A (KSPACING).")
    tags: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Further INCAR tags, e.g. {KPAR: 4, NCORE: 4, SIGMA: 0.1}.",
    )
    incar: str | None = Field(
        None, min_length=1, description="File with your own INCAR (or its text), used as it is instead of functional, "
        "encut_eV, kspacing and tags.",
    )
    wall_time_min: float | None = Field(
        None, gt=0, description="Minutes after which a calculation is stopped (STOPCAR); no limit by default.",
    )
    frozen_min: float = Field(360.0, gt=0, description="Minutes without output after which VASP is considered hung.")
    max_corrections: int = Field(
        3, ge=0, le=20, description="Largest number of corrections by custodian per calculation."
    )
    attempts: int = Field(2, ge=1, le=10, description="Attempts for a calculation whose process was killed.")


class PlaneWaveSettings(LabelerSettings):
    """What Quantum ESPRESSO and ABACUS have in common."""

    folders: ClassVar[tuple[str, ...]] = ("pseudo_dir",)

    pseudo_dir: str | None = Field(
        None, min_length=1, description="Folder of the pseudopotentials (UPF); by default that in the environment "
        "variable of the program (Quantum ESPRESSO: ESPRESSO_PSEUDO, ABACUS: ABACUS_PP_PATH).",
    )
    pseudos: dict[str, str] = Field(
        default_factory=dict, description="File of the pseudopotential by element, where the folder has several, e.g. "
        "{Li: Li.pbesol-s-kjpaw_psl.1.0.0.UPF}.",
    )
    functional: Literal["PBEsol", "PBE"] = Field("PBEsol", description="Exchange-correlation functional.")
    pseudo_functional: Literal["PBEsol", "PBE"] | None = Field(
        None, description="Functional that the pseudopotentials were made with, if another one is wanted; by default "
        "`functional`.",
    )
    ecutwfc_Ry: float = Field(90.0, gt=0, le=500, description="Plane-wave cutoff of the wave functions, Ry.")
    kspacing: float = Field(0.3, gt=0, le=2, description="Largest spacing of k-points, 1/A, as in VASP.")
    smearing_eV: float = Field(
        0.05, ge=0, le=1, description="Width of the Gaussian smearing, eV; 0: fixed occupations. Labels are free "
        "energies, whose derivatives the forces are.",
    )
    max_scf: int = Field(100, ge=10, description="Largest number of SCF steps.")
    magnetization: dict[str, Annotated[float, Field(ge=-10, le=10)]] = Field(
        default_factory=dict, description="Magnetic moment per atom at the start, mu_B, by element; with any, the "
        "calculation is spin-polarized.",
    )
    keys: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Further keys of the input of the program, e.g. {mixing_beta: 0.3}.",
    )
    timeout_min: float = Field(0.0, ge=0, description="Time limit of a single point, minutes; 0: no limit.")


class QeSettings(PlaneWaveSettings):
    """Density functional theory with Quantum ESPRESSO (pw.x)."""

    kind: Literal["qe"] = Field("qe", description="Quantum ESPRESSO.")
    command: str = Field(
        "pw.x", description="Command line of pw.x, e.g. `mpirun -np 8 pw.x -nk 2`; not run by a shell."
    )
    ecutrho_Ry: float | None = Field(
        None, gt=0, description="Plane-wave cutoff of the density, Ry; by default 8 times ecutwfc_Ry, as ultrasoft and "
        "PAW potentials need it. 4 times is enough if all are norm-conserving.",
    )
    conv_thr_Ry: float = Field(
        1e-9, gt=0, le=1e-5, description="Convergence criterion of the SCF cycle, Ry (conv_thr)."
    )
    vdw: Literal["none", "grimme-d2", "grimme-d3"] = Field(
        "none", description="Dispersion correction (vdw_corr); `keys: {dftd3_version: 4}` is D3 with Becke-Johnson "
        "damping. The stress of pw.x for ts-vdw is not the derivative of its energy (measured with 6.7).",
    )


class AbacusSettings(PlaneWaveSettings):
    """Density functional theory with ABACUS, in plane waves or numerical atomic orbitals."""

    folders: ClassVar[tuple[str, ...]] = ("pseudo_dir", "orbital_dir")

    kind: Literal["abacus"] = Field("abacus", description="ABACUS.")
    command: str = Field(
        "abacus", description="Command line of ABACUS, e.g. `mpirun -np 8 abacus`; not run by a shell."
    )
    basis: Literal["pw", "lcao"] = Field("pw", description="Plane waves, or numerical atomic orbitals (lcao).")
    orbital_dir: str | None = Field(
        None, min_length=1, description="Folder of the orbital files (.orb) for lcao; by default that in the "
        "environment variable ABACUS_ORB_PATH.",
    )
    orbitals: dict[str, str] = Field(
        default_factory=dict, description="Orbital file by element, where the folder has several, e.g. "
        "{Li: Li_gga_7au_100Ry_4s1p.orb}.",
    )
    scf_thr: float = Field(
        1e-8, gt=0, le=1e-5, description="Convergence criterion of the density (scf_thr): in plane waves Ry, with "
        "lcao without unit.",
    )
    vdw: Literal["none", "d2", "d3_0", "d3_bj"] = Field("none", description="Dispersion correction (vdw_method).")


class AimdSettings(Settings):
    """Short molecular dynamics with the labeler, from each perturbed cell."""

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        default=[300.0, 600.0, 900.0, 1200.0], min_length=1,
        description="Temperatures, K; the perturbed cells of a system take turns.",
    )
    end_temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] | None = Field(
        None, min_length=1, description="Final temperatures, K, one for each of temperatures_K, reached in a linear "
        "ramp; constant temperature by default.",
    )
    steps: int = Field(30, ge=1, description="MD steps of each trajectory.")
    timestep_fs: float = Field(2.0, ge=0.05, le=5, description="Time step, fs.")
    sample_every: int = Field(3, ge=1, description="Sampling interval in MD steps.")
    ensemble: Literal["nvt", "npt"] = Field("nvt", description="Constant volume (nvt) or constant pressure (npt).")
    thermostat: Literal["langevin", "nose-hoover", "csvr"] = Field(
        "langevin", description="Thermostat; csvr: stochastic velocity rescaling."
    )
    damping_fs: float = Field(
        50.0, gt=0, description="Time constant of the thermostat, fs: 1 / friction of Langevin, period of Nose-Hoover. "
        "Must be short enough to remove the heat of the unrelaxed start within the run.",
    )
    pressure_GPa: float = Field(0.0, description="External pressure, GPa, for npt.")
    pressure_damping_fs: float = Field(1000.0, gt=0, description="Time constant of the barostat, fs, for npt.")

    def temperatures_of(self, number: int) -> tuple[float, float]:
        """Return the temperatures, K, at which trajectory ``number`` of a system starts and ends."""
        index = number % len(self.temperatures_K)
        start = float(self.temperatures_K[index])
        return start, float(self.end_temperatures_K[index]) if self.end_temperatures_K else start
