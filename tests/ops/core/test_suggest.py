"""One search and one wording for misspelt words."""

from __future__ import annotations

import pytest

from dpa_sse.ops.core.suggest import closest, did_you_mean, question, similar_words

KNOWN = ["Li6PS5Cl", "Li6PS5Br", "Li6PS5I", "Li2S"]


@pytest.mark.parametrize(
    ("word", "meant"), [("Li6PS5C", "Li6PS5Cl"), ("li2s", "Li2S"), ("LI6PS5BR", "Li6PS5Br"), ("NaCl", None), ("", None)]
)
def test_closest(word: str, meant: str | None) -> None:
    assert closest(word, KNOWN, cutoff=0.8) == meant


def test_a_word_that_differs_in_case_only_is_the_only_one() -> None:
    assert similar_words("li6ps5cl", KNOWN, most=3) == ["Li6PS5Cl"]
    assert len(similar_words("li6ps5", KNOWN, most=3)) == 3


def test_wording() -> None:
    assert question() == ""
    assert question("a") == " - did you mean 'a'?"
    assert question("a", "b", "c") == " - did you mean 'a', 'b' or 'c'?"
    assert did_you_mean("replica", ["replicas", "steps"]) == " - did you mean 'replicas'?"
    assert did_you_mean("replica", ["steps"]) == ""
