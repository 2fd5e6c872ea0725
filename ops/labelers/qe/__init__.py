"""Labels with Quantum ESPRESSO: input written and output read by ASE."""
