"""Labels from any ASE calculator: CHGNet with the weights of its wheel, or ``module:Class``."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.core.suggest import did_you_mean, question
from dpa_sse.ops.core.tools import available_threads
from dpa_sse.ops.labelers.arguments import CHGNET_MODELS, argument_problems
from dpa_sse.ops.labelers.base import LabelResult, SettingsProblem, label_with_calculator, one_line
from dpa_sse.ops.labelers.dynamics import CalculatorLabeler
from dpa_sse.ops.labelers.model_level import calculator_level
from dpa_sse.ops.labelers.settings import CALCULATORS, AseSettings
from dpa_sse.ops.results.level import LevelOfTheory
from dpa_sse.ops.runtime.versions import installed

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


class AseLabeler(CalculatorLabeler[AseSettings]):
    """The labeler of kind ``ase``; the calculator is created once."""

    settings_class = AseSettings
    image = "ase"
    code = "ASE"
    example = "{kind: ase, calculator: chgnet}"

    def __init__(self, settings: AseSettings) -> None:
        super().__init__(settings)
        if settings.calculator == "chgnet":
            self._calculator = chgnet_calculator(settings.kwargs)
        else:
            self._calculator = load_calculator(settings.calculator, settings.kwargs)

    @classmethod
    def versions(cls, settings: AseSettings) -> dict[str, str]:
        """Return the versions of the package of the calculator and of ASE."""
        name = settings.calculator
        if name == "chgnet":
            return installed(["chgnet", "ase", "torch"])
        return installed([*_distributions(name.partition(".")[0].partition(":")[0]), "ase"])

    @classmethod
    def problems(cls, settings: AseSettings, type_map: Sequence[str], base_dir: Path) -> Iterator[SettingsProblem]:
        """Yield whether the package of the calculator is missing; it is not imported."""
        name = settings.calculator
        where = ("calculator",)
        if name == "chgnet":
            if PathFinder.find_spec("chgnet") is None:
                yield where, "the package 'chgnet' is not installed (run `dpa-sse doctor`)"
        elif not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name):
            meant = CALCULATORS.get(name.lower())
            hint = question(meant) if meant else ""
            wanted = "'chgnet' nor of the form module:Class, e.g. ase.calculators.emt:EMT"
            yield where, f"'{name}' is neither {wanted}{hint}"
        else:
            missing = missing_module(name.partition(":")[0])
            if missing:
                yield where, f"the Python module '{missing}' is not installed"
        for argument, problem in argument_problems(name, settings.kwargs):
            yield ("kwargs", argument), problem

    def label(self, frames: Sequence[Atoms], work: Path | None = None) -> list[LabelResult]:
        """Label frames one after the other."""
        limit_torch_threads()
        return [label_with_calculator(atoms, self._calculator) for atoms in frames]

    def level(self, frames: Sequence[Atoms]) -> LevelOfTheory:
        """Return name and version of the calculator, its arguments, and the hash of its weights."""
        return calculator_level(self.settings.calculator, self.settings.kwargs, self._calculator)

    def calculator(self, work: Path | None = None) -> Calculator:
        """Return the calculator of this process."""
        limit_torch_threads()
        return self._calculator


def chgnet_calculator(kwargs: dict[str, Any]) -> Calculator:  # foreign: arguments of CHGNet
    """Return a CHGNet calculator on the GPU if one is visible, else on the CPU; nothing is downloaded.

    Raises
    ------
    InputError
        CHGNet is not installed, or an argument is wrong.
    """
    try:
        import torch
        from chgnet.model.dynamics import CHGNetCalculator
    except ImportError as error:
        raise InputError(f"labeler chgnet: the package is not installed ({error})") from error
    known = set(inspect.signature(CHGNetCalculator.__init__).parameters) - {"self", "kwargs"}
    for name in sorted(set(kwargs) - known):  # CHGNet would accept them silently
        hint = did_you_mean(name, known)
        raise InputError(f"labeler chgnet has no argument {name!r}{hint} (known: {', '.join(sorted(known))})")
    torch.set_num_threads(available_threads())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    given = {"use_device": device, "check_cuda_mem": False, **kwargs}
    try:
        if isinstance(given.get("model"), str):
            given["model"] = _chgnet_model(given["model"], given["use_device"])
        return CHGNetCalculator(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"labeler chgnet: kwargs {kwargs}: {one_line(error)}") from error


def _chgnet_model(name: str, device: str) -> Any:
    """Return the network of one of the versions that CHGNet's package contains."""
    from chgnet.model import CHGNet

    if name not in CHGNET_MODELS:
        raise ValueError(f"CHGNet has no model {name!r}; its package contains {', '.join(CHGNET_MODELS)}")
    return CHGNet.load(model_name=name, use_device=device, verbose=False)


def load_calculator(name: str, kwargs: dict[str, Any]) -> Calculator:  # foreign: arguments of any ASE calculator
    """Return ``Class(**kwargs)`` for a name of the form ``module:Class``.

    Raises
    ------
    InputError
        The name, the module, the class or the arguments are wrong.
    """
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise InputError(f"labeler calculator {name!r}: give chgnet, or module:Class, e.g. ase.calculators.emt:EMT")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"labeler calculator {name!r}: module {module_name} cannot be imported ({error})") from error
    factory = getattr(module, class_name, None)
    if not callable(factory):
        raise InputError(f"labeler calculator {name!r}: {module_name} has no class {class_name}")
    try:
        calculator = factory(**kwargs)
    except Exception as error:  # a foreign constructor
        raise InputError(f"labeler calculator {name!r}: kwargs {kwargs}: {one_line(error)}") from error
    if not hasattr(calculator, "get_property"):
        raise InputError(f"labeler calculator {name!r} is not an ASE calculator")
    return calculator


@functools.cache
def _distributions(module: str) -> tuple[str, ...]:
    return tuple(sorted(set(packages_distributions().get(module, ()))))


def missing_module(module: str) -> str | None:
    """Return the first part of a dotted module name that cannot be found, without importing any package."""
    locations: list[str] | None = None
    parts = module.split(".")
    for index, part in enumerate(parts):
        spec = PathFinder.find_spec(part, locations)
        if spec is None:
            return ".".join(parts[: index + 1])
        locations = list(spec.submodule_search_locations or [])
    return None


def limit_torch_threads() -> None:
    """Limit PyTorch, if a calculator imported it, to the threads of this task."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != available_threads():
        torch.set_num_threads(available_threads())
