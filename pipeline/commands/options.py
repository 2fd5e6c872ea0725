"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

ConfigArgument = Annotated[Path, typer.Argument(help="Configuration file (YAML).", show_default=False)]
RunArgument = Annotated[
    str, typer.Argument(help="Run folder, its name in runs/, or argo:NAME for a workflow.", show_default=False)
]
AnyRunArgument = Annotated[
    str | None,
    typer.Argument(help="Run folder, its name in runs/, or argo:NAME; omit it to list the runs.", show_default=False),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", help="Kubernetes namespace (default: that of the run or preset).", show_default=False),
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Path to the kubeconfig file (default: $KUBECONFIG).",
                              show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Replace a value of the configuration, e.g. md.replicas=2."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, for programs.")]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", "--runs", help="Parent folder of the run folders (default: the nearest runs/, here or "
                 "in a folder above).", show_default=False),
]
On = Annotated[
    str | None,
    typer.Option("--on", metavar="SYSTEM", help="Where to run it: local, slurm, pbs or lsf (default: as the section "
                 "`engine` of the configuration says).", show_default=False),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="TARGET", help="Only this target of a project with many (repeatable). The report is "
                 "then about it alone; results of the others are kept for the next run of all.", show_default=False),
]
OnlyShown = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="TARGET", help="Only the tasks of this target of a project with many (repeatable)."),
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Drive the run in the background; `watch` follows it, `stop` ends it.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")]

RENAMED_OPTIONS = {
    "--at-K": "--extrapolate-to-K", "--hop-A": "--hop-distance-A", "--displace-A": "--displacement-A",
    "--number": "--parameter",
}
"""Options of earlier versions, and their present names."""


def on_system(overrides: list[str] | None, on: str | None, only: list[str] | None = None) -> list[str]:
    """Return the values from the command line, with the engine of `--on` and the targets of `--only`."""
    found = [*(overrides or []), *([f"engine.on={on}"] if on is not None else [])]
    return [*found, *([f"only={json.dumps(only)}"] if only else [])]


def renamed_options(arguments: list[str]) -> list[str]:
    """Return a message for each argument that is an option of an earlier version."""
    given = [argument.partition("=")[0] for argument in arguments]
    return [f"{name} was renamed to {RENAMED_OPTIONS[name]}" for name in given if name in RENAMED_OPTIONS]


def examples(*lines: str) -> str:
    """Return the examples at the end of a help text, one line each."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
