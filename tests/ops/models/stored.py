"""Model folders and verdicts as the product writes them, for tests of the registry."""

from __future__ import annotations

import json
from pathlib import Path

from dpa_sse.ops.core.files import sha256_file
from dpa_sse.ops.results.gates import GateResult, Gates, JudgedMetric, Verdict, worst
from dpa_sse.ops.results.model import ModelInfo
from tests.model_files import checkpoint, frozen

ELEMENTS = ["Li", "P", "S"]


def model_folder(folder: Path, *, seed: int = 0) -> Path:
    """Write a model folder: checkpoint, frozen model, description, input; ``seed`` makes the files differ."""
    folder.mkdir(parents=True)
    checkpoint(folder / "model.pt", {"": ELEMENTS})
    frozen(folder / "model.pth", ELEMENTS)
    for name in ("model.pt", "model.pth"):
        import zipfile

        with zipfile.ZipFile(folder / name, "a") as archive:
            archive.writestr("model/extra/seed", str(seed))
    ModelInfo(type_map=tuple(ELEMENTS), preset="se_e2_a-tiny", steps=100, deepmd_version="3.2.0").write(folder)
    training = {"model": {"descriptor": {"rcut": 6.5, "sel": [20, 4]}}, "training": {"numb_steps": 1234}}
    (folder / "input.json").write_text(json.dumps(training))
    return folder


def gate(key: str, verdict: Verdict, value: float | None = 0.123, *, required: bool = True) -> GateResult:
    """Return a gate with one number."""
    metric = JudgedMetric(
        name="force_mae", unit="meV/A", value=value, ci95=None, n=7, passes=(None, 60), warns=(None, 100),
        verdict=verdict, reason="", why="", source="",
    )
    return GateResult(
        key=key, name=f"gate {key}", tier="smoke", required=required, verdict=verdict,
        reason=f"force mae {value} meV/A", mend="", metrics=(metric,), notes=(), table=None, seconds=1.0,
    )


def verdict(folder: Path, *gates: GateResult, file: str = "model.pth", temperature_K: float = 812.0) -> Gates:
    """Write the verdict on a file of a model folder into the folder."""
    counted = [("FAIL" if one.verdict == "NOT_RUN" else one.verdict) for one in gates if one.required]
    found = Gates(
        model="m", reference="teacher", model_sha256=sha256_file(folder / file), structures=("Li3PS4 (Li12P4S16)",),
        tier="smoke", temperature_K=temperature_K, verdict=worst(*counted), reasons=(), gates=gates,
        thresholds_sha256="", deepmd_version="3.2.0", seconds=1.0,
    )
    found.write(folder)
    return found
