"""Settings of the labelers: which one, and the short molecular dynamics made with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ops.settings import Settings


class LabelerBase(Settings):
    """What the settings of all labelers share.

    Class attributes
    ----------------
    text_files : tuple of str
        Keys that name a file of the user's (an INCAR, a template). Tasks run elsewhere, so its text takes the place
        of the name: :func:`with_file_texts`.
    """

    text_files: ClassVar[tuple[str, ...]] = ()


class MockLabeler(LabelerBase):
    """An analytic, conservative potential for tests: cheap and deterministic, no physics."""

    kind: Literal["mock"] = "mock"
    fail_every: int = Field(0, ge=0, description="Every n-th frame fails on purpose (0: none).")
    delay_s: float = Field(0.0, ge=0, description="Sleep before each frame, to test progress and interruption.")


class AseLabeler(LabelerBase):
    """Any ASE calculator: `chgnet`, or `module:Class` with keyword arguments."""

    kind: Literal["ase"] = "ase"
    calculator: str = Field("chgnet", description="`chgnet`, or `module:Class` of an ASE calculator.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the calculator.")


LabelerSettings = Annotated[MockLabeler | AseLabeler, Field(discriminator="kind")]


def with_file_texts(labeler: LabelerBase, base_dir: Path) -> LabelerBase:
    """Return the settings with the text of the user's files instead of their names.

    A value with a line break is a text already.

    Raises
    ------
    OSError
        A file can not be read.
    """
    texts = {}
    for key in labeler.text_files:
        value = getattr(labeler, key)
        if value is not None and "\n" not in value:
            texts[key] = (base_dir / Path(value).expanduser()).read_text(encoding="utf-8").rstrip("\n") + "\n"
    return labeler.model_copy(update=texts)


class AimdSettings(Settings):
    """Short molecular dynamics with the labeler, from each perturbed cell."""

    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        default=[300.0, 600.0, 900.0, 1200.0], min_length=1,
        description="Kelvin; perturbed cell i of a system runs at temperature i modulo their number.",
    )
    end_temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] | None = Field(
        None, min_length=1, description="Kelvin, one for each of temperatures_K: the run is heated or cooled evenly "
        "up to this temperature. Constant temperature by default.",
    )
    steps: int = Field(30, ge=1, description="Time steps of each trajectory.")
    timestep_fs: float = Field(2.0, gt=0, le=5, description="Time step, fs.")
    sample_every: int = Field(3, ge=1, description="A frame is kept every so many steps.")
    ensemble: Literal["nvt", "npt"] = Field("nvt", description="Constant volume, or constant pressure.")
    thermostat: Literal["langevin", "nose-hoover"] = Field("langevin", description="What holds the temperature.")
    damping_fs: float = Field(
        50.0, gt=0, description="Time constant of the thermostat, fs: 1 / friction of Langevin, period of Nose-Hoover. "
        "Short runs must lose the heat of the unrelaxed start within their length.",
    )
    pressure_GPa: float = Field(0.0, description="External pressure of npt, GPa.")
    pressure_damping_fs: float = Field(1000.0, gt=0, description="Time constant of the barostat of npt, fs.")

    def temperatures_of(self, number: int) -> tuple[float, float]:
        """Return the temperatures, K, at which trajectory ``number`` of a system starts and ends."""
        index = number % len(self.temperatures_K)
        start = float(self.temperatures_K[index])
        return start, float(self.end_temperatures_K[index]) if self.end_temperatures_K else start
