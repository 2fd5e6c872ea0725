"""Gates: what a model must show before it is used.

Each gate is one module with a function ``measure(model, reference, structures, settings)`` and one entry of
``configs/gates/thresholds.yaml``, which holds all thresholds and protocols. A new gate also needs a line in the table
of ``registry.py``.
"""
