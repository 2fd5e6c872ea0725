"""What is in a model file, as ``dpa-sse models show`` prints it."""

from __future__ import annotations

from typing import Literal

from dpa_sse.ops.results.base import ResultPart
from dpa_sse.ops.results.model import LearningRates

FileKind = Literal["checkpoint", "frozen", "package"]
"""A checkpoint (.pt), a TorchScript file (.pth), or an AOTInductor package (.pt2)."""
SUFFIXES: dict[FileKind, str] = {"checkpoint": ".pt", "frozen": ".pth", "package": ".pt2"}
"""DeePMD-kit recognises the kind of a file by the ending of its name."""


class ModelBranch(ResultPart):
    """One branch of a model; a single-task model has one, without a name.

    Attributes
    ----------
    name : str
    aliases : tuple of str
    type_map : tuple of str
        Elements, in the order of the model's types.
    elements_with_data : tuple of str or None
        Those that occurred in the training data; None where the file does not say.
    descriptor, fitting : str or None
        DeePMD-kit's types.
    rcut_A : float or None
        Largest cutoff radius, Angstrom.
    precision : str or None
        Of the network; positions and sums are in double precision.
    n_parameters : int or None
        Numbers in the tensors of the branch, shared ones included.
    compressed : bool
    has_table : bool
        It has a table of pair potentials for short distances.
    table_file : str or None
        File of the table that a checkpoint names; None where the checkpoint has the table inside.
    """

    name: str
    aliases: tuple[str, ...]
    type_map: tuple[str, ...]
    elements_with_data: tuple[str, ...] | None
    descriptor: str | None
    fitting: str | None
    rcut_A: float | None
    precision: str | None
    n_parameters: int | None
    compressed: bool
    has_table: bool = False
    table_file: str | None = None


class ModelUse(ResultPart):
    """Whether a model can be used for something, and how or why not."""

    use: str
    possible: bool
    how: str


class ModelFile(ResultPart):
    """A model file.

    Attributes
    ----------
    file : str
    kind : FileKind
    size_bytes : int
    branches : tuple of ModelBranch
        One for a single-task model.
    multi_task : bool
    steps : int or None
        Training steps so far.
    learning_rate : LearningRates or None
        Of its training, at the start and so far; None where the file does not say.
    deepmd_version : str or None
        None where the file does not say.
    compiled_for : str or None
        Device of an AOTInductor package, which runs on no other.
    uses : tuple of ModelUse
    """

    file: str
    kind: FileKind
    size_bytes: int
    branches: tuple[ModelBranch, ...]
    multi_task: bool
    steps: int | None
    learning_rate: LearningRates | None
    deepmd_version: str | None
    compiled_for: str | None
    uses: tuple[ModelUse, ...]

    def branch(self, wanted: str) -> ModelBranch | None:
        """Return the branch with this name or alias, upper and lower case alike as in DeePMD-kit; None without one."""
        for same in (str, str.lower):
            for one in self.branches:
                if same(wanted) in (same(one.name), *map(same, one.aliases)):
                    return one
        return None

    def used_branch(self, wanted: str) -> ModelBranch:
        """Return the branch with this name or alias; the first one, of a model with one task, if none is named."""
        return (self.branch(wanted) if wanted else None) or self.branches[0]
