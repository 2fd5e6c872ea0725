"""The bridge between plain functions and the workflow: OPs of dflow, reuse of results, the event log."""
