"""The command line: each command is a few lines; heavy imports happen inside the commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dpa_sse.ops.core.exit_codes import BAD_INPUT, FAILED, INTERRUPTED, REFUSED
from dpa_sse.pipeline.commands.options import (
    AnyRunArgument,
    ConfigArgument,
    Detach,
    Json,
    Kubeconfig,
    Namespace,
    On,
    Only,
    OnlyShown,
    Overrides,
    RunArgument,
    RunsDir,
    examples,
    on_system,
    renamed_options,
)

app = typer.Typer(
    name="dpa-sse",
    help="From crystal structures to validated Deep Potentials and ionic conductivities of sulfide electrolytes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from dpa_sse import __version__

        typer.echo(f"dpa-sse {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Do nothing before the command."""


INIT_HELP = """Print a starter configuration.

\b
compound   one compound on a laptop, up to 40 minutes: a trial
research   the same with settings for results to publish
finetune   your own labelled frames and a pre-trained model
screening  many compounds from one pre-trained model
simplify   your own labelled frames, thinned
vasp       labels by VASP, with or without Slurm
md         a finished model: MD and conductivity only

Templates: compound, research, finetune, screening, simplify, vasp, md, electrolytes, quickstart,
quickstart_cp2k, paper/dpa-sse, paper/labeling_vasp.
"""


@app.command(short_help="Print a starter configuration.", help=INIT_HELP, epilog=examples(
    "dpa-sse init compound > my.yaml", "dpa-sse init compound --all | less",
))
def init(
    template: Annotated[str, typer.Argument(help="Name of a starter configuration.")] = "",
    all_keys: Annotated[
        bool, typer.Option("--all", help="Write out all keys, with their defaults and meanings.")
    ] = False,
) -> None:
    """Print a starter configuration."""
    from dpa_sse.pipeline.commands.project import starter

    typer.echo(starter(template, all_keys=all_keys), nl=False)


@app.command(epilog=examples("dpa-sse check my.yaml", "dpa-sse check my.yaml -s md.replicas=3"))
def check(
    config: ConfigArgument, overrides: Overrides = None, on: On = None, only: Only = None, as_json: Json = False
) -> None:
    """Check a configuration and list all problems at once."""
    from dpa_sse.pipeline.commands.project import check_config

    raise typer.Exit(check_config(config, on_system(overrides, on, only), as_json=as_json))


@app.command(epilog=examples("dpa-sse plan my.yaml", "dpa-sse plan my.yaml --out inputs/"))
def plan(
    config: ConfigArgument,
    overrides: Overrides = None,
    on: On = None,
    only: Only = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the input files (default: plan/NAME).")
    ] = None,
    times_from: Annotated[
        str | None, typer.Option(help="Run whose recorded times give the node hours (default: that of the name).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show steps and task counts, and write the input files."""
    from dpa_sse.pipeline.commands.project import plan_config

    chosen = on_system(overrides, on, only)
    raise typer.Exit(plan_config(config, chosen, out, as_json=as_json, times_from=times_from))


@app.command(short_help="Run a configuration, or resume its run.", epilog=examples(
    "dpa-sse run my.yaml", "dpa-sse run my.yaml -s md.production_ps=200 --name longer",
    "dpa-sse run my.yaml --on slurm --detach",
))
def run(
    config: ConfigArgument,
    overrides: Overrides = None,
    on: On = None,
    only: Only = None,
    detach: Detach = False,
    runs_dir: RunsDir = None,
    other_project: Annotated[
        bool, typer.Option("--other-project", help="Take over the run folder of another project of the same name.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run folder (default: name of the project).")
    ] = None,
) -> None:
    """Run a configuration on this machine or a batch system, or resume its run."""
    from dpa_sse.pipeline.commands.project import run_config

    raise typer.Exit(run_config(
        config, on_system(overrides, on, only), runs_dir, name, other_project=other_project, detach=detach
    ))


@app.command(short_help="Write a configuration as an Argo workflow.")
def render(
    config: ConfigArgument,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Output file (default: standard output).")] = None,
    inputs_in_bucket: Annotated[
        bool, typer.Option(help="Refer to large inputs by their keys in the bucket instead of including them.")
    ] = False,
    stage: Annotated[
        str | None, typer.Option(help="Write only this stage: data, pretrain, finetune, ...")
    ] = None,
    template: Annotated[str | None, typer.Option(help="Write a WorkflowTemplate of this name instead.")] = None,
) -> None:
    """Write a configuration as an Argo workflow, for argo submit."""
    from dpa_sse.pipeline.commands.argo import render_config

    raise typer.Exit(render_config(
        config, overrides or [], out, inputs_in_bucket=inputs_in_bucket, stage=stage, template=template
    ))


@app.command()
def submit(
    config: ConfigArgument,
    overrides: Overrides = None,
    runs_dir: RunsDir = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a configuration on a cluster with Argo Workflows."""
    from dpa_sse.pipeline.commands.argo import submit_config

    raise typer.Exit(submit_config(config, overrides or [], runs_dir, namespace, kubeconfig))


@app.command()
def resume(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Resume an interrupted, failed or waiting run."""
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).resume())


@app.command(epilog=examples(
    "dpa-sse status", "dpa-sse status my-electrolyte", "dpa-sse status argo:my-workflow-x7k2p",
))
def status(
    run_name: AnyRunArgument = None, only: OnlyShown = None, as_json: Json = False, namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the progress of a run, or list the runs."""
    if run_name is None:
        from dpa_sse.pipeline.commands.monitor import list_runs

        raise typer.Exit(list_runs(as_json=as_json))
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).show_status(as_json=as_json, only=only or ()))


@app.command()
def watch(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Follow the progress of a run until it ends."""
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).watch())


