# ruff: noqa: E501 - the lines of the formats of VASP are long
"""Small outputs of VASP with given numbers, in the layout of VASP 5.4: OUTCAR, vasprun.xml and ASE's extxyz."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

KB_IN_EV_A3 = 6.241509074e-4
TITLES = {"Li": "PAW_PBE Li 17Jan2003", "S": "PAW_PBE S 17Jan2003"}


@dataclass
class Run:
    """A run of LiS: what a test may vary, and the numbers of its steps."""

    steps: int = 3
    encut: float = 500.0
    pstress: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    cycles: tuple[int, ...] = ()
    stopped: bool = False
    titles: dict[str, str] = field(default_factory=lambda: dict(TITLES))
    seed: int = 1
    nelm: int = 60
    symbols = ("Li", "S", "S")

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.cell = np.array([[5.0, 0.2, 0.0], [0.0, 5.5, 0.3], [0.4, 0.0, 6.0]])
        self.fractional = (rng.uniform(0, 1, (3, 3)) + 0.01 * rng.normal(size=(self.steps, 3, 3))).round(8)
        self.forces = rng.normal(size=(self.steps, 3, 3)).round(6)
        symmetric = rng.normal(size=(self.steps, 3, 3)).round(5) * 10
        self.stress = (symmetric + symmetric.transpose(0, 2, 1)) / 2  # kB, VASP's sign
        self.energy = (-10 - rng.random(self.steps)).round(8)
        self.cycles = self.cycles or (5,) * self.steps

    @property
    def volume(self):
        return abs(np.linalg.det(self.cell))

    @property
    def virial(self):
        return self.stress * KB_IN_EV_A3 * self.volume

    def electronic(self, step):
        """Energies of the electronic steps; those of a step that is stopped end far from the last one."""
        far = self.stopped and step == self.steps - 1
        errors = np.linspace(2, 0.5, self.cycles[step]) if far else 3.0 * 1e-3 ** np.arange(self.cycles[step])
        errors = errors - errors[-1]
        return self.energy[step] + errors


def outcar(run: Run) -> str:
    head = " vasp.5.4.4 test\n POTCAR:    " + "\n POTCAR:    ".join(run.titles.values()) + "\n"
    for element, titel in run.titles.items():
        head += f"   VRHFIN ={element}: \n   LEXCH  = PE\n   TITEL  = {titel}\n"
    tags = {"ISPIN": "1", **run.tags}
    head += (
        "   ions per type =               1   2\n   NWRITE =      2    write-flag & timer\n"
        "   PREC   = accura    normal or accurate (medium, high low for compatibility)\n"
        f"   ISPIN  =      {tags['ISPIN']}    spin polarized calculation?\n"
        "   LSORBIT =      F    spin-orbit coupling\n   LASPH  =      F    aspherical Exc in radial PAW\n"
        f"   METAGGA=      F    non-selfconsistent MetaGGA calc.\n   ENCUT  = {run.encut:6.1f} eV  58.80 Ry\n"
        f"   NELM   =  {run.nelm:5d};   NELMIN=  4; NELMDL=  0     # of ELM steps\n   EDIFF  = 0.1E-05   stopping\n"
        "   LREAL  =      F    real-space projection\n   PSTRESS=   0.0 pullay stress\n"
        "   ISMEAR =     0;   SIGMA  =   0.05  broadening in eV\n   GGA     =    --    GGA type\n"
        "   LHFCALC =     F    Hartree Fock is set to\n   AEXX    =    0.0000 exact exchange contribution\n"
    )
    return head + "".join(_outcar_step(run, step) for step in range(run.steps)) + " General timing\n"


def _outcar_step(run: Run, step: int) -> str:
    text = ""
    for number, energy in enumerate(run.electronic(step), start=1):
        text += f"--------- Iteration {step + 1:6d}({number:4d})  --------\n  free energy    TOTEN  = {energy:18.8f} eV\n"
    if run.stopped and step == run.steps - 1:
        text += " hard stop encountered!  aborting job ...\n"
    kb = run.stress[step]
    voigt = [kb[0, 0], kb[1, 1], kb[2, 2], kb[0, 1], kb[1, 2], kb[2, 0]]
    rows = "".join(
        f" {' '.join(f'{x:12.5f}' for x in place)}    {' '.join(f'{x:13.6f}' for x in force)}\n"
        for place, force in zip(run.fractional[step] @ run.cell, run.forces[step], strict=True)
    )
    return text + (
        "  FORCE on cell =-STRESS in cart. coord.  units (eV):\n" + "  -\n" * 13
        + "  in kB  " + " ".join(f"{x:11.5f}" for x in voigt) + "\n"
        " VOLUME and BASIS-vectors are now :\n --\n  energy-cutoff  :      600.00\n"
        f"  volume of cell :     {run.volume:.2f}\n      direct lattice vectors        reciprocal lattice vectors\n"
        + "".join(f"   {' '.join(f'{x:13.9f}' for x in row)}    0.0 0.0 0.0\n" for row in run.cell)
        + " POSITION                                       TOTAL-FORCE (eV/Angst)\n ---\n" + rows + " ---\n"
        f"  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ---\n  free  energy   TOTEN  = {run.energy[step]:18.8f} eV\n"
        f"  energy  without entropy= {run.energy[step]:16.8f}  energy(sigma->0) = {run.energy[step] + 0.1:16.8f}\n"
    )


def vasprun(run: Run) -> str:
    tags = {"ENCUT": f"{run.encut}", "EDIFF": "1E-6", "ISMEAR": "0", "SIGMA": "0.05", "PREC": "Accurate", **run.tags}
    incar = "".join(f'  <i type="string" name="{name}">{value}</i>\n' for name, value in tags.items())
    types = "".join(
        f"    <rc><c>{count}</c><c>{one}</c><c>1.0</c><c>1.0</c><c> {run.titles[one]} </c></rc>\n"
        for one, count in (("Li", 1), ("S", 2))
    )
    atoms = "".join(f"    <rc><c>{one}</c><c>{kind}</c></rc>\n" for one, kind in (("Li", 1), ("S", 2), ("S", 2)))
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        f" <incar>\n{incar} </incar>\n <parameters>\n"
        f'  <i type="int" name="NELM">{run.nelm}</i>\n  <i name="ENMAX">{run.encut}</i>\n  <i name="EDIFF">1E-6</i>\n'
        f'  <i name="PSTRESS">{run.pstress}</i>\n  <i type="int" name="ISPIN">{run.tags.get("ISPIN", "1")}</i>\n'
        f" </parameters>\n <atominfo>\n  <array name=\"atoms\">\n   <set>\n{atoms}   </set>\n  </array>\n"
        f"  <array name=\"atomtypes\">\n   <set>\n{types}   </set>\n  </array>\n </atominfo>\n"
        + "".join(_xml_step(run, step) for step in range(run.steps)) + "</modeling>\n"
    )


def _xml_step(run: Run, step: int) -> str:
    def rows(array):
        return "".join("    <v>" + " ".join(f"{x:.8f}" for x in row) + " </v>\n" for row in array)

    cycles = "".join(
        f'  <scstep>\n   <energy>\n    <i name="e_fr_energy">{one:.8f}</i>\n   </energy>\n  </scstep>\n'
        for one in run.electronic(step)
    )
    enthalpy = run.energy[step] + run.pstress * KB_IN_EV_A3 * run.volume
    return (
        f' <calculation>\n{cycles}  <structure>\n   <crystal>\n    <varray name="basis">\n{rows(run.cell)}    </varray>\n'
        f'   </crystal>\n   <varray name="positions">\n{rows(run.fractional[step])}   </varray>\n  </structure>\n'
        f'  <varray name="forces">\n{rows(run.forces[step])}  </varray>\n'
        f'  <varray name="stress">\n{rows(run.stress[step])}  </varray>\n'
        f'  <energy>\n   <i name="e_fr_energy">{enthalpy:.8f}</i>\n   <i name="e_0_energy">{enthalpy + 0.1:.8f}</i>\n'
        "  </energy>\n </calculation>\n"
    )


def extxyz(run: Run) -> str:
    """What ASE writes of a run of VASP: energy is that for sigma -> 0, the forces belong to free_energy."""
    text = ""
    for step in range(run.steps):
        cell, stress = (" ".join(f"{x:.8f}" for x in np.ravel(one)) for one in (
            run.cell, -run.stress[step] * KB_IN_EV_A3))
        text += (
            f'3\nLattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3 energy={run.energy[step] + 0.1:.8f} '
            f'free_energy={run.energy[step]:.8f} stress="{stress}" pbc="T T T"\n'
        )
        for one, place, force in zip(run.symbols, run.fractional[step] @ run.cell, run.forces[step], strict=True):
            text += f"{one} " + " ".join(f"{x:.8f}" for x in (*place, *force)) + "\n"
    return text
