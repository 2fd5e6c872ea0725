"""The DPA-SSE pipeline: configuration, workflow, engines, commands, report."""
