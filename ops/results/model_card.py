"""``model.yaml`` of a model in the registry: what it is, what it was made from, what was measured, what it is for.

Names of fields are those of matbench-discovery's model files where it has them (``model_name``, ``model_params``,
``training_set``, ``hyperparams``, ``requirements``, ``license``, ``metrics``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.files import write_text
from dpa_sse.ops.core.limits import read_small, require_bounded
from dpa_sse.ops.results.base import Result, ResultPart
from dpa_sse.ops.results.gates import Tier, Verdict

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Of a model, and of a version: a part of a path."""
Name = Annotated[str, Field(pattern=NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NOT_RUN = "NOT_RUN"
"""What is accepted for a model without gates."""


class StoredFile(ResultPart):
    """A file of a model: its hash, under which it is stored, and its size."""

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class UsedModel(ResultPart):
    """A model of the registry that a run uses: ``name@version``, the file, its hash, and the verdict on its card."""

    model: str
    file: str
    sha256: Sha256
    verdict: Verdict


class Architecture(ResultPart):
    """The network.

    Attributes
    ----------
    type_map : tuple of str
        Elements, in the order of the model's types.
    descriptor, fitting, precision : str or None
        DeePMD-kit's types; precision of the network.
    rcut_A : float or None
        Largest cutoff radius, Angstrom.
    branch : str
        Branch of a multi-task checkpoint; empty for a single-task model.
    """

    type_map: tuple[str, ...]
    descriptor: str | None
    fitting: str | None
    rcut_A: float | None
    precision: str | None
    branch: str = ""


class TrainingSystem(ResultPart):
    """Frames of one system that a model was trained on, and the level of theory of their labels."""

    system: str
    role: Literal["training", "pre-training"] = "training"
    n_frames: int
    n_atoms: tuple[int, ...]
    level: str | None


class License(ResultPart):
    """Licence of the model files, as its maker states it; None: not stated."""

    checkpoint: str | None


class CardMetric(ResultPart):
    """A measured number, and where it was measured: ``gates.json: G1.force_mae`` or a place in ``summary.json``."""

    name: str
    value: float
    unit: str
    ci95: tuple[float, float] | None
    n: int
    source: str


class CardGate(ResultPart):
    """The verdict of one gate."""

    key: str
    name: str
    required: bool
    verdict: Verdict
    reason: str


class CardVerdict(ResultPart):
    """The verdict of the gates; ``model_sha256`` is that of the file that they judged."""

    verdict: Verdict
    model_sha256: Sha256
    reference: str
    tier: Tier
    temperature_K: float
    structures: tuple[str, ...]
    thresholds_sha256: str
    gates: tuple[CardGate, ...]


class Accepted(ResultPart):
    """A gate that the model has not passed, and why it was published all the same."""

    gate: str
    reason: str = Field(min_length=1)


class IntendedUse(ResultPart):
    """What a model is for, and what it must not be used for.

    Attributes
    ----------
    elements : tuple of str
        With training data, as far as that is known; else those of the type map.
    elements_with_data_known : bool
    highest_temperature_K : float or None
        Up to which the gates judged it; None without gates.
    trained_temperatures_K, trained_pressures_GPa : tuple of float
        Of the MD that its training frames were drawn from; empty where they are not recorded.
    must_not : tuple of str
    """

    elements: tuple[str, ...]
    elements_with_data_known: bool
    highest_temperature_K: float | None
    trained_temperatures_K: tuple[float, ...] = ()
    trained_pressures_GPa: tuple[float, ...] = ()
    must_not: tuple[str, ...] = ()


Plain = str | int | float | bool | None


class ModelCard(Result):
    """A version of a model.

    Attributes
    ----------
    model_name, model_version : str
    date_added : str
        Day, ISO 8601.
    model_params : int or None
        Trained numbers.
    n_estimators : int
        Networks in it.
    targets : str
        ``EFS_G``: energies; forces and stresses as its gradients.
    architecture : Architecture
    training_set : tuple of TrainingSystem
        Empty where it is not recorded.
    distilled_from : str or None
        Level of theory of the labels behind its teacher.
    hyperparams : dict
        Of the training; empty where its input is not recorded.
    requirements : dict
        Versions of the programs that made it.
    metrics : tuple of CardMetric
        Measured by gates, or in the report of its run; nothing else.
    gates : CardVerdict or None
    accepted : tuple of Accepted
    license : License
    intended_use : IntendedUse
    files : dict
        By name.
    notes : tuple of str
        Of its maker.
    """

    FILE: ClassVar[str] = "model.yaml"

    model_name: Name
    model_version: Name
    date_added: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    model_params: int | None
    n_estimators: int = 1
    targets: Literal["EFS_G"] = "EFS_G"
    architecture: Architecture
    training_set: tuple[TrainingSystem, ...] = ()
    distilled_from: str | None = None
    hyperparams: dict[str, Plain] = Field(default_factory=dict)
    requirements: dict[str, str] = Field(default_factory=dict)
    metrics: tuple[CardMetric, ...] = ()
    gates: CardVerdict | None = None
    accepted: tuple[Accepted, ...] = ()
    license: License
    intended_use: IntendedUse
    files: dict[str, StoredFile]
    notes: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """How a configuration names it: ``name@version``."""
        return f"{self.model_name}@{self.model_version}"

    @property
    def verdict(self) -> Verdict:
        """Of its gates; NOT_RUN without any."""
        return self.gates.verdict if self.gates else "NOT_RUN"

    @classmethod
    def path_in(cls, place: Path) -> Path:
        """Return the path of the file, given the folder of a version or the file itself."""
        return place if place.suffix == ".yaml" else place / cls.FILE

    @classmethod
    def read(cls, place: Path) -> Self:
        """Read the file, or the one in a folder.

        Raises
        ------
        InputError
            It is missing, damaged, or not a model card; in one line.
        """
        path = cls.path_in(place)
        try:
            text = read_small(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, place: str) -> Self:
        """Return the card of a text; ``place`` is for messages.

        Raises
        ------
        InputError
            It is not a model card; in one line.
        """
        import yaml

        try:
            return cls.model_validate(require_bounded(yaml.safe_load(text)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(f"{place}: not a model card: {where + ': ' if where else ''}{first['msg']}") from error
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise InputError(f"{place}: cannot be read: {' '.join(str(error).split())}") from error

    def write(self, place: Path) -> None:
        """Write the file, or the one in a folder."""
        write_text(self.path_in(place), self.text())

    def text(self) -> str:
        """Return the text of the file."""
        import yaml

        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, width=118, default_flow_style=None, allow_unicode=True
        )


def model_schema() -> dict[str, Any]:
    """Return the JSON schema of ``model.yaml``, which is kept in ``configs/schemas/model.json``."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **ModelCard.model_json_schema(), "title": ModelCard.FILE}
