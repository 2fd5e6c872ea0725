"""Commands that bring a project to Argo Workflows: render, submit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

OUTSIDE_BYTES = 64 * 1024
"""Inputs whose text is longer go into the bucket, where that is possible."""


def render_config(config: Path, overrides: Sequence[str], out: Path | None, *, inputs_in_bucket: bool) -> int:
    """Write the workflow of a configuration as YAML, to a file or to standard output."""
    from ops.files import write_text
    from pipeline.config import load_checked
    from pipeline.engines.argo.limits import size
    from pipeline.engines.argo.render import render
    from pipeline.engines.argo.text import dump

    located = load_checked(config, overrides)
    made = render(located.project, located.base_dir, outside_bytes=OUTSIDE_BYTES if inputs_in_bucket else None)
    text = dump(made.workflow)
    for remark in made.remarks:
        print(remark, file=sys.stderr)
    for key, content in made.outside.items():
        print(f"before it runs, {len(content) // 1024} KiB must be in the bucket as {key} (dpa-sse submit does that)",
              file=sys.stderr)
    if out is None:
        sys.stdout.write(text)
        return 0
    write_text(out, text)
    print(
        f"{out}: {len(text) // 1024} KiB of YAML ({size(made.workflow) // 1024} KiB as an object). "
        f"Submit it with: argo submit -n {made.preset.namespace} {out}"
    )
    return 0
