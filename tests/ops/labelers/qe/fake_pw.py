#!/usr/bin/env python3
"""A program that behaves like pw.x on disk: it prints stored outputs, or fails as FAKE_PW says."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "data" / "qe"


def main() -> int:
    mode = os.environ.get("FAKE_PW", "ok")
    assert Path(sys.argv[sys.argv.index("-in") + 1]).is_file()
    Path("out").mkdir()
    Path("out/pw.xml").write_text("large")
    text = (DATA / ("unconverged.out" if mode == "unconverged" else "Si.out")).read_text()
    changes = {
        "truncated": lambda: text[: text.index("Forces acting") + 200],
        "no_stress": lambda: text.replace("total   stress", "hidden stress"),
        "no_forces": lambda: text.replace("Forces acting on atoms", "hidden"),
        "nan": lambda: re.sub(r"(!\s+total energy\s+=\s+)\S+", r"\1NaN", text),
        "asterisks": lambda: text.replace("total   stress  (Ry/bohr**3)", "total   stress  (Ry/bohr**3)\n ****** 0 0"),
        "other_functional": lambda: text.replace("Exchange-correlation= PBE", "Exchange-correlation= PBESOL"),
        "other_cell": lambda: text.replace("celldm(1)=   7.328331", "celldm(1)=   7.428331"),
        "max_seconds": lambda: text[: text.index("     End of self")] + "     Maximum CPU time exceeded\n JOB DONE.\n",
        "error": lambda: text[: text.index("     Current dim")] + (
            " " + "%" * 78 + "\n     Error in routine  readpp (2):\n     file Si.UPF not found\n " + "%" * 78 + "\n"),
        "silent": lambda: "",
    }
    sys.stdout.write(changes[mode]() if mode in changes else text)
    sys.stdout.flush()
    if mode == "hang":
        time.sleep(600)
    if mode in ("SIGSEGV", "SIGKILL", "SIGTERM"):
        os.kill(os.getpid(), getattr(signal, mode))
    return {"unconverged": 2, "error": 1, "rank_killed": 137, "max_seconds": 255, "silent": 127}.get(mode, 0)


if __name__ == "__main__":
    sys.exit(main())
