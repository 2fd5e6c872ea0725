"""Labelers: energies, forces and virials of cells, and short molecular dynamics with them."""
