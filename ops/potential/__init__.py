"""Trained models as files: which file to use, and energies, forces and virials from it."""
