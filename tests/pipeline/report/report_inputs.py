"""Results of a small run, written by the steps' own functions and declared models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from dpa_sse.ops.conductivity.analyse import analyse as analyse_runs
from dpa_sse.ops.conductivity.output import write_analysis
from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.conductivity.synthetic import HopModel, simulate
from dpa_sse.ops.core.files import write_csv, write_text
from dpa_sse.ops.data.convert import frames_to_blocks
from dpa_sse.ops.data.dataset import SystemData, write_dataset
from dpa_sse.ops.data.results import GatheredFrames
from dpa_sse.ops.exploration.select import select_candidates
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.exploration.state import initial_state
from dpa_sse.ops.results.active import CurvePoint, FinetuneRound, FinetuneRounds
from dpa_sse.ops.results.dataset import FailedTask
from dpa_sse.ops.results.distillation import TeacherFilter, TrajectoryFilter
from dpa_sse.ops.results.learning import LearningState, SanityCheck, SanityResult
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.results.model import CutoffNeighbours, ModelDifference, ModelInfo, NeighbourCounts, Parity
from dpa_sse.ops.results.simplify import Simplified, SimplifyIteration
from dpa_sse.ops.training.evaluate import evaluate
from dpa_sse.ops.validation.gates.base import GateSettings, Reference
from dpa_sse.ops.validation.gates.potentials import Scaled
from dpa_sse.ops.validation.gates.registry import load_thresholds
from dpa_sse.ops.validation.gates.run import Candidate, run_gates
from dpa_sse.ops.validation.judge import Evidence
from dpa_sse.ops.validation.judge import self_check as check_production
from dpa_sse.ops.validation.settings import ValidateSettings
from dpa_sse.pipeline.config.load import resolved_yaml
from dpa_sse.pipeline.config.schema import Project
from dpa_sse.pipeline.report.build import ReportInputs
from dpa_sse.pipeline.report.records import StageRecord
from dpa_sse.pipeline.runs.provenance import provenance
from tests.md_folders import write_deviations, write_run, write_thermo, write_trajectory
from tests.ops.validation.gates.analytic import Pairs, crystal
from tests.ops.validation.known_errors import Model, chosen, labels

K_B = 8.617333262e-5
TYPE_MAP = ["Li", "P", "S", "Cl", "Br"]
SYMBOLS = ["Li"] * 24 + ["P"] * 4 + ["S"] * 20 + ["Br"] * 4
EDGE = 10.2
MD_FRAMES = 600
MD_EVERY = 50  # steps of 2 fs between frames

STAGES = (
    ("01-perturb", "Perturbed cells", 1.2, 8),
    ("02-seed", "Seed data", 58.0, 8),
    ("03-concurrent-learning", "Concurrent learning", 171.4, 22),
    ("04-pretrain", "Pre-training", 104.9, 1),
    ("05-finetune", "Fine-tuning", 61.0, 2),
    ("06-distill", "Distillation", 88.7, 4),
    ("07-md", "Production MD", 143.2, 3),
    ("08-conductivity", "Conductivity", 4.1, 1),
)


def project(name: str = "quickstart") -> Project:
    return Project.model_validate(
        {
            "name": name,
            "seed": 20240618,
            "type_map": TYPE_MAP,
            "systems": [{"name": "Li6PS5Cl", "structure": "Li6PS5Cl"}, {"name": "Li2S", "structure": "Li2S"}],
            "labeler": {"kind": "mock"},
            "pretrain": {},
            "downstream": {"system": {"name": "Li6PS5Br", "structure": "Li6PS5Br"}},
            "finetune": {},
            "distill": {},
            "md": {"temperatures_K": [800, 1000, 1200]},
        }
    )


def config(root: Path) -> Path:
    write_text(root / "config.resolved.yaml", resolved_yaml(project()))
    return root / "config.resolved.yaml"


def stages(failures: Mapping[str, Iterable[FailedTask]] | None = None) -> tuple[StageRecord, ...]:
    lost = {name: tuple(tasks) for name, tasks in (failures or {}).items()}
    return tuple(
        StageRecord(
            name=name,
            title=title,
            status="partial" if name in lost else "ok",
            seconds=seconds,
            ended_after_s=100.0 * (k + 1),
            tasks=tasks,
            tasks_failed=len(lost.get(name, ())),
            tasks_earlier=k,
            failures=lost.get(name, ()),
        )
        for k, (name, title, seconds, tasks) in enumerate(STAGES)
    )


def manifest(root: Path) -> Path:
    provenance(20240618).write(root / "manifest.json")
    return root / "manifest.json"


def labelled(
    rng: np.random.Generator, system: str, split: str, n: int, symbols: list[str], trajectories: int = 1,
    *, virial: bool = True,
) -> SystemData:
    """Return frames with random labels: -4.21 eV/atom, forces of 0.9 eV/A."""
    atoms = len(symbols)
    return SystemData(
        system, split, np.array([TYPE_MAP.index(symbol) for symbol in symbols]),
        rng.uniform(0, 9, (n, atoms, 3)), np.tile(9 * np.eye(3), (n, 1, 1)),
        atoms * (-4.21 + rng.normal(0, 0.02, n)), rng.normal(0, 0.9, (n, atoms, 3)),
        atoms * rng.normal(0, 0.04, (n, 3, 3)) if virial else None,
        [f"{system}.{split}{k % trajectories:03d}" for k in range(n)],
    )


def dataset(root: Path) -> Path:
    rng = np.random.default_rng(11)
    rows = (
        ("Li6PS5Cl", "train", 33, ["Li"] * 24 + ["P"] * 4 + ["S"] * 20 + ["Cl"] * 4, 3),
        ("Li6PS5Cl", "test", 11, ["Li"] * 24 + ["P"] * 4 + ["S"] * 20 + ["Cl"] * 4, 1),
        ("Li2S", "train", 33, ["Li"] * 8 + ["S"] * 4, 3),
        ("Li2S", "test", 11, ["Li"] * 8 + ["S"] * 4, 1),
    )
    write_dataset(root / "data", TYPE_MAP, [labelled(rng, *row) for row in rows])
    return root / "data"


LEARNING = ConcurrentLearningSettings(
    trust={"force_lo_eV_A": 0.1, "force_hi_eV_A": 0.5}, max_selected=4, frames_per_task=2, conv_accuracy=0.7,
    stages=[{"temperatures_K": [300], "max_iterations": 1}, {"temperatures_K": [600], "max_iterations": 1}],
)


def learning_state(root: Path, deviations: Sequence[Sequence[float | None]] = ()) -> Path:
    """Write the state after iterations that found these force deviations, in eV/A."""
    cell = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    state, folder = initial_state(LEARNING), root / "learning"
    for i, values in enumerate(deviations or ([0.05] * 6 + [0.2] * 6 + [0.7], [0.05] * 8 + [0.3] * 5)):
        rng = np.random.default_rng(i)
        frames = [cell.copy() for _ in values]
        for frame in frames:
            frame.positions += rng.normal(0, 0.15, frame.positions.shape)
        run = folder / f"explored.{i}" / "task.000"
        run.mkdir(parents=True)
        write_trajectory(run / "traj.lammpstrj", frames)
        write_deviations(run / "model_devi.csv", values)
        write_run(
            run, cell, system="LiCl", temperature_K=300.0, ensemble="npt", n_frames=len(frames),
            steps=10 * (len(frames) - 1),
            explored={"models": (0, 1), "iteration": i, "stage": state.stage, "cell": "LiCl.p000"},
        )
        lost = folder / f"explored.{i}" / "task.001"
        write_run(lost, cell, system="LiCl", temperature_K=300.0, status="exploded", reason="step 10: too hot")
        report = select_candidates(
            state, LEARNING, [run, lost], None, 1, folder / f"selected.{i}",
            sanity=SanityCheck(models=(sanity(0, 612.0), sanity(1, 1500.0, "LiCl: exploded, step 40: too hot"))),
        )
        failures = [FailedTask(task="label/task.001", reason="not converged")] if i == 0 else []
        state = LearningState.read(folder / f"selected.{i}").with_labels(report.selected - len(failures), failures)
    state.write(folder)
    return folder


def sanity(model: int, hottest: float, reason: str = "") -> SanityResult:
    return SanityResult(
        model=model, status="failed" if reason else "ok", reason=reason, max_temperature_K=hottest, temperature_K=300.0,
        steps=100,
    )


def model(root: Path, name: str, rng: np.random.Generator, steps: int = 700, floor: float = 0.1) -> Path:
    folder = root / "models" / name
    step = np.arange(0, steps + 1, max(1, steps // 35))
    decay = floor + 1.4 * np.exp(-step / (0.16 * steps))
    noise = lambda width: rng.lognormal(0, width, len(step))  # noqa: E731
    columns = {
        "step": step,
        "rmse_e_val": 0.12 * decay * noise(0.15),
        "rmse_e_trn": 0.1 * decay * noise(0.4),
        "rmse_f_val": decay * noise(0.06),
        "rmse_f_trn": 0.9 * decay * noise(0.2),
        "lr": 1e-3 * 0.01 ** (step / steps),
    }
    write_csv(
        folder / "lcurve.csv", [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)],
        list(columns),
    )
    ModelInfo(
        type_map=tuple(TYPE_MAP), preset="dpa2-tiny", descriptor="dpa2", steps=steps, seed=17, rcut_A=6.0,
        n_parameters=123456, seconds=104.9, threads=1, deepmd_version="3.2.0",
        neighbours=NeighbourCounts(
            type_map=tuple(TYPE_MAP), minimum_distance_A=1.7,
            cutoffs={"6": CutoffNeighbours(total=58, per_type=(31, 6, 26, 0, 8))},
        ),
        strategy="from_scratch" if name == "from_scratch" else None,
    ).write(folder)
    return folder


def parity(root: Path) -> Path:
    difference = ModelDifference(max_force_difference_eV_A=2.1e-6, max_energy_difference_meV_atom=3.0e-5)
    Parity(
        reference="model.pth", n_frames=5, files={"model_compressed.pth": difference}, **difference.model_dump()
    ).write(root)
    return root / "parity.json"


class NoisyModel:
    """Answers with the labels of one system, plus noise of a known mean size and a constant shift."""

    def __init__(self, frames: SystemData, rng: np.random.Generator, energy: float, force: float, shift: float) -> None:
        atoms = len(frames.types)
        # the mean of |x| of a normal distribution is 0.8 of its width; meV to eV
        self.energy = frames.energy + atoms * (shift + rng.normal(0, energy / 800, len(frames)))
        self.force = frames.force + rng.normal(0, force / 800, frames.force.shape)
        virial = np.zeros((len(frames), 3, 3)) if frames.virial is None else frames.virial
        self.virial = virial + atoms * rng.normal(0, 0.008, virial.shape)

    def get_type_map(self) -> list[str]:
        return TYPE_MAP

    def eval(self, coords: Any, cells: Any, types: Any) -> tuple[Any, Any, Any]:
        assert len(coords) == len(self.energy)
        return self.energy, self.force, self.virial


def evaluation(
    root: Path, name: str, rng: np.random.Generator, energy: float, force: float, shift: float = 0.0,
    system: str = "Li6PS5Br", *, virial: bool = False,
) -> Path:
    """Evaluate a model with these MAEs (meV/atom, meV/A) and this shift (eV/atom) of the energy."""
    halide = "Cl" if system.endswith("Cl") else "Br"
    frames = labelled(
        rng, system, "test", 22, ["Li"] * 6 + ["P"] + ["S"] * 5 + [halide], trajectories=4, virial=virial
    )
    data = root / "evaluated" / name
    level = LevelOfTheory(code="ASE", settings={"calculator": "chgnet", "version": "0.4.2"})
    write_dataset(data, TYPE_MAP, [frames], level=level)
    answers = NoisyModel(frames, rng, energy, force, shift)
    with patch("dpa_sse.ops.training.evaluate.open_model", lambda _: answers):
        evaluate(Path("model.pth"), data, "test", root / "evaluations", name)
    return root / "evaluations" / name


def teacher_filter(root: Path) -> Path:
    runs = tuple(
        TrajectoryFilter(
            name=f"Li6PS5Br.p{k:03d}", system="Li6PS5Br", n_frames=33, n_kept=32, n_dropped=1,
            max_force_kept_eV_A=8.8, max_force_dropped_eV_A=12.5,
        )
        for k in range(3)
    )
    TeacherFilter(
        teacher="model.pth", max_force_limit_eV_A=10.0, n_frames=99, n_kept=96, n_dropped=3,
        split="Li6PS5Br: by trajectory (1 of 3 held out)", n_train=64, n_test=32, trajectories=runs,
    ).write(root / "teacher")
    return root / "teacher"


def diffusion(temperature: float) -> float:
    """Return the tracer diffusion coefficient of the synthetic runs, A2/ps."""
    return 8 * float(np.exp(-0.24 / K_B / temperature))


def md_run(
    root: Path, temperature: float, kind: str = "diffusive", system: str = "Li6PS5Br", replica: int = 0,
    reason: str = "", length: float = 1.0,
) -> Path:
    """Write an MD folder.

    Parameters
    ----------
    kind : str
        ``diffusive``, ``too short`` (hardly any hops), ``caged`` (no diffusion), or the status of a run that broke off:
        ``exploded``, ``melted``, ``failed``.
    length : float
        In units of 60 ps.
    """
    rng = np.random.default_rng(round(temperature) + replica)
    folder = root / "md" / f"md.T{temperature:g}.r{replica}"
    folder.mkdir(parents=True, exist_ok=True)
    complete = kind in ("diffusive", "too short", "caged")
    n = round(length * MD_FRAMES) if complete else 20
    D = 0.03 if kind == "too short" else diffusion(temperature)
    hops = HopModel(n_ions=24, n_frames=n, dt_ps=0.1, D_A2_ps=D, cage_sites=kind == "caged")
    positions = 0.1 * rng.standard_normal((n, len(SYMBOLS), 3)) + rng.random((len(SYMBOLS), 3)) * EDGE
    positions[:, :24] += simulate(hops, round(temperature) + replica).transpose(2, 0, 1)
    frames = [Atoms(SYMBOLS, frame, cell=[EDGE] * 3, pbc=True) for frame in positions]
    write_trajectory(folder / "traj.lammpstrj", frames, every=MD_EVERY)
    time = 0.1 * np.arange(n)
    T = temperature * (1 + rng.normal(0, 0.09, n))
    T *= temperature / T.mean()
    if kind == "exploded":
        T = T * np.exp(np.maximum(0, time - 1) * 3)
    write_thermo(
        folder / "thermo.csv",
        {
            "step": MD_EVERY * np.arange(n), "time_ps": time, "temperature_K": T,
            "pressure_bar": rng.normal(0, 900, n), "potential_eV": -218.4 + 0.006 * T + rng.normal(0, 0.3, n),
            "volume_A3": np.full(n, EDGE**3), "density_g_cm3": np.full(n, 1.83),
        },
    )
    return write_run(
        folder, frames[0], system=system, temperature_K=temperature, status="ok" if complete else kind, reason=reason,
        n_frames=n, steps=MD_EVERY * (n - 1), dump_every=MD_EVERY, replica=replica, seed=5,
    )


def conductivity(root: Path, kinds: Mapping[float, str], system: str = "Li6PS5Br", reason: str = "") -> Path:
    """Analyse one run of each temperature; ``kinds`` as in :func:`md_run`."""
    folders = [md_run(root, T, kind, system, reason="" if kind in KINDS else reason) for T, kind in kinds.items()]
    return analyse(root, folders)


KINDS = ("diffusive", "too short", "caged")


def analyse(root: Path, folders: list[Path]) -> Path:
    settings = ConductivitySettings(figures=False)
    write_analysis(analyse_runs(folders, settings), settings, root / "conductivity")
    return root / "conductivity"


def self_check(root: Path, folders: Sequence[Path], bias_meV_atom: float = 0.0) -> Path:
    """Check a model that is off by ``bias_meV_atom`` in production only, with one label that failed."""
    rng, springs = np.random.default_rng(12), Model(type_map=TYPE_MAP)
    frames = labels(chosen(folders, root / "chosen", 12), rng, energy=2, force=60, pressure=0.05)
    for atoms in frames:
        atoms.calc.results["energy"] -= bias_meV_atom / 1000 * len(atoms)
    blocks = []
    for split in ("train", "test"):
        own = labels(chosen(folders, root / f"chosen.{split}", 8), rng, energy=2, force=60, pressure=0.05)
        for number, atoms in enumerate(own):
            atoms.info.update(trajectory=f"{split}{number // 2}")
        blocks += frames_to_blocks(own, TYPE_MAP, split)
    write_dataset(root / "springs", TYPE_MAP, blocks)
    failed = (FailedTask(task="label-production/task.003", reason="not converged"),)
    level = LevelOfTheory(code="ASE", settings={"calculator": "chgnet", "version": "0.4.2"})
    settings = ValidateSettings(rounds=1)
    evidence = Evidence(springs, springs, GatheredFrames(frames, failed, level), [root / "springs"], TYPE_MAP)
    wrong = [atoms.copy() for atoms in frames]  # the labels of the first round, which the second one learns
    for atoms, one in zip(wrong, frames, strict=True):
        energy = one.get_potential_energy() + 0.03 * len(one)
        atoms.calc = SinglePointCalculator(atoms, **{**one.calc.results, "energy": energy})
    before = replace(evidence, labelled=GatheredFrames(wrong, (), level))
    first = check_production(before, folders, settings, 0, None)
    check_production(evidence, folders, settings, 1, first).write(root / "self-check")
    return root / "self-check"


def gates(root: Path) -> Path:
    """Judge a model that is too soft against its reference; without files, so that one gate lacks some numbers."""
    reference = Pairs(name="teacher")
    settings = GateSettings(temperature_K=500.0)
    candidate = Candidate(Scaled(Pairs(), 0.9), Reference("teacher", reference), [crystal()], settings, "0" * 64)
    run_gates(candidate, load_thresholds(), root / "gates")
    return root / "gates"


def rounds(root: Path) -> Path:
    """Write two rounds of active fine-tuning."""
    folder = root / "rounds"
    folder.mkdir()
    found = [
        FinetuneRound(
            training_frames=20, selection="diverse", candidates=98, labelled=10, extreme=1, failed=1,
            on_policy_force_mae_meV_A=91.5, on_policy_force_mae_ci95_meV_A=(80.25, 104.0),
            on_policy_energy_mae_meV_atom=3.25, held_out_force_mae_meV_A=77.5, committee_deviation_eV_A=0.125,
        ),
        FinetuneRound(
            training_frames=29, selection="diverse", candidates=100, labelled=10, failed=0,
            on_policy_force_mae_meV_A=61.5, on_policy_force_mae_ci95_meV_A=(55.25, 68.0),
            on_policy_energy_mae_meV_atom=2.25, held_out_force_mae_meV_A=59.5,
        ),
    ]
    FinetuneRounds(
        rounds=tuple(found), wanted_force_mae_meV_A=65.0, enough=True,
        label_failures=(FailedTask(task="group.000/task.003", reason="not converged"),),
    ).write(folder)
    return folder


def thinned(folder: Path) -> Path:
    """Write two iterations of the thinning of a data set into a folder."""
    folder.mkdir(exist_ok=True)
    first = SimplifyIteration(
        training_frames=20, other_frames=379, accurate=300, candidate=76, failed=3, uncovered=33, selected=50,
        mean_devi_f_eV_A=0.125, max_devi_f_eV_A=0.875, force_mae_meV_A=146.5, force_mae_ci95_meV_A=(120.25, 178.0),
        energy_mae_meV_atom=10.25, energy_mae_ci95_meV_atom=(7.75, 13.5), other_force_mae_meV_A=133.5,
        accurate_force_mae_meV_A=101.5,
    )
    second = first.model_copy(update={
        "training_frames": 70, "other_frames": 329, "accurate": 326, "candidate": 0, "uncovered": 0, "selected": 0,
        "force_mae_meV_A": 87.5, "other_force_mae_meV_A": 83.5, "accurate_force_mae_meV_A": 82.5,
        "force_mae_ci95_meV_A": None,
    })
    Simplified(
        pool_frames=399, chosen=tuple(range(70)), finished=True, enough=True, history=(first, second),
        outcome="70 of 399 training frames are kept; 99 % of the others are not needed, 3 deviate too much",
    ).write(folder)
    return folder


def curve(root: Path) -> list[Path]:
    """Write the points of a curve of errors against labels."""
    folders = []
    for frames, tuned, scratch in ((5, 120.0, 300.0), (10, 90.0, 220.0), (20, 70.0, 150.0)):
        for variant, error in (("naive", tuned), ("from_scratch", scratch)):
            for seed in range(2):
                folders.append(root / "curve" / f"{variant}.{frames}.{seed}")
                folders[-1].mkdir(parents=True)
                CurvePoint(
                    variant=variant, frames=frames, seed=seed, steps=10 * frames, test_frames=40,
                    force_mae_meV_A=error + 5 * seed, energy_mae_meV_atom=error / 30,
                ).write(folders[-1])
    return folders


def everything(root: Path, kinds: Mapping[float, str] | None = None) -> ReportInputs:
    """Return the inputs of a complete run."""
    rng = np.random.default_rng(1)
    kinds = kinds or {800.0: "too short", 1000.0: "diffusive", 1200.0: "diffusive"}
    names = ("ensemble-0", "ensemble-1", "pretrain", "finetune", "from_scratch", "student")
    md = [md_run(root, T, kind) for T, kind in kinds.items()]
    return ReportInputs(
        config=config(root),
        provenance=manifest(root),
        stages=stages(),
        seed_data=dataset(root),
        learning_state=thinned(learning_state(root)),
        models={name: model(root, name, rng) for name in names},
        evaluations={
            "pretrain": evaluation(root, "pretrain", rng, 5, 95, system="Li6PS5Cl", virial=True),
            "zero_shot": evaluation(root, "zero_shot", rng, 12, 165, shift=0.115, virial=True),
            "zero_shot_bias": evaluation(root, "zero_shot_bias", rng, 12, 165, virial=True),
            "fine_tuned": evaluation(root, "fine_tuned", rng, 6, 142, virial=True),
            "from_scratch": evaluation(root, "from_scratch", rng, 25, 226, virial=True),
            "student": evaluation(root, "student", rng, 11, 150, virial=True),
            "student_vs_teacher": evaluation(root, "student_vs_teacher", rng, 3, 60),
        },
        teacher_filter=teacher_filter(root),
        parity=parity(root),
        md=md,
        gates=gates(root),
        rounds=rounds(root),
        curve=curve(root),
        self_check=self_check(root, md),
        conductivity=analyse(root, md),
    )
