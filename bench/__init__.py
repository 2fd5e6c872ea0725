"""Measurements of what the project promises of itself: ``make bench``."""
