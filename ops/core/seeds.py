"""Random seeds: each task derives its seed from that of the project."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *labels: str | int, bits: int = 31) -> int:
    """Return a reproducible positive seed for a task.

    Parameters
    ----------
    seed : int
        Seed of the project.
    *labels : str or int
        Identify the task, e.g. ``derive_seed(seed, "perturb", "Li2S", 3)``.
    bits : int
        The result is in ``1 .. 2**bits - 1`` (LAMMPS accepts 31 bits).

    Returns
    -------
    int
        Equal on all machines and Python versions.
    """
    text = "\x1f".join([str(seed), *map(str, labels)])
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**bits - 1) + 1
