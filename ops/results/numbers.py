"""Types of fields for numbers that may be absent: what is not finite is read and written as null."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator


def _finite(value: Any) -> Any:
    """Return None for a number, or numbers, that are not finite."""
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return None if any(isinstance(one, float) and not math.isfinite(one) for one in numbers) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
Interval = Annotated[tuple[float, float] | None, BeforeValidator(_finite)]
