"""Readers of trajectories: files and folders in, chunks of frames out."""
