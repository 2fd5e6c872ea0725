"""Batch systems: Slurm, and PBS and LSF through the same seam.

The step's command is a thin launcher of this package that submits the tasks and waits. What exists was measured on a
real Slurm with dflow's debug mode: DispatcherExecutor with dpdispatcher 1.1.0 takes 34-36 s for a task of 0.1 s (it
polls every 30 s, and dflow passes no other interval), 66 s for 4 slices, computes a hopeless input four times, and
cannot merge slices; a launcher takes 5.5 s, and fails at once. PSI/J and submitit submit a job per task or pickle
functions, and neither finds the jobs of a killed driver again. So: a launcher, with one job array for each fan-out.
"""
