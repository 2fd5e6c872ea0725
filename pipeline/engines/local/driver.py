"""The process that lets dflow run the DAG: ``python -m dpa_sse.pipeline.engines.local.driver RUN BUILD``.

It is started, watched and stopped by :mod:`.engine`; its output is dflow's own and goes to a file.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from dpa_sse.ops.core.errors import PipelineError
from dpa_sse.ops.runtime import events
from dpa_sse.pipeline.runs.folder import Run


def invalidated(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Compare two plans.

    Returns
    -------
    changed : list of str
        Steps whose settings differ, and new ones.
    affected : list of str
        Those and all that depend on them, in the order of the DAG.
    """
    before = {node["name"]: node["settings"] for node in old}
    changed = [node["name"] for node in new if before.get(node["name"]) != node["settings"]]
    affected = set(changed)
    loops = {node["loop"] for node in new if node["name"] in affected and node["loop"]}
    for node in new:
        if affected.intersection(node["depends"]) or node["loop"] in loops:
            affected.add(node["name"])
            if node["loop"]:
                loops.add(node["loop"])
    return changed, [node["name"] for node in new if node["name"] in affected]


def announce_changes(run: Run, nodes: list[dict[str, Any]]) -> None:
    """Say what a changed configuration invalidates, before anything starts."""
    old = run.plan()
    if not old:
        return
    changed, affected = invalidated(old, nodes)
    if changed:
        kept = [node["name"] for node in nodes if node["name"] not in affected]
        events.emit("changed", "", "", changed=changed, again=affected, kept=kept)


def main() -> int:
    """Build the DAG, announce it, run it."""
    from dpa_sse.pipeline.engines.local import dflow_debug
    run, build = Run(Path(sys.argv[1])), sys.argv[2]
    shutil.rmtree(run.engine / "dflow", ignore_errors=True)
    module, _, function = build.partition(":")
    try:
        dflow_debug.configure(run.engine / "dflow", workers=int(os.environ["DPA_SSE_WORKERS"]))
        flow = getattr(importlib.import_module(module), function)(run)
    except PipelineError as error:
        events.emit("error", "", "", reason=str(error))
        return 2
    nodes = [dataclasses.asdict(node) for node in flow.nodes]
    announce_changes(run, nodes)
    run.write_plan(nodes)
    events.emit("planned", "", "")
    dflow_debug.follow_parent(int(os.environ["DPA_SSE_LOCK"]))
    flow.workflow.submit()
    if flow.workflow.query_status() == "Succeeded":
        return 0
    dflow_debug.wait_for_branches()
    return 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # all children have ended; tearing down the interpreter costs 0.2 s
