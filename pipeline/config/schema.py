"""The whole configuration file as one immutable, consistent object."""

from __future__ import annotations

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from dpa_sse.pipeline.config.rules import broken_rules
from dpa_sse.pipeline.config.sections import ProjectSections
from dpa_sse.pipeline.config.targets import broken_targets, target_rules


class Project(ProjectSections):
    """One project: from structures to ionic conductivities."""

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Project:
        broken = [*broken_rules(self), *target_rules(self)]
        broken += broken_targets(self, otherwise_sound=not broken)
        if broken:
            text = "; ".join(f"{'.'.join(map(str, rule.path))}: {rule.message}" for rule in broken)
            raise PydanticCustomError("sections", "{text}", {"text": text, "rules": broken})
        return self
