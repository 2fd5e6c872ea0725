"""Commands that start from a configuration: init, check, plan, run, resume; and doctor."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.exit_codes import BAD_INPUT, DONE
from dpa_sse.ops.core.foreign import printable
from dpa_sse.ops.core.resources import configs_folder
from dpa_sse.ops.core.suggest import did_you_mean

if TYPE_CHECKING:
    from dpa_sse.pipeline.commands.batch import PlannedJobs
    from dpa_sse.pipeline.config import ConfigError, Located
    from dpa_sse.pipeline.engines.slurm.platform import SlurmPlatform
    from dpa_sse.pipeline.runs.estimate import Estimate
    from dpa_sse.pipeline.runs.folder import Run
    from dpa_sse.pipeline.runs.plan import PlannedStep

BUILD = "dpa_sse.pipeline.flows.main:build_from_run"
"""Function that the driver process calls; given by name, since importing it here would load dflow."""


TEMPLATES = ("compound", "research", "finetune", "screening", "simplify", "vasp", "md")
"""Starter configurations by what a user has in mind, in ``configs/templates``."""


def starters() -> dict[str, Path]:
    """Return the starter configurations by name: those for a project of your own, then complete examples."""
    configs = configs_folder()
    known = {name: configs / "templates" / f"{name}.yaml" for name in TEMPLATES}
    known |= {path.stem: path for path in sorted(configs.glob("*.yaml"))}
    return known | {f"paper/{path.stem}": path for path in sorted(configs.glob("paper/*.yaml"))}


def starter(name: str, *, all_keys: bool = False) -> str:
    """Return the text of a starter configuration; with ``all_keys``, its values and all defaults, each explained.

    Raises
    ------
    InputError
        There is no configuration of this name; the message lists the names.
    """
    known = starters()
    if name not in known:
        wrong = f"no starter configuration {name!r}" if name else "the name of a starter configuration is missing"
        raise InputError(f"{wrong}{did_you_mean(name, known)} (known: {', '.join(known)})")
    if all_keys:
        from dpa_sse.pipeline.config import load_located
        from dpa_sse.pipeline.config.all_keys import all_keys_yaml

        return all_keys_yaml(load_located(known[name]).project)
    return known[name].read_text(encoding="utf-8")


def check_config(config: Path, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print all problems of a configuration; return 0 if there are none, else 2."""
    from dpa_sse.pipeline.commands.batch import batch_faults
    from dpa_sse.pipeline.config import ConfigError
    from dpa_sse.pipeline.config.check import mixed_levels

    try:
        located = _checked(config, overrides)
    except ConfigError as error:
        if as_json:
            print(json.dumps([vars(problem) for problem in error.problems], indent=1, default=str))
        else:
            print(f"{error}\n{_count(error)}.", file=sys.stderr)
        return BAD_INPUT
    faults = batch_faults(located) if located.project.engine.system and not as_json else []
    if faults:
        print("\n".join(map(printable, faults)), file=sys.stderr)
        return BAD_INPUT
    if as_json:
        print("[]")
    else:
        project = located.project
        print_remarks(located)
        if project.mix_levels:
            print(f"{config}: `mix_levels`: labels of different levels of theory may be mixed: "
                  f"{', '.join(mixed_levels(project, located.base_dir)) or 'none is recorded in the data'}")
        for key, used in located.models.items():
            print(f"{config}: {key}: {used.model}, {used.file} (sha256 {used.sha256[:12]}; gates {used.verdict})")
        print(f"{config}: OK. Run it with: dpa-sse run {config}   ({', '.join(project.type_map)})")
    return DONE


def _checked(config: Path, overrides: Sequence[str]) -> Located:
    """Read and check a configuration; programs of labelers need not be here if it runs on a batch system."""
    from dpa_sse.pipeline.config import load_checked, load_located

    try:
        elsewhere = load_located(config, overrides).project.engine.system is not None
    except InputError:
        elsewhere = False
    return load_checked(config, overrides, runs_here=not elsewhere)


def print_remarks(located: Located) -> None:
    """Print what is worth knowing about a configuration that can start."""
    from dpa_sse.pipeline.config.remarks import remarks

    for remark in remarks(located):
        print(remark, file=sys.stderr)


def print_batch_remarks(located: Located) -> None:
    """Print which jobs of a run will not start, as far as its batch system tells: hours later it would be too late."""
    from dpa_sse.pipeline.commands.batch import batch_faults

    faults = batch_faults(located) if located.project.engine.system else []
    for fault in faults:
        print(printable(fault), file=sys.stderr)
    if faults:
        print("The run starts nevertheless: the system has the last word.", file=sys.stderr)


def _count(error: ConfigError) -> str:
    """Return ``1 problem`` or ``2 problems``."""
    count = len(error.problems)
    return f"{count} problem{'s' * (count > 1)}"


