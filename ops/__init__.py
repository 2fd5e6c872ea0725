"""The science of the pipeline: plain typed functions, files in, files out.

Nothing in this package knows the workflow; nothing here imports :mod:`pipeline`.
"""
