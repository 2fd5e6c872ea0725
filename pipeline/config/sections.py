"""The sections and keys of the configuration file."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.core.settings import Settings, unique
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.labelers.any_settings import AnyLabelerSettings
from dpa_sse.ops.labelers.settings import AimdSettings, AseSettings
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings
from dpa_sse.pipeline.config.cluster import ClusterSettings

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr "
    "Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
ELEMENTS = tuple(_SYMBOLS.split())


def _element(symbol: str) -> str:
    if symbol not in ELEMENTS:
        better = symbol.strip().capitalize()
        hint = f" - did you mean '{better}'?" if better in ELEMENTS else ""
        raise ValueError(f"'{symbol}' is not a chemical element{hint}")
    return symbol


ProjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,48}[A-Za-z0-9])?$")]
"""At most 50 letters, digits and ``_.-`` between them: it becomes part of names and labels of a cluster."""
Element = Annotated[str, AfterValidator(_element)]


class DownstreamSettings(Settings):
    """The compound to fine-tune for: not part of the pre-training data, labelled by short runs of its own."""

    system: SystemSettings
    perturb: PerturbSettings = PerturbSettings()
    aimd: AimdSettings = AimdSettings()
    split: SplitSettings = SplitSettings(test=0.5)


class FailureSettings(Settings):
    """What happens when tasks of a fan-out fail."""

    min_success_ratio: float = Field(1.0, ge=0, le=1, description="Share of the tasks of a step that must succeed.")
    retries: int = Field(1, ge=0, le=10, description="Further attempts after a passing failure (a killed process).")
    task_timeout_min: float | None = Field(None, gt=0, description="Wall-clock limit of one task, minutes.")


class ResourcesSettings(Settings):
    """What of the machine may be used."""

    cores: int | None = Field(None, ge=1, description="Processor cores; all by default.")
    threads_per_task: int | None = Field(
        None, ge=1, description="Threads of a task; its share of the cores by default. With 1 all repeats bit for bit."
    )
    gpus: int | None = Field(None, ge=0, description="Graphics cards; all that are visible by default.")
    tasks_per_gpu: int = Field(1, ge=1, le=64, description="Tasks that share one card.")


class ProjectSections(Settings):
    """All keys of the configuration file, each section checked by itself.

    Paths in it are relative to the folder of the configuration file.
    """

    name: ProjectName = Field(description="Name of the project, of its run folder and its workflows.")
    seed: int = Field(1, ge=0, description="All random numbers derive from it.")
    type_map: Annotated[list[Element], AfterValidator(unique)] = Field(
        min_length=1, description="All chemical elements of the project, in the order the models use."
    )
    systems: list[SystemSettings] = Field(default=[], description="Base systems: labelled, explored, trained on.")
    labeler: AnyLabelerSettings = Field(default=AseSettings(), description="Where energies and forces come from.")
    perturb: PerturbSettings = PerturbSettings()
    aimd: AimdSettings = AimdSettings()
    split: SplitSettings = SplitSettings()
    data: Annotated[list[str], AfterValidator(unique)] = Field(
        default=[], description="Folders of your own data (deepmd/npy), added to what the project labels itself."
    )
    concurrent_learning: ConcurrentLearningSettings | None = Field(
        None, description="Concurrent learning (DP-GEN); omitted by default."
    )
    pretrain: PretrainSettings | None = Field(
        PretrainSettings(), description="The large model; `null` ends the project with the labelled data."
    )
    downstream: DownstreamSettings | None = Field(None, description="The compound to fine-tune for.")
    finetune: FinetuneSettings | None = Field(None, description="Adapt the pre-trained model to `downstream`.")
    distill: DistillSettings | None = Field(None, description="Train a light, fast student.")
    md: MdSettings | None = Field(None, description="Production molecular dynamics with the student.")
    conductivity: ConductivitySettings = ConductivitySettings()
    failure: FailureSettings = FailureSettings()
    resources: ResourcesSettings = ResourcesSettings()
    cluster: ClusterSettings = ClusterSettings()

    @property
    def target_systems(self) -> list[SystemSettings]:
        """The systems that distillation and production MD are about: the downstream one, else the base systems."""
        return [self.downstream.system] if self.downstream else list(self.systems)
