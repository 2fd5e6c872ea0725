"""The DPA-SSE pipeline: what runs, in which order, on which engine, and what the user sees."""
