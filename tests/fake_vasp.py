# ruff: noqa: E501 - the lines of the formats of VASP are long
"""A stand-in for VASP: reads its input files, behaves like it on disk, and computes a pair potential.

Started as a program in a folder with INCAR, KPOINTS, POSCAR and POTCAR. What goes wrong is told by the file that the
environment variable FAKE_VASP_PLAN names: one line per start, taken from the top; without a line all goes well.

    ok                   everything converges
    sloshing             converges with ALGO = All only
    unconverged          never converges
    unconverged-at N     the N-th ionic step does not converge
    zhegv                prints an error of the diagonalisation and ends, unless ALGO = All
    symmetry             prints an error that custodian answers with another SYMPREC, once
    tetrahedron          prints an error that custodian answers with another smearing, once
    crash                ends with code 1 and its own message
    kill                 is killed before it has written anything of use
    kill-at N            is killed after N ionic steps, while it writes the next one
    torn-contcar N       the same, and its CONTCAR is cut off, too
    truncated            ends well, but vasprun.xml is cut off
    silent               writes nothing at all
    nan                  forces overflow their format
    no-stress            writes no stress
    other-cell           computes atoms that are not those of the POSCAR
    other-encut          uses another cutoff
    hang                 continues with electronic steps until STOPCAR
    deaf                 hangs and does not read STOPCAR
    slow S               sleeps S seconds per ionic step, obeys LSTOP
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np

from dpa_sse.ops.labelers.mock import mock_energy

EV_A3_IN_KB = 1602.1766208
LANGEVIN, NOSE = 3, 2
BOLTZMANN = 8.617333262e-5
AMU_A2_FS2_IN_EV = 103.642697


FAKE = Path(__file__).resolve()

ENMAX = {"Li": 140.0, "P": 255.0, "S": 258.7, "Cl": 262.5, "Ga_d": 282.7, "Ge_d": 310.3}


def potcar_text(symbol, *, enmax=200.0, lexch="PE", family="PAW_PBE", element=None):
    """A file that looks like a POTCAR to those that read its header; it describes nothing."""
    element = element or symbol.split("_")[0]
    return (
        f"  {family} {symbol} 01Jan2000\n   1.00000000000000\n parameters from PSCTR are:\n   VRHFIN ={element}: made up\n"
        f"   LEXCH  = {lexch}\n   EATOM  =    10.0000 eV,    1.0000 Ry\n\n   TITEL  = {family} {symbol} 01Jan2000\n"
        f"   LULTRA =        F    use ultrasoft PP ?\n   POMASS =   10.000; ZVAL   =    1.000    mass and valenz\n"
        f"   ENMAX  =  {enmax:.3f}; ENMIN  =  {enmax * 0.75:.3f} eV\n END of PSCTR-controll parameters\n"
        " SECRET of the licence\n  0.1000000E+01 0.2000000E+01\n End of Dataset\n"
    )


def write_library(folder, **changes):
    for symbol, enmax in ENMAX.items():
        (folder / symbol).mkdir(parents=True)
        (folder / symbol / "POTCAR").write_text(potcar_text(symbol, enmax=enmax, **changes))
    return folder


def read_tags() -> dict[str, str]:
    tags = {}
    for line in re.split(r"[\n;]", Path("INCAR").read_text()):
        name, _, value = line.partition("=")
        if value:
            tags[name.strip().upper()] = value.split("!")[0].split("#")[0].strip()
    return tags


def read_poscar():
    from ase import Atoms

    lines = Path("POSCAR").read_text().splitlines()
    scale = float(lines[1])
    cell = scale * np.array([line.split() for line in lines[2:5]], float)
    species, counts = lines[5].split(), [int(word) for word in lines[6].split()]
    symbols = [one for one, count in zip(species, counts, strict=True) for _ in range(count)]
    start = 9 if lines[7].lower().startswith("s") else 8
    rows = np.array([line.split()[:3] for line in lines[start:start + len(symbols)]], float)
    direct = lines[start - 1].strip().lower().startswith("d")
    atoms = Atoms(symbols, cell=cell, pbc=True)
    atoms.set_scaled_positions(rows) if direct else atoms.set_positions(scale * rows)
    rest = lines[start + len(symbols):]
    while rest and rest[0].lower().startswith("lattice"):
        rest = rest[8:]
    velocities = None
    if len(rest) > len(symbols):
        velocities = np.array([line.split()[:3] for line in rest[1:1 + len(symbols)]], float)
    return atoms, species, counts, velocities


def read_titles(species: list[str]) -> list[str]:
    titles = re.findall(r"TITEL\s*=\s*(\S[^\n]*)", Path("POTCAR").read_text())
    if [title.split()[1].split("_")[0] for title in titles] != species:
        raise SystemExit("fake VASP: POTCAR and POSCAR name different elements")
    return titles


class Run:
    """One start of the program."""

    def __init__(self, plan: list[str]) -> None:
        self.mode, self.number = plan[0], float(plan[1]) if len(plan) > 1 else 0.0
        self.tags = read_tags()
        self.atoms, self.species, self.counts, self.velocities = read_poscar()
        if self.mode == "other-cell":
            self.atoms.positions[0] += 0.3
        self.titles = read_titles(self.species)
        self.encut = float(self.tags["ENCUT"]) * (0.5 if self.mode == "other-encut" else 1)
        self.mesh = [int(word) for word in Path("KPOINTS").read_text().splitlines()[3].split()]
        self.nelm = int(self.tags.get("NELM", 60))
        self.ediff = float(self.tags.get("EDIFF", 1e-4))
        self.steps = max(1, int(float(self.tags.get("NSW", 0))))
        self.dynamic = self.tags.get("IBRION") == "0"
        self.rng = np.random.default_rng(int(self.tags.get("RANDOM_SEED", "1").split()[0]))
        self.outcar, self.xml, self.oszicar, self.xdatcar = (
            Path(name).open("w") for name in ("OUTCAR", "vasprun.xml", "OSZICAR", "XDATCAR")  # noqa: SIM115
        )

    def say(self, text: str) -> None:
        print(text, flush=True)

    def main(self) -> int:
        if self.mode == "silent":
            for name in ("OUTCAR", "vasprun.xml", "OSZICAR", "XDATCAR"):
                Path(name).unlink()
            return 0
        self.say(" vasp.6.0.0-fake  running")
        self.head()
        if self.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "crash":
            print("forrtl: severe (174): SIGSEGV, segmentation fault occurred", file=sys.stderr, flush=True)
            return 1
        self.outcar.write(" number of electron     12.0000000 magnetization\n")
        self.outcar.flush()
        if self.mode == "zhegv" and self.tags.get("ALGO", "Normal").lower() != "all":
            self.say(" Error EDDDAV: Call to ZHEGV failed. Returncode = 7 2 8")
            return 1
        if self.mode == "symmetry":
            self.say(" inverse of rotation matrix was not found (increase SYMPREC)  3")
            return 1
        if self.mode == "tetrahedron":
            self.say(" Tetrahedron method fails for NKPT<4")
            return 1
        for step in range(1, self.steps + 1):
            if not self.ionic_step(step):
                break
        self.xml.write(structure_xml(self.atoms, "finalpos") + "</modeling>\n")
        self.outcar.write(" General timing and accounting informations for this job:\n\n Total CPU time used (sec): 1\n")
        for stream in (self.outcar, self.xml, self.oszicar, self.xdatcar):
            stream.close()
        if self.mode == "truncated":
            text = Path("vasprun.xml").read_text()
            Path("vasprun.xml").write_text(text[: text.index("<varray name=\"forces\" >") + 200])
        return 0

    def head(self) -> None:
        version = "vasp.6.0.0 fake build\n"
        potcars = "".join(f" POTCAR:    {title}\n" for title in self.titles)
        described = "".join(f"   VRHFIN ={title.split()[1].split('_')[0]}: fake\n   LEXCH  = PE\n   TITEL  = {title}\n"
                            for title in self.titles)
        self.outcar.write(
            f" {version}\n POSCAR: fake\n{potcars}{described}\n   ions per type = {' '.join(map(str, self.counts))}\n"
            f" NIONS = {len(self.atoms)}\n   NELM   = {self.nelm:6d};   NELMIN=  2; NELMDL= -5     # of ELM steps\n"
            "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      8\n"
            "   total plane-waves  NPLWV =  13824\n"
            f"   NELECT =      {8 * len(self.atoms):.4f}    total number of electrons\n"
            f"   ENCUT  = {self.encut:6.1f} eV\n   IBRION = {self.tags.get('IBRION', '-1'):>6s}    ionic relax\n"
            f"   ISIF   = {self.tags.get('ISIF', '2')}\n"
        )
        self.outcar.flush()
        incar = "".join(incar_xml(name, value) for name, value in self.tags.items())
        atoms = "".join(f"    <rc><c>{symbol:2s}</c><c>{1 + self.species.index(symbol):4d}</c></rc>\n"
                        for symbol in self.atoms.get_chemical_symbols())
        kinds = "".join(
            f"    <rc><c>{count:4d}</c><c>{one:2s}</c><c>  10.00000000</c><c>   1.00000000</c><c>  {title:40s}</c></rc>\n"
            for one, count, title in zip(self.species, self.counts, self.titles, strict=True)
        )
        self.xml.write(
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n'
            '  <i name="program" type="string">vasp </i>\n  <i name="version" type="string">6.0.0  </i>\n </generator>\n'
            f" <incar>\n{incar} </incar>\n"
            ' <kpoints>\n  <generation param="Gamma">\n'
            f'   <v type="int" name="divisions">{" ".join(map(str, self.mesh))}</v>\n'
            '   <v name="usershift">0.0 0.0 0.0</v>\n  </generation>\n'
            '  <varray name="kpointlist" >\n   <v>0.0 0.0 0.0</v>\n  </varray>\n'
            '  <varray name="weights" >\n   <v>1.0</v>\n  </varray>\n </kpoints>\n'
            ' <parameters>\n  <separator name="electronic" >\n'
            f'   <i type="int" name="NELM">{self.nelm:6d}</i>\n   <i name="ENMAX">{self.encut:16.8f}</i>\n'
            f'   <i name="NELECT">{len(self.atoms):16.8f}</i>\n'
            f'   <i name="EDIFF">{self.ediff:16.8E}</i>\n   <i type="int" name="ISPIN">1</i>\n'
            f'   <i type="int" name="NSW">{self.tags.get("NSW", "0")}</i>\n'
            f'   <i type="int" name="IBRION">{self.tags.get("IBRION", "-1")}</i>\n  </separator>\n </parameters>\n'
            f" <atominfo>\n  <atoms>{len(self.atoms):8d} </atoms>\n  <types>{len(self.species):8d} </types>\n"
            '  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n   <field type="string">element</field>\n'
            f'   <field type="int">atomtype</field>\n   <set>\n{atoms}   </set>\n  </array>\n'
            '  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n   <field type="int">atomspertype</field>\n'
            '   <field type="string">element</field>\n   <field>mass</field>\n   <field>valence</field>\n'
            f'   <field type="string">pseudopotential</field>\n   <set>\n{kinds}   </set>\n  </array>\n </atominfo>\n'
            + structure_xml(self.atoms, "initialpos")
        )
        self.xdatcar.write(f"fake\n           1\n{cell_rows(self.atoms)}{' '.join(self.species)}\n"
                           f"{' '.join(map(str, self.counts))}\n")

    def stopcar(self, word: str) -> bool:
        if self.mode == "deaf":
            return False
        path = Path("STOPCAR")
        return path.is_file() and word in path.read_text().upper()

    def cycles(self, step: int, energy: float) -> tuple[list[float], bool]:
        """Return the energies of the electronic steps, and whether STOPCAR has broken them off."""
        slow = self.mode == "sloshing" and self.tags.get("ALGO", "Normal").lower() != "all"
        never = slow or self.mode == "unconverged" or (self.mode == "unconverged-at" and step == self.number)
        energies: list[float] = []
        while len(energies) < self.nelm:
            error = 5.0 * np.exp(-1.5 * len(energies))
            energies.append(energy + (0.1 * (-1) ** len(energies) if never else error))
            if self.mode in ("hang", "deaf"):
                time.sleep(0.05)
                energies[-1] = energy + 1.0 / len(energies)
                energies = energies[-5:]
                self.outcar.write("      LOOP:  cpu time    0.0500: real time    0.0500\n")
                self.outcar.flush()
                if self.stopcar("LABORT"):
                    return energies, True
            elif not never and len(energies) >= 4 and abs(energies[-1] - energies[-2]) < self.ediff:
                break
        return energies, False

    def ionic_step(self, step: int) -> bool:
        energy, forces, stress = mock_energy(self.atoms)
        energies, aborted = self.cycles(step, energy)
        if self.mode in ("kill-at", "torn-contcar") and step == self.number + 1:
            self.xml.write(" <calculation>\n  <scstep>\n   <ener")
            self.xml.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if aborted:
            self.outcar.write(" hard stop encountered!  aborting job ...\n")
        self.write_step(step, energy, energies, forces, stress)
        if self.dynamic:
            self.move(step, forces)
        self.write_contcar(step)
        for stream in (self.outcar, self.xml, self.oszicar, self.xdatcar):
            stream.flush()
        if self.mode == "slow":
            time.sleep(self.number)
        if self.stopcar("LSTOP"):
            self.outcar.write(" soft stop encountered!  aborting job ...\n")
            return False
        return not aborted

    def write_step(self, step, energy, energies, forces, stress) -> None:
        self.xml.write(" <calculation>\n")
        for number, value in enumerate(energies, start=1):
            self.outcar.write(f"----- Iteration {step:6d}({number:4d})  -----\n")
            self.xml.write(
                f'  <scstep>\n   <time name="total">    0.01    0.01</time>\n   <energy>\n    <i name="e_fr_energy">{value:16.8f} </i>\n'
                f'    <i name="e_wo_entrp">{value:16.8f} </i>\n    <i name="e_0_energy">{value:16.8f} </i>\n   </energy>\n  </scstep>\n'
            )
            change = value - (energies[number - 2] if number > 1 else 0.0)
            self.oszicar.write(f"DAV: {number:3d}    {value:19.12E}   {change:12.5E}  {change:12.5E}   100   0.1E+01\n")
        reached = "EDIFF is reached" if len(energies) < self.nelm else "EDIFF was not reached (unconverged)"
        pressure = -stress * EV_A3_IN_KB  # VASP: positive where the cell wants to expand
        voigt = [pressure[0, 0], pressure[1, 1], pressure[2, 2], pressure[0, 1], pressure[1, 2], pressure[2, 0]]
        rows = "".join(
            f" {' '.join(f'{x:12.5f}' for x in position)}    {' '.join(f'{x:13.6f}' for x in force)}\n"
            for position, force in zip(self.atoms.positions, forces, strict=True)
        )
        stress_table = (
            "  FORCE on cell =-STRESS in cart. coord.  units (eV):\n" + "  -\n" * 13
            + "  in kB  " + " ".join(f"{x:11.5f}" for x in voigt)
            + f"\n  external pressure = {np.trace(pressure) / 3:11.2f} kB  Pullay stress =        0.00 kB\n"
        )
        self.outcar.write(
            f"----------------------- aborting loop because {reached} ------------------\n"
            + ("" if self.mode == "no-stress" else stress_table)
            + " VOLUME and BASIS-vectors are now :\n --\n  energy-cutoff  :      600.00\n"
            f"  volume of cell :     {self.atoms.get_volume():.2f}\n      direct lattice vectors        reciprocal lattice vectors\n"
            + "".join(f"   {' '.join(f'{x:13.9f}' for x in row)}    0.0 0.0 0.0\n" for row in self.atoms.cell.array)
            + " POSITION                                       TOTAL-FORCE (eV/Angst)\n ---\n" + rows + " ---\n"
            f"  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ---\n  free  energy   TOTEN  = {energy:18.8f} eV\n\n"
            f"  energy  without entropy= {energy:16.8f}  energy(sigma->0) = {energy:16.8f}\n"
            "     LOOP+:  cpu time    0.0100: real time    0.0100\n"
        )
        number = "*************" if self.mode == "nan" else None
        force_rows = "".join(
            "   <v>" + " ".join(number or f"{x:16.8f}" for x in force) + " </v>\n" for force in forces
        )
        stress_rows = "".join("   <v>" + " ".join(f"{x:16.8f}" for x in row) + " </v>\n" for row in pressure)
        self.xml.write(
            structure_xml(self.atoms, "") + f'  <varray name="forces" >\n{force_rows}  </varray>\n'
            + ("" if self.mode == "no-stress" else f'  <varray name="stress" >\n{stress_rows}  </varray>\n')
            + f'  <energy>\n   <i name="e_fr_energy">{energy:16.8f} </i>\n   <i name="e_wo_entrp">{energy:16.8f} </i>\n'
            f'   <i name="e_0_energy">{energy:16.8f} </i>\n  </energy>\n </calculation>\n'
        )
        self.oszicar.write(f"   {step} F= {energy:.8E} E0= {energy:.8E}  d E ={0:.6E}\n")
        self.xdatcar.write(f"Direct configuration={step:6d}\n" + rows_of(self.atoms.get_scaled_positions(wrap=False), 8))

    def move(self, step: int, forces: np.ndarray) -> None:
        """Go one step with Langevin dynamics (or without thermostat)."""
        dt = float(self.tags["POTIM"])
        masses = self.atoms.get_masses()[:, None] * AMU_A2_FS2_IN_EV
        begin, end = float(self.tags["TEBEG"]), float(self.tags.get("TEEND", self.tags["TEBEG"]))
        target = begin + (end - begin) * step / self.steps
        if self.velocities is None:
            self.velocities = np.sqrt(BOLTZMANN * target / masses) * self.rng.normal(size=forces.shape)
        velocities = self.velocities + dt * forces / masses
        if self.tags.get("MDALGO") == str(LANGEVIN):
            gamma = float(self.tags["LANGEVIN_GAMMA"].split()[0]) / 1000
            keep = np.exp(-gamma * dt)
            noise = np.sqrt((1 - keep**2) * BOLTZMANN * target / masses) * self.rng.normal(size=forces.shape)
            velocities = keep * velocities + noise
        self.velocities = velocities
        self.atoms.positions += dt * velocities
        if self.tags.get("ISIF") == "3":
            volume = 1 + 1e-3 * np.sin(step)
            self.atoms.set_cell(self.atoms.cell.array * volume ** (1 / 3), scale_atoms=True)

    def write_contcar(self, step: int) -> None:
        text = (f"fake\n   1.00000000000000\n{cell_rows(self.atoms)}{' '.join(self.species)}\n"
                f"{' '.join(map(str, self.counts))}\nDirect\n{rows_of(self.atoms.get_scaled_positions(), 16)}\n")
        if self.velocities is not None:
            text += "".join(" ".join(f"{x:.8E}" for x in row) + "\n" for row in self.velocities)
        if self.mode == "torn-contcar" and step == self.number:
            text = text[: len(text) // 3]
        Path("CONTCAR").write_text(text)


def cell_rows(atoms) -> str:
    return rows_of(atoms.cell.array, 16)


def rows_of(array: np.ndarray, digits: int) -> str:
    return "".join("  " + " ".join(f"{x:.{digits}f}" for x in row) + "\n" for row in array)


def structure_xml(atoms, name: str) -> str:
    label = f' name="{name}"' if name else ""
    cell = "".join("    <v>" + " ".join(f"{x:16.8f}" for x in row) + " </v>\n" for row in atoms.cell.array)
    rows = "".join("   <v>" + " ".join(f"{x:16.8f}" for x in row) + " </v>\n"
                   for row in atoms.get_scaled_positions(wrap=True))
    return (f'  <structure{label} >\n   <crystal>\n    <varray name="basis" >\n{cell}    </varray>\n'
            f'    <i name="volume">{atoms.get_volume():16.8f} </i>\n   </crystal>\n'
            f'   <varray name="positions" >\n{rows}   </varray>\n  </structure>\n')


def incar_xml(name: str, value: str) -> str:
    if re.fullmatch(r"\.?(T|F|TRUE|FALSE)\.?", value, re.IGNORECASE):
        return f'  <i type="logical" name="{name}"> {"T" if "T" in value.upper() else "F"}  </i>\n'
    if re.fullmatch(r"[+-]?\d+", value):
        return f'  <i type="int" name="{name}">{value:>6s}</i>\n'
    try:
        return f'  <i name="{name}">{float(value):16.8f}</i>\n'
    except ValueError:
        return f'  <i type="string" name="{name}">{value}</i>\n'


def next_plan() -> list[str]:
    plan = os.environ.get("FAKE_VASP_PLAN")
    if not plan or not Path(plan).is_file():
        return ["ok"]
    first, *rest = [*Path(plan).read_text().splitlines(), ""]
    Path(plan).write_text("\n".join(rest[:-1]) + ("\n" if rest[:-1] else ""))
    return first.split() or ["ok"]


if __name__ == "__main__":
    raise SystemExit(Run(next_plan()).main())
