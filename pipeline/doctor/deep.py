"""Small calculations with the installed programs: ``dpa-sse doctor --deep``.

Each one runs in a separate process (``python -m dpa_sse.pipeline.doctor.deep NAME``) and prints one line of JSON: a
program that crashes, hangs or prints a lot must not affect the doctor.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.environment import THREADS
from dpa_sse.pipeline.doctor.finding import answer_line

if TYPE_CHECKING:
    from ase import Atoms

SAME_EV = 1e-6
TINY_NETWORK: dict[str, Any] = {
    "type_map": ["Li", "Cl"],
    "descriptor": {
        "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [20, 20], "neuron": [4, 8], "axis_neuron": 2,
        "seed": 1,
    },
    "fitting_net": {"neuron": [8, 8], "seed": 1},
}
LAMMPS_INPUT = """units metal
atom_style atomic
read_data cell.data
pair_style deepmd tiny.pth
pair_coeff * * Li Cl
mass 1 6.94
mass 2 35.45
thermo_modify format float %.10f
run 0
variable energy equal pe
print "ENERGY ${energy}"
"""


def probe_lammps(folder: Path) -> str:
    """Run LAMMPS with an untrained DeePMD model; the energy must agree with that of DeePMD-kit in Python."""
    import torch
    from ase.io import write
    from deepmd.infer import DeepPot
    from deepmd.pt.model.model import get_model

    from dpa_sse.ops.core.tools import run_tool
    from dpa_sse.ops.md.program import lammps_command

    atoms = rock_salt()
    model = get_model(TINY_NETWORK).to(torch.float64).eval()
    torch.jit.save(torch.jit.script(model), str(folder / "tiny.pth"), {"data_modifier.pth": ""})
    write(folder / "cell.data", atoms, format="lammps-data", specorder=["Li", "Cl"], masses=False)
    (folder / "in.lammps").write_text(LAMMPS_INPUT, encoding="utf-8")
    argv, environment = lammps_command()
    run_tool([*argv, "-log", "none", "-in", "in.lammps"], folder / "out.log", folder, env=environment)
    lines = (folder / "out.log").read_text(encoding="utf-8").splitlines()
    energy = next(float(line.split()[1]) for line in lines if line.startswith("ENERGY"))
    types = [0 if symbol == "Li" else 1 for symbol in atoms.get_chemical_symbols()]
    expected = DeepPot(str(folder / "tiny.pth")).eval(atoms.positions[None], atoms.cell.array.reshape(1, 9), types)[0]
    difference = abs(energy - float(expected[0, 0]))
    if difference > SAME_EV:
        raise RuntimeError(f"LAMMPS and DeePMD-kit differ by {difference:.2g} eV for the same model")
    return f"{len(atoms)} atoms, the energy of DeePMD-kit within {max(difference, 1e-12):.0e} eV"


def probe_chgnet(folder: Path) -> str:
    """Label one cell with CHGNet."""
    return _label({"kind": "ase"}, folder)


def probe_cp2k(folder: Path) -> str:
    """Label one cell with CP2K and its tight-binding method."""
    return _label({"kind": "cp2k", "method": "gfn1-xtb"}, folder)


def probe_vasp(folder: Path) -> str:
    """Label one cell with VASP, with a small basis set."""
    return _label({"kind": "vasp", "encut_eV": 300.0, "kspacing": 1.0}, folder)


PROBES: dict[str, Callable[[Path], str]] = {
    "lammps": probe_lammps, "chgnet": probe_chgnet, "cp2k": probe_cp2k, "vasp": probe_vasp,
}


def rock_salt() -> Atoms:
    """Return a slightly displaced cubic cell of LiCl, 8 atoms."""
    import numpy as np
    from ase.build import bulk

    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.positions += np.random.default_rng(1).normal(size=(len(atoms), 3)) * 0.03
    return atoms


def _label(settings: dict[str, Any], folder: Path) -> str:
    """Return energy, largest force and pressure of one cell from a labeler."""
    import numpy as np

    from dpa_sse.ops.labelers.registry import make_labeler, parse_labeler

    atoms = rock_salt()
    (result,) = make_labeler(parse_labeler(settings)).label([atoms], folder)
    if result.atoms is None:
        raise RuntimeError(result.reason)
    largest = float(np.linalg.norm(result.atoms.get_forces(), axis=1).max())
    pressure = -float(result.atoms.get_stress()[:3].mean()) * 160.21766
    energy = float(result.atoms.get_potential_energy()) / len(atoms)
    return f"LiCl, {len(atoms)} atoms: {energy:.3f} eV/atom, largest force {largest:.2f} eV/A, {pressure:.1f} GPa"


def main(name: str) -> int:
    """Run one probe in a temporary folder; print its answer, or why it failed."""
    os.environ.setdefault(*THREADS.entry(1))
    with tempfile.TemporaryDirectory() as folder:
        try:
            answer = {"ok": True, "value": PROBES[name](Path(folder))}
        except Exception as error:  # any failure of a program or package is an answer
            lines = str(error).strip().splitlines()
            answer = {"ok": False, "value": lines[0] if lines else type(error).__name__}
    sys.stdout.write(f"\n{answer_line(answer)}\n")
    return 0 if answer["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
