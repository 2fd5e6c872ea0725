"""Settings of the labelers: which one, and the short molecular dynamics made with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ops.settings import Settings


class MockLabeler(Settings):
    """An analytic, conservative potential for tests: cheap and deterministic, no physics."""

    kind: Literal["mock"] = "mock"
    fail_every: int = Field(0, ge=0, description="Every n-th frame fails on purpose (0: none).")
    delay_s: float = Field(0.0, ge=0, description="Sleep before each frame, to test progress and interruption.")


class AseLabeler(Settings):
    """Any ASE calculator: `chgnet`, or `module:Class` with keyword arguments."""

    kind: Literal["ase"] = "ase"
    calculator: str = Field("chgnet", description="`chgnet`, or `module:Class` of an ASE calculator.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the calculator.")


LabelerSettings = Annotated[MockLabeler | AseLabeler, Field(discriminator="kind")]


class AimdSettings(Settings):
    """Short NVT molecular dynamics with the labeler, from each perturbed cell."""

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        default=[300.0, 600.0, 900.0, 1200.0], min_length=1,
        description="Kelvin; perturbed cell i of a system runs at temperature i modulo their number.",
    )
    steps: int = Field(30, ge=1, description="Time steps of each trajectory.")
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step, fs.")
    sample_every: int = Field(3, ge=1, description="A frame is kept every so many steps.")
