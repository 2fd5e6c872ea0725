"""How long the commands that answer at once take: processor time, the least of five calls."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BARS_S = {("--help",): 0.3, ("check", str(ROOT / "configs" / "quickstart.yaml")): 1.0}


def cpu_seconds(*arguments: str) -> float:
    """Return the least processor time of five calls."""
    found = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "dpa_sse.pipeline", *arguments], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def main() -> int:
    """Print the times; 1 when one of them is above its bar."""
    kept = True
    for arguments, bar in BARS_S.items():
        seconds = cpu_seconds(*arguments)
        kept &= seconds <= bar
        print(f"dpa-sse {' '.join(Path(word).name for word in arguments)}: {seconds:.2f} s (at most {bar:g})")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
