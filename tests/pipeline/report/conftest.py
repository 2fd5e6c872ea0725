"""Make the builder of synthetic results importable by the tests of this folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("report_inputs", Path(__file__).with_name("report_inputs.py"))
assert spec is not None and spec.loader is not None
sys.modules["report_inputs"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["report_inputs"])
