"""LAMMPS molecular dynamics with a Deep Potential, with monitors and restart files."""
