"""What a misspelt word was meant to be: one search and one wording for all messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def similar_words(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known words that are most like ``word``, best first; upper and lower case are not distinguished.

    Parameters
    ----------
    word : str
        As the user wrote it.
    known : iterable of str
        What could be meant.
    most : int
        Largest number of words to return; one that differs in case only is returned alone.
    cutoff : float
        Smallest similarity, 0 to 1 (that of :func:`difflib.get_close_matches`).
    """
    by_lower_case = {name.lower(): name for name in known}
    if word.lower() in by_lower_case:
        return [by_lower_case[word.lower()]]
    found = difflib.get_close_matches(word.lower(), by_lower_case, n=most, cutoff=cutoff)
    return [by_lower_case[name] for name in found]


def closest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like ``word``; None if no word is similar enough."""
    return next(iter(similar_words(word, known, cutoff=cutoff)), None)


def question(*meant: str) -> str:
    """Return ``" - did you mean 'a', 'b' or 'c'?"`` to append to a message; empty without a word."""
    if not meant:
        return ""
    quoted = [f"'{word}'" for word in meant]
    return f" - did you mean {' or '.join([', '.join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)}?"


def did_you_mean(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> str:
    """Return the question after the :func:`similar_words`, to append to a message; empty if there are none."""
    return question(*similar_words(word, known, most, cutoff))
