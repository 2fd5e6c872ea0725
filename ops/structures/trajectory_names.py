"""Names of the trajectories that start from perturbed cells."""

from __future__ import annotations

import re


def trajectory_name(system: str, arrangement: int | None, index: int) -> str:
    """Return ``Li2S.p003``, or ``Li6PS5Br.a1.p003`` where a system has several arrangements."""
    return f"{system}.p{index:03d}" if arrangement is None else f"{system}.a{arrangement}.p{index:03d}"


def arrangement_of(trajectory: str) -> int | None:
    """Return the arrangement in a name made by :func:`trajectory_name`, None if it names none."""
    found = re.search(r"\.a(\d{1,3})\.p\d{3,}$", trajectory)
    return int(found[1]) if found else None
