"""The bridge between plain functions and the workflow: what a step of dflow is, where its results are kept."""
