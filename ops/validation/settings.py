"""Settings of the self-check of production."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dpa_sse.ops.core.settings import Settings


class ValidateSettings(Settings):
    """Gates before the production MD; then labels on frames of it decide whether a conductivity can be trusted."""

    gates: Literal["smoke", "standard", "full"] | None = Field(
        "smoke", description="Gates that the student must pass before the production MD, against its teacher; `smoke` "
        "takes about a minute, `null` does without. `dpa-sse gates list` shows them."
    )
    on_fail: Literal["stop", "warn"] = Field(
        "warn", description="What follows if a student fails a gate: `warn` runs the MD all the same and reports it; "
        "`stop` ends the run. The thresholds were calibrated on one small student only, hence the default."
    )
    on_warn: Literal["continue", "suspend"] = Field(
        "continue", description="What follows a verdict that neither passes nor stops the run: `suspend` waits for a "
        "person before the production MD, until `dpa-sse resume RUN` (on Argo also the button in the user interface)."
    )
    production_labels: int = Field(
        12, ge=0, le=2000, description="Frames of the production runs that are labelled for the self-check, in all; 0: "
        "no self-check."
    )
    max_energy_bias_meV_atom: float = Field(
        5.0, gt=0, description="Largest mean energy error in production, after one shift per composition, meV/atom."
    )
    max_pressure_error_GPa: float = Field(
        0.2, gt=0, description="Largest mean pressure error in production, GPa."
    )
    max_force_mae_ratio: float = Field(
        1.5, gt=0, description="Largest force MAE in production, relative to that on held-out frames."
    )
    rounds: int = Field(
        0, ge=0, le=20, description="Rounds of the loop back: the labelled frames train teacher and student, and "
        "the MD starts again; 0: judge only."
    )
    round_ps: float | None = Field(
        None, gt=0, description="Length of the production runs of the rounds until the model is good enough, ps; those "
        "of `md.production_ps` by default. The last round is always a full production."
    )
    teacher_steps: int | None = Field(
        None, ge=1, description="Training steps of the teacher in each round; those of the fine-tuning by default, or "
        "a fifth of the pre-training's."
    )
    student_steps: int | None = Field(
        None, ge=1, description="Training steps of the student in each round; those of its first training by default."
    )
    frames_per_run: int = Field(
        25, ge=1, description="Frames of each production run that the corrected teacher labels for the student, in "
        "each round."
    )
