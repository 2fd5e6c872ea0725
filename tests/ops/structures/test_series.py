"""Series of compositions and arrangements: one entry of the configuration, several systems."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from dpa_sse.ops.core.errors import InputError
from dpa_sse.ops.structures.build import build_cell
from dpa_sse.ops.structures.series import base_name, expand_system
from dpa_sse.ops.structures.settings import SystemSettings
from dpa_sse.pipeline.config import ConfigError, load_checked, load_project, resolved_yaml

HEAD = "name: x\ntype_map: [Li, Ge, Sn, P, S, Cl]\npretrain: null\nsystems:\n"
LGPS = '{name: LGPS, structure: "Li10Ge{1-x}Sn{x}P2S12", series: {x: [0, 0.25, 1]}, supercell: [2, 1, 1]}'


def write(folder: Path, *systems: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(HEAD + "".join(f"  - {one}\n" for one in systems), encoding="utf-8")
    return path


def test_expansion() -> None:
    item = {"name": "LGPS", "structure": "Li10Ge{1-x}Sn{x}P2S12", "series": {"x": [0, 0.25, 1]}, "supercell": [2, 1, 1]}
    systems = expand_system(item)
    assert [one["name"] for one in systems] == ["LGPS-x0", "LGPS-x0.25", "LGPS-x1"]
    assert systems[1]["structure"] == "Li10Ge0.75Sn0.25P2S12"
    assert all(one["supercell"] == [2, 1, 1] and "series" not in one for one in systems)
    grid = {"name": "a", "structure": "Li{6-x}PS{5-x}Cl{(1+x)*(1-y)}Br{(1+x)*y}", "series": {"x": [0, 0.5], "y": [0.5]}}
    assert [one["structure"] for one in expand_system(grid)] == ["Li6PS5Cl0.5Br0.5", "Li5.5PS4.5Cl0.75Br0.75"]
    shares = {"name": "a", "structure": "Li6PS5Cl", "series": {"site_disorder": [0, 0.5]}}
    assert [(one["name"], one["site_disorder"]) for one in expand_system(shares)] == [("a-d0", 0), ("a-d0.5", 0.5)]
    assert expand_system({"name": "a", "structure": "Li2S"}) == [{"name": "a", "structure": "Li2S"}]
    assert [base_name(one["name"]) for one in expand_system({"name": "a", "count": 2})] == ["a", "a"]


@pytest.mark.parametrize(
    ("structure", "series", "message"),
    [
        ("Li2S", {"x": [0.5]}, "does not occur in structure"),
        ("LiCl{1-x}Br{y}", {"x": [0.5]}, "'y' in structure is not a variable"),
        ("LiCl{1-x}Br{x}", {"x": [1.5]}, "at x=1.5 the amount {1-x} is -0.5"),
        ("LiCl{1-x}Br{x}", {"x": [0.5, 0.5]}, "duplicate value"),
        ("LiCl{1-x}Br{x}", {"x": []}, "list of numbers"),
        ("LiCl{1/x}", {"x": [0.0]}, "not an amount"),
        ("LiCl{1-x", {"x": [0.0]}, "does not occur"),
        ("LiCl{x.real}", {"x": [0.0]}, "not an amount"),
        ("LiCl{__import__('os')+x}", {"x": [0.0]}, "not an amount"),
        ("Li6PS5Cl", {"site_disorder": [1.5]}, "between 0 and 1"),
        ("LiCl{1-x}", {}, "write a series as"),
    ],
)
def test_bad_series(structure: str, series: dict[str, list[float]], message: str) -> None:
    with pytest.raises(InputError) as caught:
        expand_system({"name": "a", "structure": structure, "series": series})
    assert message in str(caught.value)
    with pytest.raises(ValidationError, match="series"):
        SystemSettings(name="a", structure=structure, series=series)


def test_the_project_sees_the_expanded_systems(tmp_path: Path) -> None:
    path = write(tmp_path, "{name: first, structure: Li2S}", LGPS, "{name: LPSCl, structure: Li6PS5Cl, "
                 "site_disorder: 0.5, count: 2}")
    project = load_checked(path).project
    names = ["first", "LGPS-x0", "LGPS-x0.25", "LGPS-x1", "LPSCl.c000", "LPSCl.c001"]
    assert [one.name for one in project.systems] == names
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(project))
    assert load_project(again) == project
    one, two = (build_cell(system, tmp_path, project.seed) for system in project.systems[-2:])
    assert not np.array_equal(one.positions, two.positions)
    assert (one.info["system"], two.info["system"]) == ("LPSCl.c000", "LPSCl.c001")
    assert load_project(path, ["systems.1.series.x=[0.5]"]).systems[1].structure == "Li10Ge0.5Sn0.5P2S12"


@pytest.mark.parametrize(
    ("system", "line", "message"),
    [
        (LGPS.replace("Ge{1-x}", "Ge"), 6, "systems.1.structure: no structure"),
        (LGPS.replace("1]", "2]"), 6, "systems.1.series.x: at x=2 the amount {1-x} is -1"),
        (LGPS.replace("P2", "Q2"), 6, "is not an element"),
        (LGPS.replace("supercell", "supercel"), 6, "did you mean 'supercell'"),
        ("{name: a, structure: Li2S, count: 3}", 6, "only 1 of 3 distinct arrangements"),
        ("{name: a, structure: Li2S, orthogonal: true}", 6, "give `atoms` or `min_edge_A`"),
        ("{name: a, structure: Li2S, atoms: [400, 200]}", 6, "smallest and the largest"),
        ("{name: a, structure: Li2S, mixing: sqs}", 6, "ordered structure"),
    ],
)
def test_problems_keep_their_line(tmp_path: Path, system: str, line: int, message: str) -> None:
    path = write(tmp_path, "{name: first, structure: Li2S}", system)
    with pytest.raises(ConfigError) as caught:
        load_checked(path)
    assert all(problem.line == line for problem in caught.value.problems)
    assert any(message in str(problem) for problem in caught.value.problems), str(caught.value)


def test_a_system_behind_a_series_keeps_its_line(tmp_path: Path) -> None:
    for system, message in (
        ("{name: a, structure: Li2T}", "systems.1.structure: "),
        ("{name: LGPS-x0.25, structure: Li2S}", "already the name"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_checked(write(tmp_path, LGPS, system))
        assert {problem.line for problem in caught.value.problems} == {6}
        assert any(message in str(problem) for problem in caught.value.problems)


def test_downstream_is_one_system(tmp_path: Path) -> None:
    path = write(tmp_path, "{name: first, structure: Li2S}")
    path.write_text(path.read_text() + f"downstream:\n  system: {LGPS}\n")
    with pytest.raises(ConfigError, match=r"downstream\.system\.series: .*only allowed under `systems`"):
        load_checked(path)
