"""What the doctor says about the programs that make labels, and the small runs of ``doctor --deep``."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dpa_sse.pipeline.doctor.finding import Finding, Status, answer_in, last_line, probe


def labelers() -> Iterator[Finding]:
    """Yield findings on DeePMD-kit's program, and on the programs of all labelers."""
    beside = Path(sys.executable).parent
    path = shutil.which("dp", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")]))
    yield Finding("Programs", "dp", "ok" if path else "warning", path or "not found",
                  "" if path else "comes with deepmd-kit; run `make setup`")
    try:
        from dpa_sse.ops.labelers.registry import program_findings
    except ImportError as error:
        yield Finding("Programs", "labelers", "warning", "not checked", f"our own package cannot be imported: {error}")
        return
    for one in program_findings():
        yield Finding("Programs", one.name, one.status, one.value, one.note)


def small_runs(findings: list[Finding]) -> Iterator[Finding]:
    """Run a small calculation with every program that was found, and yield the results."""
    found = {one.name: one for one in findings}
    for name, title, needs in (
        ("lammps", "LAMMPS + model", ("LAMMPS",)), ("chgnet", "CHGNet label", ("chgnet",)),
        ("cp2k", "CP2K label", ("CP2K", "CP2K data")), ("vasp", "VASP label", ("VASP", "POTCAR library")),
    ):
        absent = [one for one in needs if one not in found or found[one].status not in {"ok", "warning"}]
        absent += [one for one in needs if one in found and found[one].value in {"does not work", "not found"}]
        if absent:
            yield Finding("Small runs", title, "optional", "not tried", f"{absent[0]} was not found")
            continue
        good, text = probe([sys.executable, "-m", "dpa_sse.pipeline.doctor.deep", name])
        answer = answer_in(text)
        if good and answer:
            yield Finding("Small runs", title, "ok", answer["value"])
        else:
            bad: Status = "missing" if name == "lammps" else "warning"
            yield Finding("Small runs", title, bad, "failed", answer["value"] if answer else last_line(text))
