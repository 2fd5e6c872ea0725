"""Configuration file: schema, loading with line numbers, checks."""
