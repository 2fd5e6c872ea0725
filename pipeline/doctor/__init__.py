"""``dpa-sse doctor``: what this installation can do."""
