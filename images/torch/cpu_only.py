"""Makes PyTorch from PyPI start without its CUDA libraries, on a machine without GPU (needs gcc and binutils).

usage: cpu_only.py SITE_PACKAGES

PyPI has no CPU-only PyTorch; its wheel is linked against 2.7 GB of CUDA libraries. The loader requires each of them and
each of their functions, yet a process that sees no GPU never calls them. One small library that exports all these
names, and aborts when one is called, replaces those that are not installed. PyTorch itself, and thus every number that
it computes on a CPU, is the same as in the GPU image.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# cudart and cupti are called on CPUs too (how many devices?) and must be installed, as must nvshmem_host, which exports
# data; all other libraries with these prefixes are replaced.
LIBRARIES = ("libcu", "libnccl", "libnv")
FUNCTIONS = ("cublas", "cudnn", "cufft", "cuFile", "curand", "cusolver", "cusparse", "nccl", "nvrtc", "nvJitLink")
BODY = "#include <stdlib.h>\nvoid absent_on_cpu(void) { abort(); }\n"


def output(*command: str | Path) -> str:
    """Return what a program printed."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


def missing(folder: Path, packages: Path) -> set[str]:
    """Return the names of the CUDA libraries that the libraries of PyTorch need and that are not installed."""
    needed: set[str] = set()
    for library in folder.glob("*.so"):
        needed.update(re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "-d", library)))
    present = {path.name for path in packages.glob("nvidia/**/*.so*")}
    return {name for name in needed if name.startswith(LIBRARIES)} - present - {"libcuda.so.1"}  # the driver


def functions(folder: Path) -> set[str]:
    """Return the names of the functions of CUDA libraries that the libraries of PyTorch refer to."""
    names: set[str] = set()
    for library in folder.glob("*.so"):
        listed = output("nm", "-D", "-P", "--undefined-only", library)
        names.update(line.split()[0].partition("@")[0] for line in listed.splitlines())
    return {name for name in names if name.startswith(FUNCTIONS)}


def main() -> None:
    """Write the library and its names."""
    packages = Path(sys.argv[1])
    folder = packages / "torch" / "lib"
    stub = folder / "libabsent_on_cpu.so"
    names = sorted(functions(folder))
    text = BODY + "".join(f'void {name}(void) __attribute__((alias("absent_on_cpu")));\n' for name in names)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-fno-builtin", "-s", "-o", str(stub), "-x", "c", "-"],
        input=text, text=True, check=True,
    )
    libraries = sorted(missing(folder, packages))
    for name in libraries:
        (folder / name).symlink_to(stub.name)
    print(f"replaced: {', '.join(libraries)} ({len(names)} functions)")


if __name__ == "__main__":
    main()
