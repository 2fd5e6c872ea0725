"""Run all measurements, or those named: ``python -m bench [engine md_threads conductivity]``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def available() -> dict[str, Path]:
    """Return the scripts by name: files of this folder, and the scripts of its sub-folders as ``folder/name``."""
    scripts = [path for path in sorted(HERE.rglob("*.py")) if not path.name.startswith("_")]
    return {path.relative_to(HERE).with_suffix("").as_posix(): path for path in scripts}


def main() -> int:
    """Run the chosen scripts one after the other; 1 if one of them misses its bar."""
    known = available()
    wanted = sys.argv[1:] or list(known)
    chosen = [name for name in known if any(name == one or name.startswith(f"{one}/") for one in wanted)]
    if not chosen:
        print(f"no such measurement; known: {', '.join(known)}")
        return 2
    missed = []
    for name in chosen:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(known[name])], cwd=HERE.parent, check=False).returncode != 0:
            missed.append(name)
    print(f"{len(chosen) - len(missed)} passed, {len(missed)} failed" + (f": {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
