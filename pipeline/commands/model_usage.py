"""How to use the student elsewhere: files next to it for LAMMPS and ASE, which run as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.md.data_file import atomic_masses
from dpa_sse.ops.potential.folder import model_file
from dpa_sse.ops.results.model import ModelInfo
from dpa_sse.ops.results.self_check import SelfCheck

STUDENT = "student"
USAGE = "student_usage.md"
LAMMPS_INCLUDE = "student.lammps"
ASE_EXAMPLE = "student_ase.py"


def write_usage(models: Path, check: SelfCheck | None = None) -> None:
    """Write the files next to ``student`` in the folder of the models; without a student that can run, remove them.

    They hold no path of this machine, so that the folder can be copied (``cp -rL``).

    Parameters
    ----------
    models : Path
    check : SelfCheck, optional
        Of the production with the student.
    """
    folder = models / STUDENT
    texts: Mapping[str, str] = {}
    with suppress(PipelineError, OSError):
        info = ModelInfo.read(folder)
        texts = usage_texts(model_file(folder).name, info.type_map, info.deepmd_version, check)
    for name in (USAGE, LAMMPS_INCLUDE, ASE_EXAMPLE):
        path = models / name
        if name in texts:
            if not path.is_symlink():
                write_text(path, texts[name])
        elif models.is_dir() and not models.is_symlink():
            path.unlink(missing_ok=True)


def usage_texts(
    model: str, type_map: Sequence[str], version: str | None, check: SelfCheck | None = None
) -> dict[str, str]:
    """Return the files by name.

    Parameters
    ----------
    model : str
        Name of the model file in ``student/``.
    type_map : sequence of str
        Elements in the order of the types.
    version : str, optional
        Of DeePMD-kit.
    check : SelfCheck, optional
        What is said about the model where it was used.
    """
    lammps, ase = _lammps(model, type_map), _ase(model)
    program = f"DeePMD-kit {version}" if version else "DeePMD-kit"
    page = f"""# The student in other programs

The files expect to be run in this folder; `cp -rL` copies it with the models that it links to. The model was made by
{program}; programs with the same or a newer version read it. It is for the elements {", ".join(type_map)}; units are
eV, A and ps.

## Where it was checked

{_checked(check)}

## LAMMPS

With the DeePMD-kit plug-in (`pip install "deepmd-kit[torch,lmp]"`, or conda). After the cell is defined (`read_data`,
with atom types in this order), `include {LAMMPS_INCLUDE}`; from elsewhere, start
`lmp -var student /path/to/{model} -in my.in`:

```lammps
{lammps.rstrip()}
```

`tasks/07-md/*/in.lammps` and `cell.data` of the run are complete inputs.

## ASE

`{ASE_EXAMPLE}` prints energy and pressure of a structure:

```python
{ase.rstrip()}
```
"""
    return {USAGE: page, LAMMPS_INCLUDE: lammps, ASE_EXAMPLE: ase}


def _checked(check: SelfCheck | None) -> str:
    if check is None or not check.systems:
        return "Its molecular dynamics was not compared with the labeler."
    return "\n".join(
        f"- {system.system}: {system.verdict} in its own molecular dynamics"
        + (f" ({'; '.join(system.reasons)})" if system.reasons else "")
        for system in check.systems
    )


def _lammps(model: str, type_map: Sequence[str]) -> str:
    masses = "\n".join(
        f"mass {number} {mass:.6g}  # {element}"
        for number, (element, mass) in enumerate(zip(type_map, atomic_masses(type_map), strict=True), 1)
    )
    return f"""# units metal, atom_style atomic; atom types: {", ".join(f"{n} {e}" for n, e in enumerate(type_map, 1))}
variable student index {STUDENT}/{model}
{masses}
pair_style deepmd ${{student}}
pair_coeff * * {" ".join(type_map)}
neighbor 1.0 bin
neigh_modify every 1 delay 0 check yes
"""


def _ase(model: str) -> str:
    return f"""import sys

from ase.io import read
from deepmd.calculator import DP

atoms = read(sys.argv[1])  # CIF, POSCAR, extxyz, ...
atoms.calc = DP("{STUDENT}/{model}")
print(f"{{atoms.get_potential_energy():.6f}} eV, {{-atoms.get_stress()[:3].mean() / 0.00624151:.4f}} GPa")
"""
