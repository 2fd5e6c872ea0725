"""Commands that turn a project into an Argo workflow: render, submit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from dpa_sse.ops.core.exit_codes import DONE

OUTSIDE_BYTES = 64 * 1024
"""Longer inputs are put into the bucket, where that is possible."""


def render_config(
    config: Path, overrides: Sequence[str], out: Path | None, *, inputs_in_bucket: bool, stage: str | None,
    template: str | None,
) -> int:
    """Write the workflow of a configuration as YAML, to a file or to standard output."""
    from dpa_sse.ops.core.files import write_text
    from dpa_sse.pipeline.config import load_checked
    from dpa_sse.pipeline.engines.argo.limits import size
    from dpa_sse.pipeline.engines.argo.postprocess import as_template
    from dpa_sse.pipeline.engines.argo.yaml_text import dump
    from dpa_sse.pipeline.flows.render import render

    located = load_checked(config, overrides, runs_here=False)
    limit = OUTSIDE_BYTES if inputs_in_bucket else None
    made = render(located.project, located.base_dir, outside_bytes=limit, stage=stage)
    namespace = made.preset.namespace
    text = dump(as_template(made.workflow, template, namespace) if template else made.workflow)
    how = f"kubectl apply -f {out}" if template else f"argo submit -n {namespace} {out}"
    keys = [item["name"] for item in made.workflow["spec"].get("arguments", {}).get("parameters", [])]
    if keys and not template:
        how += "".join(f" -p {key}=KEY" for key in keys)
    for remark in made.remarks:
        print(remark, file=sys.stderr)
    for key, content in made.outside.items():
        print(f"upload {len(content) // 1024} KiB to the bucket as {key} before it runs (dpa-sse submit does this)",
              file=sys.stderr)
    if out is None:
        sys.stdout.write(text)
        return DONE
    write_text(out, text)
    print(
        f"{out}: {len(text) // 1024} KiB of YAML ({size(made.workflow) // 1024} KiB as an object). "
        f"Submit it with: {how}"
    )
    return DONE


def submit_config(
    config: Path, overrides: Sequence[str], runs_dir: Path | None, namespace: str | None, kubeconfig: Path | None
) -> int:
    """Upload the large inputs of a configuration, submit it as a workflow and create its local run folder."""
    from dpa_sse.ops.core.files import write_text
    from dpa_sse.pipeline.config import load_checked, resolved_yaml
    from dpa_sse.pipeline.config.registered import with_names
    from dpa_sse.pipeline.engines.argo.bucket import open_bucket
    from dpa_sse.pipeline.engines.argo.cluster import ArgoRun, Cluster
    from dpa_sse.pipeline.engines.argo.yaml_text import dump
    from dpa_sse.pipeline.flows.render import render
    from dpa_sse.pipeline.runs.folder import CONFIG, Run
    from dpa_sse.pipeline.runs.places import default_runs_folder
    from dpa_sse.pipeline.runs.provenance import provenance

    located = load_checked(config, overrides, runs_here=False)
    made = render(located.project, located.base_dir, outside_bytes=OUTSIDE_BYTES)
    for remark in made.remarks:
        print(remark, file=sys.stderr)
    cluster = Cluster(kubeconfig)
    space = namespace or made.preset.namespace
    if made.outside:
        bucket = open_bucket(cluster, space)
        for key, content in made.outside.items():
            if key not in bucket.names(key):
                print(f"uploading to the bucket: {key} ({len(content) // 1024} KiB)")
                bucket.put(key, content.encode())
    name = cluster.create(made.workflow, space)
    run = Run(((runs_dir or default_runs_folder()) / name).resolve())
    run.create()
    write_text(run.folder / CONFIG, resolved_yaml(with_names(located.project)))
    write_text(run.folder / "workflow.yaml", dump(made.workflow))
    made_by = f"dpa-sse submit {config.name}"
    provenance(located.project.seed, made_by, located.models).write(run.folder / "manifest.json")
    ArgoRun(name, space, run.folder).record()
    print(f"Submitted: {space}/{name}   Run folder: {run.folder}")
    print(f"Follow it: dpa-sse watch {name if runs_dir is None else run.folder}")
    print(f"User interface: {interface(made.preset.ui, space, name)}")
    return DONE


def interface(address: str, namespace: str, name: str) -> str:
    """Return the address of a workflow in Argo's user interface; if none is configured, also how to reach it."""
    path = f"/workflows/{namespace}/{name}"
    if address:
        return address.rstrip("/") + path
    return f"http://localhost:2746{path}   (after: kubectl -n {namespace} port-forward svc/argo-server 2746:2746)"
