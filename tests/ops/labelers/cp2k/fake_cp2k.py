#!/usr/bin/env python3
"""A program that behaves like CP2K on disk: it answers with stored outputs, or fails as FAKE_CP2K says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "data" / "cp2k"


def main() -> int:
    if "--version" in sys.argv:
        print(os.environ.get("FAKE_CP2K_VERSION", " CP2K version 2023.1"))
        return 0
    mode = os.environ.get("FAKE_CP2K", "ok").split(":")  # mode, or mode:first time only
    text = Path("run.inp").read_text()
    mark = Path(os.environ["FAKE_CP2K_MARK"]) if "FAKE_CP2K_MARK" in os.environ else None
    if mark is not None:
        if mark.exists():
            mode = ["ok"]
        mark.write_text("")
    if "RUN_TYPE MD" in text:
        return dynamics(mode[0])
    return single_point(mode[0])


def single_point(mode: str) -> int:
    output = (DATA / "xtb_LiCl.out").read_text()
    if mode in ("unconverged", "charges", "no_basis", "dft"):
        method = "xtb" if mode in ("unconverged", "charges") else "dft"
        output = (DATA / f"{method}_{'Li2S' if mode == 'dft' else mode}.out").read_text()
    if "FAKE_CP2K_OUTPUT" in os.environ:
        output = Path(os.environ["FAKE_CP2K_OUTPUT"]).read_text()
    if mode == "no_stress":
        output = re.sub(r"^ STRESS\|.*\n", "", output, flags=re.M)
    if mode == "no_forces":
        output = output.replace("ATOMIC FORCES in [a.u.]", "FORCES| Atomic forces [hartree/bohr]")
    if mode == "nan":
        output = re.sub(r"(STRESS\|      x) .*", r"\1 NaN NaN NaN", output)
    if mode == "truncated":
        output = output[: output.index("ATOMIC FORCES") + 300]
    if mode == "twice":
        output += output
    return ending(mode, output)


def ending(mode: str, output: str) -> int:
    if mode != "silent":
        with Path("run.out").open("a") as stream:  # CP2K appends
            stream.write(output)
    if mode in ("charges", "no_basis", "aborted"):
        print("MPI_ABORT was invoked on rank 0")
        return 1
    if mode == "silent":
        print("symbol lookup error: undefined symbol: dgemm_")
        return 127
    if mode in ("SIGSEGV", "SIGKILL", "SIGTERM"):
        os.kill(os.getpid(), getattr(signal, mode))
    if mode == "rank_killed":
        return 137
    if mode == "hang":
        time.sleep(600)
    return 0


def dynamics(mode: str) -> int:
    number = 1 if Path("from.restart").exists() else 0
    for path in (DATA / f"part.{number:03d}").iterdir():
        if mode != "no_restart" or "restart" not in path.name:
            shutil.copy(path, path.name)
    output = Path("run.out").read_text()
    Path("run.out").unlink()
    if mode == "MD_SIGKILL":  # in the middle of a step: files end anywhere
        for name, cut in (("run-pos-1.xyz", 40), ("run-1.cell", 20)):
            whole = Path(name).read_text()
            Path(name).write_text(whole[:-cut])
        Path("run-1.restart").write_text(Path("run-1.restart").read_text()[:1000])
        output = output[: output.rindex("ENERGY|")]
        ending("ok", output)
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "no_stress":
        output = re.sub(r"^ STRESS\|.*\n", "", output, flags=re.M)
    if mode == "unconverged":
        output = output.replace("SCF run converged", "SCF run NOT converged", 1)
    return ending(mode, output)


if __name__ == "__main__":
    sys.exit(main())
