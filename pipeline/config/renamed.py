"""Keys of earlier versions: each one is reported with its new name, and its value is checked under that name."""

from __future__ import annotations

from typing import Any

from dpa_sse.pipeline.config.problems import KeyPath, Marks, Problem, locate
from dpa_sse.pipeline.config.yaml_file import YamlContent

RENAMED_KEYS: dict[KeyPath, KeyPath] = {
    ("learning",): ("concurrent_learning",),
    ("concurrent_learning", "max_candidates"): ("concurrent_learning", "max_selected"),
    ("concurrent_learning", "min_accurate"): ("concurrent_learning", "conv_accuracy"),
    ("concurrent_learning", "label_group"): ("concurrent_learning", "frames_per_task"),
    ("distill", "on_policy_steps"): ("distill", "self_exploration", "steps"),
    ("distill", "on_policy_frames"): ("distill", "self_exploration", "frames"),
    ("distill", "draft_steps"): ("distill", "self_exploration", "training_steps"),
    ("labeler", "arguments"): ("labeler", "kwargs"),
}
"""Old path -> new path; sections come before their keys."""


def _message(new: KeyPath, level: int) -> str:
    """Return the new name of a key; one that has moved into a section is shown as YAML."""
    inner = new[level:]
    if len(inner) == 1:
        return f"renamed to '{inner[0]}'"
    return f"renamed: write {'{'.join(f'{part}: ' for part in inner)}...{'}' * (len(inner) - 1)}"


def take_renamed(content: YamlContent, file: str) -> list[Problem]:
    """Move the values of renamed keys to their new names.

    Parameters
    ----------
    content : YamlContent
        Data and marks of the configuration; changed in place, so that the values are checked in the same pass.
    file : str
        File to name where the place of a key is not known.

    Returns
    -------
    list of Problem
        One for each old key, at its line. The values that were moved keep their lines.
    """
    problems: list[Problem] = []
    for old, new in RENAMED_KEYS.items():
        section = _section(content.data, old[:-1])
        if section is None or old[-1] not in section:
            continue
        level = len(old) - 1  # the section that holds both keys; the message names what follows it
        problems.append(locate(content.marks, old, _message(new, level), file))
        value = section.pop(str(old[-1]))
        target: Any = section
        for depth in range(level, len(new) - 1):
            content.marks.setdefault(new[: depth + 1], content.marks.get(old, content.marks[()]))
            target = target.setdefault(str(new[depth]), {}) if isinstance(target, dict) else None
        if isinstance(target, dict) and new[-1] not in target:
            target[str(new[-1])] = value
            content.marks.update(_moved(content.marks, old, new))
    return problems


def _section(data: Any, path: KeyPath) -> dict[str, Any] | None:
    """Return the section at ``path`` of the data, None if there is none."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None


def _moved(marks: Marks, old: KeyPath, new: KeyPath) -> Marks:
    return {(*new, *path[len(old) :]): mark for path, mark in marks.items() if path[: len(old)] == old}
