"""Exit codes of all commands; scripts that call ``dpa-sse`` rely on them."""

from __future__ import annotations

DONE = 0
FAILED = 1
"""A task, a program or this machine failed; running the same command again may help."""
BAD_INPUT = 2
"""The input is wrong: nothing was computed, and trying again is pointless."""
REFUSED = 3
"""The input was read, but the result is not usable: nothing is diffusive, or the data fail the audit."""
INTERRUPTED = 130
"""Ended by Ctrl-C, as in a shell."""