def plan_config(
    config: Path, overrides: Sequence[str], out: Path | None, *, as_json: bool, times_from: str | None = None
) -> int:
    """Build the DAG without running it; print its steps and what they ask for, and write the input files."""
    import tempfile

    from dpa_sse.ops.core.files import write_json
    from dpa_sse.ops.core.removal import only_new_files
    from dpa_sse.pipeline.commands.batch import print_jobs
    from dpa_sse.pipeline.commands.plan import (
        FILES,
        WRITTEN,
        dry_build,
        print_amounts,
        print_plan,
        print_times,
        write_inputs,
    )
    from dpa_sse.pipeline.commands.plan_counts import amounts
    from dpa_sse.pipeline.commands.plan_counts import as_json as counts_json
    from dpa_sse.pipeline.config import load_checked
    from dpa_sse.pipeline.engines.local.engine import machine_resources
    from dpa_sse.pipeline.engines.slurm.systems import dialect_of
    from dpa_sse.pipeline.runs.folder import Run, open_run
    from dpa_sse.pipeline.runs.places import default_runs_folder

    located = load_checked(config, overrides, runs_here=False)
    earlier = open_run(times_from) if times_from else Run((default_runs_folder() / located.project.name).resolve())
    with tempfile.TemporaryDirectory() as folder:
        flow, platform = dry_build(located, Path(folder))
        nodes = flow.plan
        target = out or Path("plan") / located.project.name
        counts = amounts(located.project, located.base_dir)
        found = estimate_of(located, default_runs_folder())
        with only_new_files(target, WRITTEN, FILES):
            write_inputs(located.project, nodes, Path(folder) / "settings", target)
            write_json(target / "counts.json", counts_json(counts))
            found.write(target)
            jobs = _write_jobs(located, platform, nodes, target, earlier) if platform is not None else []
    if as_json:
        print(json.dumps([node.model_dump() for node in nodes], indent=1))
    else:
        print_plan(located.project.name, nodes, target)
        print_amounts(counts, located.project.labeler.kind, found)
        print_times(found, machine_resources(located.project).cores)
    system = located.project.engine.system
    if system is not None and not as_json:
        print_jobs(jobs, dialect_of(system).title, target / system, str(earlier.folder))
    return DONE


def _write_jobs(
    located: Located, platform: SlurmPlatform, nodes: Sequence[PlannedStep], target: Path, earlier: Run
) -> list[PlannedJobs]:
    """Write the scripts of the jobs and their numbers."""
    from dataclasses import asdict

    from dpa_sse.ops.core.files import write_json
    from dpa_sse.pipeline.commands.batch import planned_jobs, recorded_times, write_scripts
    from dpa_sse.pipeline.runs.estimate import atoms_of
    from dpa_sse.pipeline.runs.step_work import project_work

    project = located.project
    atoms = {name: len(cell) for name, cell in located.cells.items()} or atoms_of(project, located.base_dir)
    times = {work.step: work.iterations for work in project_work(project, located.base_dir, atoms)}
    loops: dict[str | None, int] = {}
    for node in nodes:
        if node.loop:
            loops[node.loop] = max(loops.get(node.loop, 1), times.get(node.name, 1))
    planned = planned_jobs(platform, nodes, {
        node.name: max(times.get(node.name, 1), loops.get(node.loop, 1)) for node in nodes
    }, recorded_times(earlier))
    write_scripts(located, platform, planned, target)
    write_json(target / "jobs.json", [asdict(one) for one in planned])
    return planned


def estimate_of(located: Located, runs: Path) -> Estimate:
    """Return a rough time for each stage of a project on this machine, from the runs in a folder."""
    from dpa_sse.pipeline.engines.local.engine import machine_resources
    from dpa_sse.pipeline.runs.estimate import Machine, atoms_of, estimate

    project, base_dir = located.project, located.base_dir
    atoms = {name: len(cell) for name, cell in located.cells.items()} or atoms_of(project, base_dir)
    machine = Machine(machine_resources(project).cores, project.resources.threads_per_task)
    return estimate(project, base_dir, atoms, machine, runs)


