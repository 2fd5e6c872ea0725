"""Colours and basic style of all figures: colour-blind safe, readable in print."""

from __future__ import annotations

from typing import Any

# Okabe and Ito: distinguishable with every common colour blindness, and mostly as grey levels
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#000000", "#8A8F98"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
"""Colours of the curves of a figure, in order."""

BASE_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
}
"""matplotlib parameters that all figures share."""
