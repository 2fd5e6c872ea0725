"""The settings of any labeler: the union of all registered ones, discriminated by ``kind``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from dpa_sse.ops.labelers.registry import LABELERS, labeler_class
from dpa_sse.ops.labelers.settings import LabelerSettings

if TYPE_CHECKING:
    AnyLabelerSettings = LabelerSettings
else:
    _CLASSES = tuple(labeler_class(kind).settings_class for kind in LABELERS)
    AnyLabelerSettings = Annotated[Union[_CLASSES], Field(discriminator="kind")]  # noqa: UP007 - of a tuple
