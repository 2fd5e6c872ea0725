"""Figures of the conductivity analysis."""
