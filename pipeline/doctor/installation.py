"""State of the installation: versions, GPU, programs, and what is missing for which purpose.

The science packages are not imported at module level: the doctor must still work if the installation is broken.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata, util
from pathlib import Path

from dpa_sse.ops.core.exit_codes import DONE, FAILED
from dpa_sse.pipeline.doctor.finding import ANSWER_MARK, NO_ANSWER, Finding, answer_in, last_line, probe

MIN_PYTHON = (3, 11)
MIN_MEMORY_GB = 6.0
MIN_DISK_GB = 5.0
PACKAGES = {
    "pydflow": "the workflow", "dpgen2": "selecting candidates", "deepmd-kit": "training and labels",
    "torch": "training and labels", "lammps": "molecular dynamics", "nvidia-cuda-runtime-cu12": "molecular dynamics",
    "chgnet": "labels without DFT", "sevenn": "labels without DFT", "custodian": "labels by VASP", "ase": "structures",
    "dpdata": "data sets",
    "h5py": "data sets", "gemmi": "reading CIF", "pymatgen": "partial occupancies", "spglib": "symmetry",
    "phonopy": "phonons", "MDAnalysis": "reading trajectories", "numba": "conductivity", "scipy": "conductivity",
    "numpy": "everything", "matplotlib": "figures", "jinja2": "report", "pydantic": "configuration",
    "pyyaml": "configuration", "typer": "command line", "rich": "command line", "psutil": "running tasks",
    "kubernetes": "Argo Workflows",
}
"""Distribution -> what it is for; all of them are part of the installation."""

_TORCH_PROBE = f"""
import json, torch
cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print("{ANSWER_MARK}" + json.dumps({{"version": torch.__version__, "cuda": torch.version.cuda, "cards": cards}}))
"""


def collect_findings(*, deep: bool = False) -> list[Finding]:
    """Check everything and return the findings; takes a few seconds, since torch and LAMMPS are started.

    With ``deep``, also run small calculations, which takes about a minute.
    """
    from dpa_sse.pipeline.doctor.batch import batch_systems
    from dpa_sse.pipeline.doctor.labelers import labelers, small_runs

    found = [*_python(), *_packages(), *_torch(), *_lammps(), *labelers(), *_programs(), *batch_systems(), *_machine()]
    return [*found, *small_runs(found)] if deep else found


def exit_code(findings: list[Finding]) -> int:
    """Return 1 if something that the quickstart needs is missing, else 0."""
    return FAILED if any(finding.status == "missing" for finding in findings) else DONE


def examine(*, as_json: bool = False, deep: bool = False) -> tuple[str, int]:
    """Check the installation; return the findings (a table, or JSON for programs) and the exit code."""
    findings = collect_findings(deep=deep)
    code = exit_code(findings)
    if as_json:
        return json.dumps({"ready": not code, "findings": [asdict(finding) for finding in findings]}, indent=1), code
    return findings_table(findings), code


def findings_table(findings: list[Finding]) -> str:
    """Return the findings as a table, with the conclusion below."""
    width = max(len(finding.name) for finding in findings)
    signs = {"ok": "ok      ", "missing": "MISSING ", "warning": "warning ", "optional": "-       "}
    lines: list[str] = []
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            lines += ["", group] if lines else [group]
        note = f"   ({finding.note})" if finding.note else ""
        lines.append(f"  {signs[finding.status]}{finding.name:<{width}}  {finding.value}{note}".rstrip())
    missing = [finding.name for finding in findings if finding.status == "missing"]
    verdict = f"Not ready for the quickstart: {', '.join(missing)}." if missing else "Ready for the quickstart."
    return "\n".join([*lines, "", verdict])


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    good = sys.version_info[:2] >= MIN_PYTHON
    wanted = ".".join(map(str, MIN_PYTHON))
    yield Finding("Python", "python", "ok" if good else "missing", f"{version} {sys.executable}",
                  "" if good else f"{wanted} or newer is required")
    spec = util.find_spec("dpa_sse")
    place = Path(spec.origin).resolve().parent if spec and spec.origin else None
    here = Path(__file__).resolve()
    ours = place is not None and here == (place / "pipeline" / "doctor" / here.name).resolve()
    yield Finding("Python", "package dpa_sse", "ok" if ours else "missing", str(place or "not found"),
                  "" if ours else "another copy of dpa_sse comes first on the path; start from a different folder")


def _packages() -> Iterator[Finding]:
    wanted = _requirements()
    for name, purpose in PACKAGES.items():
        version = _version(name)
        limit = wanted.get(name.lower(), "")
        if version is None:
            yield Finding("Packages", name, "missing", "not installed", f"for {purpose}; run `make setup`")
        elif limit and not _fits(version, limit):
            yield Finding("Packages", name, "warning", version, f"tested with {limit}; run `make setup`")
        else:
            yield Finding("Packages", name, "ok", version)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> dict[str, str]:
    """Return the version limits of the direct dependencies, from the checkout or from the installed package."""
    file = Path(__file__).resolve().parents[2] / "requirements.in"
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
    else:
        try:
            lines = metadata.requires("dpa-sse-pipeline") or []
        except metadata.PackageNotFoundError:
            return {}
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        return {}
    limits = {}
    for line in lines:
        try:
            requirement = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue
        limits[requirement.name.lower()] = str(requirement.specifier)
    return limits


def _fits(version: str, limit: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(limit).contains(version, prereleases=True)


_BUSY = "the machine may be too busy; try again"


def _torch() -> Iterator[Finding]:
    good, text = probe([sys.executable, "-c", _TORCH_PROBE])
    found = answer_in(text)
    if text == NO_ANSWER:
        yield Finding("Compute", "torch", "warning", NO_ANSWER, _BUSY)
        return
    if not good or not found:
        yield Finding("Compute", "torch", "missing", "does not start", last_line(text))
        return
    yield Finding("Compute", "torch", "ok", f"{found['version']}, CUDA {found['cuda'] or 'not built in'}")
    if found["cards"]:
        yield Finding("Compute", "GPU", "ok", ", ".join(found["cards"]))
    else:
        yield Finding("Compute", "GPU", "optional", "none visible", "needed for large models, not for the quickstart")


def _lammps() -> Iterator[Finding]:
    try:
        from dpa_sse.ops.core.errors import PipelineError
        from dpa_sse.ops.md.program import lammps_command
    except ImportError as error:
        yield Finding("Compute", "LAMMPS", "missing", "not checked", f"the package dpa_sse cannot be imported: {error}")
        return
    try:
        argv, environment = lammps_command()
    except PipelineError as error:
        yield Finding("Compute", "LAMMPS", "missing", "not found", str(error))
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.styles").write_text("info styles pair\n", encoding="utf-8")
        good, text = probe([*argv, "-log", "none", "-in", "in.styles"], environment, folder)
    version = next((line[8:].rstrip(")") for line in text.splitlines() if line.startswith("LAMMPS (")), argv[0])
    if text == NO_ANSWER:
        yield Finding("Compute", "LAMMPS", "warning", NO_ANSWER, _BUSY)
    elif not good:
        yield Finding("Compute", "LAMMPS", "missing", "does not start", last_line(text))
    elif "deepmd" not in text.split():
        yield Finding("Compute", "LAMMPS", "missing", version, "pair_style deepmd is missing: the plug-in did not load")
    else:
        yield Finding("Compute", "LAMMPS", "ok", f"{version}, with pair_style deepmd")


def _programs() -> Iterator[Finding]:
    wanted = {
        "argo": (("argo",), "submitting to Argo Workflows"),
        "kubectl": (("kubectl",), "inspecting a cluster"),
        "docker": (("docker", "podman"), "building images"),
    }
    for name, (commands, purpose) in wanted.items():
        path = next((found for command in commands if (found := shutil.which(command))), None)
        if path:
            yield Finding("Programs", name, "ok", path)
        else:
            yield Finding("Programs", name, "optional", "not installed", f"only needed for {purpose}")


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("Machine", "cores", "ok", f"{cores} available to this process")
    memory = _memory_gb()
    if memory is not None:
        enough = memory >= MIN_MEMORY_GB
        yield Finding("Machine", "memory", "ok" if enough else "warning", f"{memory:.1f} GB",
                      "" if enough else f"less than {MIN_MEMORY_GB:g} GB: training may be killed")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    enough = free >= MIN_DISK_GB
    yield Finding("Machine", "disk", "ok" if enough else "warning", f"{free:.0f} GB free in {Path.cwd()}",
                  "" if enough else f"less than {MIN_DISK_GB:g} GB: a run may fill the disk")
    yield Finding("Machine", "system", "ok" if sys.platform == "linux" else "warning", platform.platform(),
                  "" if sys.platform == "linux" else "tested on Linux only")


def _memory_gb() -> float | None:
    """Return the memory of the machine, GB, or the limit of the container if that is smaller; None if unknown."""
    sizes = []
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return None
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(file).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            sizes.append(int(text))
    return min(sizes) / 1e9
