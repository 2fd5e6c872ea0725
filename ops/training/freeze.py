"""Freezing of a checkpoint: TorchScript, or the AOTInductor package of a DPA-4, in a separate process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.errors import FatalError
from dpa_sse.ops.core.tools import cpp_compiler, run_tool

NO_COMPILER = (
    "DeePMD-kit compiles a DPA-4 when it freezes it, and there is no C++ compiler: install g++, or name one in CXX"
)


def freeze_checkpoint(checkpoint: Path, work: Path, branch: str | None = None) -> Path:
    """Freeze a checkpoint; return the file, whose suffix is that of its format.

    DeePMD-kit chooses the format: it compiles a DPA-4 to a package (.pt2) for the device of this process. That is done
    in a process of one thread: compiled for two, the forces of the package were wrong by a third of their size, while
    its energies were right (DeePMD-kit 3.2.0 with PyTorch 2.11, on a processor). The package runs with any number.

    Parameters
    ----------
    checkpoint : Path
    work : Path
        Receives ``frozen.pth``, or ``frozen.pt2`` and ``freeze.log``.
    branch : str, optional
        Of a multi-task model.

    Raises
    ------
    FatalError
        A DPA-4 cannot be compiled, or there is no file.
    """
    from deepmd.pt.entrypoints.freeze_pt2 import is_sezm_checkpoint

    compiled = is_sezm_checkpoint(str(checkpoint))
    frozen = (work / "frozen").with_suffix(".pt2" if compiled else ".pth")
    frozen.unlink(missing_ok=True)
    if not compiled:
        _freeze(checkpoint, frozen, branch)
    else:
        if cpp_compiler() is None:
            raise FatalError(NO_COMPILER)
        argv: list[str | Path] = [sys.executable, "-P", "-m", __name__, checkpoint.resolve(), frozen.resolve()]
        run_tool([*argv, *([branch] if branch else [])], work / "freeze.log", work, threads=1)
    if not frozen.is_file():
        raise FatalError(f"DeePMD-kit did not write {frozen.name}; see the log")
    return frozen


def _freeze(checkpoint: Path, frozen: Path, branch: str | None) -> None:
    from deepmd.pt.entrypoints.main import freeze

    freeze(model=str(checkpoint), output=str(frozen), head=branch)


def main(argv: Sequence[str]) -> int:
    """Freeze: checkpoint, file, branch of a multi-task model."""
    _freeze(Path(argv[1]), Path(argv[2]), argv[3] if len(argv) > 3 else None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
