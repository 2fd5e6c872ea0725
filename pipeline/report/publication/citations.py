"""The citation list: entries of ``references.bib`` for what a run has used, numbered in the order of their use."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

MARK = re.compile(r"\[@([a-z0-9;]+)\]")
"""A citation in a sentence: ``[@key]`` or ``[@key;key]``."""


def cite(*keys: str) -> str:
    """Return the mark of a citation, with a space in front; empty without keys."""
    for key in keys:
        if key not in library():
            raise KeyError(key)
    return f" [@{';'.join(keys)}]" if keys else ""


@functools.cache
def library() -> dict[str, str]:
    """Return the BibTeX entries by key."""
    text = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text.strip())
    return {entry.partition("{")[2].partition(",")[0].strip(): entry.strip() for entry in entries}


def cited(texts: Sequence[str]) -> list[str]:
    """Return the keys that texts cite, in order, each once."""
    return list(dict.fromkeys(key for text in texts for found in MARK.findall(text) for key in found.split(";")))


def bibtex(keys: Sequence[str]) -> str:
    """Return the BibTeX entries of these keys."""
    return "".join(f"{library()[key]}\n\n" for key in keys).rstrip() + "\n" if keys else ""


def numbered(text: str, keys: Sequence[str]) -> str:
    """Return a sentence with ``[1, 2]`` for its citations."""
    def numbers(found: re.Match[str]) -> str:
        return f"[{', '.join(str(keys.index(key) + 1) for key in found[1].split(';'))}]"

    return MARK.sub(numbers, text)


def field(entry: str, name: str) -> str:
    """Return a field of a BibTeX entry, without braces; empty if it has none."""
    start = re.search(rf"\b{name} = {{", entry)
    if start is None:
        return ""
    depth, end = 1, start.end()
    while depth and end < len(entry):
        depth += {"{": 1, "}": -1}.get(entry[end], 0)
        end += 1
    return entry[start.end() : end - 1]


def reference(key: str) -> str:
    """Return an entry in words: authors, title, journal, DOI."""
    entry = library()[key]
    authors = [
        " ".join(reversed([part.strip() for part in author.split(",")]))
        for author in field(entry, "author").split(" and ")
    ]
    names = ", ".join("et al." if author == "others" else author for author in authors)
    place = field(entry, "journal") or field(entry, "booktitle") or f"arXiv:{field(entry, 'eprint')}"
    numbers = ", ".join(part for part in (field(entry, "volume"), field(entry, "pages")) if part)
    doi = field(entry, "doi")
    text = f"{names}, {field(entry, 'title')}, {place} {numbers} ({field(entry, 'year')})"
    return _plain(text + (f", doi:{doi}" if doi else "")) + "."


def _plain(text: str) -> str:
    """Return text of BibTeX without its accents and braces in TeX notation."""
    import unicodedata

    marks = {"'": "\u0301", '"': "\u0308", "`": "\u0300", "^": "\u0302", "~": "\u0303"}
    text = re.sub(r"\{?\\(['\"`^~])\{?(\w)\}?\}?", lambda found: found[2] + marks[found[1]], text)
    text = text.replace(r"{\o}", "ø").replace("$^2$", "²").replace("---", "–").replace("--", "–")
    return " ".join(unicodedata.normalize("NFC", re.sub(r"[{}]", "", text)).split())
