"""Labels and molecular dynamics by VASP, run through custodian, read by pymatgen."""
