"""Argo Workflows: the DAG as a workflow for any Argo client, and its runs on a cluster."""
