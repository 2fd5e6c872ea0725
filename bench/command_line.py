"""Does the command line answer at once? Bars: 0.3 s of CPU time for ``--help``, 1.0 s for ``check`` of the quickstart.

    python bench/command_line.py [--rounds 5]

The best round counts: the machine may be busy. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BARS_S = {"--help": 0.3, "check configs/quickstart.yaml": 1.0}


def cpu_seconds(command: str) -> float:
    """Return the CPU time of one call of ``dpa-sse``, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "dpa_sse.pipeline", *command.split()], cwd=ROOT, stdout=subprocess.DEVNULL,
                   check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Measure; return 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    best = {command: min(cpu_seconds(command) for _ in range(rounds)) for command in BARS_S}
    passed = all(best[command] <= bar for command, bar in BARS_S.items())
    print(json.dumps({"cpu_s": best, "bars_s": BARS_S, "pass": passed}, indent=1))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
