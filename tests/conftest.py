"""Order of the tests."""

from __future__ import annotations

import pytest

FIRST = ("flows", "engines")
"""Folders with runs of whole pipelines: they take longest, so that they must not be the last of parallel processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not {*item.path.parts} & {*FIRST})
