"""``dpa-sse validate`` and ``dpa-sse gates``: the verdict on anybody's model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpa_sse.ops.core.exit_codes import DONE, REFUSED
from dpa_sse.pipeline.commands.options import Json, Seed, examples

if TYPE_CHECKING:
    from ase import Atoms

    from dpa_sse.ops.results.gates import GateResult, Gates, Tier
    from dpa_sse.ops.validation.gates.judge import GateThresholds, Threshold
    from dpa_sse.ops.validation.gates.registry import Thresholds

gates_app = typer.Typer(help="Gates: what a model must show before it is used.", no_args_is_help=True)
GatesFile = Annotated[Path | None, typer.Option("--gates", help="YAML file with your own thresholds.")]
MOBILE = "Li"
TierOption = Annotated[str, typer.Option("--tier", help="smoke (minutes), standard (hours) or full.")]


def validate(
    model: Annotated[Path, typer.Argument(help="Model file (.pt, .pth), model folder, or NAME@VERSION of the "
                                            "registry.", show_default=False)],
    reference: Annotated[
        str, typer.Option(help="What it is compared with: a model; a labeler (chgnet, module:Class, YAML file with a "
                               "section `labeler`); or labelled data.", show_default=False)
    ] = "",
    structure: Annotated[
        list[str] | None, typer.Option("--structure", help="Material to test: library name or structure file; again "
                                       "for more.", show_default=False)
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature-K", min=1, max=5000, help="Highest temperature of the intended use.")
    ] = 900.0,
    timestep: Annotated[float, typer.Option("--timestep-fs", min=0.05, max=5, help="Of the intended MD.")] = 2.0,
    branch: Annotated[str, typer.Option(help="Branch of a multi-task model.", show_default=False)] = "",
    reference_branch: Annotated[
        str, typer.Option(help="Branch of a multi-task reference.", show_default=False)
    ] = "",
    mobile: Annotated[str, typer.Option(help="Mobile ions, e.g. Li,Na.")] = MOBILE,
    tier: TierOption = "smoke",
    training: Annotated[
        Path | None, typer.Option("--training", help="Data that the model was trained on, for G16.", show_default=False)
    ] = None,
    before: Annotated[
        Path | None, typer.Option("--before", help="The model before its fine-tuning, for G15.", show_default=False)
    ] = None,
    before_branch: Annotated[
        str, typer.Option("--before-branch", help="Branch of a multi-task --before.", show_default=False)
    ] = "",
    base: Annotated[
        Path | None,
        typer.Option("--base", help="Labelled data of the systems of --before, for G15.", show_default=False),
    ] = None,
    from_scratch: Annotated[
        Path | None, typer.Option("--from-scratch", help="Model trained on the same labels from scratch, for G17.",
                                  show_default=False),
    ] = None,
    phase: Annotated[
        list[str] | None, typer.Option("--phase", help="Competing phase, as --structure, for G14; again for more.",
                                       show_default=False),
    ] = None,
    gates: GatesFile = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for gates.json, the page and the tables.")] = Path(
        "validation"
    ),
    seed: Seed = 1,
    as_json: Json = False,
) -> None:
    """Judge any Deep Potential: accuracy, own MD, deployed files, wall, energy conservation, stability.

    Exit code 0: no gate failed; 3: the model failed, or a required gate could not be run; 2: bad input.
    """
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.core.files import sha256_file
    from dpa_sse.ops.validation.gates.base import GateSettings, Reference
    from dpa_sse.ops.validation.gates.inputs import (
        NO_STRUCTURE,
        Comparisons,
        check_elements,
        find_model,
        find_reference,
        find_structures,
        has_structures,
        open_found,
        untrained,
        with_comparisons,
    )
    from dpa_sse.ops.validation.gates.run import Candidate, run_gates
    from dpa_sse.pipeline.commands.conductivity import made_folder
    from dpa_sse.pipeline.report.build import build_gates_page

    thresholds, level = _load(gates), _tier(tier)
    found = find_model(model, branch)
    if not structure and not has_structures(reference):
        raise InputError(NO_STRUCTURE)
    cells = find_structures(structure or [], Path.cwd(), seed) if structure else []
    phases = find_structures(phase, Path.cwd(), seed) if phase else []
    check_elements(found, [*cells, *phases])
    with tempfile.TemporaryDirectory() as work, made_folder(out):
        elements = sorted({one for atoms in [*cells, *phases] for one in atoms.get_chemical_symbols()})
        given = None
        if reference:
            given = find_reference(reference, reference_branch, elements, Path(work), found.elements, _tell_aside)
        cells = cells or find_structures([], Path.cwd(), seed, given)
        check_elements(found, cells)
        mobile_ions = _mobile(mobile, [*cells, *phases])
        if unseen := untrained(found, cells):
            _tell_aside(
                f"{found.path}: by what the file says, its training data had no {', '.join(unseen)}, which the "
                "structures have: expect large errors, whatever a single gate advises"
            )
        settings = GateSettings(
            tier=level, temperature_K=temperature, timestep_fs=timestep, seed=seed,
            mobile=mobile_ions, files=found.files,
            work=Path(work),
        )
        others = Comparisons(training, before, before_branch, base, from_scratch, phases)
        compared = with_comparisons(given or Reference(), others, elements)
        candidate = Candidate(open_found(found), compared, cells, settings, sha256_file(found.path))
        result = run_gates(candidate, thresholds, out, None if as_json else _tell)
        result = result.model_copy(update={"model": str(model)})
        result.write(out)
        page = build_gates_page(out)
    if as_json:
        typer.echo((out / result.FILE).read_text(encoding="utf-8").rstrip())
    else:
        typer.echo("\n".join(summary_lines(result, page)))
    raise typer.Exit(REFUSED if result.verdict == "FAIL" else DONE)


def _mobile(text: str, cells: Sequence[Atoms]) -> tuple[str, ...]:
    """Return the mobile ions, which must occur in a structure: else the whole cell would be judged as framework."""
    from dpa_sse.ops.core.errors import InputError

    found = tuple(word.strip() for word in text.split(",") if word.strip())
    here = sorted({symbol for atoms in cells for symbol in atoms.get_chemical_symbols()})
    missing = [one for one in found if one not in here]
    if missing and found == (MOBILE,):
        _tell_aside(f"no structure has {MOBILE}: --mobile names the mobile ions, if there are any")
    elif missing:
        raise InputError(f"--mobile: no structure has {', '.join(missing)} (they have {', '.join(here)})")
    return found


def _tier(text: str) -> Tier:
    from dpa_sse.ops.core.errors import InputError
    from dpa_sse.ops.core.suggest import did_you_mean
    from dpa_sse.ops.validation.gates.judge import TIERS

    for one in TIERS:
        if text == one:
            return one
    raise InputError(f"--tier {text}: not one of {', '.join(TIERS)}{did_you_mean(text, TIERS)}")


def _tell_aside(line: str) -> None:
    typer.echo(line, err=True)


def _tell(gate: GateResult) -> None:
    typer.echo(gate_line(gate))


def gate_line(gate: GateResult) -> str:
    """Return a gate in one line: key, name, verdict, reason."""
    return f"{gate.key:4s}{gate.name:20s}{gate.verdict:13s}{gate.reason}"


def summary_lines(result: Gates, page: Path) -> Iterator[str]:
    """Yield the verdict, what is wrong and what would mend it."""
    yield ""
    compared = f" against {result.reference}" if result.reference else ", without a reference"
    yield f"{result.verdict}: {result.model}{compared}; {result.seconds:.0f} s"
    for reason in result.reasons:
        yield f"  {reason}"
    for gate in result.gates:
        if gate.mend and gate.verdict in ("FAIL", "WARN"):
            yield f"  {gate.key}: {gate.mend}"
    yield f"page: {page}"


@gates_app.command("list", short_help="List the gates.")
def list_gates(gates: GatesFile = None, as_json: Json = False) -> None:
    """List the gates: key, tier, whether required, what they measure."""
    thresholds = _load(gates)
    if as_json:
        import json

        typer.echo(json.dumps({key: one.model_dump(mode="json") for key, one in thresholds.gates.items()}, indent=1))
        return
    for key, entry in thresholds.gates.items():
        need = "required" if entry.required else "optional"
        typer.echo(f"{key:4s}{entry.name:20s}{entry.tier:9s}{need:9s} {entry.about}")


@gates_app.command("show", short_help="Show a gate with its thresholds.", epilog=examples("dpa-sse gates show G5"))
def show_gate(
    key: Annotated[str, typer.Argument(help="Key of the gate, e.g. G5.", show_default=False)], gates: GatesFile = None
) -> None:
    """Show a gate: what it measures, its thresholds and where they come from, its protocol."""
    from dpa_sse.ops.core.errors import InputError

    thresholds = _load(gates)
    entry = thresholds.gates.get(key.upper())
    if entry is None:
        raise InputError(f"gates show {key}: no such gate (known: {', '.join(thresholds.gates)})")
    for line in gate_words(key.upper(), entry):
        typer.echo(line)


def gate_words(key: str, entry: GateThresholds) -> Iterator[str]:
    """Yield a gate in words."""
    need = "required" if entry.required else "not required"
    yield f"{key} {entry.name}: {entry.about} (tier {entry.tier}, {need})"
    for name, threshold in entry.metrics.items():
        yield from _metric_words(name, threshold)
    for tier, protocol in entry.protocol.items():
        yield f"  protocol at {tier}: " + ", ".join(f"{name} {value:g}" for name, value in protocol.items())


def _metric_words(name: str, threshold: Threshold) -> Iterator[str]:
    unit = f" {threshold.unit}" if threshold.unit else ""
    parts = [f"PASS {_ends(threshold.passes)}{unit}, WARN {_ends(threshold.warns)}{unit}"]
    parts += [
        f"at {tier}: PASS {_ends(limits.passes)}{unit}, WARN {_ends(limits.warns)}{unit}"
        for tier, limits in threshold.tiers.items()
    ]
    optional = " (optional)" if threshold.optional else ""
    yield f"  {name}{optional}: {'; '.join(parts)}"
    yield f"      {threshold.why} [{threshold.source}]"


def _ends(ends: tuple[float, float]) -> str:
    low, high = ends
    if low == -high:
        return f"up to {high:g}"
    if high == float("inf"):
        return "any" if low == -high else f"from {low:g}"
    return f"up to {high:g}" if low == float("-inf") else f"{low:g} to {high:g}"


@gates_app.command("calibrate", short_help="Show that the gates catch known-bad models.", epilog=examples(
    "dpa-sse gates calibrate runs/x/models/student --data runs/x/data/distilled --reference runs/x/models/finetuned "
    "--structure Li6PS5Br",
))
def calibrate_gates(
    student: Annotated[Path, typer.Argument(help="Folder of a good student of this pipeline.", show_default=False)],
    data: Annotated[Path, typer.Option(help="Data set that it was trained on.", show_default=False)],
    reference: Annotated[Path, typer.Option(help="Its teacher.", show_default=False)],
    structure: Annotated[
        list[str], typer.Option("--structure", help="Material to test; again for more.", show_default=False)
    ],
    temperature: Annotated[
        float, typer.Option("--temperature-K", min=1, max=5000, help="Highest temperature of the intended use.")
    ] = 900.0,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Trainings of each kind.")] = 3,
    gates: GatesFile = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for models and calibration.csv.")] = Path(
        "calibration"
    ),
    seed: Seed = 1,
) -> None:
    """Judge a good student and six known-bad ones, trained or spoiled here.

    Exit code 0: the good one never failed and each bad one always did, at a required gate; 3: not so. An interrupted
    calibration continues in the same folder.
    """
    from dpa_sse.ops.validation.gates.base import GateSettings, ModelFiles
    from dpa_sse.ops.validation.gates.calibrate import KINDS, Setup, Trial, calibrate, write_table
    from dpa_sse.ops.validation.gates.inputs import check_elements, find_model, find_structures, keep_md, open_found

    found = find_model(student)
    cells = find_structures(structure, Path.cwd(), seed)
    check_elements(found, cells)
    own = data / "dataset" if (data / "dataset").is_dir() else data
    teacher = find_model(reference)
    potential = open_found(teacher)
    keep_md(teacher, potential, _tell_aside)
    setup = Setup(
        student, own, potential, cells,
        GateSettings(temperature_K=temperature, seed=seed, files=ModelFiles(precision=found.files.precision)),
        _load(gates),
    )

    def tell(trial: Trial) -> None:
        typer.echo(f"{trial.kind:20s}{trial.seed}  {trial.verdict.verdict:13s}{' '.join(trial.caught_by)}")

    trials = calibrate(setup, seeds, out, tell)
    materials = " ".join(f"--structure {one}" for one in structure)
    command = (
        f"dpa-sse gates calibrate {student.name} --data {data.name} --reference {reference.name} {materials} "
        f"--temperature-K {temperature:g} --seeds {seeds} --seed {seed}"
    )
    write_table(trials, command, out / "calibration.yaml")
    wrong = [
        trial for trial in trials if (trial.verdict.verdict == "FAIL") != (trial.kind != KINDS[0])
    ]
    typer.echo(f"{len(trials) - len(wrong)} of {len(trials)} as they should be; table: {out / 'calibration.csv'}")
    raise typer.Exit(REFUSED if wrong else DONE)


def _load(own: Path | None) -> Thresholds:
    from dpa_sse.pipeline.commands.gates_file import read_thresholds

    return read_thresholds(own)
