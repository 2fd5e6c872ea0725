"""The operations of the pipeline: plain typed functions, files in, files out; and their bridge to the workflow.

Every folder is a room, and imports go downwards only:

- ``exploration``, ``distillation``: concurrent learning, and the training of a student by a teacher
- ``audit``: checks of labelled data
- ``labelers``: CP2K, VASP, ASE, DeePMD-kit or a mock as a source of labels
- ``training``, ``md``, ``conductivity``: models, molecular dynamics, analysis
- ``potential``: a trained model as a folder, and its predictions
- ``data``: data sets of labelled frames
- ``structures``: cells, supercells, neighbour lists
- ``runtime``: how a function becomes a step of the workflow: OPs, task store, event log, inputs as text
- ``results``: the declared files that steps hand to each other
- ``core``: errors, files, seeds, settings, environment variables, other programs

The science does not know the workflow. Only ``runtime/task.py`` and the thin ``op.py`` of each room import dflow, and
nothing here imports :mod:`dpa_sse.pipeline`.
"""