def run_config(
    config: Path, overrides: Sequence[str], runs_dir: Path | None, name: str | None, *, other_project: bool = False,
    detach: bool = False,
) -> int:
    """Check a configuration, write it to its run folder and execute it.

    Raises
    ------
    InputError
        ``name`` cannot be the name of a run folder, the folder cannot be written, or another project has it
        (``other_project`` takes it over).
    """
    from dpa_sse.ops.core.files import write_text
    from dpa_sse.pipeline.config import ConfigError, resolved_yaml
    from dpa_sse.pipeline.config.sections import NAME_RULE, PROJECT_NAME
    from dpa_sse.pipeline.runs.configuration import require_same_project
    from dpa_sse.pipeline.runs.folder import CONFIG, Run
    from dpa_sse.pipeline.runs.inputs import store_inputs, with_own_inputs
    from dpa_sse.pipeline.runs.places import default_runs_folder
    from dpa_sse.pipeline.runs.provenance import record_provenance

    if name is not None and not re.fullmatch(PROJECT_NAME, name):
        shown = printable(name, keep="")
        raise InputError(f"--name '{shown}' cannot be used: use {NAME_RULE} (--runs-dir names the parent folder)")
    try:
        located = _checked(config, overrides)
    except ConfigError as error:
        print(f"{error}\n{_count(error)}. Nothing was started.", file=sys.stderr)
        return BAD_INPUT
    print_remarks(located)
    print_batch_remarks(located)
    run = Run(((runs_dir or default_runs_folder()) / (name or located.project.name)).resolve())
    project, places = with_own_inputs(located.project, located.base_dir)
    if not other_project:
        require_same_project(run, project)
    run.create()
    lock = run.lock()  # only while the files are written: a second driver must not change them
    try:
        store_inputs(places, run.folder)
        write_text(run.folder / CONFIG, resolved_yaml(project))
        run.write_base_dir(run.folder)
        record_provenance(run.folder / "manifest.json", located.project.seed, located.models)
    finally:
        lock.release()
    if detach:
        from dpa_sse.pipeline.commands.batch import detach as detach_run

        return detach_run(run)
    return run_to_end(run, replace(located, project=project, path=run.folder / CONFIG))


def resume_run(name: str) -> int:
    """Execute a run folder with the configuration in it; finished tasks are not repeated."""
    from dpa_sse.pipeline.config import ConfigError
    from dpa_sse.pipeline.runs.configuration import load_run_config
    from dpa_sse.pipeline.runs.folder import open_run
    from dpa_sse.pipeline.runs.outcome import run_state
    from dpa_sse.pipeline.runs.provenance import record_provenance

    run = open_run(name)
    try:
        located = load_run_config(run)
    except ConfigError as error:
        raise InputError(
            f"{run.folder}: the configuration of this run is not valid for this version of the program, which cannot "
            "resume it; `status`, `logs` and `data audit` still work. Start again from your own configuration: "
            f"dpa-sse run CONFIG\n{error}"
        ) from error
    if run_state(run) == "suspended" and (gates := run.finished().get("gates")) is not None:
        from dpa_sse.ops.validation.gates.student import approve

        approve(gates, run.folder)
    run.create()
    lock = run.lock()
    try:
        record_provenance(run.folder / "manifest.json", located.project.seed)
    finally:
        lock.release()
    return run_to_end(run, located)


def run_to_end(run: Run, located: Located) -> int:
    """Execute a run and show its progress until it ends; return the exit code of the command."""
    from dpa_sse.pipeline.commands.batch import queue_of
    from dpa_sse.pipeline.commands.run_end import finish_run
    from dpa_sse.pipeline.commands.run_links import Publisher
    from dpa_sse.pipeline.runs.progress import Progress

    project = located.project
    title = f"{project.name}   {run.folder}"
    live = sys.stdout.isatty()
    found = estimate_of(located, run.folder.parent)
    found.write(run.folder)
    print(f"Run folder: {run.folder}")
    if project.engine.system is None:
        print(f"Rough time on this machine: {found.total_text} (`dpa-sse plan` shows how it is made up)")
    print("Building the workflow; the first task starts in a few seconds.")
    sys.stdout.flush()
    with Progress(run, title, live=live, queue=lambda: queue_of(run)) as progress:
        publisher = Publisher(run)

        def tick() -> None:
            progress.tick()
            publisher.tick(progress.events)

        code = execute_anywhere(run, located, tick)
    return finish_run(run, code, located)


def execute_anywhere(run: Run, located: Located, on_tick: Callable[[], None]) -> int:
    """Execute a run where its configuration says; return the exit code."""
    from dpa_sse.pipeline.config.batch_presets import jobs_of
    from dpa_sse.pipeline.engines.local.engine import execute, machine_resources
    from dpa_sse.pipeline.engines.slurm.engine import LocalAfterBatch, execute_on_batch

    engine, resources = located.project.engine, machine_resources(located.project)
    if engine.system is None:
        return execute(run, resources, build=BUILD, on_tick=on_tick, around=LocalAfterBatch(run))
    jobs = jobs_of(engine.batch, run.base_dir)
    return execute_on_batch(run, resources, engine.system, engine.batch, jobs, build=BUILD, on_tick=on_tick)


def show_doctor(*, as_json: bool, deep: bool = False) -> int:
    """Print what the installation provides and what it lacks."""
    from dpa_sse.pipeline.doctor.installation import examine

    text, code = examine(as_json=as_json, deep=deep)
    print(text)
    return code
