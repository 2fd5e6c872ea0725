"""Rules between the keys of concurrent learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dpa_sse.ops.core.suggest import did_you_mean
from dpa_sse.pipeline.config.breach import Breach
from dpa_sse.pipeline.config.problems import KeyPath

if TYPE_CHECKING:
    from dpa_sse.ops.exploration.settings import ConcurrentLearningSettings, TrustChange, TrustSettings
    from dpa_sse.ops.training.settings import TrainSettings
    from dpa_sse.pipeline.config.sections import ProjectSections

MAX_ITERATIONS = 90
"""A longer recursive loop overloads the Argo controller."""
PLACE = ("concurrent_learning",)


def learning_rules(project: ProjectSections) -> Iterator[Breach]:
    """Yield what is inconsistent in the section on concurrent learning."""
    learning = project.concurrent_learning
    if not learning:
        return
    yield from _iterations(learning)
    if len(learning.trainings) > learning.models:
        yield Breach((*PLACE, "train"), f"has {len(learning.trainings)} networks for {learning.models} models: raise "
                     "`models`, or remove some", ((*PLACE, "models"),))
    names = [system.name for system in project.systems]
    for name in learning.trust_of:
        if name not in names:
            yield Breach((*PLACE, "trust_of", name), f"'{name}' is not one of the systems{did_you_mean(name, names)}",
                         (("systems",),))
    yield from _trust(learning, [name for name in names if name in learning.trust_of])


def learning_trainings(learning: ConcurrentLearningSettings) -> Iterator[tuple[KeyPath, TrainSettings]]:
    """Yield the trainings of concurrent learning and their places in the configuration."""
    for index, training in enumerate(learning.trainings):
        yield (*PLACE, "train", *([index] if isinstance(learning.train, list) else [])), training


def _iterations(learning: ConcurrentLearningSettings) -> Iterator[Breach]:
    total = sum(stage.max_iterations for stage in learning.stages)
    if total > MAX_ITERATIONS:
        yield Breach((*PLACE, "stages"),
                     f"the max_iterations of all stages add up to {total}; the limit is {MAX_ITERATIONS}")
    for index, stage in enumerate(learning.stages):
        if stage.steps < learning.sample_every:
            yield Breach(
                (*PLACE, "stages", index, "steps"),
                f"must be at least concurrent_learning.sample_every ({learning.sample_every}), not {stage.steps}",
                ((*PLACE, "sample_every"),),
            )


def _trust(learning: ConcurrentLearningSettings, special: list[str]) -> Iterator[Breach]:
    """Yield trust levels that are inconsistent once a stage or a system has changed some of them."""
    read: tuple[KeyPath, ...] = ((*PLACE, "trust"), (*PLACE, "trust_of"))
    for index, stage in enumerate(learning.stages):
        place, epsilons = (*PLACE, "stages", index), set()
        for name in ["", *special]:  # no system has an empty name: the levels of all others
            try:
                trust = learning.trust_in(stage, name)
            except ValidationError as error:
                changes: dict[KeyPath, TrustChange] = {(*place, "trust"): stage.trust}
                if name:
                    changes = {(*PLACE, "trust_of", name): learning.trust_of[name], **changes}
                yield Breach(_culprit(changes, message := _message(error)), f"in stage {index}: {message}",
                             (*read, (*place, "trust")))
                break
            epsilons.add(trust.epsilon_eV_A)
            yield from _checked(trust, stage.max_iterations, index)
        if len(epsilons) > 1:
            yield Breach(
                (*PLACE, "trust_of"), f"in stage {index}: the deviations of all systems are reported together: all, or "
                "none, must have `relative` levels, with one epsilon_eV_A", (*read, (*place, "trust")),
            )


def _checked(trust: TrustSettings, iterations: int, index: int) -> Iterator[Breach]:
    if trust.adaptive and trust.adaptive.checked_iterations > iterations:
        yield Breach(
            (*PLACE, "stages", index, "max_iterations"), f"must be at least {trust.adaptive.checked_iterations}, not "
            f"{iterations}: fewer cannot show that the adaptive level no longer changes (checked_iterations)",
            ((*PLACE, "trust"), (*PLACE, "trust_of")),
        )


def _message(error: ValidationError) -> str:
    return error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")


def _culprit(changes: dict[KeyPath, TrustChange], message: str) -> KeyPath:
    """Return the key of the change that a message names, else the place of the first change."""
    for place, change in changes.items():
        for key, value in change:
            if value is not None and key in message:
                return (*place, key)
    return next(iter(changes))
