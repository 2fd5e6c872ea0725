"""A platform that remembers which OP each step has."""

from __future__ import annotations

from typing import Any

from dpa_sse.ops.runtime.task import TaskOP
from dpa_sse.pipeline.engines.local.platform import LocalPlatform
from dpa_sse.pipeline.engines.platform import Resources, StepSpec


class RecordingPlatform(LocalPlatform):
    """Remembers the OPs of the steps."""

    def __init__(self) -> None:
        super().__init__(Resources(cores=2))
        self.ops: dict[str, type[TaskOP]] = {}

    def configure_template(self, template: Any, spec: StepSpec) -> None:
        self.ops[spec.name] = spec.op
