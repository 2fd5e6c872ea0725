"""Self-checks for tests."""

from __future__ import annotations

from dpa_sse.ops.results.self_check import CheckBars, CheckedSystem, SelfCheck


def not_trusted(system: str, reason: str) -> SelfCheck:
    """Return a self-check of a single system that is not trusted."""
    checked = CheckedSystem(
        system=system, labels=4, errors=None, teacher=None, held_out_force_mae_meV_A=None, force_mae_ratio=None,
        verdict="not trusted", reasons=(reason,),
    )
    return SelfCheck(
        level=None, bars=CheckBars(max_energy_bias_meV_atom=5, max_pressure_error_GPa=0.2, max_force_mae_ratio=1.5),
        shifts=(), points=(), systems=(checked,), frames=(), failed=(), rounds=(), full=True, finished=True,
    )
