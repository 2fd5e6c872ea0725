"""The command line: a command is a few lines; heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dpa_sse.pipeline.engines.argo.cluster import ArgoRun, Cluster

DONE, FAILED, BAD_INPUT, REFUSED = 0, 1, 2, 3

app = typer.Typer(
    name="dpa-sse",
    help="From structures to validated Deep Potentials and ionic conductivities of sulfide electrolytes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigArgument = Annotated[Path, typer.Argument(help="Configuration file (YAML).", show_default=False)]
RunArgument = Annotated[
    str, typer.Argument(help="Run folder, its name below runs/, or argo:NAME for a workflow.", show_default=False)
]
Namespace = Annotated[str | None, typer.Option("--namespace", help="Namespace of the cluster.", show_default=False)]
Kubeconfig = Annotated[Path | None, typer.Option("--kubeconfig", help="Instead of $KUBECONFIG.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Replace a value of the configuration."),
]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of the run folders.")]


def _on_cluster(name: str, namespace: str | None, kubeconfig: Path | None) -> tuple[ArgoRun, Cluster] | None:
    """Return the workflow that a user means and the way to it; None for a local run."""
    from dpa_sse.pipeline.engines.argo.cluster import Cluster, find_run

    found = find_run(name, namespace)
    return (found, Cluster(kubeconfig)) if found else None


def _version(wanted: bool) -> None:
    if wanted:
        from dpa_sse import __version__

        typer.echo(f"dpa-sse {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Do nothing before the command."""


@app.command()
def init(
    template: Annotated[str, typer.Argument(help="Name of a starter configuration.")] = "",
) -> None:
    """Print a starter configuration: init quickstart > my.yaml."""
    from dpa_sse.pipeline.commands.project import starter

    typer.echo(starter(template), nl=False)


@app.command()
def check(config: ConfigArgument, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check a configuration; all problems at once, nothing starts."""
    from dpa_sse.pipeline.commands.project import check_config

    raise typer.Exit(check_config(config, overrides or [], as_json=as_json))


@app.command()
def plan(
    config: ConfigArgument,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the written inputs.")] = None,
    as_json: Json = False,
) -> None:
    """Show the steps and task counts; write the inputs to read."""
    from dpa_sse.pipeline.commands.project import plan_config

    raise typer.Exit(plan_config(config, overrides or [], out, as_json=as_json))


@app.command()
def run(
    config: ConfigArgument,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
    name: Annotated[str | None, typer.Option("--name", help="Name of the run folder.")] = None,
) -> None:
    """Run a configuration, or go on with it, on this machine."""
    from dpa_sse.pipeline.commands.project import run_config

    raise typer.Exit(run_config(config, overrides or [], runs_dir, name))


@app.command()
def render(
    config: ConfigArgument,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; standard output by default.")] = None,
    inputs_in_bucket: Annotated[bool, typer.Option(help="Large inputs by their key in the bucket.")] = False,
    stage: Annotated[str | None, typer.Option(help="Only this stage: data, pretrain, finetune, ...")] = None,
    template: Annotated[str | None, typer.Option(help="Name of a WorkflowTemplate to write instead.")] = None,
) -> None:
    """Write the Argo workflow of a configuration: argo submit wf.yaml."""
    from dpa_sse.pipeline.commands.argo import render_config

    raise typer.Exit(render_config(
        config, overrides or [], out, inputs_in_bucket=inputs_in_bucket, stage=stage, template=template
    ))


@app.command()
def submit(
    config: ConfigArgument,
    overrides: Overrides = None,
    runs_dir: RunsDir = Path("runs"),
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a configuration on a cluster with Argo Workflows."""
    from dpa_sse.pipeline.commands.argo import submit_config

    raise typer.Exit(submit_config(config, overrides or [], runs_dir, namespace, kubeconfig))


@app.command()
def resume(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Go on with an interrupted, failed or waiting run."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.project import resume_run

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.resume(*there))

    raise typer.Exit(resume_run(run_name))


@app.command()
def status(
    run_name: RunArgument, as_json: Json = False, namespace: Namespace = None, kubeconfig: Kubeconfig = None
) -> None:
    """Show the stages of a run."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.monitor import show_status

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.show_status(*there, as_json=as_json))

    raise typer.Exit(show_status(run_name, as_json=as_json))


@app.command()
def watch(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Follow a run until it ends."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.monitor import watch_run

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.watch(*there))

    raise typer.Exit(watch_run(run_name))


@app.command()
def logs(
    run_name: RunArgument,
    task: Annotated[str | None, typer.Argument(help="Task, as `run` and `logs RUN` name it.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines of each file.")] = 30,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the logs of a task, or of all that failed (else the names of the tasks)."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.monitor import show_logs

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.show_logs(*there, task, lines))

    raise typer.Exit(show_logs(run_name, task, lines))


@app.command()
def stop(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Stop a run; `resume` goes on with it."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.monitor import stop_run

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.stop(*there))

    raise typer.Exit(stop_run(run_name))


@app.command()
def download(
    run_name: RunArgument,
    steps: Annotated[list[str] | None, typer.Argument(help="Steps or tasks; the main results by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run folder to fill; its own by default.")] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Bring results of a run on a cluster into its folder here."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.monitor import say_where

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.download_results(*there, steps or [], out))
    raise typer.Exit(say_where(run_name))


@app.command()
def report(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Write the report anew, of an unfinished run too."""
    from dpa_sse.pipeline.commands import argo_runs
    from dpa_sse.pipeline.commands.monitor import rebuild_report

    if there := _on_cluster(run_name, namespace, kubeconfig):
        raise typer.Exit(argo_runs.report(*there, None))

    raise typer.Exit(rebuild_report(run_name))


@app.command()
def op(
    name: Annotated[str | None, typer.Argument(help="Name of an OP; none lists them.")] = None,
    settings: Annotated[Path | None, typer.Option("--settings", help="JSON file with the settings of the OP.")] = None,
    inputs: Annotated[list[str] | None, typer.Option("--input", "-i", metavar="NAME=PATH")] = None,
    parameters: Annotated[list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=INTEGER")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")] = Path("op-result"),
) -> None:
    """Run any single OP by hand, outside a workflow."""
    from dpa_sse.pipeline.commands.op import run_op

    raise typer.Exit(run_op(name, settings, inputs or [], parameters or [], out))


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Try a small run with each program that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Show versions, GPU, and which programs were found."""
    from dpa_sse.pipeline.commands.project import show_doctor

    raise typer.Exit(show_doctor(as_json=as_json, deep=deep))


def _register_groups() -> None:
    """Add the commands that other modules bring along."""
    from dpa_sse.pipeline.commands.conductivity import conductivity
    from dpa_sse.pipeline.commands.data import app as data
    from dpa_sse.pipeline.commands.structures import app as structures

    app.command(short_help="Diffusion and conductivity from trajectories.")(conductivity)
    app.add_typer(data, name="data", short_help="Data sets: audit, convert, split by trajectory.")
    app.add_typer(structures, name="structures", short_help="The library; build, mix, disorder and perturb cells.")


def main() -> None:
    """Run the command line; a user's mistake ends in one message and exit code 2, never in a traceback."""
    from dpa_sse.ops.core.errors import InputError, PipelineError

    try:
        _register_groups()
        app(prog_name="dpa-sse")
    except InputError as error:
        _complain(error)
        sys.exit(BAD_INPUT)
    except PipelineError as error:
        _complain(error)
        sys.exit(FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
        sys.exit(FAILED)


def _complain(error: Exception | str) -> None:
    sys.stderr.write(f"{error}\n")
