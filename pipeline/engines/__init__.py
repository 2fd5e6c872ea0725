"""Engines that run the DAG: the local machine, Argo Workflows."""
