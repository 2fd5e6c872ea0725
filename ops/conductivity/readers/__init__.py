"""Readers of trajectories: what the user names in, chunks of frames out."""