@app.command(short_help="Show the logs of a task, or of all failed ones.", epilog=examples(
    "dpa-sse logs my-electrolyte", "dpa-sse logs my-electrolyte md-000 -n 50",
))
def logs(
    run_name: RunArgument,
    task: Annotated[
        str | None, typer.Argument(help="Name of a task, as shown by `run` and `logs RUN`.", show_default=False)
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Number of lines from the end of each file.")] = 30,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the logs of a task, or of all failed tasks; if none failed, list the tasks."""
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).show_logs(task, lines))


@app.command()
def stop(run_name: RunArgument, namespace: Namespace = None, kubeconfig: Kubeconfig = None) -> None:
    """Stop a run; `resume` continues it."""
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).stop())


@app.command(short_help="Download results of a run on a cluster.")
def download(
    run_name: RunArgument,
    steps: Annotated[
        list[str] | None,
        typer.Argument(help="Steps or tasks to download (default: the main results).", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder to download to (default: that of the run).")
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Download results of a run on a cluster into a local run folder."""
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).download(steps or [], out))


@app.command(short_help="Rebuild the report of a run.", epilog=examples(
    "dpa-sse report my-electrolyte", "dpa-sse report /shared/runs/theirs --out mine/",
))
def report(
    run_name: RunArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the report (default: the run folder).")
    ] = None,
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Rebuild report.html, summary.json and figures/ from the results so far; works for unfinished runs, too."""
    from dpa_sse.pipeline.commands.dispatch import find_target

    raise typer.Exit(find_target(run_name, namespace, kubeconfig).rebuild_report(out))


@app.command(epilog=examples(
    "dpa-sse op", "dpa-sse op perturb-cells --settings settings.json -i cells=cells.extxyz",
))
def op(
    name: Annotated[
        str | None, typer.Argument(help="OP to run; omit it to list all OPs.", show_default=False)
    ] = None,
    settings: Annotated[Path | None, typer.Option("--settings", help="JSON file with the settings of the OP.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", "-i", metavar="NAME=PATH",
                                         help="Input file or folder of the OP; `dpa-sse op` names them.")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=INTEGER",
                                         help="Parameter of the OP: iteration, or index of the task of a fan-out.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result.")] = Path("op-result"),
) -> None:
    """Run a single OP outside a workflow."""
    from dpa_sse.pipeline.commands.op import run_op

    raise typer.Exit(run_op(name, settings, inputs or [], parameters or [], out))


@app.command()
def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also try a small calculation with each program found (takes a minute).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the installation: versions, GPU, programs."""
    from dpa_sse.pipeline.commands.project import show_doctor

    raise typer.Exit(show_doctor(as_json=as_json, deep=deep))


def _register_groups() -> None:
    """Add the commands that are defined in modules of their group."""
    from dpa_sse.pipeline.commands.conductivity import conductivity
    from dpa_sse.pipeline.commands.data import app as data
    from dpa_sse.pipeline.commands.models import app as models
    from dpa_sse.pipeline.commands.structures import app as structures
    from dpa_sse.pipeline.commands.validate import gates_app as gates
    from dpa_sse.pipeline.commands.validate import validate

    app.command(
        short_help="Diffusion and conductivity from trajectories.",
        epilog=examples(
            "dpa-sse conductivity run_600K.lammpstrj run_700K.lammpstrj --timestep-fs 2",
            "dpa-sse conductivity XDATCAR --temperature-K 800 --timestep-fs 2",
            "dpa-sse conductivity runs/my-electrolyte --compare measured.csv",
        ),
    )(conductivity)
    app.command(
        short_help="Judge any Deep Potential by gates.",
        epilog=examples(
            "dpa-sse validate model.pth --structure Li6PS5Cl --reference chgnet",
            "dpa-sse validate student/ --reference model.pth --structure Li6PS5Br",
            "dpa-sse validate model.pt --branch SSE_PBESol --reference my-test-frames/",
        ),
    )(validate)
    app.add_typer(data, name="data", short_help="Audit, convert, merge and split labelled data.")
    app.add_typer(gates, name="gates", short_help="Thresholds of the gates of `validate`.")
    app.add_typer(models, name="models", short_help="Registry of models, and what is in a model file.")
    app.add_typer(structures, name="structures", short_help="Crystal structures: library, cells, interfaces.")


def main() -> None:
    """Run the command line; a user's mistake ends in a message and exit code 2, never in a traceback."""
    from dpa_sse.ops.core.errors import InputError, PipelineError, RefusedError

    try:
        _register_groups()
        app(prog_name="dpa-sse")
    except InputError as error:
        _complain(error)
        sys.exit(BAD_INPUT)
    except RefusedError as error:
        _complain(error)
        sys.exit(REFUSED)
    except PipelineError as error:
        _complain(error)
        sys.exit(FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        _complain(f"not enough memory{detail}: an input claims to be larger than it is, or needs a larger machine")
        sys.exit(FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}")
        sys.exit(FAILED)
    except SystemExit as ended:
        if ended.code == BAD_INPUT:  # Typer has reported the unknown option
            for message in renamed_options(sys.argv[1:]):
                _complain(message)
        if ended.code == INTERRUPTED and sys.argv[1:2] != ["run"]:  # which says how it resumes
            _complain("interrupted")
        raise


def _complain(error: Exception | str) -> None:
    from dpa_sse.ops.core.foreign import printable

    sys.stderr.write(printable(f"{error}\n"))
