"""Argo Workflows: the DAG as a workflow that the plain Argo client submits, and runs on a cluster."""
