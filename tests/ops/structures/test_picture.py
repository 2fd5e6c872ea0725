"""The picture of a cell in letters."""

from __future__ import annotations

import re

from dpa_sse.ops.structures.library import load_entry
from dpa_sse.ops.structures.picture import draw_text


def test_letters_are_elements_of_the_entry() -> None:
    """P lies above Cl in Li6PS5Cl: the rest of the word below must not make it a Pl."""
    lines = draw_text(load_entry("Li6PS5Cl"))[2:-1]
    words = {word for line in lines for word in re.findall("[A-Z][a-z]?", line)}
    assert words <= {"Li", "P", "S", "Cl"}
    assert {"Li", "P", "S"} <= words
