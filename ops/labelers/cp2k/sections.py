"""The section tree of a CP2K input: written from nested values, or read from a user's file and edited.

Libraries for CP2K inputs parse them into their own tree and write that: repeated keywords change their order, comments
and parameters of sections are lost. A user's template must come out as it went in, so the lines are kept here, and only
whole sections and single keywords are removed or inserted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dpa_sse.ops.core.errors import InputError

INDENT = "  "


Values = Mapping[str, "Values | Sequence[str] | str | int | float | None"]
"""Content of a section, see :func:`section_text`."""


def section_text(content: Values, depth: int = 0) -> str:
    """Return the text of nested values.

    Parameters
    ----------
    content : mapping
        ``{"CUTOFF": 600, "XC": {...}, "SMEAR ON": {...}, "KIND Li": {...}}``: a mapping is a section (the first word of
        the key is its name, the rest its parameter), a list a repeated keyword, None is left out; the values of the
        empty key are whole lines.
    depth : int
        Level of indentation.
    """
    pad, lines = INDENT * depth, []
    for key, value in content.items():
        if isinstance(value, Mapping):
            name = key.split()[0]
            lines.append(f"{pad}&{key}\n{section_text(value, depth + 1)}{pad}&END {name}\n")
        elif value is not None:
            lead = f"{pad}{key} " if key else pad
            lines += [f"{lead}{item}\n" for item in (value if isinstance(value, (list, tuple)) else [value])]
    return "".join(lines)


class Section:
    """One section of an input file.

    Attributes
    ----------
    name : str
        In upper case; empty for the file itself.
    parameter : str
        What follows the name.
    line : int
        Number of the line ``&NAME``.
    content : list of Section or tuple of int and str
        Sections, and other lines with their numbers, in order.
    """

    def __init__(self, name: str, parameter: str, line: int, opening: str) -> None:
        self.name, self.parameter, self.line = name, parameter, line
        self.content: list[Section | tuple[int, str]] = []
        self._opening, self._closing = opening, ""

    def close(self, text: str) -> None:
        """Set the line ``&END``."""
        self._closing = text

    def sections(self, name: str) -> list[Section]:
        """Return the sections of a name."""
        return [item for item in self.content if isinstance(item, Section) and item.name == name]

    def keywords(self, *names: str) -> list[tuple[int, str]]:
        """Return line number and value of the keywords of these names."""
        found = []
        for item in self.content:
            if not isinstance(item, Section):
                key, _, value = bare(item[1]).partition(" ")
                if key.upper() in names:
                    found.append((item[0], value.strip()))
        return found

    def drop(self, *names: str) -> None:
        """Remove all sections and keywords of these names."""
        def keep(item: Section | tuple[int, str]) -> bool:
            word = item.name if isinstance(item, Section) else bare(item[1]).split(" ")[0].upper()
            return word not in names

        self.content = [item for item in self.content if keep(item)]

    def put(self, text: str) -> None:
        """Add lines at the end."""
        self.content += [(0, line) for line in text.splitlines()]

    def child(self, name: str) -> Section:
        """Return the section of a name; it is added at the end if there is none."""
        found = self.sections(name)
        if not found:
            found = [Section(name, "", 0, f"&{name}")]
            found[0].close(f"&END {name}")
            self.content.append(found[0])
        return found[0]

    def text(self) -> str:
        """Return the section as text."""
        lines = [self._opening] if self.name else []
        lines += [item.text() if isinstance(item, Section) else item[1] for item in self.content]
        lines += [self._closing] if self.name else []
        return "\n".join(lines) + ("" if self.name else "\n")

    def walk(self) -> Iterator[Section]:
        """Yield this section and all below it."""
        yield self
        for item in self.content:
            if isinstance(item, Section):
                yield from item.walk()


def bare(line: str) -> str:
    """Return a line without comment, tabs and surrounding spaces."""
    for mark in "!#":
        line = line.split(mark, 1)[0]
    return line.replace("\t", " ").strip()


def parse(text: str) -> Section:
    """Return the tree of an input file.

    Raises
    ------
    InputError
        A section is not closed, or closed under another name; the message starts with the line number.
    """
    root = Section("", "", 0, "")
    stack = [root]
    for number, line in enumerate(text.splitlines(), start=1):
        word, _, rest = bare(line).partition(" ")
        if word.upper() == "&END":
            name = (rest.split() or [stack[-1].name])[0].upper()
            if len(stack) == 1:
                raise InputError(f"{number}: &END without a section")
            if name != stack[-1].name:
                raise InputError(f"{number}: &END {name} closes &{stack[-1].name} of line {stack[-1].line}")
            stack.pop().close(line)
        elif word.startswith("&"):
            section = Section(word[1:].upper(), rest.strip(), number, line)
            stack[-1].content.append(section)
            stack.append(section)
        else:
            stack[-1].content.append((number, line))
    if len(stack) > 1:
        raise InputError(f"{stack[-1].line}: &{stack[-1].name} has no &END")
    return root
