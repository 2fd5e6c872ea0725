"""Synthetic results of a run, in the formats in which the stages leave them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dpa_sse.pipeline.report.build import ReportInputs

K_B = 8.617333262e-5
LI_IN_CELL = 24


def write_csv(path: Path, columns: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_json(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def config(root: Path, name: str = "quickstart") -> Path:
    path = root / "config.resolved.yaml"
    text = yaml.safe_dump(
        {
            "name": name,
            "seed": 20240618,
            "type_map": ["Li", "P", "S", "Cl", "Br"],
            "systems": [{"name": "Li6PS5Cl", "site_disorder": 0.5}, {"name": "Li2S"}],
            "downstream": {"system": {"name": "Li6PS5Br", "site_disorder": 0.5}},
            "md": {"temperatures_K": [800, 1000, 1200], "replicas": 1},
            "conductivity": {"mobile": ["Li"]},
        },
        sort_keys=False,
    )
    root.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


STAGES = (
    ("perturb", "Perturb", 1.2, 8),
    ("aimd", "AIMD seed", 58.0, 8),
    ("concurrent_learning", "Concurrent learning", 171.4, 22),
    ("pretrain", "Pre-train", 104.9, 1),
    ("finetune", "Fine-tune", 61.0, 2),
    ("distill", "Distill", 88.7, 4),
    ("md", "Production MD", 143.2, 3),
    ("conductivity", "Conductivity", 4.1, 1),
)


def stages(root: Path, failures: dict[str, list[dict[str, str]]] | None = None) -> Path:
    failures = failures or {}
    return write_json(
        root / "stages.json",
        [
            {
                "name": name,
                "title": title,
                "status": "partial" if name in failures else "ok",
                "seconds": seconds,
                "tasks": tasks,
                "tasks_failed": len(failures.get(name, [])),
                "failures": failures.get(name, []),
            }
            for name, title, seconds, tasks in STAGES
        ],
    )


def provenance(root: Path) -> Path:
    return write_json(
        root / "provenance.json",
        {
            "command": "dpa-sse run configs/quickstart.yaml",
            "version": "0.1.0",
            "seed": 20240618,
            "threads": 1,
            "versions": {"python": "3.11.7", "deepmd-kit": "3.2.0", "torch": "2.11.0"},
            "host": {"cores": 2, "memory_GiB": 8, "gpu": None},
        },
    )


def dataset(root: Path, system: str = "Li6PS5Cl") -> Path:
    folder = root / "data"
    rows = [
        (system, "train", 33, 52, 3),
        (system, "test", 11, 52, 1),
        ("Li2S", "train", 33, 12, 3),
        ("Li2S", "test", 11, 12, 1),
    ]
    write_json(
        folder / "dataset.json",
        {
            "type_map": ["Li", "P", "S", "Cl", "Br"],
            "systems": [
                {
                    "split": split,
                    "system": name,
                    "path": f"{split}/{name}",
                    "n_frames": n,
                    "n_atoms": atoms,
                    "trajectories": [f"{name}.p{i:03d}" for i in range(k)],
                }
                for name, split, n, atoms, k in rows
            ],
        },
    )
    return folder


def learning_state(root: Path, iterations: int = 2, converged: bool = False) -> Path:
    history = []
    for i in range(iterations):
        accurate = 52 + 60 * (i + 1) // iterations
        history.append(
            {
                "iteration": i,
                "stage": i,
                "accurate": accurate,
                "candidate": 124 - accurate - 4,
                "failed": 4,
                "selected": 16,
                "labelled": 16,
                "max_devi_f": 0.71 - 0.2 * i / iterations,
                "converged": converged,
                "message": "stage's last iteration reached before convergence",
                "sanity": [{"model": k, "status": "ok", "max_T": 612.0, "reason": ""} for k in range(2)],
            }
        )
    return write_json(root / "state.json", {"iteration": iterations, "finished": True, "history": history})


def model(root: Path, name: str, rng: np.random.Generator, steps: int = 700, floor: float = 0.1) -> Path:
    folder = root / "models" / name
    step = np.arange(0, steps + 1, max(1, steps // 35))
    decay = floor + 1.4 * np.exp(-step / (0.16 * steps))
    noise = lambda width: rng.lognormal(0, width, len(step))  # noqa: E731
    write_csv(
        folder / "lcurve.csv",
        {
            "step": step,
            "rmse_e_val": 0.12 * decay * noise(0.15),
            "rmse_e_trn": 0.1 * decay * noise(0.4),
            "rmse_f_val": decay * noise(0.06),
            "rmse_f_trn": 0.9 * decay * noise(0.2),
            "lr": 1e-3 * 0.01 ** (step / steps),
        },
    )
    write_json(
        folder / "model.json",
        {
            "type_map": ["Li", "P", "S", "Cl", "Br"],
            "preset": "dpa2-tiny",
            "steps": steps,
            "seed": 17,
            "rcut_A": 6.0,
            "n_parameters": 123456,
            "seconds": 104.9,
            "threads": 1,
            "deepmd_version": "3.2.0",
        },
    )
    return folder


def evaluation(
    root: Path,
    name: str,
    rng: np.random.Generator,
    energy: float,
    force: float,
    shift: float = 0.0,
    system: str = "Li6PS5Br",
    virial: bool = False,
) -> Path:
    """Write an evaluation whose errors are measured on the parity data it writes."""
    folder = root / "evaluations" / name
    n = 22
    reference = -4.21 + rng.normal(0, 0.02, n)
    predicted = reference + shift + rng.normal(0, energy / 800, n)
    write_csv(
        folder / "parity_energy.csv",
        {"system": [system] * n, "reference_eV_atom": reference, "predicted_eV_atom": predicted},
    )
    f = rng.normal(0, 0.9, 900)
    g = f + rng.normal(0, force / 800, 900)
    elements = np.array(["Li", "P", "S", "Br"])[np.arange(900) % 4]
    write_csv(folder / "parity_force.csv", {"element": elements, "reference_eV_A": f, "predicted_eV_A": g})
    v = rng.normal(0, 0.04, 9 * n)
    if virial:
        write_csv(
            folder / "parity_virial.csv",
            {"system": [system] * 9 * n, "reference_eV_atom": v, "predicted_eV_atom": v + rng.normal(0, 0.008, 9 * n)},
        )
    error = 1000 * (predicted - reference)
    write_json(
        folder / "evaluation.json",
        {
            "energy_mae_meV_atom": np.abs(error).mean(),
            "energy_rmse_meV_atom": np.sqrt((error**2).mean()),
            "energy_mae_shifted_meV_atom": np.abs(error - error.mean()).mean(),
            "force_mae_meV_A": 1000 * np.abs(g - f).mean(),
            "force_rmse_meV_A": 1000 * np.sqrt(((g - f) ** 2).mean()),
            "virial_mae_meV_atom": 6.4 if virial else None,
            "n_frames": n,
            "split": "test",
            "dataset": system,
            "per_element": {e: 1000 * np.abs(g - f)[elements == e].mean() for e in ("Li", "P", "S", "Br")},
        },
    )
    return folder


def md_run(
    root: Path,
    rng: np.random.Generator,
    temperature: float,
    status: str = "ok",
    system: str = "Li6PS5Br",
    replica: int = 0,
    reason: str = "",
) -> Path:
    folder = root / "md" / f"md.T{temperature:g}.r{replica}"
    time = np.arange(0, 20.001 if status == "ok" else 3.001, 0.1)
    T = temperature + rng.normal(0, 0.09 * temperature, len(time))
    if status == "exploded":
        T = T * np.exp(np.maximum(0, time - 2) * 3)
    write_csv(
        folder / "thermo.csv",
        {
            "step": (time * 500).round().astype(int),
            "time_ps": time,
            "temperature_K": T,
            "pressure_bar": rng.normal(0, 900, len(time)),
            "potential_eV": -218.4 + 0.006 * T + rng.normal(0, 0.3, len(time)),
            "volume_A3": np.full(len(time), 1061.2),
            "density": np.full(len(time), 1.83),
        },
    )
    write_json(
        folder / "run.json",
        {
            "system": system,
            "temperature_K": temperature,
            "pressure_GPa": 0.0,
            "ensemble": "nvt",
            "timestep_fs": 2.0,
            "dump_every_fs": 20.0,
            "steps": int(time[-1] * 500),
            "replica": replica,
            "seed": 5,
            "status": status,
            "reason": reason,
            "steps_per_s": 37.5,
            "n_atoms": 52,
            "composition": {"Li": 24, "P": 4, "S": 20, "Br": 4},
        },
    )
    return folder


def diffusion(temperature: float) -> float:
    return 3e-4 * float(np.exp(-0.24 / K_B / temperature))


def sigma(D: float, temperature: float) -> float:
    return LI_IN_CELL * 1.602176634e-19**2 * D * 1e-4 / (1061.2e-30 * 1.380649e-23 * temperature) * 10


NUMBERS = (
    "D_cm2_s",
    "D_ci95_cm2_s",
    "D_upper95_cm2_s",
    "sigma_NE_mS_cm",
    "sigma_NE_ci95_mS_cm",
    "sigma_NE_upper95_mS_cm",
    "sigma_collective_mS_cm",
    "sigma_collective_ci95_mS_cm",
    "haven_ratio",
    "haven_ci95",
    "t_start_ps",
    "n_hops",
    "chi2_red",
    "fit_window_ps",
    "D_axes_cm2_s",
    "volume_A3",
)


def transport(temperature: float, verdict: str, D: float, half: float) -> dict[str, Any]:
    """Return the numbers of a run; ``half`` is half the 95 % interval of ln D."""
    numbers: dict[str, Any] = dict.fromkeys(NUMBERS) | {"volume_A3": 1061.2}
    if verdict == "diffusive":
        ci = [D * np.exp(-half), D * np.exp(half)]
        return numbers | {
            "D_cm2_s": D,
            "D_ci95_cm2_s": ci,
            "sigma_NE_mS_cm": sigma(D, temperature),
            "sigma_NE_ci95_mS_cm": [sigma(d, temperature) for d in ci],
            "t_start_ps": 1.6,
            "fit_window_ps": [1.6, 5.0],
            "n_hops": 320.0,
        }
    if verdict.startswith(("not diffusive", "too short")):
        return numbers | {"D_upper95_cm2_s": 3 * D, "sigma_NE_upper95_mS_cm": sigma(3 * D, temperature), "n_hops": 21.0}
    return numbers


def conductivity(
    root: Path, rng: np.random.Generator, verdicts: dict[float, str], system: str = "Li6PS5Br", reason: str = ""
) -> Path:
    """Write a conductivity folder; the Arrhenius part is the project's own fit of the diffusive temperatures."""
    from dpa_sse.ops.conductivity.arrhenius import ArrheniusPoint, analyse_arrhenius
    from dpa_sse.ops.results.conductivity import ConductivityResult, PooledTransport, RunTransport

    folder = root / "conductivity"
    runs, temperatures, points = [], [], []
    for T, verdict in verdicts.items():
        good = verdict == "diffusive"
        D, half = diffusion(T) * float(rng.lognormal(0, 0.08)), 0.30 if T < 1100 else 0.2
        reasons = [] if good else [reason or "MSD rise inside the window below half a squared hop"]
        numbers = transport(T, verdict, D, half)
        common = {"system": system, "temperature_K": T, "length_ps": 20.0, "verdict": verdict, "reasons": reasons}
        runs.append(RunTransport(source=f"md.T{T:g}.r0", file=f"msd_md.T{T:g}.r0.csv", **common, **numbers))
        temperatures.append(PooledTransport(n_runs=1, sources=[f"md.T{T:g}.r0"], **common, **numbers))
        limit, density = numbers["D_upper95_cm2_s"], LI_IN_CELL / 1061.2
        points.append(ArrheniusPoint(T, numbers["D_cm2_s"], half / 1.96, limit, density))
        lag = np.round(np.arange(0.1, 10.001, 0.1), 3)
        moving = 1.5 * (1 - np.exp(-lag / 0.2)) + (6e4 * D * lag if good else 0)
        columns = {"time_ps": lag, "msd_Li_A2": moving, **{f"msd_Li_{axis}_A2": moving / 3 for axis in "xyz"}}
        write_csv(folder / f"msd_md.T{T:g}.r0.csv", columns | {"charge_msd_e2_A2": 9 * moving})
    arrhenius = analyse_arrhenius(points, [300.0])
    ConductivityResult(
        runs=runs, temperatures=temperatures, arrhenius=arrhenius, arrhenius_by_system={system: arrhenius}
    ).write(folder)
    return folder


