"""Workflows as YAML that Go programs read correctly: every string quoted, scripts as blocks."""

from __future__ import annotations

import re
from typing import Any

import yaml

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*")
_LOOKS_LIKE_BOOL = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


class _Dumper(yaml.SafeDumper):
    """PyYAML leaves ``n``, ``no`` and ``1e3`` bare, which Kubernetes reads as a boolean and a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.Node:
        style = "|" if "\n" in text else "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def represent_pairs(self, data: dict[str, Any]) -> yaml.Node:
        node = self.represent_mapping("tag:yaml.org,2002:map", data.items())
        for key, _ in node.value:
            if _PLAIN_KEY.fullmatch(key.value) and key.value.lower() not in _LOOKS_LIKE_BOOL:
                key.style = None
        return node


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(dict, _Dumper.represent_pairs)


def dump(*documents: dict[str, Any]) -> str:
    """Return workflows (or other objects of Kubernetes) as YAML; equal objects give equal text."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, width=2**20, allow_unicode=False, default_flow_style=False,
        explicit_start=len(documents) > 1,
    )
