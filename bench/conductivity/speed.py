"""Time and memory of the analysis: 20,000 frames of 1350 atoms, reading text, and growth with frames and atoms."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _input

MAX_CPU_S, MAX_MB, MAX_TEXT_CPU_S, MAX_GROWTH = 1.5, 600.0, 10.0, 13.0


def measure(path: Path) -> dict[str, float]:
    """Return CPU seconds and memory above the imports for all numbers with errors, in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "child", str(path)], capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout.splitlines()[-1])


def child(path: Path) -> None:
    """Analyse a warm-up run, then the real one; print what the real one took."""
    from dpa_sse.ops.conductivity.analyse import analyse
    from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions

    settings = ConductivitySettings(figures=False)
    options = SourceOptions(temperature_K=600.0, timestep_fs=_input.TIMESTEP_FS)
    analyse([path.with_name(f"warm{path.suffix}")], settings, options)
    before, start = peak_mb(), time.process_time()
    run = analyse([path], settings, options).result.runs[0]
    cpu = time.process_time() - start
    memory = peak_mb() - before
    low, high = run.D_ci95_cm2_s or (0, 0)
    right = low < _input.TRUE_D_CM2_S < high
    print(json.dumps({"cpu_s": cpu, "mb": memory, "right": right, "verdict": run.verdict}))


def peak_mb() -> float:
    """Return the peak memory of this process (not ru_maxrss, which starts at that of the parent)."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def ase_seconds(path: Path, frames: int) -> float:
    """Return CPU seconds of ASE's reader for ``frames`` frames, scaled up from a shorter file."""
    from ase.io import read

    start = time.process_time()
    count = len(read(path, index=":", format="lammps-dump-text"))
    return (time.process_time() - start) * frames / count


def main() -> int:
    """Print one JSON object; return 1 if a bar is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _input.write_npz(folder / "warm.npz", 1500, 20, 20)
        _input.write_text(folder / "warm.npz", folder / "warm.lammpstrj", 1500)
        big = _input.write_npz(folder / "big.npz", 20_000, 500, 850)
        result: dict = {"20000 x 1350, npz": measure(big)}
        text = _input.write_text(big, folder / "big.lammpstrj", 20_000)
        result["20000 x 1350, text"] = measure(text)
        short = _input.write_text(big, folder / "short.lammpstrj", 2000)
        result["reading the text, ASE, cpu_s"] = ase_seconds(short, 20_000)
        text.unlink()
        result["20000 x 135"] = measure(_input.write_npz(folder / "few.npz", 20_000, 50, 85))
        big.unlink()
        result["100000 x 30"] = measure(_input.write_npz(folder / "long.npz", 100_000, 15, 15))
        result["1000000 x 30"] = measure(_input.write_npz(folder / "longer.npz", 1_000_000, 15, 15))
    measured = ("20000 x 1350, npz", "20000 x 1350, text", "20000 x 135", "100000 x 30", "1000000 x 30")
    npz, text_run = (result[name] for name in measured[:2])
    growth = {
        "ten times the atoms": npz["cpu_s"] / result["20000 x 135"]["cpu_s"],
        "ten times the frames": result["1000000 x 30"]["cpu_s"] / result["100000 x 30"]["cpu_s"],
    }
    result["growth of the cpu time"] = growth
    bars = {
        "cpu <= 1.5 s": npz["cpu_s"] <= MAX_CPU_S, "memory <= 600 MB": npz["mb"] <= MAX_MB,
        "text <= 10 s": text_run["cpu_s"] - npz["cpu_s"] <= MAX_TEXT_CPU_S,
        "near linear": max(growth.values()) <= MAX_GROWTH,
    } | {f"{name}: the interval contains the true D": result[name]["right"] for name in measured}
    print(json.dumps({**result, "bars": bars}, indent=1))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]))
    else:
        sys.exit(main())
