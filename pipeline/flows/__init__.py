"""The DAG: one file per group of stages; wiring only."""
