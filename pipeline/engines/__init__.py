"""Where the DAG runs."""
