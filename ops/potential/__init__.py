"""Trained models as files: which file to use, and inference of energies, forces and virials."""
