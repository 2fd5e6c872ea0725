"""Exit codes by which a job says why it has no result."""

from __future__ import annotations

OUT_OF_MEMORY = 71
"""Exit code of a job in which the kernel has killed a program because the memory of the job was used up."""
NO_SPACE = 73
"""Exit code of a job that cannot write its results, since the file system is full or the quota is used up."""
HOPELESS = 2
"""Exit code of a job that would fail again: another version, or other inputs, than when it was submitted."""
