"""What `plan` shows: the DAG with its task counts, and the inputs as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.files import write_text


def print_plan(name: str, nodes: list[dict[str, Any]], folder: Path) -> None:
    """Print the steps as a table."""
    from rich.console import Console
    from rich.table import Table

    made = Table(title=f"{name}: {len(nodes)} steps", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "step", "tasks", "what", "needs"):
        made.add_column(column, justify="right" if column == "tasks" else "left", overflow="fold")
    for node in nodes:
        tasks = f"{node['tasks']}" + (" per iteration" if node["loop"] else "")
        made.add_row(node["stage"], node["name"], tasks, node["title"], ", ".join(node["depends"]))
    console = Console(highlight=False)
    console.print(made)
    console.print(f"Inputs of every step, for reading: {folder}", markup=False)


def write_inputs(nodes: list[dict[str, Any]], folder: Path) -> None:
    """Write the settings of each step, and the native inputs that can be known before anything has run."""
    for number, node in enumerate(nodes, start=1):
        settings = json.loads(node["settings"])
        write_text(folder / f"{number:02d}-{node['name']}.json", json.dumps(settings, indent=1) + "\n")
