"""The sections and keys of the configuration file."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dpa_sse.ops.conductivity.settings import ConductivitySettings
from dpa_sse.ops.core import environment as env
from dpa_sse.ops.core.settings import Settings, unique
from dpa_sse.ops.core.suggest import question
from dpa_sse.ops.data.settings import SplitSettings
from dpa_sse.ops.distillation.settings import DistillSettings
from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings
from dpa_sse.ops.labelers.any_settings import AnyLabelerSettings
from dpa_sse.ops.labelers.settings import AimdSettings, AseSettings
from dpa_sse.ops.md.settings import MdSettings
from dpa_sse.ops.simplify.settings import SimplifySettings
from dpa_sse.ops.structures.settings import PerturbSettings, SystemSettings
from dpa_sse.ops.training.settings import FinetuneSettings, PretrainSettings, RoundSettings
from dpa_sse.ops.validation.settings import ValidateSettings
from dpa_sse.pipeline.config.batch import EngineSettings
from dpa_sse.pipeline.config.cluster import ClusterSettings

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr "
    "Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
ELEMENTS = tuple(_SYMBOLS.split())


def _symbol_of(name: str) -> str:
    """Return the symbol of an element by its English name, an empty text if there is none."""
    from ase.data import atomic_names, chemical_symbols

    names = [one.lower() for one in atomic_names]
    found = {"sulphur": "sulfur", "aluminium": "aluminum"}.get(name.lower(), name.lower())
    return chemical_symbols[names.index(found)] if found in names[1:] else ""


def _element(symbol: str) -> str:
    if symbol not in ELEMENTS:
        meant = symbol.strip().capitalize()
        meant = meant if meant in ELEMENTS else _symbol_of(meant)
        hint = question(meant) if meant else ""
        raise ValueError(f"'{symbol}' is not a chemical element{hint}")
    return symbol


warnings.filterwarnings("ignore", 'Field name "validate" in ".*(Sections|Settings)"')  # hides a deprecated method
PROJECT_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,48}[A-Za-z0-9])?$"
NAME_RULE = "at most 50 letters, digits and . _ -, starting and ending with a letter or digit"
def _variable(text: str) -> str:
    if not re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(
            "write $NAME, an environment variable that holds the address: such addresses are secrets, and this file is "
            "copied into the run folder"
        )
    return text


NonEmpty = Annotated[str, Field(min_length=1)]
ProjectName = Annotated[str, Field(pattern=PROJECT_NAME)]
"""At most 50 letters and digits, with ``_.-`` in between: it becomes part of Kubernetes names and labels."""
Element = Annotated[str, AfterValidator(_element)]
HOT_K = 900.0
"""Temperature of the MD of the rounds of a project that names none."""
TargetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")]


class DownstreamSettings(Settings):
    """The compound to fine-tune for: not in the pre-training data, with its own short labelled runs."""

    system: SystemSettings | None = Field(
        None, description="The compound, with name and structure; the systems of `simulate` by default."
    )
    perturb: PerturbSettings = Field(PerturbSettings(), description="Perturbed cells of the compound.")
    aimd: AimdSettings = Field(AimdSettings(), description="Short MD with the labeler, from each perturbed cell.")
    split: SplitSettings = Field(
        SplitSettings(test=0.5), description="Shares of its trajectories for validation and test."
    )
    data: Annotated[list[str], AfterValidator(unique)] = Field(
        default=[], description="Folders with your own labelled frames of the compound (deepmd/npy), which replace "
        "perturbation and short MD."
    )


class TargetSettings(Settings):
    """One of many compounds for which a pre-trained model is used: with its own student, MD and conductivities."""

    name: TargetName = Field(description="Name of the target in folders, tables and figures.")
    systems: list[SystemSettings] = Field(
        min_length=1, description="Systems to simulate: one, a series, or several arrangements (`count`)."
    )
    finetune: FinetuneSettings | None = Field(
        None, description="Fine-tuning for this target, with its own labels; without it, the pre-trained model is "
        "used as it is, and nothing is labelled."
    )
    perturb: PerturbSettings = Field(PerturbSettings(), description="Perturbed cells of the target, for its labels.")
    aimd: AimdSettings = Field(AimdSettings(), description="Short MD with the labeler, from each perturbed cell.")
    split: SplitSettings = Field(
        SplitSettings(test=0.5), description="Shares of its trajectories for validation and test."
    )
    data: Annotated[list[str], AfterValidator(unique)] = Field(
        default=[], description="Folders with your own labelled frames of the target (deepmd/npy), which replace "
        "perturbation and short MD."
    )
    student: Literal["own", "shared"] = Field(
        "own", description="`shared`: one student for all targets that say so, trained on labels on the systems of all "
        "of them; for targets with the same elements, and without fine-tuning."
    )
    distill: dict[str, Any] = Field(default={}, description="Values that differ from those of the section `distill`.")
    md: dict[str, Any] = Field(default={}, description="Values that differ from those of the section `md`.")
    conductivity: dict[str, Any] = Field(
        default={}, description="Values that differ from those of the section `conductivity`."
    )
    validate: dict[str, Any] = Field(  # type: ignore[assignment]  # hides a deprecated method of pydantic
        default={}, description="Values that differ from those of the section `validate`."
    )


class FailureSettings(Settings):
    """How failed tasks of a step are treated."""

    min_success_ratio: float = Field(
        1.0, ge=0, le=1, description="Fraction of the tasks of a step that must succeed; trainings must all succeed."
    )
    retries: int = Field(
        1, ge=0, le=10, description="Further attempts after a transient failure, e.g. a killed process."
    )
    task_timeout_min: float | None = Field(
        None, gt=0, description="Wall-clock limit of a task, minutes; no limit by default."
    )


class ResourcesSettings(Settings):
    """Limits on the machine resources that a run may use."""

    cores: int | None = Field(None, ge=1, le=1024, description="CPU cores; all by default.")
    threads_per_task: int | None = Field(
        None, ge=1, le=1024,
        description="Threads of a task; its share of the cores by default. Set to 1 for bit-for-bit reproducible "
        "results."
    )
    gpus: int | None = Field(None, ge=0, description="GPUs; all visible ones by default.")
    tasks_per_gpu: int = Field(1, ge=1, le=64, description="Tasks that share a GPU.")




class ProjectSections(Settings):
    """All keys of the configuration file; each section is checked separately.

    Paths are relative to the folder of the configuration file.
    """

    name: ProjectName = Field(description="Name of the project, its run folder and its workflows.")
    seed: int = Field(1, ge=0, description="Seed from which all random numbers are derived.")
    type_map: Annotated[list[Element], AfterValidator(unique)] = Field(
        min_length=1, description="All chemical elements of the project, in the order that the models use."
    )
    systems: list[SystemSettings] = Field(
        default=[], description="Base systems, which are labelled, explored and trained on."
    )
    labeler: AnyLabelerSettings = Field(default=AseSettings(), description="Source of energies, forces and virials.")
    perturb: PerturbSettings = Field(PerturbSettings(), description="Perturbed cells of the base systems.")
    aimd: AimdSettings = Field(AimdSettings(), description="Short MD with the labeler, from each perturbed cell.")
    split: SplitSettings = Field(SplitSettings(), description="Shares of the trajectories for validation and test.")
    data: Annotated[list[str], AfterValidator(unique)] = Field(
        default=[], description="Folders with your own data (deepmd/npy), added to what the project labels."
    )
    mix_levels: bool = Field(
        default=False, description="Accept labels of different levels of theory (functional, cutoff, ...) in `data`."
    )
    audit_data: bool = Field(
        default=True, description="Refuse `data` whose labels the audit calls unusable (wrong units, NaN, ...)."
    )
    simplify: SimplifySettings | None = Field(
        None, description="Thinning of `data` before they are trained on; omitted by default."
    )
    concurrent_learning: ConcurrentLearningSettings | None = Field(
        None, description="Concurrent learning (DP-GEN); omitted by default."
    )
    pretrain: PretrainSettings | None = Field(
        PretrainSettings(), description="The large model; with `null`, the project ends with the labelled data."
    )
    downstream: DownstreamSettings | None = Field(None, description="The compound to fine-tune for.")
    simulate: list[SystemSettings] = Field(
        default=[], description="Systems for distillation and production MD only: nothing of them is labelled, unless "
        "`downstream` is about them. By default those of `downstream`, else the base systems."
    )
    targets: list[TargetSettings] = Field(
        default=[], description="Many compounds from one pre-trained model, each with its student, MD and "
        "conductivities, and its fine-tuning if it has one; instead of `downstream`."
    )
    only: Annotated[list[str], AfterValidator(unique)] = Field(
        default=[], description="Names of the targets to run now, as with --only; all by default. The report is "
        "then about them alone; results of the others are kept, and are reused once they are included."
    )
    finetune: FinetuneSettings | None = Field(
        None, description="Fine-tuning of the pre-trained model for `downstream`."
    )
    distill: DistillSettings | None = Field(
        None, description="Training of a light, fast student on labels of the large model."
    )
    md: MdSettings | None = Field(None, description="Production MD with the student.")
    validate: ValidateSettings = Field(  # type: ignore[assignment]  # hides a deprecated method of pydantic
        ValidateSettings(), description="Self-check of the production MD with the labeler, and the loop back to labels."
    )
    conductivity: ConductivitySettings = Field(
        ConductivitySettings(), description="Analysis of the production MD: what moves, and at which temperatures."
    )
    failure: FailureSettings = Field(FailureSettings(), description="How failed tasks are treated.")
    resources: ResourcesSettings = Field(ResourcesSettings(), description="Limits on the use of this machine.")
    on_end: list[NonEmpty] = Field(
        default=[], description="Command at the end of a run on this machine, as a list: program and arguments, "
        f"without a shell. It finds the result in {env.END_STATUS.name} and {env.END_RESULT.name}, and as JSON in its "
        "standard input."
    )
    on_end_url: Annotated[str, AfterValidator(_variable)] | None = Field(
        None, description="Environment variable, as $NAME, with a web address that gets the result as JSON (POST) at "
        "the end of a run on this machine."
    )
    engine: EngineSettings = Field(
        EngineSettings(), description="Where the project runs: this machine, or Slurm, PBS or LSF."
    )
    cluster: ClusterSettings = Field(ClusterSettings(), description="How the project runs on Kubernetes.")

    @property
    def simulates_only(self) -> bool:
        """Whether the MD runs with the user's model, so that nothing is labelled or trained."""
        return self.md is not None and self.md.own_model is not None

    @property
    def distilled(self) -> DistillSettings | None:
        """How the student is made; None where there is none, because the large model itself runs the MD."""
        return None if self.md is not None and self.md.with_teacher else self.distill

    @property
    def round_temperatures_K(self) -> list[float]:  # noqa: N802  (units in names)
        """Temperatures of the MD of the rounds of active fine-tuning, K."""
        given = self.finetune.explore.temperatures_K if self.finetune else []
        later = self.md.temperatures_K if self.md else self.distill.temperatures_K if self.distill else []
        return given or later or [HOT_K]

    @property
    def round_runs(self) -> int:
        """Number of MD runs of each round."""
        explore = self.finetune.explore if self.finetune else RoundSettings()
        return explore.n_runs(len(self.new_systems), len(self.round_temperatures_K))

    @property
    def labelled_systems(self) -> list[SystemSettings]:
        """Base systems that are perturbed and labelled."""
        return [] if self.simulates_only else list(self.systems)

    @property
    def labels_downstream(self) -> bool:
        """Whether the new compound is labelled by the project, not by the user."""
        return self.downstream is not None and not self.downstream.data

    @property
    def chosen_targets(self) -> list[TargetSettings]:
        """Targets to run now."""
        return [target for target in self.targets if target.name in self.only] or list(self.targets)

    @property
    def target_systems(self) -> list[SystemSettings]:
        """Systems for distillation and production MD: those of the targets, the downstream one, or the base systems."""
        if self.targets:
            return [system for target in self.chosen_targets for system in target.systems]
        if self.simulate:
            return list(self.simulate)
        return self.new_systems or list(self.systems)

    @property
    def new_systems(self) -> list[SystemSettings]:
        """Systems of the compound to fine-tune for."""
        if not self.downstream:
            return []
        return [self.downstream.system] if self.downstream.system else list(self.simulate)
