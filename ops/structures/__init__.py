"""Cells: the library of electrolytes, site disorder, supercells, perturbation."""
