"""Concurrent learning: sanity MD, exploration with model deviation, choice of frames to label."""
