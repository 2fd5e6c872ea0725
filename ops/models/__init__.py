"""Models one can find again: a registry of versions that never change, each with its card."""
