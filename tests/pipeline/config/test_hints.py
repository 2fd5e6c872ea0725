"""Hints that say how to write what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.labelers.settings import CALCULATORS
from dpa_sse.ops.structures.library import load_entry, names
from dpa_sse.pipeline.config import ConfigError, load_checked

PLAIN: dict[str, Any] = {
    "name": "x", "type_map": ["Li", "Cl"], "labeler": {"kind": "mock"},
    "systems": [{"name": "a", "structure": "LiCl"}], "distill": {}, "md": {"temperatures_K": [600]},
}


def complaint(folder: Path, *overrides: str) -> str:
    (folder / "c.yaml").write_text(json.dumps(PLAIN))
    with pytest.raises(ConfigError) as caught:
        load_checked(folder / "c.yaml", overrides)
    return str(caught.value)


@pytest.mark.parametrize(("override", "hint"), [
    ("labeler={kind: chgnet}", "not 'chgnet'; write {kind: ase, calculator: chgnet}"),
    ("labeler={kind: mace}", "write {kind: ase, calculator: mace.calculators:mace_mp}"),
    ("labeler={kind: ase, calculator: mace}", "did you mean 'mace.calculators:mace_mp'?"),
    ("labeler={kind: ase, calculator: SevenNet}", "did you mean 'sevenn.calculator:SevenNetCalculator'?"),
    ("systems.0.supercell=2x2x1", "must be a list, not '2x2x1'; write [2, 2, 1]"),
    ("systems.0.supercell=2", "must be a list, not 2; write [2, 2, 2]"),
    ("md.supercell=3 3 3", "write [3, 3, 3]"),
    ("temperature=300", "temperature: unknown key - did you mean 'md.temperatures_K', 'aimd.temperatures_K' or "),
    ("timestep=2", "did you mean 'md.timestep_fs'"),
    ("sed=3", "sed: unknown key - did you mean 'seed'?"),
    ("systm=[]", "did you mean 'systems'?"),
    ("split.validation=10", "it is a share: 10 % is 0.1"),
])
def test_what_was_meant(tmp_path: Path, override: str, hint: str) -> None:
    assert hint in complaint(tmp_path, override)


@pytest.mark.parametrize(("name", "meant"), [
    ("beta-Li3PS4", "did you mean 'Li3PS4_beta_b' or 'Li3PS4_beta_c'?"),
    ("gamma-Li3PS4", "did you mean 'Li3PS4_gamma'?"),
    ("Li6PS5Cl-ordered", "did you mean 'Li6PS5Cl_48h_ordered'?"),
    ("Li6PS5C", "did you mean 'Li6PS5Cl'"),
])
def test_polymorphs_by_their_usual_names(name: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        load_entry(name)
    assert meant in str(caught.value)


def test_short_names_of_calculators_give_a_form_that_is_accepted(tmp_path: Path) -> None:
    for form in set(CALCULATORS.values()) - {"chgnet"}:
        (tmp_path / "c.yaml").write_text(json.dumps({**PLAIN, "labeler": {"kind": "ase", "calculator": form}}))
        try:
            load_checked(tmp_path / "c.yaml")
        except ConfigError as error:
            assert "is not installed" in str(error)


def test_every_entry_is_found_by_its_own_name() -> None:
    assert all(load_entry(name).name == name for name in names())
