"""Labels with ABACUS: STRU written and output read with dpdata."""
