"""Read YAML into plain data and record the place of every key; YAML's surprising conversions are refused or undone.

Unquoted words follow YAML 1.2: ``1e3`` is a number; ``no``, ``No``, ``Y`` and ``2024-06-18`` stay text (in YAML 1.1,
which PyYAML follows, nobelium would be the boolean false). Where a boolean is expected, yes/no/on/off are accepted.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from dpa_sse.ops.core.limits import regular
from dpa_sse.pipeline.config.problems import ConfigError, KeyPath, Mark, Problem, dotted

STARTER = "`dpa-sse init quickstart` prints a configuration to start from"
MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_DEPTH = 50
MAX_DIGITS = 300

_HALF = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_NOT_FINITE = re.compile(r"([-+]?\.?inf(inity)?|\.?nan)$", re.IGNORECASE)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULL = {"", "~", "null", "Null", "NULL"}
_STANDARD_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp",
                                             "value")
}


class YamlContent:
    """Plain data of one YAML text, the place of every key and list item, and the problems found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.marks: dict[KeyPath, Mark] = {(): Mark(file, 1)}
        self.problems: list[Problem] = []
        self._values = 0
        self._open: list[int] = []

    def problem(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        """Record a problem at the line where ``node`` starts."""
        self.problems.append(Problem(self.file, node.start_mark.line + 1, dotted(path), message))

    def build(self, node: yaml.Node, path: KeyPath = ()) -> Any:
        """Return the plain data of ``node`` and record the places below ``path``."""
        self._values += 1
        if self._values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise ConfigError([Problem(self.file, node.start_mark.line + 1, dotted(path[:3]),
                                       "too many or too deeply nested values for a configuration")])
        if id(node) in self._open:
            self.problem(node, path, "this anchor contains itself")
            return None
        if node.tag not in _STANDARD_TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problem(node, path, f"the YAML tag '{tag}' is not allowed here; write a plain value")
            return None
        self._open.append(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
            if isinstance(node.value, str) and _HALF.search(node.value):
                self.problem(node, path, "half of a surrogate pair (\\ud800 to \\udfff) is not a character")
                return ""
            quoted = getattr(node, "style", None) is not None
            return str(node.value) if quoted else self._plain(node, str(node.value), path)
        finally:
            self._open.pop()

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.marks[path] = Mark(self.file, node.start_mark.line + 1)
        return self.build(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, path, "a key must be a plain word, not a list or a section")
                continue
            key, line = _HALF.sub("?", str(key_node.value)), key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key in first_line:
                self.problem(key_node, (*path, key), f"duplicate key (first defined on line "
                             f"{first_line[key]}); remove one")
                continue
            first_line[key] = line
            self.marks[(*path, key)] = Mark(self.file, line)
            own[key] = self.build(value_node, (*path, key))
        self._merge(node, path, own)
        return own

    def _merge(self, node: yaml.MappingNode, path: KeyPath, own: dict[str, Any]) -> None:
        """Add the keys of ``<<: *anchor`` that are not given (of a list of anchors, earlier ones take precedence)."""
        for key_node, value_node in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                continue
            sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for source in sources:
                if not isinstance(source, yaml.MappingNode):
                    self.problem(value_node, path, "'<<' merges another section: write <<: *anchor")
                    continue
                if id(source) in self._open:
                    self.problem(value_node, path, "this anchor contains itself")
                    continue
                part = YamlContent(self.file)
                part._values, part._open = self._values, [*self._open]
                values = part.build(source, path)
                self._values = part._values
                self.problems += part.problems
                taken = {key: value for key, value in (values or {}).items() if key not in own}
                own.update(taken)
                within = len(path)
                self.marks.update({
                    place: mark for place, mark in part.marks.items()
                    if len(place) > within and place[:within] == path and place[within] in taken
                })

    def _plain(self, node: yaml.Node, text: str, path: KeyPath) -> Any:
        """Return the value of an unquoted word; text unless it is something else."""
        if text in _NULL or text in _BOOLEANS:
            return _BOOLEANS.get(text)
        if _INTEGER.match(text):
            if len(text) > MAX_DIGITS:
                self.problem(node, path, f"a number of {len(text)} digits is too large")
                return 0
            return int(text.replace("_", ""))
        if _NOT_FINITE.match(text):
            self.problem(node, path, f"must be a finite number, not {text}")
        elif _FLOAT.match(text):
            value = float(text.replace("_", ""))
            if math.isfinite(value):
                return value
            self.problem(node, path, f"{text} is too large for a number")
        return text


def read_yaml(path: Path) -> YamlContent:
    """Read a YAML file.

    Parameters
    ----------
    path : Path
        The file; problems show this path as given.

    Returns
    -------
    YamlContent
        Its ``problems`` are those that do not prevent reading the rest.

    Raises
    ------
    ConfigError
        The file cannot be read: missing, not UTF-8, invalid YAML, not a mapping.
    """
    file = str(path)
    try:
        if not file.startswith(("/dev/fd/", "/proc/")):  # a pipe of the shell's <(...) is written to; others may not be
            regular(path)
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigError([Problem(file, None, "", f"larger than {MAX_BYTES // 1000} kB; not a configuration")])
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise ConfigError([Problem(file, None, "", f"{reason}; {STARTER}")]) from error
    content = parse_yaml(_decode(raw, file), file)
    if content.data is None:
        content.problems.append(Problem(file, 1, "", f"the file is empty; {STARTER}"))
    elif not isinstance(content.data, dict):
        kind = "a list" if isinstance(content.data, list) else "plain text"
        content.problems.append(Problem(file, 1, "", f"the file must contain keys and values (name: ...), not {kind}"))
    if not isinstance(content.data, dict):
        raise ConfigError(content.problems)
    return content


def _decode(raw: bytes, file: str) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError([Problem(file, 1, "", "the file is UTF-16; save it as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1  # after a BOM, the bytes lack only the BOM
        byte = error.object[error.start]
        raise ConfigError([Problem(file, line, "", f"the file is not UTF-8 (byte 0x{byte:02x}); save it as UTF-8")
                           ]) from error


class _TooManyError(Exception):
    """A text has more values than a configuration; its argument is the line."""


class _BoundedLoader(yaml.SafeLoader):
    """Stops reading a text with too many values: PyYAML needs a second for twenty thousand."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.left = MAX_VALUES

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.left -= 1
        if self.left < 0:
            raise _TooManyError(self.line + 1)
        return super().compose_node(parent, index)


def parse_yaml(text: str, file: str) -> YamlContent:
    """Parse one YAML document; raises ConfigError if its syntax is wrong."""
    content = YamlContent(file)
    try:
        node = _BoundedLoader(text).get_single_node()
        content.data = None if node is None else content.build(node)
    except _TooManyError as error:
        message = f"more than {MAX_VALUES} keys and values: not a configuration"
        raise ConfigError([Problem(file, error.args[0], "", message)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([Problem(file, line, "", f"unprintable character #x{int(error.character):04x}")
                           ]) from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, text, file)]) from error
    except (RecursionError, yaml.YAMLError, ValueError) as error:
        raise ConfigError([Problem(file, 1, "", "the file cannot be read as YAML (nested too deeply?)")]) from error
    return content


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Return the line of a PyYAML syntax error, and what it means."""
    mark, start = error.problem_mark or error.context_mark, error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    what, context = error.problem or "", error.context or ""
    if re.match(r" *\t", lines[line - 1] if line <= len(lines) else ""):
        what = "tab"
    for sign, at_start, meaning in _SYNTAX:
        if sign in what or sign in context:
            place = start.line + 1 if start and at_start else line
            noticed = f" (noticed on line {line})" if place != line else ""
            return Problem(file, place, "", f"YAML syntax: {meaning}{noticed}")
    return Problem(file, line, "", f"YAML syntax: {' '.join((context, what)).strip()}")


_SYNTAX = (  # part of PyYAML's message, whether to report the line where the construct starts, what it means
    ("tab", False, "a tab is used for indentation; use spaces"),
    ("mapping values are not allowed", False, "an unexpected ':' (check the indentation against the line above; "
                                              "text that contains ': ' needs quotes)"),
    ("could not find expected ':'", True, "a ':' is missing after a key"),
    ("quoted scalar", True, "a quote is opened here but not closed"),
    ("flow sequence", True, "'[' is opened here but not closed, or a comma is missing"),
    ("flow mapping", True, "'{' is opened here but not closed, or a comma is missing"),
    ("single document", False, "a second document starts here ('---'); write one project per file"),
    ("expected '<document start>'", False, "a ':' or indentation is missing on this line or the one above"),
    ("flow node", False, "a value is missing inside [ ] or { }, or there is a stray '-' or '?'"),
    ("sequence entries are not allowed", False, "a list item '- ...' is not allowed here; start it on a new line"),
    ("mapping keys are not allowed", False, "a '?' is not allowed here; put the text in quotes"),
    ("block scalar", False, "after '|' or '>' the text starts on the next line; put other text in quotes"),
    ("scanning an alias", False, "text that starts with '*' needs quotes"),
    ("scanning an anchor", False, "text that starts with '&' needs quotes"),
    ("directive", False, "text that starts with '%' needs quotes"),
    ("undefined alias", False, "the alias *name has no anchor &name above it"),
    ("expected <block end>", False, "the indentation does not match the lines above"),
    ("cannot start any token", False, "a character that YAML reserves (@ ` %); put the text in quotes"),
)
