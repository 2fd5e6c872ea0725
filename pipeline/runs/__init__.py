"""Run folders: what is in them, who holds them, how far they are."""
