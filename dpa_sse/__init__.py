"""DPA-SSE: from structures to validated Deep Potentials and ionic conductivities of sulfide electrolytes.

The code is in the folders ``ops`` (the science) and ``pipeline`` (workflow, commands, report) of the repository, the
presets and structures in ``configs``; they are imported as ``dpa_sse.ops``, ``dpa_sse.pipeline`` and
``dpa_sse.configs`` through links in this folder, so that no top-level name of the installation is a common word.
"""

__version__ = "0.1.0"
