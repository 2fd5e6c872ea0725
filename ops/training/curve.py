"""How many labels fine-tuning needs: models trained on nested subsets of the frames, fine-tuned and from scratch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from dpa_sse.ops.core.seeds import derive_seed
from dpa_sse.ops.data.subset import spread_frames
from dpa_sse.ops.results.active import CurvePoint
from dpa_sse.ops.results.model import Variant
from dpa_sse.ops.training.evaluate import evaluate
from dpa_sse.ops.training.finetune import Adaptation, fine_tune, train_from_scratch

TEST = "test_errors"


def curve_point(job: Adaptation, variant: Variant, frames: int, seed: int, out: Path) -> CurvePoint:
    """Train a model on a subset for as many epochs as all frames get, and measure it on the held-out frames.

    Parameters
    ----------
    job : Adaptation
        With all frames; the steps of its settings are those for ``settings.frames`` of them.
    variant : {"naive", "from_scratch"}
    frames : int
        Size of the subset.
    seed : int
        Of the subset and of the training.
    out : Path
        Receives ``curve.json``; the model is not kept.
    """
    if (done := CurvePoint.read_if_there(out)) is not None:
        return done
    spread_frames(job.dataset, frames, seed, out / ".subset")
    steps = max(1, round(job.settings.steps * frames / job.settings.frames))
    own = replace(
        job, dataset=out / ".subset", seed=derive_seed(job.seed, "curve", seed),
        settings=job.settings.model_copy(update={"frames": frames, "steps": steps}),
    )
    (train_from_scratch if variant == "from_scratch" else fine_tune)(own, out / ".model")
    errors = evaluate(out / ".model" / "model.pt", out / ".subset", "test", out, TEST, parity=False)
    found = CurvePoint(
        variant=variant, frames=frames, seed=seed, steps=steps, test_frames=errors.n_frames,
        force_mae_meV_A=errors.force_mae_meV_A, energy_mae_meV_atom=errors.energy_mae_shifted_meV_atom,
    )
    found.write(out)
    for name in (".subset", ".model", TEST):
        shutil.rmtree(out / name, ignore_errors=True)
    return found
