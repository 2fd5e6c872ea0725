"""Options of the command line with values that cannot be meant: refused in the words of the configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpa_sse.ops.conductivity.settings import ConductivitySettings, SourceOptions
from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.pipeline.commands import conductivity, structures
from dpa_sse.pipeline.commands.project import run_config

RAW = re.compile(r"Input should|pydantic|valid \w+|NoneType|type=")


@pytest.mark.parametrize(("values", "message"), [
    ({"reference": "lab"}, "--reference lab: must be 'framework', 'barycentre' or 'laboratory'"),
    ({"reference": "framewrok"}, "did you mean 'framework'?"),
    ({"hop_distance_A": -1.0}, "--hop-distance-A -1.0: must be larger than 0 A"),
    ({"arrhenius_exponent": float("nan")}, "--arrhenius-exponent nan: must be a finite number"),
    ({"extrapolate_to_K": [-3.0]}, "--extrapolate-to-K -3.0: must be at least 100 K"),
])
def test_settings_of_the_analysis(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        conductivity._checked(ConductivitySettings, **values)
    assert not RAW.search(str(caught.value))


def test_facts_about_a_trajectory() -> None:
    with pytest.raises(InputError, match=r"--temperature-K -3\.0: must be larger than 0 K"):
        conductivity._checked(SourceOptions, temperature_K=-3.0)


def test_settings_of_a_structure() -> None:
    with pytest.raises(InputError, match="minedge_A: unknown key - did you mean 'min_edge_A'") as caught:
        structures._checked(SystemSettings, name="a", structure="LiCl", minedge_A=3.0)
    assert not RAW.search(str(caught.value))


@pytest.mark.parametrize("name", ["a b", "../x", "/x", "", ".", "..", "-rf", "a\n", "a.",
                                   "\x1b[2J", "a" * 51, "ä"])
def test_a_run_folder_has_a_plain_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot be used: use at most 50 letters") as caught:
        run_config(tmp_path / "c.yaml", [], tmp_path / "runs", name)
    assert "\x1b" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
