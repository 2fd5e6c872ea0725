"""The configuration file: its schema, reading it with line numbers, checking what it refers to."""

from __future__ import annotations

from dpa_sse.pipeline.config.check import check_project, load_checked
from dpa_sse.pipeline.config.load import Located, load_located, load_project, resolved_yaml
from dpa_sse.pipeline.config.problems import ConfigError, Problem
from dpa_sse.pipeline.config.schema import Project

__all__ = [
    "ConfigError", "Located", "Problem", "Project", "check_project", "load_checked", "load_located", "load_project",
    "resolved_yaml",
]
