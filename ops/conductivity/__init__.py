"""Ionic conductivity from trajectories, with error bars that can be trusted."""
