"""Run folders: their files, locks and progress."""