def everything(root: Path, verdicts: dict[float, str] | None = None) -> ReportInputs:
    """Return the inputs of a complete quickstart run."""
    rng = np.random.default_rng(1)
    verdicts = verdicts or {800.0: "too short (35 more ps needed)", 1000.0: "diffusive", 1200.0: "diffusive"}
    names = ("ensemble-0", "ensemble-1", "pretrain", "finetune", "from_scratch", "student")
    return ReportInputs(
        config=config(root),
        provenance=provenance(root),
        stages=stages(root),
        seed_data=dataset(root),
        learning_state=learning_state(root),
        models={name: model(root, name, rng) for name in names},
        evaluations={
            "pretrain": evaluation(root, "pretrain", rng, 5, 95, system="Li6PS5Cl", virial=True),
            "zero_shot": evaluation(root, "zero_shot", rng, 12, 165, shift=0.115, virial=True),
            "zero_shot_bias": evaluation(root, "zero_shot_bias", rng, 12, 165, virial=True),
            "fine_tuned": evaluation(root, "fine_tuned", rng, 8, 142, virial=True),
            "from_scratch": evaluation(root, "from_scratch", rng, 17, 226, virial=True),
            "student": evaluation(root, "student", rng, 11, 150),
            "student_vs_teacher": evaluation(root, "svt", rng, 3, 60),
        },
        distill_filter=write_json(
            root / "filter.json", {"n_frames": 99, "n_kept": 96, "n_dropped": 3, "max_force_limit_eV_A": 10.0}
        ),
        parity=write_json(
            root / "parity.json",
            {
                "reference": "model.pth",
                "frames": 5,
                "files": {
                    "model_compressed.pth": {
                        "max_force_difference_eV_A": 2.1e-6,
                        "max_energy_difference_meV_atom": 3.0e-5,
                    }
                },
            },
        ),
        md=[md_run(root, rng, T) for T in verdicts],
        conductivity=conductivity(root, rng, verdicts),
    )
